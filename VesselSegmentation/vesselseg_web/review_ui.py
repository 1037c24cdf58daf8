"""The section "Review"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VSelect, VSwitch, VTable
from undo_stack import Signal

from vesselseg.error_kinds import ErrorKind
from vesselseg_web.layer_ui import draw_layer
from vesselseg_web.layers import kind_layer_name
from vesselseg_web.scan_logic import REFERENCE
from vesselseg_web.section_ui import SectionUI, action, names_of, upload_button
from vesselseg_web.states import CompareState, ErrorListState, ScanState

_SMALL = "text-caption text-medium-emphasis"


class ReviewUI(SectionUI):
    """Reference, legend, metrics and errors."""

    compare_clicked = Signal()
    stop_clicked = Signal()
    error_clicked = Signal(str)
    next_clicked = Signal()
    previous_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "review", "Review")
        self._server = server
        self._compare = names_of(server, CompareState)
        self._errors = names_of(server, ErrorListState)
        scan = names_of(server, ScanState)
        name = self._compare
        with self.body:
            upload_button(
                server,
                "Open a reference",
                REFERENCE,
                scan.upload_percent,
                why_not=f"{scan.name} ? '' : 'Load a scan first.'",
            )
            VSelect(
                label="Reference",
                v_model=(name.reference,),
                items=(name.references,),
                no_data_text="Open a reference first",
                density="compact",
                variant="outlined",
                hide_details=True,
                classes="my-2",
            )
            action(
                "Compare",
                self.compare_clicked,
                why_not=name.why_not,
                variant="flat",
                color="primary",
                classes="vs-compare-button",
            )
            with html.Div(v_if=(name.compared,)):
                html.Div(f"{{{{ {name.notes} }}}}", v_if=(name.notes,), classes=_SMALL)
                self._draw_legend()
                self._draw_metrics()
                self._draw_errors()
                action("Stop comparing", self.stop_clicked, variant="text")

    def _draw_legend(self) -> None:
        name = self._compare
        VSwitch(
            v_model=(name.shown,),
            label="Error map in place of the vessels",
            density="compact",
            hide_details=True,
            color="primary",
            title="Show the error map, or vessels and reference (M)",
            classes="vs-map-shown",
        )
        for index, kind in enumerate(ErrorKind):
            entry = f"{name.legend}[{index}]"
            with html.Div(v_if=(entry,)):
                with html.Div(classes="d-flex align-center text-body-2 mt-1 vs-legend"):
                    html.Span(classes="vs-swatch mr-2", style=(f"'background:' + {entry}.colour",))
                    html.Span(f"{{{{ {entry}.title }}}}", classes="mr-2")
                    html.Span(f"{{{{ {entry}.text }}}}", classes=f"{_SMALL} ml-auto")
                with html.Div(v_show=(name.shown,)):
                    draw_layer(self._server, kind_layer_name(kind), f"{kind.title}s")

    def _draw_metrics(self) -> None:
        with (
            VTable(density="compact", classes="my-3 vs-metrics"),
            html.Tbody(),
            html.Tr(v_for=f"row in {self._compare.metrics}"),
        ):
            html.Td("{{ row.title }}")
            html.Td(
                "{{ row.value }} {{ row.unit }}",
                classes=("'text-right text-no-wrap' + (row.former ? ' text-disabled' : '')",),
            )

    def _draw_errors(self) -> None:
        name = self._errors
        with html.Div(classes="d-flex align-center"):
            html.Span(f"{{{{ {name.note} }}}}", classes=f"{_SMALL} flex-grow-1 vs-errors-note")
            VBtn(
                "Previous",
                size="small",
                variant="text",
                click=self.previous_clicked,
                disabled=(f"!{name.rows}.length",),
            )
            VBtn("Next", size="small", variant="tonal", click=self.next_clicked, disabled=(f"!{name.rows}.length",))
        VSwitch(
            v_model=(name.hide_boundary,),
            label="Hide thin rims",
            density="compact",
            hide_details=True,
            color="primary",
        )
        with (
            html.Div(classes="vs-scroll"),
            VTable(density="compact", hover=True, classes="vs-errors"),
            html.Tbody(),
            html.Tr(
                v_for=f"row in {name.rows}",
                key=("row.id",),
                click=(self.error_clicked, "[row.id]"),
                style=(f"row.id === {name.chosen} ? 'background: rgba(255, 230, 60, 0.25)' : ''",),
            ),
        ):
            with html.Td():
                html.Span(classes="vs-swatch mr-2", style=("'background:' + row.colour",))
                html.Span("{{ row.kind }}")
            html.Td("{{ row.length }}", classes="text-right text-no-wrap")
            html.Td("{{ row.volume }}", classes="text-right text-no-wrap")
        html.Div(f"{{{{ {name.details} }}}}", v_if=(name.details,), classes=f"{_SMALL} mt-1 vs-details")
