"""Reading DICOM series: which there are in a folder, which of them is the TOF angiogram, and its voxels."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_slices import (
    DICOM_READER,
    check_directions,
    check_pixel_spacing,
    check_planes,
    has_frames,
    read_frames,
    slice_order,
)
from vesselseg.formats.itk_messages import quiet_itk

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")


_MODALITY, _DESCRIPTION, _PROTOCOL = "0008|0060", "0008|103e", "0018|1030"
_ORIENTATION, _PIXEL_SPACING = "0020|0037", "0028|0030"
#: What the type of a slice's voxels follows from: rescale slope and intercept; bits allocated, bits stored, and sign.
_VALUES = ("0028|1052", "0028|1053", "0028|0100", "0028|0101", "0028|0103")
_IMAGE_TYPE, _ANGIO_FLAG, _FRAMES = "0008|0008", "0018|0025", "0028|0008"
#: What operators and vendors call time-of-flight angiography.
_TOF_NAMES = re.compile(r"tof|mra(?![a-z])|angio|time.?of.?flight", re.IGNORECASE)
#: Pictures made from a scan, which are no scan: maximum intensity projections, scouts, screen shots. Words begin there:
#: "compressed" and "improved" are said of scans.
_NO_SCAN = re.compile(r"(?<![a-z])mip|projection|localizer|scout|screen|(?<![a-z])mpr(?!age)", re.IGNORECASE)
_FEWEST_SLICES = 16


@dataclass(frozen=True)
class DicomSeries:
    """A series, known by its headers alone.

    Parameters
    ----------
    files : tuple of str
        Its files, in no certain order.
    description : str
        What the scanner calls it.
    modality : str
        As in "MR".
    slices : int
        Number of slices.
    size : tuple of int
        Columns and rows.
    is_scan : bool
        Whether it can be a three-dimensional scan, rather than projections or a scout.
    is_tof : bool
        Whether it also says that it is a time-of-flight angiogram.
    damaged : tuple of str
        Files that cannot be read, and are of this series or do not tell of which one they are.
    """

    files: tuple[str, ...]
    description: str
    modality: str
    slices: int
    size: tuple[int, int]
    is_scan: bool
    is_tof: bool
    damaged: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What it is, in a line for people."""
        name = self.description or "without a description"
        return f"{name}: {self.modality}, {self.slices} slices of {self.size[0]} x {self.size[1]}"


def read_dicom_folder(folder: Path) -> SimpleITK.Image:
    """Read the DICOM series in a folder and the folders in it.

    Parameters
    ----------
    folder : pathlib.Path
        Of several series a time-of-flight angiogram is taken, else the one with most slices, which is said in the log.
        A series may be spread over several folders.

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
    if len(series) > 1:
        taken, *others = series
        logger.warning("%d DICOM series in %s: taking %s", len(series), folder, taken.text)
        if not taken.is_tof:
            left = "; ".join(each.text for each in others)
            logger.warning("none of them is named as a TOF angiogram: if you mean another, give it alone (%s)", left)
    return read_dicom_series(series[0], where=str(folder))


def find_dicom_series(folder: Path) -> list[DicomSeries]:
    """List the series in a folder and the folders in it.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    list of DicomSeries
        Time-of-flight angiograms first, then other scans, then the rest; of each, those with most slices first.
    """
    with quiet_itk():
        by_series, damaged = _files_by_series(folder)
        series = [replace(_described(files), damaged=tuple(damaged[key])) for key, files in by_series.items()]
    return sorted(series, key=lambda each: (each.is_tof, each.is_scan, each.slices), reverse=True)


def read_dicom_series(series: DicomSeries, *, where: str) -> SimpleITK.Image:
    """Read the voxels of a series.

    Parameters
    ----------
    series : DicomSeries
    where : str
        Name of its folder, for messages.

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
    try:
        with quiet_itk():
            if len(series.files) == 1:
                return read_dicom_file(series.files[0])
            files, one_kind = _by_position(where, list(series.files))
            reader = sitk.ImageSeriesReader()
            reader.SetImageIO(DICOM_READER)
            reader.SetFileNames(files)
            if not one_kind:
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
    _check_slice(reader, path)
    several = reader.GetDimension() == 3 and reader.GetSize()[2] > 1
    return read_frames(path) if several and reader.GetNumberOfComponents() == 1 else reader.Execute()


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


def _described(files: list[str]) -> DicomSeries:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(DICOM_READER)
    reader.SetFileName(files[0])
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return DicomSeries(tuple(files), "", "", len(files), (0, 0), is_scan=False, is_tof=False)

    def value(tag: str) -> str:
        return str(reader.GetMetaData(tag)).strip() if reader.HasMetaDataKey(tag) else ""

    size = reader.GetSize()
    frames = value(_FRAMES)
    slices = len(files) * (int(frames) if frames.isdigit() else 1)
    modality, description = value(_MODALITY), value(_DESCRIPTION) or value(_PROTOCOL)
    is_scan = slices >= _FEWEST_SLICES and not _NO_SCAN.search(f"{value(_IMAGE_TYPE)} {description}")
    names_tof = _TOF_NAMES.search(f"{description} {value(_PROTOCOL)}") is not None or value(_ANGIO_FLAG) == "Y"
    is_tof = is_scan and modality == "MR" and names_tof
    return DicomSeries(tuple(files), description, modality, slices, (size[0], size[1]), is_scan=is_scan, is_tof=is_tof)


def _by_position(where: str, files: list[str]) -> tuple[list[str], bool]:
    """Sort the files of single slices along their normal; tell, too, whether all hold values of one kind."""
    import SimpleITK as sitk

    where = f"the DICOM series in {where}"
    reader = sitk.ImageFileReader()
    reader.SetImageIO(DICOM_READER)
    positions, planes, kinds = [], [], set()
    for name in files:
        reader.SetFileName(name)
        reader.ReadImageInformation()
        _check_slice(reader, where)
        axes = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))[:3]
        positions.append(reader.GetOrigin()[:3])
        kinds.add(tuple(reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else "" for tag in _VALUES))
        planes.append(np.concatenate([axes[:, :2].T.ravel(), reader.GetSpacing()[:2]]))
    check_planes(planes, where=where)
    order, _step = slice_order(np.array(positions), axes[:, 2], where=where)
    return [files[index] for index in order], len(kinds) == 1


def _check_slice(reader: SimpleITK.ImageFileReader, where: str) -> None:
    """Refuse a slice whose directions or pixel sizes ITK makes up or replaces."""
    tags = (_ORIENTATION, _PIXEL_SPACING)
    told = [reader.GetMetaData(tag).split("\\") if reader.HasMetaDataKey(tag) else [] for tag in tags]
    if not all(told) and has_frames(reader.GetFileName()):
        return  # which hold theirs elsewhere
    check_directions(told[0], where=where)
    check_pixel_spacing(told[1], where=where)
