"""Bringing a place before the eyes: slice views, crosshair, 3D cameras."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from VesselSegmentationLib.scene.scene_nodes import nodes_of_class


def jump_to(scene: Any, position: tuple[float, float, float]) -> None:
    """Show a place in the middle of all slice views and 3D views.

    Parameters
    ----------
    scene : vtkMRMLScene
    position : tuple of float
        In mm, RAS of the world.
    """
    slice_node = slicer.vtkMRMLSliceNode
    slice_node.JumpAllSlices(scene, *position, slice_node.CenteredJumpSlice)
    for node in nodes_of_class(scene, "vtkMRMLCrosshairNode"):
        node.SetCrosshairRAS(list(position))
    for camera in nodes_of_class(scene, "vtkMRMLCameraNode"):
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
    for camera in nodes_of_class(scene, "vtkMRMLCameraNode"):
        towards = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        length = np.linalg.norm(towards)
        if length > 0:
            x, y, z = towards / length
            return float(np.degrees(np.arctan2(-x, y))), float(np.degrees(np.arcsin(np.clip(z, -1, 1))))
    return None
