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

_SMALL = "text-caption text-medium-emphasis"


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
                html.Div("{{ step }}", v_for=f"step in {name.steps}", classes=f"{_SMALL} vs-step")
            VDivider(classes="my-2")
            html.Div("Accept: the segmentation is wrong. Reject: the reference is.", classes=_SMALL)
            with html.Div(classes="d-flex ga-2"):
                for text, decision, title, options in (
                    (
                        "Accept",
                        ACCEPTED,
                        "The segmentation is wrong here, correct it (A)",
                        {"color": "primary", "variant": "flat"},
                    ),
                    ("Reject", REJECTED, "The reference is wrong here, leave the vessels (X)", {}),
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
            with html.Div(title="Your name; saved with each of your edits.", classes="mt-2"):
                VTextField(
                    v_model=(name.reader,), label="Reader", density="compact", variant="outlined", hide_details=True
                )
