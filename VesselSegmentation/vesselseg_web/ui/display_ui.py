"""The section "View"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VBtnToggle, VRangeSlider, VSlider, VSwitch
from undo_stack import Signal

from vesselseg.review.error_kinds import ErrorKind
from vesselseg_web.logic.layers import REFERENCE, VESSELS, kind_layer_name, layer_state
from vesselseg_web.logic.states import CompareState, DisplayState
from vesselseg_web.ui.layer_ui import draw_layer
from vesselseg_web.ui.section_ui import SectionUI, names_of
from VesselSegmentationLib.scene.scan_display import PROJECTION
from VesselSegmentationLib.scene.scan_display import VESSELS as BRIGHT_VESSELS

_SMALL = "text-caption text-medium-emphasis"
_SLIDER = {"density": "compact", "hide_details": True, "color": "primary"}


class DisplayUI(SectionUI):
    """Window, slab and volume rendering of the scan; visibility and opacity of vessels and reference."""

    reset_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "view", "View")
        self._server = server
        self._name = names_of(server, DisplayState)
        with self.body:
            self._draw_window()
            self._draw_slab()
            self._draw_rendering()
            self._draw_layers()

    def _draw_window(self) -> None:
        name = self._name
        low, high = f"{name.window}[0]", f"{name.window}[1]"
        # Few intensities need digits, many none.
        digits = f"({name.step} < 1 ? 2 : 0)"
        with html.Div(
            classes="d-flex align-center text-body-2",
            title=(f"{name.why_not} || 'Drag with the left button in a slice: brightness and contrast'",),
        ):
            html.Span("Window / level", classes="flex-grow-1")
            html.Span(
                f"{{{{ ({high} - {low}).toFixed({digits}) }}}} / {{{{ (({high} + {low}) / 2).toFixed({digits}) }}}}",
                classes="mr-2 vs-window",
            )
            VBtn(
                "Auto",
                size="small",
                variant="tonal",
                click=self.reset_clicked,
                disabled=(f"!!{name.why_not}",),
                title="Fit brightness and contrast to the scan (W)",
                classes="vs-window-auto",
            )
        VRangeSlider(
            v_model=(name.window,),
            min=(name.lowest,),
            max=(name.highest,),
            step=(name.step,),
            strict=True,
            aria_label="Window limits",
            disabled=(f"!!{name.why_not}",),
            **_SLIDER,
        )

    def _draw_slab(self) -> None:
        name = self._name
        title = (
            f"{name.why_not} || 'Slices show the brightest voxels of a slab this thick (maximum intensity projection)'"
        )
        with html.Div(title=(title,), classes="mt-2"):
            with html.Div(classes="d-flex justify-space-between text-body-2"):
                html.Span("Slab (MIP)")
                html.Span(f"{{{{ {name.slab} ? {name.slab} + ' mm' : 'off' }}}}", classes="vs-slab")
            VSlider(
                v_model=(name.slab,),
                min=0,
                max=(name.largest_slab,),
                step=1,
                disabled=(f"!!{name.why_not}",),
                aria_label="Slab thickness in mm",
                **_SLIDER,
            )

    def _draw_rendering(self) -> None:
        name = self._name
        title = f"{name.why_not} || 'The scan itself in 3D, beside the surfaces of vessels'"
        with html.Div(title=(title,), classes="d-flex align-center mt-2 text-body-2"):
            html.Span("Scan in 3D", classes="flex-grow-1")
            with VBtnToggle(
                v_model=(name.rendering,),
                mandatory=True,
                density="compact",
                divided=True,
                variant="outlined",
                disabled=(f"!!{name.why_not}",),
                classes="vs-rendering",
            ):
                for text, value in (("Off", ""), ("MIP", PROJECTION), ("Bright vessels", BRIGHT_VESSELS)):
                    VBtn(text, value=value, size="small")
        VSlider(
            v_if=(name.rendering,),
            v_model=(name.rendering_opacity,),
            min=5,
            max=100,
            step=5,
            aria_label="Opacity of the scan in 3D",
            title=(f"'Opacity of the scan in 3D: ' + {name.rendering_opacity} + ' %'",),
            **_SLIDER,
        )

    def _draw_layers(self) -> None:
        compare = names_of(self._server, CompareState)
        map_shown = f"({compare.compared} && {compare.shown})"
        layers = [(VESSELS, "Vessels", "the vessels"), (REFERENCE, "Reference", "the reference")]
        there = " || ".join(layer_state(self._server.state, layer).name.there for layer, *_ in layers)
        html.Div("Visibility and opacity", v_if=(there,), classes=f"mt-2 {_SMALL}")
        for layer, title, what in layers:
            there = layer_state(self._server.state, layer).name.there
            with html.Div(v_if=(f"{there} && !{map_shown}",)):
                html.Div(title, classes="text-body-2 mt-1")
                draw_layer(self._server, layer, what)
        for index, kind in enumerate(ErrorKind):
            entry = f"{compare.legend}[{index}]"
            with html.Div(v_if=(f"{map_shown} && {entry}",)):
                with html.Div(classes="d-flex align-center text-body-2 mt-1"):
                    html.Span(classes="vs-swatch mr-2", style=(f"'background:' + {entry}.colour",))
                    html.Span(f"{{{{ {entry}.title }}}}")
                draw_layer(self._server, kind_layer_name(kind), f"{kind.title}s")
        VSwitch(
            v_model=(self._name.outlined,),
            label="Only outlines in slices",
            density="compact",
            hide_details=True,
            color="primary",
            classes="vs-outlined",
        )
