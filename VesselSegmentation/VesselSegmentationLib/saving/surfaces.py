"""Labels as surface files for other programs: STL, OBJ, PLY."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkFiltersCore import vtkPolyDataNormals
from vtkmodules.vtkFiltersGeneral import vtkDiscreteFlyingEdges3D, vtkTransformPolyDataFilter

from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.node_geometry import matrix_from_array
from VesselSegmentationLib.scene.segment_voxels import oriented_image

#: Endings of surface files.
SURFACE_SUFFIXES = (".stl", ".obj", ".ply")
#: Coordinate systems; LPS is what 3D Slicer writes unless told otherwise.
LPS, RAS = "LPS", "RAS"


def label_surface(label: Volume) -> Any:
    """Return the surface of a label, without smoothing, which would delete thin arteries.

    Parameters
    ----------
    label : Volume
        Every value other than 0 belongs to it.

    Returns
    -------
    vtkPolyData
        In mm, RAS.

    Raises
    ------
    VesselSegError
        If the label is empty.
    """
    from vtkmodules.vtkCommonTransforms import vtkTransform

    mask = label.array != 0
    box = bounding_box(mask)
    if box is None:
        raise VesselSegError("an empty label has no surface", "segment the scan or draw vessels first")
    # A margin of background closes the surface where the vessels leave the scan.
    padded = np.pad(mask[box], 1)
    edges = vtkDiscreteFlyingEdges3D()
    edges.SetInputData(oriented_image(padded, np.eye(4), (-1, -1, -1)))
    edges.SetValue(0, 1)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    to_ras = label.geometry.cropped(box).ijk_to_ras()
    transform = vtkTransform()
    transform.SetMatrix(matrix_from_array(to_ras))
    moved = vtkTransformPolyDataFilter()
    moved.SetInputConnection(edges.GetOutputPort())
    moved.SetTransform(transform)
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(moved.GetOutputPort())
    normals.SplittingOff()
    # A left-handed grid turns the surface inside out.
    normals.ConsistencyOn()
    normals.AutoOrientNormalsOn()
    normals.Update()
    return normals.GetOutput()


def write_surface(label: Volume, path: Path, *, coordinates: str = LPS) -> None:
    """Write the surface of a label to a place that `vesselseg.output_files.atomic_output` gave.

    The file says in its header or comments which coordinates it is in, as files of 3D Slicer do.

    Parameters
    ----------
    label : Volume
    path : pathlib.Path
        Ending in .stl, .obj or .ply.
    coordinates : str
        `LPS` or `RAS`; in mm.

    Raises
    ------
    VesselSegError
        If the label is empty, or the file cannot be written.
    ValueError
        If there are no such coordinates.
    """
    if coordinates not in (LPS, RAS):
        raise ValueError(f"coordinates must be {LPS} or {RAS}, not '{coordinates}'")
    node = slicer.vtkMRMLModelNode()
    node.SetAndObserveMesh(label_surface(label))
    storage = slicer.vtkMRMLModelStorageNode()
    system = storage.CoordinateSystemLPS if coordinates == LPS else storage.CoordinateSystemRAS
    storage.SetCoordinateSystem(system)
    storage.SetFileName(str(path))
    if not storage.WriteData(node):
        raise VesselSegError(f"{path.name} cannot be written", "check the space left on the disk")
