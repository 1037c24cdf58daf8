"""Bringing a place before the eyes: slice views, crosshair, 3D cameras, and a mark that can blink."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.geometry import Geometry
from VesselSegmentationLib.scene.node_geometry import share_transform
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown

_SEGMENT_ID = "Highlight"
#: Yellow: no kind of error has it in any palette.
MARK_COLOR = (1.0, 0.95, 0.1)
_LINE_WIDTH = 3


def jump_to(scene: Any, position: tuple[float, float, float], *, centred: bool = True) -> None:
    """Show a place in all slice views and in the middle of all 3D views.

    Parameters
    ----------
    scene : vtkMRMLScene
    position : tuple of float
        In mm, RAS of the world.
    centred : bool
        Whether the slice views are moved so that the place lies in their middle; else only their slices change.
    """
    slice_node = slicer.vtkMRMLSliceNode
    mode = slice_node.CenteredJumpSlice if centred else slice_node.OffsetJumpSlice
    slice_node.JumpAllSlices(scene, *position, mode)
    for node in _nodes(scene, "vtkMRMLCrosshairNode"):
        node.SetCrosshairRAS(list(position))
    for camera in _nodes(scene, "vtkMRMLCameraNode"):
        # Seen from the same side and as far away as before.
        step = np.subtract(position, camera.GetFocalPoint())
        blocker = camera.StartModify()
        camera.SetPosition(*np.add(camera.GetPosition(), step))
        camera.SetFocalPoint(*position)
        camera.EndModify(blocker)
        camera.ResetClippingRange()


def seen_from(scene: Any) -> tuple[float, float] | None:
    """Return from where the first 3D view looks, as `vesselseg.figures.rendering.View` measures it; None without one.

    Returns
    -------
    azimuth, elevation : float
        In degrees.
    """
    for camera in _nodes(scene, "vtkMRMLCameraNode"):
        towards = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        length = np.linalg.norm(towards)
        if length > 0:
            x, y, z = towards / length
            return float(np.degrees(np.arctan2(-x, y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))
    return None


class Highlight:
    """An outline in slices and a surface in 3D around one piece of a label. It is not saved with the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.node: Any = None

    def show(self, mask: NDArray[np.bool_], geometry: Geometry, volume_node: Any, *, three_d: bool = True) -> None:
        """Mark a piece.

        Parameters
        ----------
        mask : ndarray of bool, shape (Z, Y, X)
        geometry : Geometry
            Its grid, in the coordinates of `volume_node`.
        volume_node : vtkMRMLScalarVolumeNode
            The scan; the mark goes under its transform.
        three_d : bool
            Whether it is marked in 3D, too.
        """
        from scipy import ndimage

        # One voxel wider, so that the outline runs around the piece and the surface covers its own.
        wider = ndimage.binary_dilation(np.pad(mask, 1), np.ones((3, 3, 3)))
        image = oriented_image(wider, geometry.ijk_to_ras(), (-1, -1, -1))
        node = self._present()
        share_transform(node, volume_node)
        segmentation = node.GetSegmentation()
        if segmentation.GetSegment(_SEGMENT_ID) is not None:
            segmentation.RemoveSegment(_SEGMENT_ID)
        segment = slicer.vtkSegment()
        segment.SetName(_SEGMENT_ID)
        segment.SetColor(*MARK_COLOR)
        segment.AddRepresentation("Binary labelmap", image)
        segmentation.AddSegment(segment, _SEGMENT_ID)
        node.GetDisplayNode().SetVisibility(True)
        set_surface_shown(node, three_d)

    def toggle(self) -> None:
        """Hide the mark, or show it again; a timer makes it blink."""
        self.set_visible(not self.visible)

    @property
    def visible(self) -> bool:
        """Whether the mark is shown at present."""
        return self._there() and bool(self.node.GetDisplayNode().GetVisibility())

    def set_visible(self, visible: bool) -> None:
        """Show or hide the mark, if there is one."""
        if self._there():
            self.node.GetDisplayNode().SetVisibility(visible)

    def remove(self) -> None:
        """Take the mark out of the scene."""
        if self._there():
            display_node = self.node.GetDisplayNode()
            self.scene.RemoveNode(self.node)
            if self.scene.IsNodePresent(display_node):
                self.scene.RemoveNode(display_node)
        self.node = None

    def _there(self) -> bool:
        return self.node is not None and bool(self.scene.IsNodePresent(self.node))

    def _present(self) -> Any:
        if not self._there():
            node = slicer.vtkMRMLSegmentationNode()
            node.SetName(_SEGMENT_ID)
            node.SetHideFromEditors(True)
            node.SaveWithSceneOff()
            self.node = self.scene.AddNode(node)
            self.node.CreateDefaultDisplayNodes()
            display_node = self.node.GetDisplayNode()
            display_node.SaveWithSceneOff()
            display_node.SetVisibility2DFill(False)
            display_node.SetSliceIntersectionThickness(_LINE_WIDTH)
        return self.node


def _nodes(scene: Any, class_name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]
