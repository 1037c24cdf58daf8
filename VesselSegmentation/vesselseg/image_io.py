"""Reading scans and labels, and writing images that appear whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")

#: Endings of image files that can be written.
IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Of those, the ones that keep everything in a single file, so that a rename puts them in place.
_SINGLE_FILE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_READABLE = "NIfTI, NRRD, MHA or a folder of DICOM files"


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a scan or a probability map.

    Parameters
    ----------
    path : path-like
        An image file (NIfTI, NRRD, MHA, a single DICOM file) or a folder with one DICOM series. Of several series the
        one with most slices is taken, and said in the log.

    Returns
    -------
    Volume
        Voxels as float32.

    Raises
    ------
    VesselSegError
        If there is no such file, if it cannot be read, or if it is not one three-dimensional image with one value a
        voxel.
    """
    import SimpleITK as sitk

    return Volume.from_sitk(sitk.Cast(_read_image(Path(path)), sitk.sitkFloat32))


def read_label(path: str | os.PathLike[str]) -> Volume:
    """Read a label image; every voxel other than 0 belongs to the label.

    Parameters
    ----------
    path : path-like
        As for `read_volume`.

    Returns
    -------
    Volume
        Voxels as uint8, 0 or 1.

    Raises
    ------
    VesselSegError
        As for `read_volume`, and if the voxels are not whole numbers.
    """
    volume = Volume.from_sitk(_read_image(Path(path)))
    values = volume.array
    if not np.issubdtype(values.dtype, np.integer) and not np.array_equal(values, np.round(values)):
        raise VesselSegError(
            f"{path} is not a label: its voxels are not whole numbers", "threshold a probability map before you use it"
        )
    return volume.with_array((values != 0).astype(np.uint8))


def _read_image(path: Path) -> SimpleITK.Image:
    import SimpleITK as sitk

    if not path.exists():
        raise VesselSegError(f"there is no file {path}", "check the path")
    if path.is_dir():
        return _read_dicom_folder(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _quiet_itk():
        try:
            reader.ReadImageInformation()
            if path.name.lower().endswith((".nii", ".nii.gz")):
                _check_nifti_complete(path)
            dimension, size = reader.GetDimension(), list(reader.GetSize())
            components = reader.GetNumberOfComponents()
            _check_layout(path, dimension, size, components)
            if dimension == 4:
                # A three-dimensional image that was stored as a series of one.
                reader.SetExtractSize([*size[:3], 0])
            return reader.Execute()
        except RuntimeError as error:
            raise _unreadable(path, error) from error


def _check_layout(path: Path, dimension: int, size: list[int], components: int) -> None:
    if components != 1:
        raise VesselSegError(
            f"{path} has {components} values a voxel (a colour or vector image)",
            "a scan with one value a voxel is needed",
        )
    if dimension == 4 and size[3] > 1:
        raise VesselSegError(
            f"{path} is a series of {size[3]} volumes",
            "extract one of them first; a single three-dimensional scan is needed",
        )
    if dimension not in (3, 4):
        raise VesselSegError(f"{path} is {dimension}-dimensional", "a three-dimensional scan is needed")


def _unreadable(path: Path, error: RuntimeError) -> VesselSegError:
    text = str(error)
    if path.stat().st_size == 0:
        return VesselSegError(f"{path} is empty", "copy or export it again")
    if "orthonormal" in text or "rthogonal" in text:
        return VesselSegError(
            f"the axes of {path} are not at right angles", "resample it to a grid without shear, or correct its header"
        )
    return VesselSegError(f"{path} cannot be read as an image", f"it must be {_READABLE}, complete and not damaged")


def _check_nifti_complete(path: Path) -> None:
    """Refuse a NIfTI file that breaks off: ITK reads it without a word, and part of the head would be 0."""
    import gzip
    import zlib

    import nibabel

    broken = VesselSegError(f"{path} is not complete: it breaks off", "copy or export it again")
    try:
        stored = nibabel.load(path).dataobj  # type: ignore[attr-defined]
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as stream:
            while stream.read(1 << 22):
                pass
            found = stream.tell()
    except (EOFError, zlib.error, gzip.BadGzipFile, nibabel.filebasedimages.ImageFileError) as error:
        raise broken from error
    if found < stored.offset + int(np.prod(stored.shape)) * stored.dtype.itemsize:
        raise broken


@contextlib.contextmanager
def _quiet_itk() -> Iterator[None]:
    """Keep ITK's own multi-line words off the screen: what is wrong is said once, by us.

    Its switch for warnings is not enough: some of its readers write to the process's standard error by themselves.
    """
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        screen = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _read_dicom_folder(folder: Path) -> SimpleITK.Image:
    import SimpleITK as sitk

    series: list[tuple[str, ...]] = []
    with _quiet_itk():
        for directory, _, names in os.walk(folder):
            if names:
                for series_id in sitk.ImageSeriesReader.GetGDCMSeriesIDs(directory):
                    series.append(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(directory, series_id))
        if not series:
            raise VesselSegError(f"there is no DICOM series in the folder {folder}", f"give {_READABLE}")
        files = max(series, key=len)
        if len(series) > 1:
            logger.warning("%d DICOM series in %s: taking the largest, of %d files", len(series), folder, len(files))
        try:
            if len(files) == 1:  # an enhanced (multi-frame) object, or a lone slice, which the checks will refuse
                reader: SimpleITK.ImageFileReader | SimpleITK.ImageSeriesReader = sitk.ImageFileReader()
                reader.SetFileName(files[0])  # type: ignore[union-attr]
            else:
                _check_slice_distances(folder, files)
                reader = sitk.ImageSeriesReader()
                reader.SetFileNames(files)
            image = reader.Execute()
        except RuntimeError as error:
            raise VesselSegError(
                f"the DICOM series in {folder} cannot be read", "check that the export is complete and not damaged"
            ) from error
    _check_layout(folder, image.GetDimension(), list(image.GetSize()), image.GetNumberOfComponentsPerPixel())
    return image


def _check_slice_distances(folder: Path, files: tuple[str, ...]) -> None:
    """Refuse a series with a missing slice: ITK would place the slices evenly, and the geometry would be wrong."""
    import SimpleITK as sitk

    positions = []
    normal = None
    for name in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        reader.ReadImageInformation()
        if normal is None:
            normal = np.asarray(reader.GetDirection()).reshape(reader.GetDimension(), -1)[:3, 2]
        positions.append(np.asarray(reader.GetOrigin())[:3])
    distances = np.diff([position @ normal for position in positions])
    typical = np.median(distances)
    if typical == 0 or np.any(np.abs(distances / typical - 1) > 0.1):
        raise VesselSegError(
            f"the slices of the DICOM series in {folder} are not evenly spaced",
            "export the series again with all its slices, one series a folder",
        )


def image_suffix(path: str | os.PathLike[str]) -> str:
    """Return the ending of an image file that can be written.

    Raises
    ------
    VesselSegError
        If the ending is none of `IMAGE_SUFFIXES` that keep an image in one file.
    """
    name = Path(path).name.lower()
    for suffix in _SINGLE_FILE_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[-len(suffix) :]
    raise VesselSegError(
        f"the ending of {path} is not one of an image that can be written", f"use {', '.join(_SINGLE_FILE_SUFFIXES)}"
    )


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Make sure, before any long work, that a file can be written.

    Parameters
    ----------
    path : path-like
        The file to be written later.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    VesselSegError
        If the file exists and may not be replaced, if its folder does not exist or is not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise VesselSegError(f"{path} is a folder", "give the name of a file")
    if path.exists() and not overwrite:
        raise VesselSegError(f"{path} exists already", "choose another name, or give --overwrite to replace it")
    if not path.parent.is_dir():
        raise VesselSegError(f"there is no folder {path.parent}", "make it first, or choose another one")
    try:
        # Asking for permissions is not enough: the file system itself may be read-only.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> VesselSegError:
    return VesselSegError(
        f"{path} cannot be written: {error.strerror or error}",
        "choose a folder that you may write to, with enough space",
    )


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside a file; the file takes its place only when the block ends without an error.

    Parameters
    ----------
    path : path-like
        The file to be written.
    overwrite : bool
        Whether an existing file may be replaced.

    Yields
    ------
    pathlib.Path
        Write here. The name ends as `path` does.

    Raises
    ------
    VesselSegError
        As `check_output`.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            raise _unwritable(path, error) from error


def write_volume(
    volume: Volume, path: str | os.PathLike[str], *, overwrite: bool = False, compress: bool = True
) -> None:
    """Write an image, whole or not at all.

    Parameters
    ----------
    volume : Volume
        Scan, probability or label.
    path : path-like
        Ending in .nii.gz, .nii, .nrrd or .mha.
    overwrite : bool
        Whether an existing file may be replaced.
    compress : bool
        Whether formats that can be compressed are.

    Raises
    ------
    VesselSegError
        If the file cannot be written, or exists and may not be replaced.
    """
    with atomic_output(path, overwrite=overwrite) as temporary:
        write_image(volume, temporary, compress=compress)


def write_image(volume: Volume, path: Path, *, compress: bool = True) -> None:
    """Write an image to a place that `atomic_output` gave."""
    import SimpleITK as sitk

    image_suffix(path)
    try:
        sitk.WriteImage(volume.to_sitk(), str(path), useCompression=compress)
    except RuntimeError as error:
        raise VesselSegError(f"{path.name} cannot be written", "check the space left on the disk") from error
