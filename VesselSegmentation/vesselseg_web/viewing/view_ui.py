"""What is drawn over the views: names, directions, buttons, the slider of slices."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui import Slider

#: What lies left, right, above and below in slice views, which never turn.
_DIRECTIONS = {"Axial": "RLAP", "Sagittal": "APSI", "Coronal": "RLSI"}
_PLACES = ("vs-left", "vs-right", "vs-top", "vs-bottom")
#: Every slice view is always dark: the page's theme is not that of the scan.
_BUTTON = {"size": "28", "variant": "text", "color": "white", "theme": "dark"}

STYLE = """
.vs-overlay { position: absolute; inset: 0; pointer-events: none; color: #ddd; font-size: 12px; line-height: 1;
  text-shadow: 0 0 3px #000, 0 0 3px #000; user-select: none; }
.vs-overlay > * { position: absolute; }
.vs-overlay .vs-tools { top: 2px; left: 2px; display: flex; align-items: center; gap: 2px; pointer-events: auto; }
.vs-left { left: 6px; top: 50%; } .vs-right { right: 6px; top: 50%; }
.vs-top { top: 8px; left: 50%; } .vs-bottom { bottom: 34px; left: 50%; }
.vs-overlay .vs-slice { bottom: 0; left: 8px; right: 8px; pointer-events: auto; }
"""


def draw_slice_view(server: Any, view_id: str, view: Any) -> None:
    """Draw over a slice view."""
    orientation = view.get_orientation()
    with html.Div(classes="vs-overlay"):
        with html.Div(classes="vs-tools"):
            _button("mdi-fit-to-page-outline", "Show the whole slice", view.reset_view)
            _button("mdi-video-3d", "Show or hide this slice in 3D", view.toggle_visible_in_3d)
            html.Span(orientation)
        for direction, place in zip(_DIRECTIONS.get(orientation, ""), _PLACES):
            html.Span(direction, classes=place)
        Slider(
            connect_slice_view_slider_to_state(server, view),
            classes="vs-slice",
            theme="dark",
            density="compact",
            aria_label=f"{orientation} slice",
        )


def draw_3d_view(_server: Any, _view_id: str, view: Any) -> None:
    """Draw over a 3D view."""
    with html.Div(classes="vs-overlay"), html.Div(classes="vs-tools"):
        _button("mdi-fit-to-page-outline", "Show everything, from the front", view.reset_view)
        html.Span("3D")


def _button(icon: str, title: str, click: Any) -> None:
    VBtn(icon=icon, title=title, aria_label=title, click=click, **_BUTTON)
