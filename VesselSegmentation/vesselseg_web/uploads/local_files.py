"""Files of this machine that the page begins with: laid out as an upload is, and checked before anybody visits."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg_web.uploads.upload_checks import MAX_FILES


def lay_out(path: Path, folder: Path) -> None:
    """Put links to a file, or to all files below a folder, where they are found as those of an upload are.

    Parameters
    ----------
    path : pathlib.Path
    folder : pathlib.Path
        A private folder, which is made.

    Raises
    ------
    VesselSegError
        If there is no such file, or there are more than are taken.
    """
    if not path.exists():
        raise VesselSegError(f"there is no file '{path.name}'", "tell whoever runs the server")
    found = (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else iter([path])
    files = sorted(itertools.islice(found, MAX_FILES + 1))
    if not files:
        raise VesselSegError(f"the folder '{path.name}' is empty", "give the one in which the images are")
    if len(files) > MAX_FILES:
        raise VesselSegError(
            f"the folder '{path.name}' holds more than the {MAX_FILES:,} files that are taken",
            "give that of one series",
        )
    folder.mkdir()
    for index, file in enumerate(files):
        link = folder / f"{index:05d}"
        try:
            link.symlink_to(file.absolute())
        except OSError:  # Windows allows links to some users only
            shutil.copyfile(file, link)
