"""A mouse over the views of a scene, as the browser sends its events."""

from __future__ import annotations

import numpy as np
from trame_slicer.views import SliceView


def pixel_of(view, place):
    """Return where a view shows a place, in pixels from the left and from below; slices are moved to it."""
    if isinstance(view, SliceView):
        node = view.get_view_node()
        node.JumpSliceByOffsetting(*place)
        return tuple(round(float(v)) for v in np.linalg.solve(_array(node.GetXYToRAS()), [*place, 1.0])[:2])
    renderer = view.renderer()
    renderer.SetWorldPoint(*place, 1.0)
    renderer.WorldToDisplay()
    return tuple(round(v) for v in renderer.GetDisplayPoint()[:2])


def drag(view, *pixels):
    """Press the left button at the first pixel, move over the others and release it at the last one."""
    _send(view, "EnterEvent", pixels[0])
    _send(view, "MouseMoveEvent", pixels[0])
    _send(view, "LeftButtonPressEvent", pixels[0])
    for pixel in pixels[1:]:
        _send(view, "MouseMoveEvent", pixel)
    _send(view, "LeftButtonReleaseEvent", pixels[-1])
    _send(view, "LeaveEvent", pixels[-1])


def click(view, place):
    """Click where a view shows a place."""
    drag(view, pixel_of(view, place))


def _send(view, event, pixel):
    interactor = view.interactor()
    interactor.SetEventInformation(*pixel, 0, 0, chr(0), 0, None)
    interactor.InvokeEvent(event)


def _array(matrix):
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
