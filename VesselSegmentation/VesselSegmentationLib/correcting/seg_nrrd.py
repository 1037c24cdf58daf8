"""Segments as one file that 3D Slicer opens (.seg.nrrd), written without the scene: a thread may do it."""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edited_voxels import SegmentVoxels, lattice_shift

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Along the first axis: an image of one voxel crashes 3D Slicer when it is read.
_LEAST_SIZE = 2


@dataclass(frozen=True)
class SavedSegment:
    """One segment with all that is saved of it.

    Parameters
    ----------
    segment_id, name : str
    color : tuple of float
        Red, green, blue in [0, 1].
    tags : mapping of str to str
    voxels : SegmentVoxels
    """

    segment_id: str
    name: str
    color: tuple[float, float, float]
    tags: Mapping[str, str]
    voxels: SegmentVoxels


def write_seg_nrrd(
    file: BinaryIO, segments: Sequence[SavedSegment], *, conversion: str = "", remark: Mapping[str, Any] | None = None
) -> None:
    """Write segments that lie on one lattice.

    Parameters
    ----------
    file : binary file
    segments : sequence of SavedSegment
        Where segments overlap, they come into layers of their own.
    conversion : str
        Slicer's conversion parameters, serialised.
    remark : mapping, optional
        Anything that JSON can hold, for `read_remark`.

    Raises
    ------
    ValueError
        If their voxels do not coincide.
    """
    first, shape, matrix, shifts = _common_box(segments)
    layers: list[NDArray[np.uint8]] = []
    numbers: list[int] = []  # the values that the layers have given out, also to segments without voxels
    lines = []
    for index, (segment, shift) in enumerate(zip(segments, shifts)):
        start = tuple(int(f) + m - low for f, m, low in zip(segment.voxels.first, shift, first))
        place = tuple(slice(a, a + n) for a, n in zip(start, segment.voxels.mask.shape))
        mask = segment.voxels.mask
        layer, value = _layer_for(layers, numbers, place, mask, shape)
        layers[layer][place][mask] = value
        extent = [0, -1, 0, -1, 0, -1]
        if not segment.voxels.is_empty:
            # In this file the first voxel has the index 0, whatever it had in the segmentation.
            extent = [v for a, n in zip(reversed(start), reversed(mask.shape)) for v in (a, a + n - 1)]
        fields = {
            "ID": segment.segment_id,
            "Name": segment.name,
            "Color": " ".join(f"{part:.6g}" for part in segment.color),
            "Extent": " ".join(map(str, extent)),
            "LabelValue": str(value),
            "Layer": str(layer),
            "Tags": "".join(f"{key}:{text}|" for key, text in segment.tags.items()),
        }
        lines += [f"Segment{index}_{key}:={_one_line(text)}" for key, text in fields.items()]
    layers = layers or [np.zeros(shape, np.uint8)]
    header = [*_image_fields(layers, first, matrix), *lines]
    header += [
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        f"Segmentation_ReferenceImageExtentOffset:={first[2]} {first[1]} {first[0]}",
    ]
    if conversion:
        header.append(f"Segmentation_ConversionParameters:={_one_line(conversion)}")
    if remark is not None:
        header.append(f"vesselseg_remark:={json.dumps(remark)}")
    file.write(("\n".join(header) + "\n\n").encode())
    voxels = layers[0] if len(layers) == 1 else np.stack(layers, axis=-1)
    # One call, and so one stretch without Python's lock: the thread that draws goes on.
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    file.write(packer.compress(np.ascontiguousarray(voxels).tobytes()) + packer.flush())


def by_lattice(segments: Sequence[SavedSegment]) -> list[list[SavedSegment]]:
    """Group segments whose voxels coincide; a file holds one grid."""
    groups: list[list[SavedSegment]] = []
    for segment in sorted(segments, key=lambda each: each.voxels.is_empty):
        for group in groups:
            if segment.voxels.is_empty or lattice_shift(segment.voxels.matrix, group[0].voxels.matrix) is not None:
                group.append(segment)
                break
        else:
            groups.append([segment])
    order = {segment.segment_id: index for index, segment in enumerate(segments)}
    return [sorted(group, key=lambda each: order[each.segment_id]) for group in groups]


def read_remark(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write_seg_nrrd` was told to remember.

    Raises
    ------
    VesselSegError
        If the file cannot be read, or holds none.
    """
    try:
        with open(path, "rb") as file:
            lines = itertools.takewhile(lambda line: line != b"\n", file)
            header = [line.decode().removesuffix("\n") for line in lines]
        for line in header:
            if line.startswith("vesselseg_remark:="):
                remark = json.loads(line.split(":=", 1)[1])
                if isinstance(remark, dict):
                    return remark
    except (OSError, ValueError) as error:
        raise VesselSegError(f"{Path(path).name} cannot be read", "it is not a file of this program") from error
    raise VesselSegError(f"{Path(path).name} says nothing of where it comes from", "open it by hand")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _common_box(
    segments: Sequence[SavedSegment],
) -> tuple[tuple[int, int, int], tuple[int, int, int], NDArray[np.float64], list[tuple[int, int, int]]]:
    filled = [segment.voxels for segment in segments if not segment.voxels.is_empty]
    if not filled:
        matrix = segments[0].voxels.matrix if segments else np.eye(4)
        return (0, 0, 0), (1, 1, _LEAST_SIZE), matrix, [(0, 0, 0)] * len(segments)
    matrix = filled[0].matrix
    shifts, lows, highs = [], [], []
    for segment in segments:
        shift = (0, 0, 0) if segment.voxels.is_empty else lattice_shift(segment.voxels.matrix, matrix)
        if shift is None:
            raise ValueError("the segments lie on different grids")
        shifts.append(shift)
        if not segment.voxels.is_empty:
            lows.append(np.add(segment.voxels.first, shift))
            highs.append(lows[-1] + segment.voxels.mask.shape)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    k, j, i = (int(value) for value in low)
    z, y, x = (int(value) for value in high - low)
    return (k, j, i), (z, y, max(x, _LEAST_SIZE)), matrix, shifts


def _layer_for(
    layers: list[NDArray[np.uint8]],
    numbers: list[int],
    place: tuple[slice, ...],
    mask: NDArray[np.bool_],
    shape: tuple[int, int, int],
) -> tuple[int, int]:
    """Return the first layer in which a segment overlaps with none, and the value it gets there."""
    for index, layer in enumerate(layers):
        if numbers[index] < 255 and not layer[place][mask].any():
            numbers[index] += 1
            return index, numbers[index]
    layers.append(np.zeros(shape, np.uint8))
    numbers.append(1)
    return len(layers) - 1, 1


def _image_fields(
    layers: list[NDArray[np.uint8]], first: tuple[int, int, int], matrix: NDArray[np.float64]
) -> list[str]:
    z, y, x = layers[0].shape
    lps = _RAS_TO_LPS @ matrix
    origin = (lps @ [first[2], first[1], first[0], 1.0])[:3]
    many = len(layers) > 1
    return [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if many else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if many else ''}{x} {y} {z}",
        f"space directions: {'none ' if many else ''}" + " ".join(_vector(lps[:3, axis]) for axis in range(3)),
        f"kinds: {'list ' if many else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(origin)}",
    ]


def _vector(values: NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
