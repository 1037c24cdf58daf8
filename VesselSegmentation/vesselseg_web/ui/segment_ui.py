"""The section "Segment"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VProgressLinear, VSelect, VSlider
from undo_stack import Signal

from vesselseg_web.logic.scan_logic import MASK
from vesselseg_web.logic.states import SegmentState
from vesselseg_web.ui.section_ui import SectionUI, action, names_of, upload_button

_SELECT = {"density": "compact", "variant": "outlined", "hide_details": True}


class SegmentUI(SectionUI):
    """Choices, start, progress, and the threshold."""

    start_clicked = Signal()
    cancel_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "segment", "Segment")
        self._server = server
        name = names_of(server, SegmentState)
        with self.body:
            self._draw_choice("Model", name.model, name.models, "mt-1")
            with html.Div(classes="d-flex align-center ga-2 my-2"):
                self._draw_choice("Device", name.device, name.devices, "vs-device")
                self._draw_choice("Brain mask", name.mask, name.masks, "flex-1-1-0")
                upload_button(
                    server,
                    "Open a brain mask",
                    MASK,
                    why_not=name.why_no_mask,
                    icon="mdi-folder-open-outline",
                )
            with html.Div(v_if=(f"!{name.running}",)):
                action(
                    "Segment vessels",
                    self.start_clicked,
                    why_not=name.why_not,
                    variant="flat",
                    color="primary",
                    classes="vs-segment-button",
                )
            with html.Div(v_else=True):
                action("Cancel", self.cancel_clicked, variant="flat", color="error", classes="vs-cancel-button")
                VProgressLinear(
                    model_value=(name.percent,),
                    color="primary",
                    height=8,
                    rounded=True,
                    aria_label="Segmentation progress",
                    classes="mt-2",
                )
            html.Div(
                f"{{{{ {name.message} }}}}",
                v_if=(name.message,),
                classes="text-caption text-medium-emphasis mt-1 vs-run",
            )
            with html.Details(v_if=(f"{name.log}.length",), classes="text-caption text-medium-emphasis vs-log"):
                html.Summary("Log")
                html.Div("{{ line }}", v_for=f"line in {name.log}")
            self._draw_slider(
                "Threshold",
                name.threshold,
                (0.01, 1.0, 0.01),
                "",
                "Voxels with at least this probability belong to the vessels.",
            )
            self._draw_slider(
                "Smallest piece kept",
                name.min_component,
                (0.0, 100.0, 0.5),
                " mm³",
                "Connected pieces below this volume are removed; 0 keeps all.",
            )

    def _draw_choice(self, label: str, value: str, items: str, classes: str) -> None:
        # What is too long for the field stands in full where the pointer rests.
        chosen = f"({items}.find((each) => each.value === {value}) || {{}})"
        with html.Div(title=(f"[{chosen}.title, {chosen}.subtitle].filter(Boolean).join(', ')",), classes=classes):
            VSelect(
                label=label,
                v_model=(value,),
                items=(items,),
                item_props=True,
                disabled=(names_of(self._server, SegmentState).running,),
                **_SELECT,
            )

    def _draw_slider(self, title: str, value: str, limits: tuple[float, float, float], unit: str, tip: str) -> None:
        low, high, step = limits
        why_not = names_of(self._server, SegmentState).why_no_threshold
        with html.Div(classes="mt-2", title=(f"{why_not} || '{tip}'",)):
            with html.Div(classes="d-flex justify-space-between text-body-2"):
                html.Span(title)
                html.Span(f"{{{{ Number({value}).toFixed({2 if step < 0.1 else 1}) }}}}{unit}")
            VSlider(
                v_model=(value,),
                min=low,
                max=high,
                step=step,
                disabled=(f"!!{why_not}",),
                density="compact",
                hide_details=True,
                color="primary",
                aria_label=title,
            )
