"""Voxels of segments: VTK's oriented images to arrays with a grid, and grids to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import (
    array_from_matrix,
    geometry_from_extent,
    grid_offset,
    matrix_from_array,
)


def find_segment(segmentation_node: Any, segment_id: str) -> Any:
    """Return a segment; a `VesselSegError` if there is none with that ID."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise VesselSegError(
            f"the segmentation '{segmentation_node.GetName()}' has no segment '{segment_id}'", "choose another segment"
        )
    return segment


def oriented_image(mask: NDArray[np.bool_], ijk_to_world: NDArray[np.float64], first: tuple[int, ...]) -> Any:
    """Make VTK's oriented image of a mask whose first voxel has the index `first` (i, j, k)."""
    z, y, x = mask.shape
    image = slicer.vtkOrientedImageData()
    image.SetExtent(first[0], first[0] + x - 1, first[1], first[1] + y - 1, first[2], first[2] + z - 1)
    image.SetImageToWorldMatrix(matrix_from_array(ijk_to_world))
    scalars = numpy_to_vtk(np.ascontiguousarray(mask).view(np.uint8).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def segment_voxels(segmentation_node: Any, segment_id: str) -> tuple[NDArray[np.bool_], Geometry]:
    """Return the voxels that a segment stores, on its own grid in the coordinates of the segmentation node."""
    segment = find_segment(segmentation_node, segment_id)
    image, value = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_id), segment.GetLabelValue()
    if image is None:
        image, value = slicer.vtkOrientedImageData(), 1
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        if not logic.GetSegmentBinaryLabelmapRepresentation(segmentation_node, segment_id, image, False):
            raise VesselSegError(
                f"the segment '{segment.GetName()}' cannot be turned into voxels", "choose another one"
            )
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    if image.GetNumberOfPoints() == 0:
        return np.zeros((1, 1, 1), dtype=bool), geometry_from_extent(array_from_matrix(matrix), (0, 0, 0, 0, 0, 0))
    geometry = geometry_from_extent(array_from_matrix(matrix), image.GetExtent())
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(geometry.shape) == value, geometry


def on_grid(mask: NDArray[np.bool_], geometry: Geometry, to_grid: NDArray[np.float64], grid: Geometry) -> Volume:
    """Bring a mask to another grid: as it is where the voxels coincide, else from the nearest voxel.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    geometry : Geometry
        Its grid.
    to_grid : ndarray, shape (4, 4)
        From the coordinates (RAS) of `geometry` to those of `grid`.
    grid : Geometry
        The grid wanted.

    Returns
    -------
    Volume
        uint8, 0 or 1, on `grid`.
    """
    label = np.zeros(grid.shape, dtype=np.uint8)
    box = bounding_box(mask)
    if box is None:
        return Volume(label, grid)
    geometry = geometry.cropped(box)
    moved = Geometry.from_ijk_to_ras(to_grid @ geometry.ijk_to_ras(), geometry.size)
    offset = grid_offset(moved, grid)
    if offset is None:
        return Volume(_nearest(mask[box], moved, grid), grid)
    here = tuple(slice(max(o, 0), min(o + s, n)) for o, s, n in zip(offset, moved.size, grid.size))[::-1]
    there = tuple(slice(h.start - o, h.stop - o) for h, o in zip(here, offset[::-1]))
    if all(part.stop > part.start for part in here):
        label[here] = mask[box][there]
    return Volume(label, grid)


def _nearest(mask: NDArray[np.bool_], geometry: Geometry, grid: Geometry) -> NDArray[np.uint8]:
    image = oriented_image(mask, geometry.ijk_to_ras(), (0, 0, 0))
    target = slicer.vtkOrientedImageData()
    target.SetDimensions(*grid.size)
    target.SetImageToWorldMatrix(matrix_from_array(grid.ijk_to_ras()))
    result = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(image, target, result, False, False):
        raise VesselSegError("a label could not be brought to the grid of the scan", "check the transforms of both")
    return vtk_to_numpy(result.GetPointData().GetScalars()).reshape(grid.shape).astype(np.uint8)
