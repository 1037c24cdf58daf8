"""The section "Correct"."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VDivider, VTextField
from undo_stack import Signal

from vesselseg_web.logic.correct_logic import NO_ERROR_CHOSEN
from vesselseg_web.logic.states import CorrectState, ErrorListState
from vesselseg_web.ui.section_ui import SectionUI, action, names_of
from vesselseg_web.ui.tools_ui import ToolsUI
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED, REVIEWED


class CorrectUI(SectionUI):
    """Tools, decisions about the chosen error, and the steps made.

    Attributes
    ----------
    tools : ToolsUI
    """

    decided = Signal(str)

    def __init__(self, server: Any) -> None:
        super().__init__(server, "correct", "Correct")
        name, errors = names_of(server, CorrectState), names_of(server, ErrorListState)
        why_not = f"{name.why_no_decision} || ({errors.chosen} ? '' : '{NO_ERROR_CHOSEN}')"
        with self.body:
            self.tools = ToolsUI(server)
            with html.Div(style="max-height: 40px; overflow-y: auto"):
                html.Div(
                    "{{ step }}", v_for=f"step in {name.steps}", classes="text-caption text-medium-emphasis vs-step"
                )
            VDivider(classes="my-2")
            html.Div("The chosen error: Accept corrects the vessels there", classes="text-caption text-medium-emphasis")
            with html.Div(classes="d-flex ga-2"):
                for text, decision, title, options in (
                    ("Accept", ACCEPTED, "Correct this error (A)", {"color": "primary", "variant": "flat"}),
                    ("Reject", REJECTED, "The reference is wrong: the vessels stay as they are (X)", {}),
                    ("Seen", REVIEWED, "Only note that it was seen (S)", {}),
                ):
                    with html.Div(classes="flex-1-1-0"):
                        action(
                            text,
                            (self.decided, f"['{decision}']"),
                            why_not=why_not,
                            title=title,
                            classes=f"vs-{decision}",
                            **options,
                        )
            with html.Div(title="Stands in the list of edits beside each of yours.", classes="mt-2"):
                VTextField(
                    v_model=(name.reader,), label="Reader", density="compact", variant="outlined", hide_details=True
                )
