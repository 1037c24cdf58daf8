"""Reading the voxels of NIfTI files, and what ITK passes over in them.

It passes over missing ends, values that are no numbers, and headers that contradict themselves. To find them out every
byte has to be unpacked: the voxels are taken on the way, which saves ITK's own pass of twice the time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.plain_text import counted

if TYPE_CHECKING:
    import SimpleITK

logger = logging.getLogger("vesselseg")

_BLOCK_BYTES = 1 << 22
#: NumPy's types of numbers by NIfTI's codes.
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
#: How NIfTI says that it counts in mm, or does not say.
_MILLIMETRES = (0, 2)
_HEADER_BYTES = 348
#: With which packed files begin.
_PACKED = b"\x1f\x8b"
#: Where in the header the handedness and the sizes of voxels lie, what turns and moves the image, and whether that is
#: valid.
_SIGN, _SIZES, _QUATERNION, _QFORM_CODE = 76, (80, 92), (256, 280), 252
#: Where slope and intercept of the stored numbers lie.
_SCALE = (112, 120)
#: By how much the rounding of 32 bits changes the sum of squares of a quaternion.
_ROUNDING = 1e-7
_ADVICE = "correct its header (spacing, qform and sform)"
#: What the checks need; other entries may be text in any encoding.
_KEYS = (
    *(f"dim[{i}]" for i in range(8)), "bitpix", "datatype", "vox_offset", "xyzt_units",
    "qform_code", "sform_code", "srow_x", "srow_y", "srow_z",
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


def read_nifti_voxels(path: Path, header: Mapping[str, str], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Read the voxels of a file; refuse those that ITK makes up without a word.

    It fills a file that breaks off with 0, and turns values that are no numbers into 0.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.
    header : mapping of str to str
        As `nifti_header` gives it.
    dtype : data-type, optional
        Of the result; the default is what is stored, or floating point where the header tells to scale it.

    Returns
    -------
    ndarray, one-dimensional
        In the order of the file.

    Raises
    ------
    VesselSegError
        If the file breaks off, its geometry or a voxel is not made of numbers, or its voxels are of a kind that is not
        known.
    """
    item = int(header["bitpix"]) // 8
    count = math.prod(int(header[f"dim[{i + 1}]"]) for i in range(int(header["dim[0]"])))
    if int(header["datatype"]) not in _TYPES:
        raise VesselSegError(f"the voxels of {path} are of a kind that is not known", "convert them to numbers")
    stored = _TYPES[int(header["datatype"])]
    not_numbers, done = 0, 0
    stream, errors = _opened(path)
    try:
        with stream:
            start = stream.read(round(float(header["vox_offset"])))
            if len(start) < _HEADER_BYTES:
                raise _broken(path)
            order = _order(start)
            _check_numbers(path, start, order)
            scale = _Scale.of(start, order)
            values = np.empty(count, dtype or (stored if scale is None else scale.dtype(stored)))
            while done < count:
                # Blocks hold whole voxels: their size is a multiple of that of every type.
                block = stream.read(min(_BLOCK_BYTES, (count - done) * item))
                if not block or len(block) % item:
                    raise _broken(path)
                begin, done = done, done + len(block) // item
                part = np.frombuffer(block, order + stored)
                if part.dtype.kind == "f":
                    not_numbers += int(np.count_nonzero(~np.isfinite(part)))
                with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused where it matters
                    values[begin:done] = part if scale is None else scale.applied(part)
            # The sum at the end of a packed file is only compared once everything has been read.
            while stream.read(_BLOCK_BYTES):
                pass
    except errors as error:
        raise _broken(path) from error
    if not_numbers:
        raise no_numbers(not_numbers, path)
    return values


def no_numbers(count: int, where: Path | str) -> VesselSegError:
    """Return the error for so many voxels of an image that are not numbers."""
    are, them = ("is not a number", "it") if count == 1 else ("are not numbers", "them")
    return VesselSegError(f"{counted(count, 'voxel')} of {where} {are}", f"replace {them}, for example by 0")


@dataclass(frozen=True)
class _Scale:
    """What the header tells to make of the stored numbers, as ITK does it."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, header: bytes, order: str) -> _Scale | None:
        # Not as ITK's text tells them, which rounds.
        stored = np.frombuffer(header[_SCALE[0] : _SCALE[1]], order + "f4")
        slope, intercept = (float(value) for value in np.where(np.isfinite(stored), stored, 0))
        slope = slope or 1.0  # 0 says that there is none
        return None if (slope, intercept) == (1, 0) else cls(slope, intercept)

    @staticmethod
    def dtype(stored: str) -> str:
        return "f8" if stored == "f8" else "f4"

    def applied(self, part: NDArray[Any]) -> NDArray[np.float64]:
        return part.astype(np.float64) * self.slope + self.intercept


def _opened(path: Path) -> tuple[IO[bytes], tuple[Any, ...]]:
    """Open a file, packed or not; returns the stream, and what reading it raises if it is damaged."""
    with open(path, "rb") as stream:
        packed = stream.read(len(_PACKED)) == _PACKED
    if not packed:  # whatever its name: downloads that are unpacked on the way keep it
        return open(path, "rb"), ()
    from isal import igzip, isal_zlib  # more than twice as fast as gzip of the standard library

    return igzip.open(path), (EOFError, igzip.BadGzipFile, isal_zlib.error)


def _order(header: bytes) -> str:
    return "<" if int.from_bytes(header[:4], "little") == _HEADER_BYTES else ">"


def _check_numbers(path: Path, header: bytes, order: str) -> None:
    """Refuse sizes and positions that are no numbers: before it tells of them, ITK puts others in their place."""
    stored = np.frombuffer(header[:_HEADER_BYTES], np.uint8)
    sizes, quaternion = (stored[first:last].view(order + "f4") for first, last in (_SIZES, _QUATERNION))
    has_quaternion = int(stored[_QFORM_CODE : _QFORM_CODE + 2].view(order + "i2")[0]) > 0
    if not np.isfinite(sizes).all() or (has_quaternion and not np.isfinite(quaternion).all()):
        raise _no_numbers(path)


def _no_numbers(path: Path) -> VesselSegError:
    return VesselSegError(f"the geometry in the header of {path} is not made of numbers", _ADVICE)


def check_nifti_geometry(path: Path, header: Mapping[str, str], geometry: Geometry) -> None:
    """Refuse a file whose header contradicts itself in the size of voxels; say in the log where it does in positions.

    Of two geometries ITK takes one, and of none it makes one up. Results are written by that one alone.

    Parameters
    ----------
    path : pathlib.Path
        A NIfTI file.
    header : mapping of str to str
        As for `read_nifti_voxels`.
    geometry : Geometry
        As ITK read it.

    Raises
    ------
    VesselSegError
        If the size of the voxels is in doubt, or the geometry is not made of numbers.
    """
    if not np.isfinite(geometry.ijk_to_lps()).all():
        raise _no_numbers(path)
    has_qform, has_sform = (int(header[f"{form}_code"]) > 0 for form in ("qform", "sform"))
    if not has_qform and not has_sform:
        logger.warning(
            "the header of %s does not say how it lies in the patient (codes of qform and sform are 0): check left and "
            "right; other programs may show results beside the scan",
            path,
        )
    if not has_sform:
        return  # nothing but the qform is stored, or the spacing: there is nothing to contradict
    rows = [header[f"srow_{axis}"].split() for axis in "xyz"]
    to_ras = np.array([*rows, (0, 0, 0, 1)], dtype=float)
    if not np.isfinite(to_ras).all():
        raise _no_numbers(path)
    if int(header["xyzt_units"]) & 7 not in _MILLIMETRES:
        return  # ITK has converted the geometry to mm, but not this
    spacing = np.linalg.norm(to_ras[:3, :3], axis=0)
    if not np.allclose(spacing, geometry.spacing, rtol=0.01):
        ours, theirs = (" x ".join(f"{v:.3g}" for v in values) for values in (geometry.spacing, spacing))
        raise VesselSegError(f"the header of {path} holds two sizes of its voxels, {ours} mm and {theirs} mm", _ADVICE)

    def is_taken(form: NDArray[np.float64]) -> bool:
        return Geometry.from_ijk_to_ras(form, geometry.size).same_grid(geometry, tolerance=0.5)

    if not (is_taken(to_ras) and (not has_qform or any(is_taken(form) for form in _qforms(path)))):
        logger.warning(
            "the header of %s holds two positions (qform and sform): the one that ITK and 3D Slicer use was taken; "
            "programs that use the other one show results beside the scan",
            path,
        )


def _qforms(path: Path) -> list[NDArray[np.float64]]:
    """Return what the qform may be: it leaves open which of the turns that round to the same numbers is meant."""
    stream, _errors = _opened(path)
    with stream:
        header = stream.read(_HEADER_BYTES)
    order = _order(header)
    # ITK does not tell the sign.
    sign, *sizes = np.frombuffer(header[_SIGN : _SIZES[1]], order + "f4").astype(float)
    b, c, d, *place = np.frombuffer(header[slice(*_QUATERNION)], order + "f4").astype(float)
    rest = 1 - b * b - c * c - d * d
    # Half a turn, as between LPS and RAS, has a = 0: there the rounding moves the far end of large scans by a voxel.
    parts = [np.array([math.sqrt(max(rest + error, 0)), b, c, d]) for error in (0, -_ROUNDING, _ROUNDING)]
    return [_to_ras(each / np.linalg.norm(each), sign, sizes, place) for each in parts]


def _to_ras(
    quaternion: NDArray[np.float64], sign: float, sizes: Sequence[float], place: Sequence[float]
) -> NDArray[np.float64]:
    a, b, c, d = quaternion
    to_ras = np.eye(4)
    to_ras[:3, :3] = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    to_ras[:3, :3] *= np.abs(sizes) * (1, 1, -1 if sign < 0 else 1)
    to_ras[:3, 3] = place
    return to_ras


def _broken(path: Path) -> VesselSegError:
    return VesselSegError(f"{path} is not complete: it breaks off", "copy or export it again")
