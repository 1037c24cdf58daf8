"""Reading DICOM series: which there are in a folder, which of them is the TOF angiogram, and its voxels."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_headers import FEWEST_SLICES, DicomHeader, SeriesKind
from vesselseg.formats.dicom_slices import DICOM_READER, PLANE_TOLERANCE, check_planes, read_frames, slice_order
from vesselseg.formats.itk_messages import quiet_itk

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")


@dataclass(frozen=True)
class DicomSeries:
    """A series, known by its headers alone.

    Parameters
    ----------
    headers : tuple of DicomHeader
        Of its images, in no certain order.
    damaged : tuple of str
        Files that cannot be read, and are of this series or do not tell of which one they are.
    left_out : int
        How many more images it holds: projections and the like beside the scan.
    """

    headers: tuple[DicomHeader, ...]
    damaged: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def description(self) -> str:
        """What the scanner calls it."""
        return self.headers[0].description if self.headers else ""

    @property
    def modality(self) -> str:
        """As in "MR"."""
        return self.headers[0].modality if self.headers else ""

    @property
    def slices(self) -> int:
        """Number of slices."""
        return sum(header.frames for header in self.headers)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.headers[0].size if self.headers else (0, 0)

    @property
    def is_original(self) -> bool:
        """Whether it does not say that it was made from another one."""
        return bool(self.headers) and not self.headers[0].is_derived

    @property
    def kind(self) -> SeriesKind:
        """What it can be."""
        return self.headers[0].kind(self.slices) if self.headers else SeriesKind.NO_SCAN

    @property
    def is_scan(self) -> bool:
        """Whether it can be a three-dimensional scan, rather than projections or a scout."""
        return self.kind > SeriesKind.NO_SCAN

    @property
    def is_tof(self) -> bool:
        """Whether it also says that it is an angiogram, and does not say that it is another than by time of flight."""
        return self.kind >= SeriesKind.ANGIOGRAM

    @property
    def is_named_tof(self) -> bool:
        """Whether it is called time-of-flight, whatever it is."""
        return bool(self.headers) and self.headers[0].is_named_tof

    @property
    def text(self) -> str:
        """What it is, in a line for people."""
        name = self.description or "without a description"
        return f"{name}: {self.modality}, {self.slices} slices of {self.size[0]} x {self.size[1]}"


def read_dicom_folder(folder: Path, *, is_scan: bool = True) -> SimpleITK.Image:
    """Read the DICOM series in a folder and the folders in it.

    Parameters
    ----------
    folder : pathlib.Path
        Of several series the first one of `find_dicom_series` is taken, which is said in the log. A series may be
        spread over several folders.
    is_scan : bool
        Whether it is to be a scan, rather than a label.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    VesselSegError
        If there is no series, a slice is missing or it cannot be read.
    """
    series = find_dicom_series(folder)
    if not series:
        raise VesselSegError(
            f"there is no DICOM series in the folder {folder}", "give a folder with one series, or an image file"
        )
    taken, *others = series
    if others:
        logger.warning("%d DICOM series in %s: taking %s", len(series), folder, taken.text)
        left = "; ".join(each.text for each in others if each.is_scan or not taken.is_tof)
        if not taken.is_tof:
            why = "none of them is named as a TOF angiogram"
            if taken.kind == SeriesKind.OTHER_ANGIOGRAM:
                why = "its name tells of veins, the neck, contrast agent or phase contrast"
            elif any(each.is_named_tof for each in series):
                why = "none of those that are named as a TOF angiogram is a three-dimensional MR scan"
            logger.warning("%s: if you mean another, give it alone (%s)", why, left)
        elif left:
            logger.warning("if you mean another, give it alone (%s)", left)
    return read_dicom_series(taken, where=str(folder), is_scan=is_scan)


def find_dicom_series(folder: Path) -> list[DicomSeries]:
    """List the series in a folder and the folders in it.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    list of DicomSeries
        What is most like a TOF angiogram first; of the same kind, originals before what was made of them, and those
        with most slices before the others.
    """
    with quiet_itk():
        by_series, damaged = _files_by_series(folder)
        series = [_series(files, damaged[key]) for key, files in by_series.items()]
    return sorted(series, key=lambda each: (each.kind, each.is_scan and each.is_original, each.slices), reverse=True)


def read_dicom_series(series: DicomSeries, *, where: str, is_scan: bool = True) -> SimpleITK.Image:
    """Read the voxels of a series.

    Parameters
    ----------
    series : DicomSeries
    where : str
        Name of its folder, for messages.
    is_scan : bool
        Whether it is to be a scan, rather than a label: what is no MR is said of scans only.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    VesselSegError
        If a slice is missing, damaged or does not lie where an image can have it, or the series cannot be read.
    """
    import SimpleITK as sitk

    if series.damaged:
        first, *others = series.damaged
        more = f" and {len(others)} more" if others else ""
        raise VesselSegError(
            f"{first}{more} cannot be read, and may be a slice of the scan",
            "copy or export the series again; what is no slice has to be moved out of the folder",
        )
    if series.left_out:
        logger.warning(
            "%d images of the DICOM series in %s are left out: they are projections, or lie otherwise than the scan",
            series.left_out,
            where,
        )
    if is_scan:
        warn_of_modality(series.modality, where)
    headers = series.headers
    try:
        with quiet_itk():
            if len(headers) == 1:
                return read_dicom_file(headers[0].path)
            if any(header.frames > 1 for header in headers):
                return read_frames([header.path for header in headers])
            reader = sitk.ImageSeriesReader()
            reader.SetImageIO(DICOM_READER)
            reader.SetFileNames(_by_position(f"the DICOM series in {where}", headers))
            if len({header.values for header in headers}) > 1:
                # ITK takes the type of voxels from the first slice, which may not hold the others' values.
                reader.SetOutputPixelType(sitk.sitkFloat32)
            return reader.Execute()
    except RuntimeError as error:
        raise VesselSegError(
            f"the DICOM series in {where} cannot be read", "check that the export is complete and not damaged"
        ) from error


def read_dicom_file(path: str) -> SimpleITK.Image:
    """Read the voxels of a single file: an enhanced (multi-frame) object, or a lone slice.

    Raises
    ------
    VesselSegError
        See `vesselseg.formats.dicom_slices.read_frames`.
    RuntimeError
        If it cannot be read.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(DICOM_READER)
    reader.SetFileName(path)
    reader.ReadImageInformation()
    DicomHeader.read(path).check(path)
    several = reader.GetDimension() == 3 and reader.GetSize()[2] > 1
    return read_frames([path]) if several and reader.GetNumberOfComponents() == 1 else reader.Execute()


def warn_of_modality(modality: str, where: str) -> None:
    """Say in the log that a scan is no MR."""
    if modality not in ("", "MR"):
        logger.warning("%s is %s, not MR: vessels are found in MR angiograms only", where, modality)


def _files_by_series(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the files of every series, and the damaged ones, of which ITK says nothing."""
    import SimpleITK as sitk

    series: dict[str, list[str]] = {}
    damaged: list[tuple[str, Iterable[str]]] = []
    for directory, _, names in os.walk(folder):
        if names:
            here = {
                series_id: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(directory, series_id)
                for series_id in sitk.ImageSeriesReader.GetGDCMSeriesIDs(directory)
            }
            for series_id, files in here.items():
                series.setdefault(series_id, []).extend(files)
            readable = {os.path.basename(file) for files in here.values() for file in files}
            for name in sorted(set(names) - readable):
                path = os.path.join(directory, name)
                told = _series_if_damaged(path, beside=bool(here))
                if told is not None:
                    # What does not tell its series is of one beside it; alone, of any.
                    damaged.append((path, [told] if told else here or series))
    return series, {key: [path for path, of in damaged if key in of] for key in series}


def _series_if_damaged(path: str, *, beside: bool) -> str | None:
    """Return of which series a slice is that ITK cannot read: "" if it does not tell, None if it is no slice.

    What is empty or may not be opened is taken for one only beside slices.
    """
    name = os.path.basename(path)
    if name.startswith(".") or name.upper() == "DICOMDIR" or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError:
        start = b""
    if start[128:] != b"DICM":
        return "" if beside and not start else None
    from pydicom import dcmread  # which takes time, and is needed for damaged files only
    from pydicom.uid import UID

    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SeriesInstanceUID"])
        kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
        # Reports, presentation states and the like have no pixels, and are not damaged.
        is_image = not kind or "Image" in UID(kind).name
        return str(header.get("SeriesInstanceUID", "")) if is_image else None
    except Exception:  # pydicom raises all kinds where a file is damaged
        return ""


def _series(files: list[str], damaged: list[str]) -> DicomSeries:
    """Describe the scan in a series: what else the series holds is left out."""
    headers: dict[object, DicomHeader] = {}
    for file in files:
        try:
            header = DicomHeader.read(file)
        except RuntimeError:
            damaged = [*damaged, file]
        else:
            headers.setdefault(header.identity, header)  # copies of images are no slices of their own
    scan = _scan_among(list(headers.values()))
    return DicomSeries(tuple(scan), tuple(damaged), left_out=len(headers) - len(scan))


def _scan_among(headers: list[DicomHeader]) -> list[DicomHeader]:
    """Return the only stack of images that is large enough for a scan, without projections of it.

    Where there is none of at least `FEWEST_SLICES`, or several, all images are returned: those that do not lie alike
    are refused later.
    """
    images = [each for each in headers if not each.is_projection] or headers
    places = np.array([[*each.size, *each.plane] for each in images])
    stacks, left = [], np.arange(len(images))
    while left.size:
        alike = np.abs(places[left] - places[left[0]]).max(axis=1) <= PLANE_TOLERANCE
        alike[0] = True  # NaN is not
        stacks.append([images[index] for index in left[alike]])
        left = left[~alike]
    large = [stack for stack in stacks if sum(header.frames for header in stack) >= FEWEST_SLICES]
    return large[0] if len(large) == 1 else images


def _by_position(where: str, headers: Sequence[DicomHeader]) -> list[str]:
    """Return the files of single slices, sorted along their normal."""
    for header in headers:
        header.check(where)
    check_planes([np.array([*header.plane, *header.size]) for header in headers], where=where)
    order, _step = slice_order(np.array([header.position for header in headers]), headers[-1].normal, where=where)
    return [headers[index].path for index in order]
