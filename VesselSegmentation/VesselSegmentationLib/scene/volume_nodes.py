"""Volume nodes to volumes and back, with their exact geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import get_vtk_array_type, numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import array_from_matrix, geometry_from_extent, matrix_from_array


def volume_geometry(node: Any) -> Geometry:
    """Return the grid of a volume node, without its parent transform.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode

    Raises
    ------
    VesselSegError
        As `volume_from_node`.
    """
    _check_scalar_image(node)
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return geometry_from_extent(array_from_matrix(matrix), node.GetImageData().GetExtent())


def volume_from_node(node: Any) -> Volume:
    """Return the voxels and the geometry of a volume node.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        With one value a voxel. Its parent transform is not applied.

    Returns
    -------
    Volume
        In the node's own data type. The array is a view: it changes with the node and must not be written to.

    Raises
    ------
    VesselSegError
        If the node is no scalar volume or holds no image.
    """
    geometry = volume_geometry(node)
    scalars = node.GetImageData().GetPointData().GetScalars()
    return Volume(vtk_to_numpy(scalars).reshape(geometry.shape), geometry)


def set_node_volume(node: Any, volume: Volume) -> None:
    """Write voxels and geometry into a volume node.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Its former image, if any, is replaced. Its parent transform stays.
    volume : Volume
        The voxels are copied and keep their data type.

    Raises
    ------
    TypeError
        If VTK has no such data type (bool, float16, complex).
    """
    image = vtkImageData()
    image.SetDimensions(*volume.geometry.size)
    flat = np.ascontiguousarray(volume.array).ravel()
    scalars = numpy_to_vtk(flat, deep=True, array_type=get_vtk_array_type(flat.dtype))
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    blocker = node.StartModify()
    node.SetIJKToRASMatrix(matrix_from_array(volume.geometry.ijk_to_ras()))
    node.SetAndObserveImageData(image)
    node.EndModify(blocker)


def _check_scalar_image(node: Any) -> None:
    if node is None:
        raise VesselSegError("no volume is chosen", "load a TOF-MRA scan and choose it")
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise VesselSegError(f"'{node.GetName()}' is not a volume", "choose a scan with one value a voxel")
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise VesselSegError(f"the volume '{node.GetName()}' holds no image", "load it again, or choose another one")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise VesselSegError(
            f"the volume '{node.GetName()}' has {components} values a voxel (a colour or vector image)",
            "choose a scan with one value a voxel",
        )
