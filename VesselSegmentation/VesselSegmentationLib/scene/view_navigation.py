"""Bringing a place before the eyes: slice views, crosshair, 3D cameras."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer


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


def _nodes(scene: Any, class_name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]
