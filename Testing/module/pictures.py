"""Pictures of the scene's views, drawn without a display by the real displayable managers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_BACKGROUND = (20, 24, 40)


def render_3d(size: tuple[int, int] = (800, 700)) -> np.ndarray:
    """Return the pixels of the 3D view, (rows, columns, RGB) in 0 to 255."""
    import slicer
    from trame_slicer.views import ThreeDView

    view = ThreeDView(slicer.mrmlScene, slicer.app.applicationLogic(), "picture")
    view.set_box_visible(False)
    view.set_background_color(_BACKGROUND)
    view.render_window().SetSize(*size)
    view.fit_view_to_content()
    return _pixels(view)


def render_slice(volume_node: Any, offset_mm: float, size: tuple[int, int] = (500, 500)) -> np.ndarray:
    """Return the pixels of the axial view of a volume at a position, (rows, columns, RGB) in 0 to 255."""
    import slicer
    from trame_slicer.views import SliceView

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene, True)
    view = SliceView(slicer.mrmlScene, slicer.app.applicationLogic(), "Red")
    view.set_orientation("Axial")
    view.render_window().SetSize(*size)
    view.set_background_volume_id(volume_node.GetID())
    view.fit_view_to_content()
    view.set_slice_value(offset_mm)
    return _pixels(view)


def _pixels(view: Any) -> np.ndarray:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view.render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.render_window())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    columns, rows, _ = grabber.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    view.set_scene(None)
    view.finalize()
    return pixels[::-1, :, :3].copy()  # VTK's rows begin at the bottom


def vessel_share(picture: np.ndarray) -> float:
    """Return the share of pixels that have the reddish colour of arteries."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return float(np.mean((red > 60) & (red > 1.4 * green) & (red > 1.4 * blue)))


def save(picture: np.ndarray, path: Path) -> None:
    """Save a picture as PNG."""
    Image.fromarray(picture).save(path)


def beside(pictures: list[np.ndarray], height: int) -> np.ndarray:
    """Put pictures beside each other, on white, cut or padded to a height."""
    columns = []
    for picture in pictures:
        column = np.full((height, picture.shape[1] + 8, 3), 255, dtype=np.uint8)
        rows = min(height, picture.shape[0])
        column[:rows, :-8] = picture[:rows]
        columns.append(column)
    return np.hstack(columns)[:, :-8]
