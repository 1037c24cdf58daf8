"""Correcting the vessels: errors are accepted or rejected, every step can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselseg_web.page_logic import PageLogic, SectionLogic
from vesselseg_web.states import CorrectState
from VesselSegmentationLib.component_marks import ACCEPTED, DECISIONS, REJECTED
from VesselSegmentationLib.review_logic import COMPONENTS

if TYPE_CHECKING:
    from vesselseg_web.case import Case
    from VesselSegmentationLib.edit_steps import EditStep

_DONE = {ACCEPTED: "The error was corrected.", REJECTED: "The error was rejected: the label stays as it is."}


class CorrectLogic(SectionLogic[CorrectState]):
    """Answers to the section "Correct".

    Parameters
    ----------
    page : PageLogic
    case : Case
    compared : callable
        Called with what has changed in the comparison on the way.
    """

    def __init__(self, page: PageLogic, case: Case, compared: Callable[[set[str]], None]) -> None:
        super().__init__(page, case, CorrectState)
        self._compared = compared
        case.scan_changed.connect(self.update)
        case.labels_changed.connect(self.update)
        self.update()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.decided.connect(self.decide)
        ui.undo_clicked.connect(self.undo)
        ui.redo_clicked.connect(self.redo)

    def decide(self, decision: str) -> None:
        """Accept the chosen error, which corrects it, or reject it, or say that it was seen; then show the next one."""
        navigator, errors = self.case.review.navigator, self.case.edits.errors
        if navigator is None or navigator.current is None or errors is None or decision not in DECISIONS:
            return
        with self.page.reporting():
            errors.decide(navigator.current.component_id, decision, self.data.reader)
            self.page.say(_DONE.get(decision, "The error was seen."))
            self._take_changes()
            navigator.next()
        self._compared({COMPONENTS})

    def undo(self) -> None:
        """Take the last step back."""
        self._step(self.case.edits.undo, "Undone")

    def redo(self) -> None:
        """Do the last undone step again."""
        self._step(self.case.edits.redo, "Done again")

    def poll(self) -> None:
        """Notice steps that others have made, such as a threshold."""
        self.case.edits.poll()
        self._take_changes()
        self._show_steps()

    def update(self) -> None:
        """Say what can be done."""
        edits = self.case.edits
        self.data.why_not = "" if edits.target is not None else "Segment a scan first."
        self.data.why_no_decision = "" if self.case.review.error_map is not None else "Compare with a reference first."
        if edits.target is None:
            self.data.why_no_decision = self.data.why_not
        self._show_steps()

    def comparison_changed(self, changed: set[str]) -> None:
        """See what can be done."""
        self.update()

    def _step(self, step: Callable[[], EditStep], word: str) -> None:
        with self.page.reporting():
            self.page.say(f"{word}: {step().description}.")
            self._take_changes()
        self.update()

    def _take_changes(self) -> None:
        errors = self.case.edits.errors
        changed = errors.take_changes() if errors is not None else set()
        if changed:
            self._compared(changed)

    def _show_steps(self) -> None:
        edits = self.case.edits
        self.data.can_undo, self.data.can_redo = edits.can_undo, edits.can_redo
        steps = edits.target.history.steps if edits.target is not None else []
        self.data.steps = [step.description for step in reversed(steps)]
