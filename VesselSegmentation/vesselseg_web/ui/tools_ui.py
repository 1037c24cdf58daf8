"""The tools in the section "Correct"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VIcon, VRangeSlider, VSelect, VSlider, VSwitch
from trame_client.widgets.core import AbstractElement
from undo_stack import Signal

from vesselseg.editing.growing import LOWEST_PROBABILITY
from vesselseg_web.logic.states import CorrectState, DisplayState, FreeHandState, ToolsState
from vesselseg_web.logic.tool_list import FREE_HAND, VESSEL_TOOLS
from vesselseg_web.ui.section_ui import ONCE, action, icon_action, names_of

_SELECT = {"density": "compact", "variant": "outlined", "hide_details": True, "classes": "mt-3"}
#: What 0 means where it is more than a number.
_ZEROS = {"calibre": "as measured", "depth": "through everything"}
_SMALL = "text-caption text-medium-emphasis"


class ToolsUI:
    """Undo and redo, buttons of the tools, what can be set of the one in the hand, what a click does, Apply and Cancel.

    Parameters
    ----------
    server : Server
    """

    tool_clicked = Signal(str)
    apply_clicked = Signal()
    cancel_clicked = Signal()
    undo_clicked = Signal()
    redo_clicked = Signal()

    def __init__(self, server: Any) -> None:
        self._name, self._free_hand = names_of(server, ToolsState), names_of(server, FreeHandState)
        self._step = names_of(server, DisplayState).step
        name = self._name
        with html.Div(classes="d-flex align-center ga-1"):
            html.Span(VESSEL_TOOLS, classes=f"{_SMALL} flex-grow-1")
            self._draw_history(names_of(server, CorrectState))
        self._draw_buttons(VESSEL_TOOLS)
        html.Div(FREE_HAND, classes=f"{_SMALL} mt-2")
        self._draw_buttons(FREE_HAND)
        self._draw_settings()
        html.Div(f"{{{{ {name.hint} }}}}", role="status", classes="text-body-2 my-2 vs-hint")
        with html.Div(classes="d-flex ga-2"):
            for text, click, why_not, options in (
                ("Apply (Return)", self.apply_clicked, name.why_no_apply, {"color": "primary", "variant": "flat"}),
                ("Cancel (Esc)", self.cancel_clicked, name.why_no_cancel, {}),
            ):
                with html.Div(classes="flex-grow-1"):
                    action(text, click, why_not=why_not, classes=f"vs-{text.split()[0].lower()}", **options)
        self._draw_cursor()

    def _draw_history(self, name: Any) -> None:
        # At the top, where no tool and none of its settings moves them.
        for icon, text, keys, click, possible in (
            ("mdi-undo", "Undo", "Ctrl Z", self.undo_clicked, name.can_undo),
            ("mdi-redo", "Redo", "Ctrl Y", self.redo_clicked, name.can_redo),
        ):
            icon_action(
                icon,
                f"{text} ({keys})",
                click,
                why_not=f"{possible} ? '' : 'There is nothing to {text.lower()}.'",
                density="comfortable",
                classes=f"vs-{text.lower()}",
            )

    def _draw_buttons(self, group: str) -> None:
        name = self._name
        # Three in a row: all tools and what belongs to one are in sight together.
        with html.Div(style="display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px"), html.Div(
            v_for=f"tool in {name.tools}.filter((tool) => tool.group === '{group}')",
            key=("tool.name",),
            # A button that cannot be pressed shows no tooltip of its own.
            title=("tool.why_not || tool.tip",),
            raw_attrs=[ONCE],
        ), VBtn(
            block=True,
            size="small",
            classes=("`px-1 vs-tool vs-tool-${tool.name}`",),
            variant=(f"tool.name === {name.tool} ? 'flat' : 'tonal'",),
            color=(f"tool.name === {name.tool} ? 'primary' : undefined",),
            disabled=("!!tool.why_not",),
            click=(self.tool_clicked, "[tool.name]"),
            aria_pressed=(f"tool.name === {name.tool}",),
        ):  # fmt: skip
            VIcon("{{ tool.icon }}", start=True, classes="mr-1")
            html.Span("{{ tool.title }}")

    def _draw_settings(self) -> None:
        name, hand = self._name, self._free_hand
        for setting, label, value, items in (
            ("vessel", "Vessel", name.vessel, name.vessels),
            ("extent", "Extent", name.extent, name.extents),
            ("change", "Action", name.change, name.changes),
            ("decision", "Decision", name.decision, name.decisions),
            ("cut", "Scissors", hand.cut, hand.cuts),
        ):
            VSelect(v_if=(self._has(setting),), label=label, v_model=(value,), items=(items,), **_SELECT)
        for setting, title, value, limits, unit, tip in (
            (
                "threshold", "Threshold", name.threshold, (LOWEST_PROBABILITY, 1.0, 0.005), "",
                "Voxels with at least this probability belong to the vessel.",
            ),
            (
                "length", "Length up to", name.length, (1, 100, 1), " mm",
                "How far along the vessel it grows from the click.",
            ),
            ("radius", "Radius", name.radius, (1, 30, 0.5), " mm", "Radius of the sphere around the click."),
            (
                "calibre", "Radius", name.calibre, (0, 4, 0.1), " mm",
                "Radius of the vessel that is drawn; 0: as measured in the scan.",
            ),
            ("volume", "Smaller than", name.volume, (0.5, 200, 0.5), " mm³", "Pieces below this volume are removed."),
            ("brush", "Brush", hand.brush, (0.5, 20, 0.5), " mm", "Diameter of the brush, whatever the zoom."),
            (
                "depth", "Depth", hand.depth, (0, 50, 1), " mm",
                "How thick scissors cut in a slice view; 0: through everything.",
            ),
        ):  # fmt: skip
            self._draw_slider(setting, title, value, limits, unit, tip)
        VSwitch(
            v_if=(self._has("shape"),), v_model=(hand.sphere,), label="Sphere", density="compact",
            hide_details=True, color="primary", title="Off: a disc in the slice.",
        )  # fmt: skip
        with html.Div(v_if=(self._has("mask"),), title="Painting leaves out what is darker or brighter."):
            VSwitch(
                v_model=(hand.masked,), label="Only as bright as vessels", density="compact", hide_details=True,
                color="primary",
            )  # fmt: skip
            # Few intensities need digits, many none.
            digits = f"({self._step} < 1 ? 2 : 0)"
            html.Div(
                f"{{{{ {hand.mask}.map((value) => Number(value).toFixed({digits})).join(' to ') }}}}",
                v_if=(hand.masked,),
                classes=_SMALL,
            )
            VRangeSlider(
                v_if=(hand.masked,),
                v_model=(hand.mask,),
                min=(f"{hand.mask_limits}[0]",),
                max=(f"{hand.mask_limits}[1]",),
                strict=True,
                density="compact",
                hide_details=True,
                color="primary",
                classes="mx-2",
                aria_label="Range of intensities",
            )

    def _draw_slider(
        self, setting: str, title: str, value: str, limits: tuple[float, float, float], unit: str, tip: str
    ) -> None:
        low, high, step = limits
        digits = 3 if step < 0.01 else 2 if step < 0.1 else 1 if step < 1 else 0
        with html.Div(v_if=(self._has(setting),), classes=f"mt-2 vs-setting-{setting}", title=tip):
            with html.Div(classes="d-flex justify-space-between text-body-2"):
                html.Span(title)
                number = f"Number({value}).toFixed({digits}) + '{unit}'"
                zero = _ZEROS.get(setting)
                html.Span(f"{{{{ {value} ? {number} : '{zero}' }}}}" if zero else f"{{{{ {number} }}}}")
            VSlider(
                v_model=(value,), min=low, max=high, step=step, density="compact", hide_details=True,
                color="primary", aria_label=title,
            )  # fmt: skip

    def _draw_cursor(self) -> None:
        """Let the cursor over the views say that a click does something else than usual."""
        AbstractElement(
            "component",
            ".layout-grid-container * { cursor: crosshair !important; }",
            raw_attrs=[""":is="'style'\""""],
            v_if=(self._name.tool,),
        )

    def _has(self, setting: str) -> str:
        return f"{self._name.settings}.includes('{setting}')"
