"""The section "Correct"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VDivider, VTextField
from undo_stack import Signal

from vesselseg_web.section_ui import SectionUI, action, names_of
from vesselseg_web.states import CorrectState, ErrorListState
from vesselseg_web.tools_ui import ToolsUI
from VesselSegmentationLib.component_marks import ACCEPTED, REJECTED, REVIEWED


class CorrectUI(SectionUI):
    """Tools, decisions about the chosen error, and the steps made.

    Attributes
    ----------
    tools : ToolsUI
    """

    decided = Signal(str)
    undo_clicked = Signal()
    redo_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "correct", "Correct")
        name, errors = names_of(server, CorrectState), names_of(server, ErrorListState)
        why_not = f"{name.why_no_decision} || ({errors.chosen} ? '' : 'Choose an error in the list under Review.')"
        with self.body:
            self.tools = ToolsUI(server)
            with html.Div(classes="d-flex ga-2"):
                for text, click, possible in (
                    ("Undo", self.undo_clicked, name.can_undo),
                    ("Redo", self.redo_clicked, name.can_redo),
                ):
                    with html.Div(classes="flex-grow-1"):
                        action(
                            text,
                            click,
                            why_not=f"{possible} ? '' : 'There is nothing to {text.lower()}.'",
                            classes=f"vs-{text.lower()}",
                        )
            with html.Div(style="max-height: 60px; overflow-y: auto"):
                html.Div(
                    "{{ step }}", v_for=f"step in {name.steps}", classes="text-caption text-medium-emphasis vs-step"
                )
            VDivider(classes="my-2")
            html.Div("The chosen error", classes="text-caption text-medium-emphasis")
            options = {"color": "primary", "variant": "flat"}
            self._draw_decision("Accept: correct this error", ACCEPTED, why_not, **options)
            with html.Div(classes="d-flex ga-2"):
                with html.Div(classes="flex-grow-1"):
                    self._draw_decision("Reject: the reference is wrong", REJECTED, why_not)
                self._draw_decision("Seen", REVIEWED, why_not)
            with html.Div(title="Stands in the list of edits beside each of yours.", classes="mt-2"):
                VTextField(
                    v_model=(name.reader,), label="Reader", density="compact", variant="outlined", hide_details=True
                )

    def _draw_decision(self, text: str, decision: str, why_not: str, **options: Any) -> None:
        action(text, (self.decided, f"['{decision}']"), why_not=why_not, classes=f"text-none vs-{decision}", **options)
