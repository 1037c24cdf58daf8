"""Pictures of the views of the host's scene, and files of them."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import views


def render_3d(size: tuple[int, int] = (800, 700)) -> np.ndarray:
    """Return the pixels of the 3D view, (rows, columns, RGB) in 0 to 255."""
    view = views.make_3d_view(_application(), size)
    view.set_background_color((20, 24, 40))
    view.fit_view_to_content()
    return _taken(view)


def render_slice(volume_node: Any, offset_mm: float, size: tuple[int, int] = (500, 500)) -> np.ndarray:
    """Return the pixels of the axial view of a volume at a position, (rows, columns, RGB) in 0 to 255."""
    import slicer

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene, True)
    view = views.make_slice_view(_application(), volume_node, size)
    view.set_slice_value(offset_mm)
    return _taken(view)


def _application() -> Any:
    import slicer

    return types.SimpleNamespace(scene=slicer.mrmlScene, app_logic=slicer.app.applicationLogic())


def _taken(view: Any) -> np.ndarray:
    import slicer

    picture = views.pixels(view)
    views.close(_application(), view)
    # Singletons: the next view would take them over, but not be told of the scene through them.
    for kind in ("vtkMRMLViewNode", "vtkMRMLCameraNode", "vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
        for node in slicer.util.getNodesByClass(kind):
            slicer.mrmlScene.RemoveNode(node)
    return picture


def save(picture: np.ndarray, path: Path) -> None:
    """Save a picture as PNG."""
    Image.fromarray(picture.astype(np.uint8)).save(path)


def beside(pictures: list[np.ndarray], height: int) -> np.ndarray:
    """Put pictures beside each other, on white, cut or padded to a height."""
    columns = []
    for picture in pictures:
        column = np.full((height, picture.shape[1] + 8, 3), 255, dtype=np.uint8)
        rows = min(height, picture.shape[0])
        column[:rows, :-8] = picture[:rows]
        columns.append(column)
    return np.hstack(columns)[:, :-8]
