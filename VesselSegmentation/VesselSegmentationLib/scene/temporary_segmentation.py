"""Segments that are only to be looked at: no selector offers them, and they are not saved with the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtkmodules.vtkCommonCore import vtkWeakReference

from VesselSegmentationLib.scene.node_geometry import share_transform
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import make_surface

_LABELMAP, _SURFACE = "Binary labelmap", "Closed surface"
_NORMALS = "Compute surface normals"


@dataclass(frozen=True)
class TemporarySegment:
    """One segment.

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

    name: str
    color: tuple[float, float, float]
    mask: NDArray[np.bool_]
    ijk_to_ras: NDArray[np.float64]
    first: tuple[int, ...] = (0, 0, 0)


class TemporarySegmentation:
    """A segmentation node of its own for a while; every other node stays as it is.

    The node is finished when it comes into the scene, and is never changed there: 3D Slicer has no hidden node in its
    subject hierarchy, and writes an error to its log for each change of a segmentation that it has not there. Other
    segments, or the same ones hidden and shown again, are another node.

    Parameters
    ----------
    scene : vtkMRMLScene
    name : str
        Of the node.
    style : callable, optional
        Called with each new vtkMRMLSegmentationDisplayNode, to set how the segments look.
    """

    def __init__(self, scene: Any, name: str, style: Callable[[Any], None] = lambda display_node: None) -> None:
        self.scene = scene
        self._name = name
        self._style = style
        self._segmentation: Any = None
        self._volume_node = vtkWeakReference()
        self._three_d = False
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

    @property
    def has_content(self) -> bool:
        """Whether there is anything that is shown, or was hidden by `set_visible`."""
        return self._segmentation is not None and self.scene.IsNodePresent(self._volume_node.Get()) > 0

    def show(
        self,
        segments: Iterable[TemporarySegment],
        volume_node: Any,
        *,
        three_d: bool = True,
        smoothly_shaded: bool = True,
    ) -> None:
        """Show segments in place of those that were shown.

        Parameters
        ----------
        segments : iterable of TemporarySegment
            At least one.
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the node goes under its transform.
        three_d : bool
            Whether they are shown in 3D, too.
        smoothly_shaded : bool
            In 3D; with facets it takes a quarter of the time.

        Raises
        ------
        VesselSegError
            If no surface can be made.
        """
        self.remove()
        node = self._hidden_node()
        segmentation = node.GetSegmentation()
        for each in segments:
            segment = slicer.vtkSegment()
            segment.SetName(each.name)
            segment.SetColor(*each.color)
            segment.AddRepresentation(_LABELMAP, oriented_image(each.mask, each.ijk_to_ras, each.first))
            segmentation.AddSegment(segment, each.name)
        if three_d:
            segmentation.SetConversionParameter(_NORMALS, str(int(smoothly_shaded)))
            make_surface(node)
        self._segmentation, self._three_d = segmentation, three_d
        self._volume_node.Set(volume_node)
        self._add(node)

    def set_visible(self, visible: bool) -> None:
        """Hide what is shown, or show it again, until `remove`; with nothing to see nothing happens."""
        if not visible:
            self._take_out()
        elif self.has_content and not self.shown:
            node = self._hidden_node()
            node.SetAndObserveSegmentation(self._segmentation)
            self._add(node)

    def remove(self) -> None:
        """Show nothing any more."""
        self._take_out()
        self._segmentation = None

    def _hidden_node(self) -> Any:
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(self._name)
        node.SetHideFromEditors(True)
        node.SaveWithSceneOff()
        return node

    def _add(self, node: Any) -> None:
        display_node = self.scene.CreateNodeByClass("vtkMRMLSegmentationDisplayNode")
        display_node.UnRegister(None)  # Python has its own reference
        display_node.SaveWithSceneOff()
        display_node.SetPreferredDisplayRepresentationName3D(_SURFACE)
        display_node.SetVisibility3D(self._three_d)
        self._style(display_node)
        self.scene.AddNode(display_node)
        node.SetScene(self.scene)  # or it would find its display node, and tell that, only after others observe it
        node.SetAndObserveDisplayNodeID(display_node.GetID())
        share_transform(node, self._volume_node.Get())
        self.scene.AddNode(node)
        self._node.Set(node)

    def _take_out(self) -> None:
        node = self.node
        if node is not None:
            display_node = node.GetDisplayNode()
            self.scene.RemoveNode(node)
            if display_node is not None and self.scene.IsNodePresent(display_node):
                self.scene.RemoveNode(display_node)
        self._node = vtkWeakReference()
