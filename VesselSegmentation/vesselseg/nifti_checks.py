"""What ITK passes over in NIfTI files: missing ends, values that are no numbers, headers that contradict themselves."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")

_BLOCK_BYTES = 1 << 22
#: NumPy's types of the numbers that may be none, by NIfTI's codes; and how it counts in mm, or does not say.
_FLOATS = {16: "f4", 64: "f8"}
_MILLIMETRES = (0, 2)
_HEADER_BYTES = 348
#: What the checks need; other entries may be text in any encoding.
_KEYS = (
    *(f"dim[{i}]" for i in range(8)), "bitpix", "datatype", "vox_offset", "xyzt_units",
    "sform_code", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
_SINGLE_FILE = "1"


def nifti_header(reader: SimpleITK.ImageFileReader) -> dict[str, str]:
    """Return what the checks need of a NIfTI file's header, by ITK's names.

    Parameters
    ----------
    reader : SimpleITK.ImageFileReader
        That has read the information on an image.

    Returns
    -------
    dict of str to str
        Empty if it is not a NIfTI image in one file.
    """
    if not reader.HasMetaDataKey("nifti_type") or reader.GetMetaData("nifti_type") != _SINGLE_FILE:
        return {}
    return {key: reader.GetMetaData(key) for key in _KEYS}


def check_nifti_voxels(path: Path, header: Mapping[str, str]) -> None:
    """Refuse a file with voxels that ITK makes up without a word.

    It fills a file that breaks off with 0, and turns values that are no numbers into 0.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.
    header : mapping of str to str
        As `nifti_header` gives it.

    Raises
    ------
    VesselSegError
        If the file breaks off, or a voxel is not a number.
    """
    # Unpacks more than twice as fast as gzip of the standard library.
    from isal import igzip, isal_zlib

    item = int(header["bitpix"]) // 8
    missing = item * math.prod(int(header[f"dim[{i + 1}]"]) for i in range(int(header["dim[0]"])))
    floats = _FLOATS.get(int(header["datatype"]))
    not_numbers = 0
    try:
        with igzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as stream:
            start = stream.read(round(float(header["vox_offset"])))
            order = "<" if int.from_bytes(start[:4], "little") == _HEADER_BYTES else ">"
            while missing > 0:
                # Blocks hold whole voxels: their size is a multiple of that of every type.
                block = stream.read(min(_BLOCK_BYTES, missing))
                if not block or len(block) % item:
                    raise _broken(path)
                missing -= len(block)
                if floats:
                    not_numbers += int(np.count_nonzero(~np.isfinite(np.frombuffer(block, order + floats))))
            # The sum at the end of a packed file is only compared once everything has been read.
            while stream.read(_BLOCK_BYTES):
                pass
    except (EOFError, igzip.BadGzipFile, isal_zlib.error) as error:  # type: ignore[misc]
        raise _broken(path) from error
    if not_numbers:
        raise VesselSegError(f"{not_numbers} voxels of {path} are not numbers", "replace them, for example by 0")


def check_nifti_geometry(path: Path, header: Mapping[str, str], geometry: Geometry) -> None:
    """Refuse a file whose header contradicts itself; ITK takes one of two geometries.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.
    header : mapping of str to str
        As for `check_nifti_voxels`.
    geometry : Geometry
        As ITK read it.

    Raises
    ------
    VesselSegError
        If the size of the voxels is in doubt, or the geometry is not made of numbers.
    """
    advice = "correct its header (spacing, qform and sform)"
    if not np.isfinite(geometry.ijk_to_lps()).all():
        raise VesselSegError(f"the geometry in the header of {path} is not made of numbers", advice)
    if int(header["sform_code"]) <= 0:
        return  # nothing but the qform is stored, or the spacing: there is nothing to contradict
    rows = [header[f"srow_{axis}"].split() for axis in "xyz"]
    to_ras = np.array([*rows, (0, 0, 0, 1)], dtype=float)
    if not np.isfinite(to_ras).all():
        raise VesselSegError(f"the geometry in the header of {path} is not made of numbers", advice)
    if int(header["xyzt_units"]) & 7 not in _MILLIMETRES:
        return  # ITK has converted the geometry to mm, but not this
    spacing = np.linalg.norm(to_ras[:3, :3], axis=0)
    if not np.allclose(spacing, geometry.spacing, rtol=0.01):
        ours, theirs = (" x ".join(f"{v:.3g}" for v in values) for values in (geometry.spacing, spacing))
        raise VesselSegError(f"the header of {path} holds two sizes of its voxels, {ours} mm and {theirs} mm", advice)
    if not Geometry.from_ijk_to_ras(to_ras, geometry.size).same_grid(geometry, tolerance=0.5):
        logger.warning(
            "the header of %s holds two positions (qform and sform): the one that ITK and 3D Slicer use was taken", path
        )


def _broken(path: Path) -> VesselSegError:
    return VesselSegError(f"{path} is not complete: it breaks off", "copy or export it again")
