"""The section "Correct" of 3D Slicer's panel: vessel tools, undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_clicks import EditClicks
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.correcting.tool_in_hand import ToolInHand
from VesselSegmentationLib.jobs.wording import sentence
from VesselSegmentationLib.panel.chosen_to_edit import chosen_to_edit, places_of
from VesselSegmentationLib.panel.panel_section import ANOTHER, PanelSection, allow, errors_shown, make_timer, say
from VesselSegmentationLib.panel.tool_choices import ToolChoice
from VesselSegmentationLib.panel.tool_widgets import ToolWidgets
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS
from VesselSegmentationLib.scene.label_source import LabelSource

_POLL_MILLISECONDS = 200
#: How long a slider must rest before the preview follows it.
_REST_MILLISECONDS = 100


class CorrectSection(PanelSection):
    """The tools: clicks in the views, a preview, then Apply or Cancel; every edit is a step of one history.

    The vessels that were found are edited; without them, a segmentation that is compared.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    tell : callable
        Called with what has changed in the comparison: see `PanelSection.comparison_changed`.
    remade : callable
        Called without arguments when vessels of another run or threshold are there again.
    """

    def __init__(self, ui: Any, logic: Any, tell: Callable[[set[str]], None], remade: Callable[[], None]) -> None:
        super().__init__(ui, logic)
        self._edits, self._review, self._tell, self._remade = logic.edits, logic.review, tell, remade
        self._running = self._stopping = False
        self._started: tuple[Any, ...] = ()
        self._reason = ""
        self._refused_at: tuple[Any, ...] = ()
        self._state: Any = None
        self._choice: ToolChoice | None = None
        self._widgets = ToolWidgets(ui, self.choose, self._on_setting)
        self._clicks = EditClicks(slicer.mrmlScene, self._on_clicks)
        self._hand = ToolInHand(
            self._edits, self._review, self._clicks,
            settings=self._widgets.settings, suggest=self._widgets.set_threshold, always_compared=True,
        )  # fmt: skip
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        self._click_timer = make_timer(0, self.take_clicks)
        self._rest_timer = make_timer(_REST_MILLISECONDS, self._preview)
        for timer in (self._click_timer, self._rest_timer):
            timer.setSingleShot(True)
        panel = ui.correctCollapsibleButton.parent()
        # Not the buttons' own shortcuts: undoing must work while the section is closed, too.
        self._shortcuts = [qt.QShortcut(qt.QKeySequence(keys), panel) for keys in ("Ctrl+Z", "Ctrl+Shift+Z", "Ctrl+Y")]
        for shortcut, slot in zip(self._shortcuts, (self.undo, self.redo, self.redo)):
            shortcut.connect("activated()", slot)
        ui.applyButton.connect("clicked(bool)", self.apply)
        ui.cancelToolButton.connect("clicked(bool)", self.cancel)
        ui.undoButton.connect("clicked(bool)", self.undo)
        ui.redoButton.connect("clicked(bool)", self.redo)
        ui.readerLineEdit.connect("textChanged(QString)", self._on_reader)
        self._on_reader(ui.readerLineEdit.text)
        say(ui.toolHintLabel, "")

    def update(self, running: bool) -> None:
        """Edit what is to be edited now, and bring the widgets up to date."""
        begins, self._running = running and not self._running, running
        if begins:
            self.choose("")  # what it shows would be done to other vessels, and Cancel is off meanwhile
        self._follow()
        self._show()

    def comparison_changed(self, changed: set[str]) -> None:
        """Measure edits against what the vessels are compared with; take back what was shown of a former comparison."""
        self._catch_up()
        if ANOTHER in changed and self._edits.target is not None:
            with errors_shown(_("The edits cannot be measured against the reference.")):
                self._edits.measure_against(self._edits.compared_reference)
        self._show()

    def leave(self) -> None:
        """Give the mouse back: another module is opened. The history goes on."""
        self.choose("")

    def halt(self) -> None:
        """Neither notice nor preview anything any more."""
        for timer in (self._timer, self._click_timer, self._rest_timer):
            timer.stop()

    def let_go(self) -> None:
        """Ask what becomes of edits that were not saved: the scene is about to be closed."""
        self._edits.notice_saved()
        keep, nodes = False, self._edits.unsaved_nodes
        if nodes:
            question = _(
                "The edits of {names} are not saved, and the scene is being closed. Keep a copy that you can restore?"
            )
            names = ", ".join(f"'{node.GetName()}'" for node in nodes)
            keep = bool(slicer.util.confirmYesNoDisplay(question.format(names=names), _("Keep edited vessels?")))
        self._stop(lambda: self._edits.stop(keep_autosave=keep))

    def close(self) -> None:
        """Stop editing; what was not saved is offered when the module is opened next."""
        self._edits.notice_saved()
        self._stop(lambda: self._edits.stop(keep_autosave=True))

    def poll(self) -> None:
        """Notice what others have edited, save against crashes, and show what can be undone."""
        try:
            self._edits.notice_saved()
            if self._edits.target is None:
                if self._reason and self.parameters is not None:
                    self._follow()
                    self._show()
                return
            self._edits.poll()
        except VesselSegError as error:
            say(self.ui.toolHintLabel, sentence(error))
        changed = self._edits.errors.take_changes() if self._edits.errors is not None else set()
        if changed:
            self._tell(changed)
        self._catch_up()
        state = (*self._edits.state, self._edits.unsaved_edits)
        if state != self._state:
            self._state = state
            self._show()

    def choose(self, name: str) -> None:
        """Take a tool into the hand, or none.

        Parameters
        ----------
        name : str
            The part before ``ToolButton`` of its button's name; empty for none.
        """
        self._withdraw()
        refused = ""
        if name:
            self.choose("")  # no tool is in the hand while packages are installed, nor if they cannot be
            refused = self._refusal()
        self._choice = self._widgets.choice(name) if not refused else None
        self._widgets.show_chosen(self._choice)
        self._hand.take(self._choice.tool if self._choice is not None else None)
        self._hint(self._choice.hint if self._choice is not None else refused)

    def offer(self, edit: Edit, text: str, commit: Callable[[], Any]) -> None:
        """Show what would be done, and wait for Apply or Cancel.

        Parameters
        ----------
        edit : Edit
        text : str
            What it is, in a line.
        commit : callable
            Does it.
        """
        self._hand.make_offer(edit, text, commit)
        self._hint(text)

    def apply(self) -> None:
        """Do what is shown; the tool stays in the hand."""
        self._catch_up()
        if self._rest_timer.isActive():
            self._preview()
        offer = self._hand.offer
        if offer is None:
            return
        self._withdraw()
        done = False
        with errors_shown(_("The edit could not be made."), wait_cursor=True):
            offer.commit()
            done = True
        self._again(_("Done: {text}").format(text=offer.text) if done else "")

    def cancel(self) -> None:
        """Take back what is shown; if nothing is, put the tool down."""
        if self._hand.can_withdraw:
            self._withdraw()
            self._again("")
        else:
            self.choose("")

    def undo(self) -> None:
        """Take the last step back, whoever made it."""
        self._step(self._edits.can_undo, self._edits.undo, _("Undone: {text}"))

    def redo(self) -> None:
        """Do the last undone step again."""
        self._step(self._edits.can_redo, self._edits.redo, _("Redone: {text}"))

    def take_clicks(self) -> None:
        """Look at what was clicked since the last time."""
        hand = self._hand
        if hand.take_clicks(same_place_counts=True):
            self._preview()
            hand.await_click()
        elif hand.tool is not None and hand.offer is None and not self._clicks.placing:
            self.choose("")  # the user has taken something else into the hand

    def _refusal(self) -> str:
        """Ask for the packages that the tools need where they are missing; say why no tool can be used, if so."""
        with errors_shown(_("The tool cannot be used.")):
            try:
                self.logic.ensureRequirements()
            except VesselSegError as error:
                return sentence(error)
        # The panel was alive while packages were installed: nothing need be as it was.
        return "" if self._edits.target is not None and not self._running else _("There is nothing to edit now.")

    def _preview(self) -> None:
        self._rest_timer.stop()
        hand, choice = self._hand, self._choice
        hand.drop_offer()
        if choice is None:
            return
        if hand.lacks_clicks:
            self._hint(_("Click the next place along the vessel.") if hand.points else choice.hint)
            return
        with errors_shown(_("The tool failed."), wait_cursor=True):
            try:
                preview = hand.preview()
            except VesselSegError as error:
                self._hint(sentence(error))  # a click beside a vessel happens all the time: no dialogue
                return
            edit, text = preview.edit, preview.text
            if edit.is_empty:
                self._hint(_("Nothing would change there: {text}.").format(text=text))
                return
            text = text[:1].upper() + text[1:]
            if not choice.tool.only_names:
                text = _("{text} ({added:,} voxels added, {removed:,} removed)").format(
                    text=text, added=edit.voxels_added, removed=edit.voxels_removed
                )
            self.offer(edit, text, preview.commit)

    def _hint(self, text: str) -> None:
        say(self.ui.toolHintLabel, text)
        self._show()

    def _withdraw(self) -> None:
        """Take the preview and the clicks back."""
        self._rest_timer.stop()
        self._hand.withdraw()

    def _catch_up(self) -> None:
        """Take back what was shown of another label or another comparison than there are now."""
        if self._hand.outdated:
            self._withdraw()
            self._again("")

    def _again(self, text: str) -> None:
        self._hand.await_click()
        if self._choice is not None:
            text = text or self._choice.hint
        say(self.ui.toolHintLabel, text)
        self.poll()
        self._show()

    def _step(self, possible: bool, step: Callable[[], Any], text: str) -> None:
        if not possible or self._running:
            return
        self._withdraw()
        said = ""
        with errors_shown(_("The step could not be undone or done again."), wait_cursor=True):
            done = step()
            said = text.format(text=done.description)
            if done.tool == AUTOMATIC:
                self._remade()
            if self._review.error_map is not None:
                self._tell({COMPONENTS})  # also where only a decision was taken back, which nothing else shows
        self._again(said)

    def _follow(self) -> None:
        """Begin to edit something else if something else is chosen."""
        parameters, target = self.parameters, self._edits.target
        edited = target is not None and target.node is (parameters.outputSegmentation or parameters.comparedNode)
        wanted = chosen_to_edit(parameters)
        node, segment_id = wanted[:2] if wanted else (None, None)
        # What was refused is tried again where a transform was put right since.
        retried = bool(self._reason) and places_of(node, parameters.inputVolume) != self._refused_at
        if self._stopping or (wanted == self._started and not retried):
            return
        if edited and self._edits.can_undo and target.node.GetSegmentation().GetSegment(segment_id or "") is None:
            return  # undoing brings the segment back
        self._edits.notice_saved()
        self._stop(self._edits.leave)
        self._started = wanted
        self._timer.start()  # also where nothing is edited: what was left may be saved
        if node is None:
            return
        try:
            self._edits.start(node, parameters.inputVolume, segment_id=segment_id, review=self._review)
            self.comparison_changed({ANOTHER})
        except VesselSegError as error:
            self._reason = sentence(error)
            self._refused_at = places_of(node, parameters.inputVolume)

    def _stop(self, stop: Callable[[], None]) -> None:
        self._timer.stop()
        self._stopping = True  # what is removed from the scene now makes the panel update itself
        try:
            self.choose("")
            stop()
        except VesselSegError as error:
            # Not raised: the scene is closed, or the next segmentation chosen, all the same.
            slicer.util.errorDisplay(sentence(error))
        finally:
            self._stopping = False
        self._started, self._reason, self._state = (), "", None
        self._show()

    def _show(self) -> None:
        ui, edits, offer = self.ui, self._edits, self._hand.offer
        reason = self._reason or _("There are no vessels yet: segment a scan first.")
        if self._running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif edits.target is not None:
            reason = ""
        self._widgets.allow(reason, edits)
        waits = "" if offer is not None else _("Nothing is shown that could be applied: choose a tool and click.")
        allow(ui.applyButton, reason or waits, _("Do what is shown in cyan (added) and magenta (removed)."))
        busy = "" if offer is not None or self._choice is not None else _("No tool is chosen.")
        allow(ui.cancelToolButton, reason or busy, _("Take back what is shown, or put the tool down."))
        undo = "" if edits.can_undo else _("There is nothing to undo.")
        allow(ui.undoButton, reason or undo, _("Take the last step back, also strokes of Segment Editor."))
        redo = "" if edits.can_redo else _("There is nothing to redo.")
        allow(ui.redoButton, reason or redo, _("Do the last undone step again (Ctrl+Shift+Z or Ctrl+Y)."))
        say(ui.editedLabel, self._reason or self._edited())

    def _edited(self) -> str:
        target = self._edits.target
        if target is None:
            return ""
        name = LabelSource(target.node, target.segment_id).name
        text = _("{segment} of {node}: edits not saved.") if self._edits.unsaved_edits else _("{segment} of {node}.")
        return text.format(segment=name, node=target.node.GetName())

    def _on_reader(self, name: str) -> None:
        self._edits.reader = name

    def _on_clicks(self) -> None:
        self._click_timer.start()

    def _on_setting(self, value: Any) -> None:
        if self._hand.follows_settings:
            self._rest_timer.start()
