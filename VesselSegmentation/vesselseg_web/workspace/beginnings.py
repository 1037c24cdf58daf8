"""Whether files of this machine can be what the page begins with: told once, before anybody visits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_reference, read_series, read_volume
from vesselseg.segmentation import check_scan
from vesselseg_web.uploads.arrivals import find_arrival, label_of, without_folder
from vesselseg_web.uploads.local_files import lay_out
from vesselseg_web.uploads.upload_checks import shown_name
from vesselseg_web.workspace.session_scene import take_over


def check_beginning(paths: Sequence[str]) -> None:
    """Refuse files that could not be loaded.

    Parameters
    ----------
    paths : sequence of str
        A scan or a saved session, and vessels to compare with.

    Raises
    ------
    VesselSegError
        It names the file.
    """
    for index, path in enumerate(paths):
        name = shown_name(Path(path).name)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made) / "files"
            try:
                lay_out(Path(path), folder)
                if index:
                    read_reference(label_of(find_arrival(sorted(folder.iterdir()), folder)))
                else:
                    _check_scan(folder, name, alone=len(paths) == 1)
            except VesselSegError as error:
                known = without_folder(folder, name, error)
                raise VesselSegError(f"{path} cannot be used: {known.message}", known.advice) from error
            except OSError as error:
                raise VesselSegError(
                    f"{path} cannot be read: {error.strerror or error}", "check its permissions"
                ) from error


def _check_scan(folder: Path, name: str, *, alone: bool) -> None:
    arrival = find_arrival(sorted(folder.iterdir()), folder)
    if arrival.image is not None:
        check_scan(read_volume(arrival.image))
    elif arrival.session:
        take_over(arrival.session, folder)
    elif arrival.clear_series is not None:
        check_scan(read_series(arrival.clear_series, where=name))
    elif not alone:
        raise VesselSegError(f"it holds {len(arrival.series)} series", "give a folder with that of the scan alone")
