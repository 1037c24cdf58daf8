"""What the sections of 3D Slicer's panel have in common."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.wording import sentence

#: Beside what `ReviewLogic.poll` says: another comparison has begun, or the last one has ended.
ANOTHER = "another"


class PanelSection:
    """A part of the panel: it connects its widgets with the logic and computes nothing.

    A new section is a class in a file of its own, a collapsible button in the ``.ui`` file with the widgets that it
    names, and a line in `VesselSegmentationWidget.setup`.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic

    Attributes
    ----------
    parameters : VesselSegmentationParameterNode or None
        What the user has chosen; None while the scene is being closed.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        self.ui = ui
        self.logic = logic
        self.parameters: Any = None

    def update(self, running: bool) -> None:
        """Bring the widgets up to date with the parameters, which are there.

        Parameters
        ----------
        running : bool
            Whether a segmentation runs.
        """

    def comparison_changed(self, changed: set[str]) -> None:
        """Show what has changed in the comparison of two labels; `logic.review.error_map` is None if there is none.

        Parameters
        ----------
        changed : set of str
            `ANOTHER`, and what `ReviewLogic.poll` returns.
        """

    def leave(self) -> None:
        """Let the views be: another module is opened."""

    def halt(self) -> None:
        """Stop jobs and timers, without a word: all do before the first of them lets go, which may ask something."""

    def let_go(self) -> None:
        """Stop what acts on the scene: it is about to be closed."""

    def close(self) -> None:
        """Stop everything, the panel goes: for most it is the same as `let_go`."""
        self.let_go()

    def may_replace_vessels(self) -> bool:
        """Ask before work that was done by hand is lost; True if there is none, False in a scene that is closing."""
        if slicer.mrmlScene.IsClosing():  # another module may be asking something, which keeps our timers going
            return False
        node = self.parameters.outputSegmentation
        if not self.logic.isEdited(node):
            return True
        question = _(
            "The vessels of '{name}' were edited by hand. They will be replaced, and the edits with them, except for "
            "arteries and veins with names; Undo brings them back. Go on?"
        )
        return bool(
            slicer.util.confirmOkCancelDisplay(question.format(name=node.GetName()), _("Replace edited vessels?"))
        )


def end_all(sections: Sequence[PanelSection], method: str) -> None:
    """Halt all sections, then call a method of all; what goes wrong in one does not keep it from the others.

    The last one comes first. While one asks the user, no timer of another may go on with the scene, or ask as well.
    """
    for step in ("halt", method):
        for section in reversed(sections):
            try:
                getattr(section, step)()
            except Exception:  # the user has seen it already, where there is anything to see
                logging.exception("%s could not let go", type(section).__name__)


class _Said(VesselSegError):
    """An error as the panel shows it."""

    def __str__(self) -> str:
        return sentence(self)


@contextlib.contextmanager
def errors_shown(text: str, *, wait_cursor: bool = False) -> Iterator[None]:
    """Do something; what goes wrong is shown in a dialogue, in whole sentences, and raised.

    Parameters
    ----------
    text : str
        What could not be done then, as a sentence.
    wait_cursor : bool
        Whether it may take a moment.
    """
    with slicer.util.tryWithErrorDisplay(text, waitCursor=wait_cursor):
        try:
            yield
        except VesselSegError as error:
            raise _Said(error.message, error.advice) from error


def show_failure(text: str, error: VesselSegError) -> None:
    """Show in a dialogue how a job has failed; what a crashed worker has said is in its details.

    Parameters
    ----------
    text : str
        What could not be done, as a sentence.
    error : VesselSegError
    """
    details = error.message.partition("\n")[2]
    slicer.util.errorDisplay(f"{text}\n\n{sentence(error)}", detailedText=details or sentence(error))


def make_timer(milliseconds: int, slot: Callable[[], None]) -> Any:
    """Return a QTimer that is not running yet."""
    timer = qt.QTimer()
    timer.setInterval(milliseconds)
    timer.connect("timeout()", slot)
    return timer


def say(label: Any, text: str) -> None:
    """Show a text; an empty one takes no room."""
    label.text = text
    label.setVisible(bool(text))


def fit_columns(table: Any) -> None:
    """Give the first column of a QTableWidget the room that the others leave."""
    header = table.horizontalHeader()
    header.setStretchLastSection(False)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in range(1, table.columnCount):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)


def set_row(table: Any, row: int, texts: tuple[str, ...]) -> None:
    """Write the texts of a row of a QTableWidget."""
    for column, text in enumerate(texts):
        table.setItem(row, column, qt.QTableWidgetItem(text))


def ask_for_file(title: str, suggestion: str, kinds: str) -> str:
    """Ask where to save a file; an empty text if the user would rather not.

    Parameters
    ----------
    title : str
        Of the dialogue.
    suggestion : str
        Path; its ending, one of those of `kinds`, is added where the user leaves all of them out.
    kinds : str
        As Qt's dialogues take them: ``"Tables (*.csv)"``.
    """
    path = str(qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, suggestion, kinds) or "")
    endings = re.findall(r"\*(\.[\w.]+)", kinds)
    if not path or path.lower().endswith(tuple(endings)):
        return path
    path += next(ending for ending in endings if suggestion.endswith(ending))
    # The dialogue has asked about the name as it was typed.
    question = _("'{name}' exists already. Replace it?").format(name=os.path.basename(path))
    return path if not os.path.exists(path) or slicer.util.confirmOkCancelDisplay(question, title) else ""


def allow(widget: Any, reason: str, tool_tip: str) -> None:
    """Enable a widget, or disable it and let its tooltip say why.

    Parameters
    ----------
    widget : QWidget
    reason : str
        Why it cannot be used; empty if it can.
    tool_tip : str
        What it is for.
    """
    widget.enabled = not reason
    widget.toolTip = reason or tool_tip


def show_choice(combo_box: Any, value: str, unknown: str) -> None:
    """Make the entry of a combo box current that has a value as its data; add one if there is none.

    Parameters
    ----------
    combo_box : QComboBox
    value : str
        Empty: nothing is changed.
    unknown : str
        Text of an entry that must be added, with ``{name}`` for the value.
    """
    if not value:
        return
    if combo_box.findData(value) < 0:
        # A scene from another machine: its choice is shown as it is, not quietly replaced.
        combo_box.addItem(unknown.format(name=value), value)
    combo_box.setCurrentIndex(combo_box.findData(value))
