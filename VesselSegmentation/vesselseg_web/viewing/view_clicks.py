"""Clicks in the views of the page, and the places in the scan that they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trame_slicer.utils import ClosestToCameraPicker
from trame_slicer.views import SliceView
from vtkmodules.vtkRenderingCore import vtkActor, vtkCellPicker, vtkProp

from VesselSegmentationLib.correcting.edit_clicks import EditClicks
from VesselSegmentationLib.correcting.vessel_edits import Place

#: Pixels that the mouse may move between press and release of a click, and by which a click may miss a thin vessel.
_STILL = 4
#: Before the views themselves, lest they keep an event to themselves.
_PRIORITY = 10.0


class ViewClicks(EditClicks):
    """Points that a tool asks for, as `EditClicks`, taken where press and release are at the same place.

    In contrast to Slicer's own way of placing points, dragging goes on to turn the 3D view while a tool is in the hand,
    and nothing is drawn anew while the mouse only moves.

    Parameters
    ----------
    scene : vtkMRMLScene
    view_manager : ViewManager
        Of trame-slicer.
    changed : callable
        Called when a point was placed, moved or removed: do no more there than noting it.
    missed : callable
        Called when a click in 3D hit nothing.
    """

    def __init__(self, scene: Any, view_manager: Any, changed: Callable[[], None], missed: Callable[[], None]) -> None:
        super().__init__(scene, changed)
        self._view_manager = view_manager
        self._missed = missed
        self._watched: list[tuple[Any, int]] = []
        self._pressed: tuple[Any, tuple[int, int]] | None = None

    @property
    def placing(self) -> bool:
        """Whether the next click in a view places a point."""
        return bool(self._watched) and self._exists()

    def start(self) -> None:
        """Let clicks in the views place points."""
        if not self._exists():
            self._make_node()
        if self._watched:
            return
        for view in self._view_manager.get_views():
            interactor = view.interactor()
            for event, answer in (
                ("LeftButtonPressEvent", self._on_press),
                ("LeftButtonReleaseEvent", self._on_release),
            ):
                # The view as a default: each function has its own.
                tag = interactor.AddObserver(event, lambda *_, view=view, answer=answer: answer(view), _PRIORITY)
                self._watched.append((interactor, tag))

    def stop(self) -> None:
        """Give the mouse back to the views, and leave nothing in the scene."""
        for interactor, tag in self._watched:
            interactor.RemoveObserver(tag)
        self._watched, self._pressed = [], None
        super().stop()

    def _on_press(self, view: Any) -> None:
        self._pressed = view, view.interactor().GetEventPosition()

    def _on_release(self, view: Any) -> None:
        pressed, self._pressed = self._pressed, None
        x, y = view.interactor().GetEventPosition()
        if pressed is None or pressed[0] is not view:
            return
        if max(abs(x - pressed[1][0]), abs(y - pressed[1][1])) > _STILL:
            return  # a drag, which belongs to the view
        place = place_at(view, x, y)
        if place is None:
            self._missed()
        else:
            self.node.AddControlPointWorld(*place)


def place_at(view: Any, x: int, y: int) -> Place | None:
    """Return what a view shows at a pixel.

    Parameters
    ----------
    view : AbstractView
        Of trame-slicer.
    x, y : int
        From the left and from below.

    Returns
    -------
    tuple of float or None
        In mm, RAS of the world: in slice views on the slice, in 3D on the first surface, or where there is none, on
        the volume that is rendered. None if there is nothing.
    """
    if isinstance(view, SliceView):
        place = view.get_view_node().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
        return float(place[0]), float(place[1]), float(place[2])
    return _surface_at(view, x, y)


def _surface_at(view: Any, x: int, y: int) -> Place | None:
    renderer = view.renderer()
    picker = vtkCellPicker()
    picker.PickFromListOn()
    props = renderer.GetViewProps()
    for index in range(props.GetNumberOfItems()):
        prop: vtkProp = props.GetItemAsObject(index)
        if isinstance(prop, vtkActor) and prop.GetVisibility() and prop.GetPickable():
            picker.AddPickList(prop)
    steps = (0, -_STILL, _STILL)
    for dx, dy in sorted(((dx, dy) for dx in steps for dy in steps), key=lambda step: abs(step[0]) + abs(step[1])):
        if picker.Pick(x + dx, y + dy, 0, renderer):
            i, j, k = picker.GetPickPosition()
            return float(i), float(j), float(k)
    rendered = ClosestToCameraPicker().pick((x, y), renderer, renderer.GetActiveCamera())
    return None if rendered is None else (float(rendered[0]), float(rendered[1]), float(rendered[2]))
