"""Views of a scene, drawn without a display by the real displayable managers."""

from __future__ import annotations

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def make_3d_view(application, size=(240, 240)):
    """Make a 3D view of a trame-slicer application, black, without box and labels."""
    from trame_slicer.views import ThreeDView

    view = ThreeDView(application.scene, application.app_logic, "view")
    # Software rendering loses translucent surfaces where it combines depth peeling and multisampling.
    view.render_window().SetMultiSamples(0)
    view.renderer().SetUseDepthPeelingForVolumes(False)  # seconds a picture
    view.set_box_visible(False)
    view.set_background_color((0, 0, 0))
    view.render_window().SetSize(*size)
    return view


def make_slice_view(application, volume_node, size=(240, 240), orientation="Axial"):
    """Make a slice view that shows a volume."""
    from trame_slicer.views import SliceView

    view = SliceView(application.scene, application.app_logic, "Red")
    view.set_orientation(orientation)
    view.render_window().SetSize(*size)
    view.set_background_volume_id(volume_node.GetID())
    view.fit_view_to_content()
    return view


def close(application, view):
    """Take a view away: else it would be drawn while the scene is cleared, and its logic outlive it."""
    for logics in (application.app_logic.GetSliceLogics(), application.app_logic.GetViewLogics()):
        if logics is not None:
            logics.RemoveItem(view._logic)
    view.set_scene(None)
    view.finalize()


def pixels(view):
    """Return what a view shows, (rows, columns, RGB) in 0 to 255."""
    view.render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.render_window())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    columns, rows, _ = grabber.GetOutput().GetDimensions()
    values = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    return values[::-1, :, :3].astype(int)  # VTK's rows begin at the bottom


def share_of(picture, color):
    """Return the share of pixels whose colour points in about the direction of a colour in [0, 1]."""
    lengths = np.linalg.norm(picture, axis=-1)
    cosines = picture @ np.asarray(color) / np.maximum(lengths * np.linalg.norm(color), 1e-9)
    return float(np.mean((lengths > 40) & (cosines > 0.97)))
