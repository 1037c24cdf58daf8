"""What ITK passes over in NIfTI files: missing ends, values that are no numbers, headers that contradict themselves."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

logger = logging.getLogger("vesselseg")

_BLOCK_BYTES = 1 << 22


def check_nifti_voxels(path: Path) -> Any:
    """Refuse a file with voxels that ITK makes up without a word; returns its header.

    It fills a file that breaks off with 0, and turns values that are no numbers into 0.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.

    Returns
    -------
    nibabel.spatialimages.SpatialImage
        The file as nibabel opens it, its voxels not loaded: for `check_nifti_geometry`.

    Raises
    ------
    VesselSegError
        If the file breaks off, or a voxel is not a number.
    """
    import nibabel

    try:
        image: Any = nibabel.load(path)
        _check_voxels(path, image.dataobj)
    except (EOFError, zlib.error, gzip.BadGzipFile, nibabel.filebasedimages.ImageFileError) as error:
        raise _broken(path) from error
    return image


def check_nifti_geometry(path: Path, image: Any, geometry: Geometry) -> None:
    """Refuse a file whose header contradicts itself; ITK takes one of two geometries.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.
    image : nibabel.spatialimages.SpatialImage
        As `check_nifti_voxels` returns it.
    geometry : Geometry
        As ITK read it.

    Raises
    ------
    VesselSegError
        If the size of the voxels is in doubt, or the geometry is not made of numbers.
    """
    header = image.header
    advice = "correct its header (spacing, qform and sform)"
    if not (np.isfinite(image.affine).all() and np.isfinite(geometry.ijk_to_lps()).all()):
        raise VesselSegError(f"the geometry in the header of {path} is not made of numbers", advice)
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        return  # nothing but the spacing is stored: there is nothing to contradict
    if header.get_xyzt_units()[0] not in ("mm", "unknown"):
        return  # ITK converts to mm, nibabel does not
    spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not np.allclose(spacing, geometry.spacing, rtol=0.01):
        ours, theirs = (" x ".join(f"{v:.3g}" for v in values) for values in (geometry.spacing, spacing))
        raise VesselSegError(f"the header of {path} holds two sizes of its voxels, {ours} mm and {theirs} mm", advice)
    if not Geometry.from_ijk_to_ras(image.affine, geometry.size).same_grid(geometry, tolerance=0.5):
        logger.warning(
            "the header of %s holds two positions (qform and sform): the one that ITK and 3D Slicer use was taken", path
        )


def _broken(path: Path) -> VesselSegError:
    return VesselSegError(f"{path} is not complete: it breaks off", "copy or export it again")


def _check_voxels(path: Path, stored: Any) -> None:
    missing = int(np.prod(stored.shape)) * stored.dtype.itemsize
    not_numbers = 0
    with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as stream:
        stream.seek(stored.offset)
        while missing > 0:
            # Blocks hold whole voxels: their size is a multiple of that of every type.
            block = stream.read(min(_BLOCK_BYTES, missing))
            if not block or len(block) % stored.dtype.itemsize:
                raise _broken(path)
            missing -= len(block)
            if stored.dtype.kind == "f":
                not_numbers += int(np.count_nonzero(~np.isfinite(np.frombuffer(block, stored.dtype))))
        # The sum at the end of a packed file is only compared once everything has been read.
        while stream.read(_BLOCK_BYTES):
            pass
    if not_numbers:
        raise VesselSegError(f"{not_numbers} voxels of {path} are not numbers", "replace them, for example by 0")
