"""Grids of MRML images: matrices, grids inside grids, and the transforms between nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

#: Largest distance between two voxel centres that count as the same place, as a share of the spacing.
_TOLERANCE = 1e-3


def array_from_matrix(matrix: vtkMatrix4x4) -> NDArray[np.float64]:
    """Copy a VTK matrix, shape (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_from_array(array: NDArray[np.float64]) -> vtkMatrix4x4:
    """Build a VTK matrix from an array of shape (4, 4)."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy([float(value) for value in np.asarray(array, dtype=float).ravel()])
    return matrix


def geometry_from_extent(ijk_to_ras: NDArray[np.float64], extent: tuple[int, ...]) -> Geometry:
    """Return the grid of an image whose first voxel need not have the index 0.

    Parameters
    ----------
    ijk_to_ras : ndarray, shape (4, 4)
        From voxel indices to millimetres.
    extent : tuple of int
        First and last index along i, j, k, as VTK has it.

    Returns
    -------
    Geometry
    """
    first = np.array([extent[0], extent[2], extent[4], 1.0])
    matrix = np.array(ijk_to_ras, dtype=float)
    matrix[:, 3] = matrix @ first
    size = (extent[1] - extent[0] + 1, extent[3] - extent[2] + 1, extent[5] - extent[4] + 1)
    return Geometry.from_ijk_to_ras(matrix, size)


def grid_offset(inner: Geometry, outer: Geometry) -> tuple[int, int, int] | None:
    """Tell where a grid lies inside another one that has the same axes and spacing.

    Parameters
    ----------
    inner, outer : Geometry
        `inner` may reach out of `outer`.

    Returns
    -------
    tuple of int or None
        Index (i, j, k) in `outer` of the first voxel of `inner`; None if their voxels do not coincide.
    """
    to_outer = np.linalg.inv(outer.ijk_to_ras()) @ inner.ijk_to_ras()
    offset = np.round(to_outer[:3, 3])
    ideal = np.eye(4)
    ideal[:3, 3] = offset
    if np.abs((to_outer - ideal) @ inner.corners()).max() > _TOLERANCE:
        return None
    return int(offset[0]), int(offset[1]), int(offset[2])


def matrix_between(source: Any, target: Any) -> NDArray[np.float64]:
    """Return the matrix from the coordinates of one node to those of another, through their parent transforms.

    Parameters
    ----------
    source, target : vtkMRMLTransformableNode

    Returns
    -------
    ndarray, shape (4, 4)

    Raises
    ------
    VesselSegError
        If a warping transform lies between them.
    """
    return _between(source.GetParentTransformNode(), target.GetParentTransformNode(), source, f"'{target.GetName()}'")


def matrix_to_world(node: Any) -> NDArray[np.float64]:
    """Return the matrix from the coordinates of a node to those of the world, which the views show.

    Parameters
    ----------
    node : vtkMRMLTransformableNode

    Returns
    -------
    ndarray, shape (4, 4)

    Raises
    ------
    VesselSegError
        If the node lies under a warping transform.
    """
    return _between(node.GetParentTransformNode(), None, node, "the world")


def _between(source_transform: Any, target_transform: Any, source: Any, target_name: str) -> NDArray[np.float64]:
    if source_transform is target_transform:
        return np.eye(4)
    transform_class = slicer.vtkMRMLTransformNode
    general = vtkGeneralTransform()
    transform_class.GetTransformBetweenNodes(source_transform, target_transform, general)
    matrix = vtkMatrix4x4()
    if not transform_class.IsGeneralTransformLinear(general):
        raise VesselSegError(
            f"a warping transform lies between '{source.GetName()}' and {target_name}",
            "put both under the same transform, or harden the transform",
        )
    transform_class.GetMatrixTransformBetweenNodes(source_transform, target_transform, matrix)
    return array_from_matrix(matrix)


def share_transform(node: Any, model: Any) -> None:
    """Put a node under the parent transform of another one, so that both show at the same place."""
    node.SetAndObserveTransformNodeID(model.GetTransformNodeID())
