"""The section "Review"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VSelect, VTable
from undo_stack import Signal

from vesselseg.review.error_kinds import ErrorKind
from vesselseg_web.logic.layers import kind_layer_name
from vesselseg_web.logic.scan_logic import REFERENCE
from vesselseg_web.logic.states import CompareState, ErrorListState, ScanState
from vesselseg_web.ui.layer_ui import draw_switches
from vesselseg_web.ui.section_ui import SectionUI, action, names_of, upload_button
from vesselseg_web.workspace.wording import LOAD_FIRST

_SMALL = "text-caption text-medium-emphasis"
_NEAREST = "{ block: 'nearest' }"
#: The colour alone is hardly seen on white.
_CHOSEN = "background: rgba(255, 230, 60, 0.25); box-shadow: inset 4px 0 0 rgb(var(--v-theme-primary))"
#: What the lengths in the list are, as in the panel.
_LENGTH = "Of the centreline of what is missing or too much; its width where that is larger, as of a short gap."
#: Metrics that are always in sight.
_FIRST_METRICS = 4


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
            reference = (server, "Open a reference", REFERENCE)
            why_no_reference = f"({scan.name} ? '' : '{LOAD_FIRST}')"
            with html.Div(v_if=(f"!{name.references}.length",)):
                upload_button(*reference, why_not=why_no_reference)
            with html.Div(v_else=True, classes="d-flex align-center ga-2 mt-1 mb-2"):
                with html.Div(classes="flex-1-1-0", title=(name.reference,)):
                    VSelect(
                        label="Reference",
                        v_model=(name.reference,),
                        items=(name.references,),
                        density="compact",
                        variant="outlined",
                        hide_details=True,
                    )
                upload_button(*reference, why_not=why_no_reference, icon="mdi-folder-open-outline")
            with html.Div(classes="d-flex ga-2"):
                with html.Div(classes="flex-1-1-0"):
                    action(
                        "Compare",
                        self.compare_clicked,
                        why_not=name.why_not,
                        variant="flat",
                        color="primary",
                        classes="vs-compare-button",
                    )
                with html.Div(v_if=(name.compared,)):
                    action(
                        "Stop comparing",
                        self.stop_clicked,
                        title="Stop comparing and show the vessels again",
                        classes="vs-stop-button",
                    )
            with html.Div(v_if=(name.compared,)):
                html.Div(f"{{{{ {name.notes} }}}}", v_if=(name.notes,), classes=_SMALL)
                self._draw_legend()
                self._draw_metrics()
                self._draw_errors()

    def _draw_legend(self) -> None:
        name = self._compare
        for index, kind in enumerate(ErrorKind):
            entry = f"{name.legend}[{index}]"
            with html.Div(
                v_if=(entry,), title=(f"{entry}.text",), classes="d-flex align-center text-body-2 mt-1 vs-legend"
            ):
                html.Span(classes="vs-swatch mr-2", style=(f"'background:' + {entry}.colour",))
                html.Span(f"{{{{ {entry}.title }}}}", classes="flex-grow-1")
                html.Span(f"{{{{ {entry}.volume }}}}", classes=f"{_SMALL} mr-3")
                draw_switches(self._server, kind_layer_name(kind), f"{kind.title}s", disabled=f"!{name.shown}")

    def _draw_metrics(self) -> None:
        metrics = self._compare.metrics
        with html.Div(classes="mt-2 vs-metrics"):
            _draw_values(f"{metrics}.slice(0, {_FIRST_METRICS})")
        with html.Details():
            html.Summary("More metrics", classes=_SMALL)
            with html.Div(style="font-size: 13px"):
                _draw_values(f"{metrics}.slice({_FIRST_METRICS})")

    def _draw_errors(self) -> None:
        name = self._errors
        with html.Div(classes="d-flex align-center"):
            html.Span(f"{{{{ {name.note} }}}}", classes=f"{_SMALL} flex-grow-1 vs-errors-note")
            with html.Div(title="Show or hide errors that are only one voxel thick along a vessel"):
                VBtn(
                    "Edge errors",
                    size="small",
                    prepend_icon=(f"{name.hide_boundary} ? 'mdi-eye-off' : 'mdi-eye'",),
                    variant="text",
                    aria_pressed=(f"!{name.hide_boundary}",),
                    click=f"{name.hide_boundary} = !{name.hide_boundary}",
                    classes="px-2 vs-rims",
                )
            for icon, title, click in (
                ("mdi-chevron-left", "Previous error (P)", self.previous_clicked),
                ("mdi-chevron-right", "Next error (N)", self.next_clicked),
            ):
                VBtn(
                    icon=icon,
                    size="small",
                    density="comfortable",
                    variant="tonal",
                    rounded="lg",
                    click=click,
                    title=title,
                    disabled=(f"!{name.rows}.length",),
                    classes="ml-1",
                )
        with html.Div(classes="vs-scroll"), VTable(density="compact", hover=True, classes="vs-errors"):
            with html.Thead(v_if=(f"{name.rows}.length",)), html.Tr():
                html.Th("Error")
                html.Th("Length affected", classes="text-right", title=_LENGTH)
                html.Th("Volume", classes="text-right")
            with html.Tbody(), html.Tr(
                v_for=f"row in {name.rows}",
                key=("row.id",),
                tabindex="0",
                raw_attrs=[
                    # Keys and arrows go through the list, too.
                    f':ref="(line) => row.id === {name.chosen} && line?.scrollIntoView({_NEAREST})"',
                    '@keydown.enter.space.prevent="$event.currentTarget.click()"',
                ],
                click=(self.error_clicked, "[row.id]"),
                aria_current=(f"row.id === {name.chosen}",),
                style=(f"row.id === {name.chosen} ? '{_CHOSEN}' : ''",),
            ):  # fmt: skip
                with html.Td():
                    html.Span(classes="vs-swatch mr-2", style=("'background:' + row.colour",))
                    html.Span("{{ row.kind }}")
                html.Td("{{ row.length }}", classes="text-right text-no-wrap")
                html.Td("{{ row.volume }}", classes="text-right text-no-wrap")
        html.Div(f"{{{{ {name.details} }}}}", v_if=(name.details,), classes=f"{_SMALL} mt-1 vs-details")


def _draw_values(rows: str) -> None:
    with html.Div(v_for=f"row in {rows}", classes="d-flex ga-1 vs-metric"):
        html.Span("{{ row.title }}", title=("row.explanation",), classes="flex-grow-1 text-medium-emphasis")
        html.Span(
            "{{ row.value }} {{ row.unit }}",
            classes=("'text-no-wrap' + (row.not_current ? ' text-medium-emphasis font-italic' : '')",),
            title=("row.not_current",),
        )
