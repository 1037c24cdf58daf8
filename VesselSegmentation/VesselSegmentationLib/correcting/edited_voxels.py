"""Voxels of a segment as an editing history sees them: read, compared, changed in a box, packed and brought back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from vesselseg.boxes import box_between
from vesselseg.editing import Edit, edit_between
from vesselseg.editing.edit import pack_mask, unpack_mask
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from VesselSegmentationLib.scene.node_geometry import array_from_matrix, grid_offset
from VesselSegmentationLib.scene.segment_voxels import find_segment, oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import surface_shown

_LABELMAP = "Binary labelmap"
#: Voxels that an image grows by on every side when an edit leaves it: the next edits stay inside.
_MARGIN = 16

#: Index (k, j, i) of a voxel.
Index = tuple[int, int, int]


@dataclass(frozen=True)
class SegmentVoxels:
    """What a segment holds at one moment.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
        The smallest box around its voxels; of size 0 if it is empty.
    first : tuple of int
        Index (k, j, i) of the first voxel of that box, in the lattice that `matrix` describes.
    matrix : ndarray, shape (4, 4)
        From indices (i, j, k) to mm, RAS, in the coordinates of the segmentation node.
    """

    mask: NDArray[np.bool_]
    first: Index
    matrix: NDArray[np.float64]

    @property
    def is_empty(self) -> bool:
        """Whether the segment has no voxels."""
        return self.mask.size == 0

    def packed(self) -> PackedVoxels:
        """Return the same in little memory."""
        return PackedVoxels(pack_mask(self.mask), self.mask.shape, self.first, self.matrix)

    def geometry(self) -> Geometry:
        """Return the grid of the box; of one voxel if it is empty."""
        matrix = np.array(self.matrix)
        matrix[:, 3] = matrix @ np.append(np.asarray(self.first[::-1], dtype=float), 1.0)
        z, y, x = self.mask.shape if not self.is_empty else (1, 1, 1)
        return Geometry.from_ijk_to_ras(matrix, (x, y, z))


@dataclass(frozen=True)
class PackedVoxels:
    """`SegmentVoxels` as a history keeps them: a bit a voxel, compressed."""

    bits: bytes
    shape: tuple[int, ...]
    first: Index
    matrix: NDArray[np.float64]

    def unpacked(self) -> SegmentVoxels:
        """Return what was packed."""
        return SegmentVoxels(unpack_mask(self.bits, self.shape), self.first, self.matrix)

    def moved(self, matrix: NDArray[np.float64]) -> PackedVoxels:
        """Return the same voxels where a matrix, shape (4, 4), leads to."""
        return replace(self, matrix=matrix @ self.matrix)


def image_time(segmentation_node: Any, segment_id: str) -> tuple[int, int]:
    """Return what changes whenever the voxels of a segment may have: modification time of its image, and its value."""
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id)
    value = segmentation_node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    return (int(image.GetMTime()) if image is not None else 0, int(value))


def image_matrix(segmentation_node: Any, segment_id: str) -> NDArray[np.float64]:
    """Return where the indices of the image of a segment lie, as `SegmentVoxels.matrix`; of unit voxels without one."""
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id)
    return np.eye(4) if image is None else _matrix_of(image)


def read_voxels(segmentation_node: Any, segment_id: str) -> SegmentVoxels:
    """Copy the voxels of a segment."""
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id)
    nothing = np.zeros((0, 0, 0), bool)
    if image is None:
        return SegmentVoxels(nothing, (0, 0, 0), np.eye(4))
    matrix = _matrix_of(image)
    if image.GetNumberOfPoints() == 0:
        return SegmentVoxels(nothing, (0, 0, 0), matrix)
    value = find_segment(segmentation_node, segment_id).GetLabelValue()
    mask = _voxels_of(image) == value
    box = bounding_box(mask)
    if box is None:
        return SegmentVoxels(nothing, (0, 0, 0), matrix)
    k, j, i = (low + part.start for low, part in zip(image.GetExtent()[4::-2], box))
    return SegmentVoxels(mask[box].copy(), (k, j, i), matrix)


def same_voxels(one: SegmentVoxels, other: SegmentVoxels) -> bool:
    """Tell whether two hold the same voxels at the same place."""
    if one.is_empty and other.is_empty:
        return True
    return one.first == other.first and np.allclose(one.matrix, other.matrix) and np.array_equal(one.mask, other.mask)


def lattice_shift(source: NDArray[np.float64], target: NDArray[np.float64]) -> Index | None:
    """Return what to add to indices (k, j, i) of one lattice to get those of another; None if voxels do not coincide.

    Parameters
    ----------
    source, target : ndarray, shape (4, 4)
        From indices (i, j, k) to mm.
    """
    if np.allclose(source, target):
        return 0, 0, 0
    # Two hundred voxels: as far as rounding of the spacing in files must not add up to a voxel.
    offset = grid_offset(
        Geometry.from_ijk_to_ras(source, (200, 200, 200)), Geometry.from_ijk_to_ras(target, (200, 200, 200))
    )
    return None if offset is None else (offset[2], offset[1], offset[0])


def edit_of_change(before: SegmentVoxels, after: SegmentVoxels, tool: str, description: str) -> Edit | None:
    """Return what has changed, in the lattice of `after`, or of `before` where that is empty.

    Returns
    -------
    Edit or None
        None if the two lie on grids whose voxels do not coincide. Its box may have negative indices.
    """
    if before.is_empty and after.is_empty:
        return edit_between(before.mask, before.mask, tool=tool, description=description)
    shift: Index | None = (0, 0, 0)
    if not before.is_empty and not after.is_empty:
        shift = lattice_shift(before.matrix, after.matrix)
    if shift is None:
        return None
    starts, stops = [], []
    for each, move in ((before, shift), (after, (0, 0, 0))):
        if not each.is_empty:
            starts.append(np.add(each.first, move))
            stops.append(np.add(each.first, move) + each.mask.shape)
    low, high = np.min(starts, axis=0), np.max(stops, axis=0)
    was, now = (_pasted(each, low - move, high - low) for each, move in ((before, shift), (after, (0, 0, 0))))
    return edit_between(was, now, tool=tool, description=description, box=box_between(low, high))


def _pasted(voxels: SegmentVoxels, low: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    if voxels.mask.shape == tuple(shape):
        return voxels.mask
    array = np.zeros(tuple(shape), bool)
    if not voxels.is_empty:
        start = np.asarray(voxels.first) - low
        array[tuple(slice(int(a), int(a) + n) for a, n in zip(start, voxels.mask.shape))] = voxels.mask
    return array


@contextlib.contextmanager
def surfaces_following(segmentation_node: Any) -> Iterator[None]:
    """Let surfaces that are shown follow what the block changes, once at its end."""
    shown = surface_shown(segmentation_node)
    try:
        yield
    finally:
        # Changed voxels throw the surfaces away. A 3D view may have made them again already; then this costs nothing.
        if shown and segmentation_node.GetSegmentation().GetNumberOfSegments():
            segmentation_node.CreateClosedSurfaceRepresentation()


def change_voxels(segmentation_node: Any, segment_id: str, edit: Edit, matrix: NDArray[np.float64]) -> None:
    """Change the voxels of a segment in a box; every other voxel and segment stays as it is.

    Surfaces are thrown away: see `surfaces_following`.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
    edit : Edit
        Its box is in indices of the lattice that `matrix` describes.
    matrix : ndarray, shape (4, 4)
        From indices (i, j, k) to mm, RAS, in the coordinates of the segmentation node.

    Raises
    ------
    VesselSegError
        If the segment is gone, or its voxels do not coincide with those of the edit.
    """
    if edit.is_empty:
        find_segment(segmentation_node, segment_id)
        return
    segment = find_segment(segmentation_node, segment_id)
    segmentation = segmentation_node.GetSegmentation()
    shared: list[str] = []
    segmentation.GetSegmentIDsSharingBinaryLabelmapRepresentation(segment_id, shared, False)
    if shared:
        # In a layer shared with others, an added voxel would be taken from them.
        segmentation.SeparateSegmentLabelmap(segment_id)
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id)
    if image is None or image.GetNumberOfPoints() == 0:
        start = tuple(part.start for part in edit.box)
        _replace_image(segmentation_node, segment_id, SegmentVoxels(edit.added, (start[0], start[1], start[2]), matrix))
        return
    shift = lattice_shift(matrix, _matrix_of(image))
    if shift is None:
        raise VesselSegError(
            f"the grid of the segment '{segment.GetName()}' has been changed", "undo that, or use the tool again"
        )
    box = tuple(slice(part.start + move, part.stop + move) for part, move in zip(edit.box, shift))
    _grow_image(image, box)
    inside = tuple(slice(part.start - low, part.stop - low) for part, low in zip(box, image.GetExtent()[4::-2]))
    voxels = _voxels_of(image)[inside]
    voxels[edit.added] = segment.GetLabelValue()
    voxels[edit.removed] = 0
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def replace_voxels(segmentation_node: Any, segment_id: str, voxels: SegmentVoxels) -> None:
    """Give a segment other voxels, on whatever grid they lie; as for surfaces, see `surfaces_following`."""
    find_segment(segmentation_node, segment_id)
    segmentation_node.GetSegmentation().SeparateSegmentLabelmap(segment_id)
    _replace_image(segmentation_node, segment_id, voxels)


def _replace_image(segmentation_node: Any, segment_id: str, voxels: SegmentVoxels) -> None:
    segmentation = segmentation_node.GetSegmentation()
    segment = segmentation.GetSegment(segment_id)
    segment.SetLabelValue(1)
    mask = voxels.mask if not voxels.is_empty else np.zeros((1, 1, 1), bool)
    image = oriented_image(mask, voxels.matrix, voxels.first[::-1])
    segment.AddRepresentation(_LABELMAP, image)
    image.Modified()  # for which surfaces made of other voxels are let go
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, segment_id)


def _matrix_of(image: Any) -> NDArray[np.float64]:
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return array_from_matrix(matrix)


def _voxels_of(image: Any) -> NDArray[Any]:
    x, y, z = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)


def _grow_image(image: Any, box: tuple[slice, ...]) -> None:
    """Give an image a larger extent if a box leaves it; its voxels stay where they are."""
    extent = image.GetExtent()
    low, high = np.array(extent[4::-2]), np.array(extent[5::-2]) + 1
    starts, stops = np.array([part.start for part in box]), np.array([part.stop for part in box])
    if (starts >= low).all() and (stops <= high).all():
        return
    new_low = np.where(starts < low, starts - _MARGIN, low)
    new_high = np.where(stops > high, stops + _MARGIN, high)
    old = _voxels_of(image)
    array = np.zeros(tuple(new_high - new_low), old.dtype)
    start = low - new_low
    array[tuple(slice(int(a), int(a) + n) for a, n in zip(start, old.shape))] = old
    scalars = numpy_to_vtk(array.ravel(), deep=True, array_type=get_vtk_array_type(array.dtype))
    scalars.SetName("ImageScalars")
    ends = np.stack([new_low, new_high - 1], axis=1)[::-1]
    # Not the other way round: whoever is told of the extent, as 3D views are, reads as many voxels as it says.
    image.GetPointData().SetScalars(scalars)
    image.SetExtent([int(value) for value in ends.ravel()])
