"""The section "Correct"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VTextField
from undo_stack import Signal

from vesselseg_web.section_ui import SectionUI, action, names_of
from vesselseg_web.states import CorrectState, ErrorListState
from VesselSegmentationLib.component_marks import ACCEPTED, REJECTED, REVIEWED


class CorrectUI(SectionUI):
    """Decisions about the chosen error, and the steps made."""

    decided = Signal(str)
    undo_clicked = Signal()
    redo_clicked = Signal()

    def __init__(self, server: Any) -> None:
        super().__init__(server, "correct", "Correct")
        name, errors = names_of(server, CorrectState), names_of(server, ErrorListState)
        why_not = f"{name.why_no_decision} || ({errors.chosen} ? '' : 'Choose an error in the list above.')"
        with self.body:
            VTextField(v_model=(name.reader,), label="Reader", density="compact", variant="outlined", hide_details=True)
            for text, decision, options in (
                ("Accept: correct this error", ACCEPTED, {"color": "primary", "variant": "flat"}),
                ("Reject: the reference is wrong", REJECTED, {}),
                ("Seen", REVIEWED, {}),
            ):
                action(text, (self.decided, f"['{decision}']"), why_not=why_not, classes=f"vs-{decision}", **options)
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
            html.Div("{{ step }}", v_for=f"step in {name.steps}", classes="text-caption text-medium-emphasis vs-step")
