"""Correcting the vessels: tools, decisions about errors, and one history in which every step can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trame_server.utils.typed_state import TypedState

from vesselseg_web.logic.compare_logic import NOT_COMPARED
from vesselseg_web.logic.free_hand_logic import FreeHandLogic
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import CorrectState, SegmentState
from vesselseg_web.logic.tools_logic import ToolsLogic
from vesselseg_web.workspace.wording import SEGMENT_FIRST, step_text
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, DECISIONS, REJECTED
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case
    from VesselSegmentationLib.correcting.edit_steps import EditStep

NO_ERROR_CHOSEN = "Choose an error in the list under Review."
_DONE = {ACCEPTED: "The error was corrected.", REJECTED: "The error was rejected: the vessels stay as they are."}


class CorrectLogic(SectionLogic[CorrectState]):
    """Answers to the section "Correct".

    Parameters
    ----------
    page : PageLogic
    case : Case
    compared : callable
        Called with what has changed in the comparison on the way.

    Attributes
    ----------
    tools : ToolsLogic
    free_hand : FreeHandLogic
    """

    def __init__(self, page: PageLogic, case: Case, compared: Callable[[set[str]], None]) -> None:
        super().__init__(page, case, CorrectState)
        self._compared = compared
        self._measured: Any = None
        self._segment = TypedState(self.state, SegmentState).data
        self.free_hand = FreeHandLogic(page, case)
        self.tools = ToolsLogic(page, case, self.free_hand, self._after_step)
        self.bind_changes({self.name.reader: self._set_reader})
        case.scan_changed.connect(self.update)
        case.labels_changed.connect(self.update)
        self.update()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.decided.connect(self.decide)
        ui.tools.undo_clicked.connect(self.undo)
        ui.tools.redo_clicked.connect(self.redo)
        self.tools.set_ui(ui.tools)

    def decide(self, decision: str) -> None:
        """Accept the chosen error, which corrects it, or reject it, or say that it was seen; then show the next one."""
        navigator, errors = self.case.review.navigator, self.case.edits.errors
        if decision not in DECISIONS:
            return
        self.update()  # the last poll may not have known yet of a segmentation that runs
        why_not = self.data.why_no_decision
        if why_not or navigator is None or navigator.current is None or errors is None:
            # Keys know no buttons that cannot be pressed.
            self.page.say(why_not or NO_ERROR_CHOSEN)
            return
        with self.page.reporting():
            errors.decide(navigator.current.component_id, decision, self.data.reader)
            self.tools.catch_up()
            self.page.say(_DONE.get(decision, "The error was seen."))
            self._take_changes()
            navigator.next()
        self._compared({COMPONENTS})

    def undo(self) -> None:
        """Take the last step back."""
        self._step("undo", lambda: self.case.edits.can_undo, self.case.edits.undo, "Undone")

    def redo(self) -> None:
        """Do the last undone step again."""
        self._step("redo", lambda: self.case.edits.can_redo, self.case.edits.redo, "Redone")

    def poll(self) -> None:
        """Notice steps that others have made, such as a threshold."""
        self.case.edits.poll()
        self._take_changes()
        self.tools.poll()
        self.update()

    def stop(self) -> None:
        """Put the tool down, and forget who has edited."""
        self.tools.stop()
        self.data.reader = ""
        self._set_reader("")

    def update(self) -> None:
        """Say what can be done."""
        compared = self.case.review.error_map is not None
        self.data.why_not = "" if self.case.edits.target is not None else SEGMENT_FIRST
        # What is decided while a segmentation runs would be lost with the history when it ends.
        self.data.why_no_decision = self.tools.why_no_edit() or ("" if compared else NOT_COMPARED)
        self._show_steps()

    def comparison_changed(self, changed: set[str]) -> None:
        """Measure edits against what the vessels are compared with, and see what can be done."""
        error_map, edits = self.case.review.error_map, self.case.edits
        if error_map is not self._measured and edits.target is not None:
            self._measured = error_map
            with self.page.reporting(keep=True):
                edits.measure_against(edits.compared_reference)
        self.update()

    def _set_reader(self, reader: str) -> None:
        self.case.edits.reader = reader

    def _after_step(self) -> None:
        self._take_changes(decided=True)
        self.update()

    def _step(self, name: str, possible: Callable[[], bool], step: Callable[[], EditStep], word: str) -> None:
        with self.page.reporting():
            self.case.edits.poll()  # a stroke that has just ended is a step, too
            why_not = self.tools.why_no_edit() or ("" if possible() else f"There is nothing to {name}.")
            if why_not:
                self.page.say(why_not)  # keys know no buttons that cannot be pressed
                return
            done = step()
            self.tools.catch_up()  # before the next click, which is meant for what is there now
            self.page.say(f"{word}: {step_text(done)}.")
            if done.tool == AUTOMATIC:
                self.case.run_changed.emit()
            self._take_changes(decided=True)
        self.update()

    def _take_changes(self, *, decided: bool = False) -> None:
        """Tell what has changed in the comparison; with `decided` perhaps only what was said about an error."""
        errors = self.case.edits.errors
        changed = errors.take_changes() if errors is not None else set()
        if decided and self.case.review.error_map is not None:
            changed |= {COMPONENTS}
        if changed:
            self._compared(changed)

    def _show_steps(self) -> None:
        edits = self.case.edits
        free = not self._segment.running
        self.data.can_undo, self.data.can_redo = free and edits.can_undo, free and edits.can_redo
        self.data.unsaved = edits.unsaved_edits
        steps = edits.target.history.steps if edits.target is not None else []
        self.data.steps = [step_text(step) for step in reversed(steps)]
