"""The question before corrections are lost: the one place that asks it, whatever would lose them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import QuestionState
from VesselSegmentationLib.scene.vessel_label import changed_since_written

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case

_KEEP = "Keep my corrections"


@dataclass(frozen=True)
class Loss:
    """Something that takes corrections away.

    Parameters
    ----------
    title, text, go_on : str
        Of the question, and what its button for going on says; "{scan}" in the text stands for the name of the scan.
    busy : str
        What is being done as soon as the user has agreed.
    can_be_undone : bool
        Whether undo brings the corrections back; else only those that were not saved are asked about.
    ends : bool
        Whether it is the browser that does it, by ending the visit.
    """

    title: str
    text: str
    go_on: str
    busy: str = ""
    can_be_undone: bool = False
    ends: bool = False


def _replacing(what: str) -> Loss:
    text = f"The vessels were corrected by hand. {what} replaces them, and your corrections with them, "
    return Loss(
        "Replace corrected vessels?",
        f"{text}except for arteries and veins with names. Undo brings them back.",
        "Replace",
        "Replacing the vessels",
        can_be_undone=True,
    )


SEGMENTING, THRESHOLD = _replacing("Another segmentation"), _replacing("Another threshold")

_NOT_SAVED = "Your corrections of '{scan}' are not saved. "
_SAVE_FIRST = " for good. To keep them, download the session first, in the section Save."
ENDING = Loss(
    "End without your corrections?",
    f"{_NOT_SAVED}Ending deletes them, with everything else on this page,{_SAVE_FIRST}",
    "End and lose them",
    ends=True,
)


def loading(name: str) -> Loss:
    """Return the loss that comes with another scan or session."""
    return Loss(
        "Load without your corrections?",
        f"{_NOT_SAVED}'{name}' takes the place of everything on this page, and they are lost{_SAVE_FIRST}",
        "Load and lose them",
        "Loading",
    )


@dataclass(frozen=True)
class _Waiting:
    """What waits for the answer."""

    loss: Loss
    go_on: Callable[[], object]
    keep: Callable[[], object]


class QuestionLogic(SectionLogic[QuestionState]):
    """Lets go on at once where nothing is lost, and asks where corrections would be.

    Parameters
    ----------
    page : PageLogic
    case : Case
    """

    def __init__(self, page: PageLogic, case: Case) -> None:
        super().__init__(page, case, QuestionState)
        self._waiting: _Waiting | None = None
        case.scan_changed.connect(self.decline)

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.agreed.connect(self.agree)
        ui.declined.connect(self.decline)

    def before(self, loss: Loss, go_on: Callable[[], object], keep: Callable[[], object] = lambda: None) -> None:
        """Do something that takes corrections away: at once if there are none, else when the user has agreed.

        Parameters
        ----------
        loss : Loss
        go_on : callable
            Does it.
        keep : callable
            Called instead if the user wants to keep the corrections, or has not yet answered an earlier question.
        """
        lost = True  # if that cannot be told, asking does no harm
        with self.page.reporting(keep=True):
            lost = self._loses(loss)
        if not lost:
            go_on()
        elif self._waiting is not None:
            keep()
        else:
            self._waiting = _Waiting(loss, go_on, keep)
            data = self.data
            data.text = loss.text.replace("{scan}", str(self.case.scan.GetName()))
            data.title, data.go_on, data.keep, data.ends = loss.title, loss.go_on, _KEEP, loss.ends

    async def agreed(self, loss: Loss) -> bool:
        """Return whether to go on with what takes corrections away; waits for the user where there are any."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.before(loss, lambda: answer.set_result(True), lambda: answer.set_result(False))
        busy, self.page.data.busy = self.page.data.busy, ""  # it is the user who is waited for
        try:
            return await answer
        finally:
            self.page.data.busy = busy
            if answer.cancelled():
                self._take()

    async def agree(self) -> None:
        """Go on; the question goes away before the work begins."""
        waiting = self._take()
        if waiting is not None:
            async with self.page.busy(waiting.loss.busy):
                waiting.go_on()

    def decline(self) -> None:
        """Keep the corrections."""
        waiting = self._take()
        if waiting is not None:
            waiting.keep()

    def ask_to_end(self) -> None:
        """Ask before the visit is ended, if corrections would be lost; the browser itself goes on."""
        self.before(ENDING, lambda: None)

    def _loses(self, loss: Loss) -> bool:
        self.case.edits.poll()  # the last stroke counts
        if loss.can_be_undone:
            return self.case.has_vessels and changed_since_written(self.case.vessels)
        return self.case.edits.unsaved_edits

    def _take(self) -> _Waiting | None:
        waiting, self._waiting = self._waiting, None
        self.data.title = ""
        return waiting
