"""Reading a folder of DICOM files as one scan."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.itk_messages import quiet_itk

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")


def read_dicom_folder(folder: Path) -> SimpleITK.Image:
    """Read the DICOM series in a folder and the folders in it.

    Parameters
    ----------
    folder : pathlib.Path
        Of several series the one with most files is taken, which is said in the log. A series may be spread over
        several folders.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    VesselSegError
        If there is no series, a slice is missing or it cannot be read.
    """
    import SimpleITK as sitk

    with quiet_itk():
        series = _find_series(folder)
    if not series:
        raise VesselSegError(
            f"there is no DICOM series in the folder {folder}", "give a folder with one series, or an image file"
        )
    files = max(series.values(), key=len)
    if len(series) > 1:
        logger.warning("%d DICOM series in %s: taking the largest, of %d files", len(series), folder, len(files))
    try:
        with quiet_itk():
            if len(files) == 1:  # an enhanced (multi-frame) object, or a lone slice, which the checks will refuse
                return sitk.ReadImage(files[0])
            reader = sitk.ImageSeriesReader()
            reader.SetFileNames(_by_position(folder, files))
            return reader.Execute()
    except RuntimeError as error:
        raise VesselSegError(
            f"the DICOM series in {folder} cannot be read", "check that the export is complete and not damaged"
        ) from error


def _find_series(folder: Path) -> dict[str, list[str]]:
    import SimpleITK as sitk

    series: dict[str, list[str]] = {}
    for directory, _, names in os.walk(folder):
        if names:
            for series_id in sitk.ImageSeriesReader.GetGDCMSeriesIDs(directory):
                files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(directory, series_id)
                series.setdefault(series_id, []).extend(files)
    return series


def _by_position(folder: Path, files: list[str]) -> list[str]:
    """Sort slices along their normal; refuse a missing one: ITK would place the others evenly, and so wrongly."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    positions = []
    normal = None
    for name in files:
        reader.SetFileName(name)
        reader.ReadImageInformation()
        if normal is None:
            normal = np.asarray(reader.GetDirection()).reshape(reader.GetDimension(), -1)[:3, 2]
        positions.append(float(np.asarray(reader.GetOrigin())[:3] @ normal))
    order = np.argsort(positions, kind="stable")
    distances = np.diff(np.asarray(positions)[order])
    typical = float(np.median(distances))
    if typical <= 0 or np.any(np.abs(distances / typical - 1) > 0.1):
        raise VesselSegError(
            f"the slices of the DICOM series in {folder} are not evenly spaced",
            "export the series again with all its slices, one series a folder",
        )
    return [files[index] for index in order]
