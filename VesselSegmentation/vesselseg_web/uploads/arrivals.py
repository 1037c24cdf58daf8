"""Finding out what somebody has sent: one image, DICOM series, or a saved session."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_headers import SeriesKind
from vesselseg.formats.dicom_io import DicomSeries, find_dicom_series
from vesselseg_web.uploads.archives import is_archive, unpack
from vesselseg_web.uploads.upload_checks import check_unpacked_size, check_voxels, image_suffix_of, is_dicom

SESSION_SUFFIX = ".mrml"
#: A first element of group 2 or 8, with its type or, in the implicit syntax, a short length.
_BARE_DICOM = re.compile(rb"[\x02\x08]\0.\0(?:[A-Z]{2}|.\0\0\0)", re.DOTALL)


@dataclass(frozen=True)
class Arrival:
    """What has come; one of these is there.

    Parameters
    ----------
    image : pathlib.Path, optional
        An image file, with the ending of its format.
    series : list of DicomSeries
        What is most like a TOF angiogram comes first.
    session : dict
        Files by the names that a saved session gives them.
    """

    image: Path | None = None
    series: list[DicomSeries] = field(default_factory=list)
    session: dict[str, Path] = field(default_factory=dict)

    @property
    def clear_series(self) -> DicomSeries | None:
        """The series that is meant; None if that has to be asked."""
        if len(self.series) == 1:
            return self.series[0]
        if not self.series or not self.series[0].is_scan:
            return None
        first, *others = self.series
        # A scan that is not MR is no choice beside one that is.
        least = first.kind if first.is_tof else min(first.kind, SeriesKind.SCAN)
        return None if any(each.kind >= least for each in others) else first


def find_arrival(files: Sequence[Path], folder: Path) -> Arrival:
    """Find out by their contents what files are.

    Parameters
    ----------
    files : sequence of pathlib.Path
        Their names do not matter.
    folder : pathlib.Path
        An empty private folder, for what is unpacked.

    Returns
    -------
    Arrival
        Checked: it can be read without filling disk or memory.

    Raises
    ------
    VesselSegError
        If they are nothing of what is known, or several things.
    """
    archives = [path for path in files if is_archive(path)]
    if archives and len(files) > 1:
        raise VesselSegError("there is an archive among these files", "send it by itself")
    if archives:
        unpacked = folder / "unpacked"
        unpacked.mkdir()
        names = unpack(files[0], unpacked)
        if any(name.lower().endswith(SESSION_SUFFIX) for name in names):
            return Arrival(session=names)
        files = [path for name, path in names.items() if not _is_litter(name)]
    # Viewers on the CDs of hospitals bring programs and documents that are archives, too: none of them is opened.
    nested = {path for path in files if is_archive(path)}
    files = [path for path in files if path not in nested]
    dicoms = [path for path in files if is_dicom(path) or _is_bare_dicom(path)]
    if dicoms:
        return Arrival(series=_series(dicoms, folder))
    if len(files) == 1 and not nested:
        return Arrival(image=_checked_image(files[0]))  # which tells what is wrong with it
    images = [path for path in files if _is_image(path)]
    if len(images) == 1:
        return Arrival(image=_checked_image(images[0]))
    if images:
        raise VesselSegError(f"these are {len(images)} images", "send one")
    if nested:
        raise VesselSegError("this archive holds another archive", "send that one by itself")
    raise VesselSegError("there is no image among these files", "send DICOM, NIfTI, NRRD or MHA")


def label_of(arrival: Arrival) -> Path:
    """Return the image file of a label that has come; a `VesselSegError` if it is something else."""
    if arrival.image is None:
        raise VesselSegError("this is no label", "send one as NIfTI, NRRD or MHA")
    return arrival.image


def without_folder(folder: Path, name: str, error: VesselSegError) -> VesselSegError:
    """Return an error that tells a file by the name that its sender knows, not by where it lies here."""
    texts = []
    for text in (error.message, error.advice):
        words = [f"'{name}'" if word.startswith(str(folder)) else word for word in text.split(" ")]
        texts.append(" ".join(words))
    return VesselSegError(*texts)


def _series(dicoms: list[Path], folder: Path) -> list[DicomSeries]:
    # Apart from everything else: the library looks into each file of a folder.
    apart = folder / "dicom"
    apart.mkdir()
    for index, path in enumerate(dicoms):
        path.rename(apart / f"{index:05d}.dcm")
    series = [each for each in find_dicom_series(apart) if each.size[0] > 0]
    if not series:
        raise VesselSegError("these DICOM files hold no images", "export the series again")
    for each in series:
        check_voxels(each.size[0] * each.size[1] * each.slices)
    return series


def _checked_image(path: Path) -> Path:
    named = path.rename(path.with_suffix(image_suffix_of(path)))
    check_unpacked_size(named)
    return named


def _is_image(path: Path) -> bool:
    try:
        image_suffix_of(path)
    except VesselSegError:
        return False
    return True


def _is_bare_dicom(path: Path) -> bool:
    """Tell whether a file begins as old DICOM files do, which have no preamble: the library reads them."""
    with open(path, "rb") as file:
        return _BARE_DICOM.match(file.read(8)) is not None


def _is_litter(name: str) -> bool:
    """Tell whether a file is one that systems add to archives by themselves."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1:] == (".DS_Store",)
