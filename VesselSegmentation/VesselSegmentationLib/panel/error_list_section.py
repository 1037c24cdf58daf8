"""Walking through the errors, in the section "Review" of 3D Slicer's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from vesselseg.plain_text import counted
from vesselseg.review.error_components import ErrorComponent
from VesselSegmentationLib.panel.application_views import user_name
from VesselSegmentationLib.panel.panel_section import (
    ANOTHER,
    PanelSection,
    allow,
    errors_shown,
    fit_columns,
    make_timer,
    say,
    set_row,
)
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, DECISION_WORDS, REJECTED, REVIEWED
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS

_BLINK_MILLISECONDS = 350
#: An even number, so that the mark is shown at the end.
_BLINKS = 6
#: The list is sorted by what matters: nobody walks farther, and more rows would take their time with every edit.
_ROWS = 300


class ErrorListSection(PanelSection):
    """List of errors, what is known about the chosen one, and what the reader says about it.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        self._running = False
        self._ids: list[str] = []
        self._blinks = 0
        self._blink_timer = make_timer(_BLINK_MILLISECONDS, self._blink)
        ui.errorsTable.connect("currentCellChanged(int,int,int,int)", self._choose_row)
        ui.previousErrorButton.connect("clicked(bool)", self.previous)
        ui.nextErrorButton.connect("clicked(bool)", self.next)
        ui.reviewedButton.connect("clicked(bool)", lambda: self.mark(REVIEWED))
        ui.acceptButton.connect("clicked(bool)", lambda: self.mark(ACCEPTED))
        ui.rejectButton.connect("clicked(bool)", lambda: self.mark(REJECTED))
        ui.hideBoundaryCheckBox.connect("toggled(bool)", self._filter)
        ui.hideMarkedCheckBox.connect("toggled(bool)", self._filter)
        ui.readerLineEdit.text = user_name()
        fit_columns(ui.errorsTable)
        self._show()

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        self._running = running
        reason = "" if self._review.navigator is not None else _("Compare the vessels with a reference first.")
        walk = reason
        if not reason and not self._ids:
            walk = _("There is nothing in the list.")
        # What is decided while a segmentation runs would be lost with the history when it ends.
        decide = _("Wait until the segmentation is done, or cancel it.") if running else walk
        accept = _("Note it as accepted; the vessels stay as they are (key A).")
        reject = _("Note it as rejected; the vessels stay as they are (key X).")
        again = " " + _("Once more takes it back.")
        if walk == "" and self._is_truth():
            reject = _("The reference is wrong here: leave the vessels as they are (key X).")
            if self._corrects():
                accept = _("The segmentation is wrong here: change the vessels to match the reference (key A).")
                again = ""  # undo does
        for widget, why, tool_tip in (
            (self.ui.hideBoundaryCheckBox, reason, _("Hide those one voxel thick along vessels that both have.")),
            (self.ui.hideMarkedCheckBox, reason, _("Hide what was marked.")),
            (self.ui.previousErrorButton, walk, _("Go to the one before (key P).")),
            (self.ui.nextErrorButton, walk, _("Go to the next one (key N).")),
            (self.ui.reviewedButton, decide, _("Mark as seen; the vessels stay as they are (key S).") + again),
            (self.ui.acceptButton, decide, accept + again),
            (self.ui.rejectButton, decide, reject + again),
        ):
            allow(widget, why, tool_tip)

    def comparison_changed(self, changed: set[str]) -> None:
        """Show the list."""
        if ANOTHER in changed:
            self._blink_timer.stop()
            if self._review.navigator is not None:
                truth = self._is_truth()
                self.ui.errorsGroupBox.title = _("Errors") if truth else _("Differences")
                hide = _("Hide edge errors") if truth else _("Hide edge differences")
                self.ui.hideBoundaryCheckBox.text = hide
                self.ui.errorsGroupBox.collapsed = False
                self._filter()
        if COMPONENTS in changed:
            self._show()

    def halt(self) -> None:
        """Blink no more."""
        self._blink_timer.stop()

    def next(self) -> None:
        """Go to the next error."""
        self._go(lambda: self._review.navigator.next())

    def previous(self) -> None:
        """Go to the error before."""
        self._go(lambda: self._review.navigator.previous())

    def mark(self, decision: str) -> None:
        """Remember what the reader says about the chosen error, correct it if accepted, and go to the next one.

        What is no step of the history, and cannot be undone therefore, is taken back by the same decision once more.
        """
        navigator = self._review.navigator
        if self._running or navigator is None or navigator.current is None:
            return
        with errors_shown(_("The mark could not be made."), wait_cursor=True):
            errors, reader = self.logic.edits.errors, self.ui.readerLineEdit.text
            component_id = navigator.current.component_id
            if errors is not None and self._corrects():
                errors.decide(component_id, decision, reader)
            elif navigator.decision_of(component_id) == decision:
                navigator.unmark(component_id)
                self._show()
                return
            else:
                navigator.mark(component_id, decision, reader)
            self._show()
            self.next()

    def _corrects(self) -> bool:
        """Tell whether what is compared is what is edited, with what is the truth."""
        errors = self.logic.edits.errors
        return errors is not None and errors.applies and self._is_truth()

    def _is_truth(self) -> bool:
        """Tell whether the reference is the truth: of two results, none is corrected by the other."""
        return bool(self._review.error_map.wording.piece_title == "error")

    def _filter(self, checked: bool = False) -> None:
        navigator = self._review.navigator
        if navigator is not None:
            navigator.hide_boundary = self.ui.hideBoundaryCheckBox.checked
            navigator.hide_marked = self.ui.hideMarkedCheckBox.checked
            self._show()

    def _choose_row(self, row: int, column: int, former_row: int, former_column: int) -> None:
        if 0 <= row < len(self._ids):
            self._go(lambda: self._review.navigator.choose(self._ids[row]))

    def _go(self, step: Callable[[], Any]) -> None:
        if self._review.navigator is None:
            return
        failed = _("The error could not be shown.") if self._is_truth() else _("The difference could not be shown.")
        with errors_shown(failed):
            component = step()
            if component is not None:
                self._select(component)
                self._blinks = _BLINKS
                self._blink_timer.start()

    def _blink(self) -> None:
        self._blinks -= 1
        if self._blinks <= 0 or self._review.navigator is None:
            self._blink_timer.stop()
        if self._review.navigator is not None:
            self._review.navigator.highlight.set_visible(self._blinks % 2 == 0)

    def _select(self, component: ErrorComponent | None) -> None:
        table = self.ui.errorsTable
        known = component is not None and component.component_id in self._ids
        table.blockSignals(True)
        table.setCurrentCell(self._ids.index(component.component_id) if known and component else -1, 0)
        table.blockSignals(False)
        say(self.ui.errorDetailsLabel, self._details(component) if component is not None else "")

    def _show(self) -> None:
        table, navigator = self.ui.errorsTable, self._review.navigator
        shown = navigator.shown() if navigator is not None else []
        marks = navigator.current_marks() if navigator is not None else {}
        self._ids = [component.component_id for component in shown[:_ROWS]]
        table.blockSignals(True)
        table.setRowCount(len(self._ids))
        for row, component in enumerate(shown[:_ROWS]):
            mark = marks.get(component.component_id)
            title = self._review.error_map.wording.title(component.kind)
            lengths = f"{component.affected_mm:.1f} mm", f"{component.volume_mm3:.1f} mm³"
            set_row(table, row, (title, *lengths, _(DECISION_WORDS[mark.decision]) if mark else ""))
            table.item(row, 0).setToolTip(title)
        table.blockSignals(False)
        self._select(navigator.current if navigator is not None else None)
        say(self.ui.errorsNoteLabel, self._note(len(shown), len(marks)))
        self.update(self._running)

    def _note(self, shown: int, marked: int) -> str:
        listing = self._review.listing
        if listing is None:
            return ""
        truth = self._is_truth()
        if listing.flooded and listing.pending:
            text = _("{voxels:,} voxels differ; the list is still being made.")
            return text.format(voxels=listing.flooded)
        if listing.failed:
            failed = _("The errors could not be listed.") if truth else _("The differences could not be listed.")
            return failed + " " + _("The next edit starts a new attempt.")
        total = len(self._review.navigator.components)
        pieces = counted(total, _("error") if truth else _("difference"))
        text = _("{shown:,} of {pieces} shown, {marked:,} marked.").format(shown=shown, pieces=pieces, marked=marked)
        if listing.count > total:
            more = _("{voxels:,} voxels differ: of {count:,} pieces only those that matter most are listed.")
            text = more.format(voxels=listing.flooded, count=listing.count) + " " + text
        if shown > _ROWS:
            text += " " + _("The table holds the first {rows}.").format(rows=_ROWS)
        return text

    def _details(self, component: ErrorComponent) -> str:
        parts = [
            _("{voxels:,} voxels").format(voxels=component.voxels),
            _("largest radius {radius:.1f} mm").format(radius=component.radius_mm),
            _("centreline {length:.1f} mm").format(length=component.length_mm),
            _("at {place} mm").format(place=_place(self._review.navigator.position_of(component))),
        ]
        if component.mean_probability is not None:
            parts.append(_("mean probability {value:.2f}").format(value=component.mean_probability))
        nearest = self._review.navigator.nearest_segment(component)
        if nearest is not None:
            parts.append(_("nearest: {name} ({distance:.1f} mm)").format(name=nearest[0], distance=nearest[1]))
        mark = self._review.navigator.mark_of(component)
        if mark is not None:
            parts.append(_("{decision} by {reader}, {time}").format(
                decision=_(DECISION_WORDS[mark.decision]), reader=mark.reader or _("unnamed"), time=mark.time
            ))  # fmt: skip
        return ", ".join(parts)


def _place(position: tuple[float, float, float]) -> str:
    """Return a place in the letters of radiology: R or L, A or P, S or I."""
    return ", ".join(f"{letters[value < 0]} {abs(value):.1f}" for letters, value in zip(("RL", "AP", "SI"), position))
