"""Segments that are only to be looked at: no selector offers them, and they are not saved with the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonCore import vtkWeakReference

from VesselSegmentationLib.scene.node_geometry import share_transform
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown

_LABELMAP = "Binary labelmap"
_NORMALS = "Compute surface normals"


class TemporarySegmentation:
    """A segmentation node of its own for a while; every other node stays as it is.

    Parameters
    ----------
    scene : vtkMRMLScene
    name : str
        Of the node.
    """

    def __init__(self, scene: Any, name: str) -> None:
        self.scene = scene
        self._name = name
        # Somebody else may remove it, or close the scene.
        self._node = vtkWeakReference()

    @property
    def node(self) -> Any:
        """The node; None where there is nothing to see."""
        node = self._node.Get()
        return node if node is not None and self.scene.IsNodePresent(node) else None

    @property
    def shown(self) -> bool:
        """Whether there is anything to see."""
        return self.node is not None

    def make(self, volume_node: Any) -> None:
        """Add the node to the scene, without segments.

        Parameters
        ----------
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the node goes under its transform.
        """
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(self._name)
        node.SetHideFromEditors(True)
        node.SaveWithSceneOff()
        node = self.scene.AddNode(node)
        self._node.Set(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SaveWithSceneOff()
        share_transform(node, volume_node)

    def add_segment(
        self,
        name: str,
        color: tuple[float, float, float],
        mask: NDArray[np.bool_],
        ijk_to_ras: NDArray[np.float64],
        first: tuple[int, ...] = (0, 0, 0),
    ) -> None:
        """Add a segment.

        Parameters
        ----------
        name : str
            Its name and its ID.
        color : tuple of float
            Red, green, blue in [0, 1].
        mask : ndarray of bool, shape (Z, Y, X)
        ijk_to_ras : ndarray, shape (4, 4)
            Of the grid, in the coordinates of the scan.
        first : tuple of int
            Where on that grid the mask begins, x, y, z.
        """
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*color)
        segment.AddRepresentation(_LABELMAP, oriented_image(mask, ijk_to_ras, first))
        self.node.GetSegmentation().AddSegment(segment, name)

    def show_surface(self, *, smoothly_shaded: bool = True) -> None:
        """Show the segments in 3D, too; with facets it takes a quarter of the time."""
        self.node.GetSegmentation().SetConversionParameter(_NORMALS, str(int(smoothly_shaded)))
        set_surface_shown(self.node, True)

    def remove(self) -> None:
        """Show nothing any more."""
        node = self.node
        if node is not None:
            display_node = node.GetDisplayNode()
            self.scene.RemoveNode(node)
            if display_node is not None and self.scene.IsNodePresent(display_node):
                self.scene.RemoveNode(display_node)
        self._node = vtkWeakReference()
