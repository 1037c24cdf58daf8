"""trame-slicer's editor of segmentations as the page uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from slicer import vtkMRMLViewNode
from trame_slicer.core import SegmentationEditor
from trame_slicer.segmentation import (
    SegmentationEffectErase,
    SegmentationEffectPaint,
    SegmentationPaintPipeline3D,
)
from vtkmodules.vtkCommonCore import vtkCommand

from VesselSegmentationLib.correcting.free_hand import editor_node

#: Rest between two looks at what is below a mouse that moves over the 3D view: each takes about as long as a picture.
_REST_SECONDS = 0.1


class FreeHandEditor(SegmentationEditor):
    """The editor on a node of this program, without a say in what is shown in 3D, and without an undo of its own."""

    def _create_editor_node(self) -> Any:
        # All editors of trame-slicer give theirs the same singleton tag: the second one would not get into the scene.
        return editor_node(self._scene)

    def _on_segmentation_modified(self) -> None:
        """Leave surfaces as they are: the page shows and hides them."""


class _RestingPipeline3D(SegmentationPaintPipeline3D):
    """Looks for the surface below the mouse not with every event, of which more would come than can be answered."""

    def __init__(self) -> None:
        super().__init__()
        self._picked_at = 0.0

    def Pick(self, event_data: Any) -> None:
        moved = event_data.GetType() == int(vtkCommand.MouseMoveEvent)
        if not moved or time.monotonic() - self._picked_at > _REST_SECONDS:
            super().Pick(event_data)
            self._picked_at = time.monotonic()


class _Brush:
    """What all brushes do: they look below the mouse seldom enough, and tell when a stroke has ended, whatever it did.

    A drag in 3D that begins beside every surface is no stroke: it turns the view.
    """

    stroke_ended: Callable[[], None] | None = None

    def paint_glyph_at_world_coordinates(self, polydata: Any, paint_coordinates_world: Any) -> None:
        super().paint_glyph_at_world_coordinates(polydata, paint_coordinates_world)  # type: ignore[misc]
        if self.stroke_ended is not None:
            self.stroke_ended()

    def _create_pipeline(self, view_node: Any, parameter: Any) -> Any:
        return _pipeline(view_node) or super()._create_pipeline(view_node, parameter)  # type: ignore[misc]


class Paint(_Brush, SegmentationEffectPaint):
    """Adds to the segment, in slices and on surfaces."""


class Erase(_Brush, SegmentationEffectErase):
    """Takes away from the segment, in slices and on surfaces."""


def _pipeline(view_node: Any) -> _RestingPipeline3D | None:
    return _RestingPipeline3D() if isinstance(view_node, vtkMRMLViewNode) else None
