"""Reading scans and labels, and writing images that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gzip
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_slices import DICOM_READER
from vesselseg.formats.itk_messages import quiet_itk, tell_short_memory
from vesselseg.formats.meta_image import is_sound, is_whole
from vesselseg.formats.nifti_io import check_nifti_geometry, nifti_header, no_numbers, read_nifti_voxels
from vesselseg.geometry import Geometry
from vesselseg.label_values import check_label
from vesselseg.output_files import atomic_output
from vesselseg.plain_text import counted
from vesselseg.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

    from vesselseg.formats.dicom_io import DicomSeries

logger = logging.getLogger("vesselseg")

_BLOCK_BYTES = 1 << 20
#: Of the header that ITK writes into NIfTI files, up to the voxels.
_NIFTI_HEADER_BYTES = 352
#: How far products of two axes may be from those of axes at right angles: files round their directions.
_LARGEST_SHEAR = 1e-3
#: Endings of image files that can be written: of single files, so that a rename puts them in place.
_SINGLE_FILE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
#: Value of label voxels that count neither as vessel nor as background, as `vesselseg.synthesis` writes them.
UNSURE = 255
_MODALITY = "0008|0060"
#: What is no image, but may hold some.
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
#: What can be read, in words.
READABLE = "NIfTI-1, NRRD, MHA or a folder of DICOM files"
#: ITK's readers of these.
_READERS = ("NiftiImageIO", "NrrdImageIO", "MetaImageIO", DICOM_READER)


def read_volume(path: str | os.PathLike[str]) -> Volume:
    """Read a scan or a probability map.

    Parameters
    ----------
    path : path-like
        An image file (NIfTI, NRRD, MHA, a single DICOM file) or a folder with one DICOM series. Of several series the
        first one of `vesselseg.formats.dicom_io.find_dicom_series` is taken, and said in the log.

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
    return _read(Path(path), np.float32)


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
        As for `read_volume`, and if the voxels are not those of a label.
    """
    volume = _read_whole_numbers(Path(path))
    return volume.with_array((volume.array != 0).view(np.uint8))


def read_reference(path: str | os.PathLike[str]) -> tuple[Volume, Volume | None]:
    """Read a label that others are compared with, and where it is unsure.

    Parameters
    ----------
    path : path-like
        As for `read_volume`. Where there are other vessels beside them, voxels of the value `UNSURE` are unsure; else
        they are vessels, as in masks of 0 and 255.

    Returns
    -------
    label : Volume
        uint8, 0 or 1; 0 where it is unsure.
    unsure : Volume or None
        uint8, 1 where nothing should be counted; None if there is no such place.

    Raises
    ------
    VesselSegError
        As for `read_label`.
    """
    label, unsure = split_unsure(_read_whole_numbers(Path(path)))
    if unsure is not None:
        logger.info(unsure_note(str(path), unsure))
    return label, unsure


def split_unsure(volume: Volume) -> tuple[Volume, Volume | None]:
    """Return a label, and where it is unsure, as `read_reference` does, from the values of its voxels."""
    vessel, unsure = volume.array != 0, volume.array == UNSURE
    sure = vessel & ~unsure if unsure.any() else vessel
    if sure is vessel or not sure.any():
        return volume.with_array(vessel.view(np.uint8)), None
    return volume.with_array(sure.view(np.uint8)), volume.with_array(unsure.view(np.uint8))


def unsure_note(what: str, unsure: Volume) -> str:
    """Say what it means that a reference of this name is unsure."""
    marked = counted(int(np.count_nonzero(unsure.array)), "voxel")
    return f"{what} marks {marked} as unsure ({UNSURE}): they are not counted"


def _read_whole_numbers(path: Path) -> Volume:
    volume = _read(path, is_scan=False)
    check_label(volume.array, str(path))
    return volume


def read_series(series: DicomSeries, *, where: str) -> Volume:
    """Read a scan from a DICOM series that was chosen among several.

    Parameters
    ----------
    series : DicomSeries
        One of `vesselseg.formats.dicom_io.find_dicom_series`.
    where : str
        Name of its folder, for messages.

    Returns
    -------
    Volume
        Voxels as float32.

    Raises
    ------
    VesselSegError
        As for `read_volume`.
    """
    from vesselseg.formats.dicom_io import read_dicom_series

    return _checked(where, read_dicom_series(series, where=where), np.float32)


def _read(path: Path, dtype: DTypeLike | None = None, *, is_scan: bool = True) -> Volume:
    from vesselseg.formats.dicom_io import read_dicom_file, read_dicom_folder, warn_of_modality

    try:
        os.fspath(path).encode()  # ITK takes names in UTF-8 only
        is_folder, size = path.is_dir(), path.stat().st_size
        if not is_folder:
            with open(path, "rb"):
                pass
    except FileNotFoundError as error:
        raise VesselSegError(f"there is no file {path}", "check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not one of a file"
        raise VesselSegError(f"{path!s} cannot be read: {reason}", "check its name and its permissions") from error
    if is_folder:
        return _checked(path, read_dicom_folder(path, is_scan=is_scan), dtype)
    if size == 0:
        raise VesselSegError(f"{path} is empty", "copy or export it again")
    if path.name.lower().endswith((".mha", ".mhd")) and not is_whole(path):
        raise _unreadable(path)
    try:
        with quiet_itk(), _name_for_itk(path) as name:
            reader = image_reader(name)
            reader.ReadImageInformation()
            dimension, sides = reader.GetDimension(), list(reader.GetSize())
            check_layout(path, dimension, sides, reader.GetNumberOfComponents())
            # Not by the keys alone: ITK copies them into other formats when it converts an image.
            header = nifti_header(reader) if path.name.lower().endswith((".nii", ".nii.gz")) else {}
            if dimension == 4:
                # A three-dimensional image that was stored as a series of one.
                reader.SetExtractSize([*sides[:3], 0])
            is_dicom = reader.GetImageIO() == DICOM_READER
            if not header or dimension == 4:
                volume = _checked(path, read_dicom_file(name) if is_dicom else reader.Execute(), dtype)
        if is_scan and is_dicom and reader.HasMetaDataKey(_MODALITY):
            warn_of_modality(reader.GetMetaData(_MODALITY).strip(), str(path))
        if header:
            # Not while ITK is kept quiet: nobody else in this process need be.
            voxels = read_nifti_voxels(path, header, dtype)
            if dimension == 3:
                geometry = Geometry.from_sitk(reader)
                _check_axes(path, geometry)
                volume = Volume(voxels.reshape(geometry.shape), geometry)
    except (RuntimeError, MemoryError) as error:
        if "orthonormal" in str(error).lower():
            raise _sheared(path) from error
        raise _unreadable(path) from error
    if header:
        check_nifti_geometry(path, header, volume.geometry)
    return volume


def image_reader(name: str | os.PathLike[str]) -> SimpleITK.ImageFileReader:
    """Return ITK's reader for an image file, if it is of a format that is read here.

    Left to itself, ITK goes by the contents of a file, whatever its ending and its first bytes say, and asks the reader
    of HDF5 before those of NIfTI, NRRD and MHA. Such a file, hidden in one that begins as a scan, may take its voxels
    from any other file of this machine.

    Parameters
    ----------
    name : path-like
        As ITK takes it.

    Returns
    -------
    SimpleITK.ImageFileReader
        It reads this format only; `GetImageIO` tells which one that is.

    Raises
    ------
    RuntimeError
        If the file is of another format, or its header would make ITK crash.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(name))
    kind = reader.GetImageIOFromFileName(str(name))
    if kind not in _READERS:
        raise RuntimeError(f"{kind or 'no reader'} is not one of the readers that are used here")
    if kind == "MetaImageIO" and not is_sound(Path(name)):
        raise RuntimeError("the header of this MetaImage is damaged")
    reader.SetImageIO(kind)
    return reader


@contextlib.contextmanager
def _name_for_itk(path: Path) -> Iterator[str]:
    """Give a name under which ITK reads a file: it knows some endings only if they are in lower case."""
    suffix = next((suffix for suffix in _SINGLE_FILE_SUFFIXES if path.name.lower().endswith(suffix)), "")
    if path.name.endswith(suffix):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="vesselseg-") as folder:
        name = Path(folder) / f"image{suffix}"
        try:
            name.symlink_to(path.absolute())
        except OSError:  # Windows allows links to some users only
            shutil.copyfile(path, name)
        yield str(name)


def _checked(where: Path | str, image: SimpleITK.Image, dtype: DTypeLike | None) -> Volume:
    """Return an image as a volume, unless it cannot be a scan."""
    check_layout(where, image.GetDimension(), list(image.GetSize()), image.GetNumberOfComponentsPerPixel())
    volume = Volume.from_sitk(image, dtype)
    _check_axes(where, volume.geometry)
    if volume.array.dtype.kind == "f":
        not_numbers = volume.array.size - int(np.count_nonzero(np.isfinite(volume.array)))
        if not_numbers:
            raise no_numbers(not_numbers, where)
    return volume


def _check_axes(where: Path | str, geometry: Geometry) -> None:
    """Refuse shear, as ITK does in NIfTI files only: written, the label of such a scan would lie on another grid."""
    axes = np.reshape(geometry.direction, (3, 3))
    if not np.allclose(axes.T @ axes, np.eye(3), rtol=0, atol=_LARGEST_SHEAR):
        raise _sheared(where)


def _sheared(where: Path | str) -> VesselSegError:
    return VesselSegError(
        f"the axes of {where} are not at right angles",
        "resample it to a grid without shear, in 3D Slicer by interpolated cropping with Crop Volume, or correct its "
        "header",
    )


def _unreadable(path: Path) -> VesselSegError:
    if path.name.upper() == "DICOMDIR":
        return VesselSegError(f"{path} is a list of images, and none itself", "give the folder in which it lies")
    if path.name.lower().endswith(_ARCHIVES):
        return VesselSegError(
            f"{path} is an archive", "unpack it, and give the image or the folder of DICOM files in it"
        )
    return VesselSegError(f"{path} cannot be read as an image", f"it must be {READABLE}, complete and not damaged")


def check_layout(path: Path | str, dimension: int, size: list[int], components: int) -> None:
    """Refuse an image that is not three-dimensional with one value a voxel."""
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


def image_suffix(path: str | os.PathLike[str]) -> str:
    """Return the ending of an image file that can be written.

    Raises
    ------
    VesselSegError
        If the ending is another one.
    """
    name = Path(path).name.lower()
    for suffix in _SINGLE_FILE_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[-len(suffix) :]
    raise VesselSegError(
        f"the ending of {path} is not one of an image that can be written", f"use {', '.join(_SINGLE_FILE_SUFFIXES)}"
    )


def write_volume(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compress: bool = True,
    durable: bool = True,
) -> None:
    """Write an image, whole or not at all.

    Parameters
    ----------
    volume : Volume
        Scan, probability or label.
    path : path-like
        Ending in .nii.gz, .nii, .nrrd or .mha, in capitals or not.
    overwrite : bool
        Whether an existing file may be replaced.
    compress : bool
        Whether formats that can be compressed are.
    durable : bool
        As for `atomic_output`.

    Raises
    ------
    VesselSegError
        If the file cannot be written, or exists and may not be replaced.
    """
    image_suffix(path)
    with atomic_output(path, overwrite=overwrite, durable=durable) as temporary:
        write_image(volume, temporary, compress=compress)


def write_image(volume: Volume, path: Path, *, compress: bool = True) -> None:
    """Write an image to a place that `atomic_output` gave, which says what is wrong where this raises `OSError`."""
    import SimpleITK as sitk

    suffix = image_suffix(path)
    is_nifti, packed = suffix in (".nii.gz", ".nii"), suffix == ".nii.gz"
    written = path.with_name("unpacked.nii") if packed else path
    try:
        with tell_short_memory():
            sitk.WriteImage(volume.to_sitk(), str(written), useCompression=compress and not is_nifti)
        # Where the disk is full, ITK cuts NIfTI files short and gives no word: neither may it pack them.
        if is_nifti and written.stat().st_size != _NIFTI_HEADER_BYTES + volume.array.nbytes:
            raise OSError(errno.ENOSPC, "the disk took a part of it only")
        if packed:
            _pack(written, path, is_label=volume.array.dtype.itemsize == 1)
            written.unlink()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "the disk may be full"
        # The name tells which of several outputs it is.
        raise OSError(getattr(error, "errno", None) or errno.EIO, reason, str(path)) from error


def _pack(source: Path, target: Path, *, is_label: bool) -> None:
    from isal import igzip

    # igzip is many times as fast for about the same size, but leaves labels, which take no time, half as large again.
    packer: Callable[..., gzip.GzipFile] = partial(gzip.GzipFile, compresslevel=6) if is_label else igzip.IGzipFile
    with (
        open(source, "rb") as unpacked,
        open(target, "wb") as file,
        # Without a name and a time, so that the same image is the same file.
        packer(filename="", mode="wb", fileobj=file, mtime=0) as packed,
    ):
        shutil.copyfileobj(unpacked, packed, _BLOCK_BYTES)
