"""The section "Correct" of 3D Slicer's panel: vessel tools, undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_clicks import EditClicks
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.correcting.edit_tools import EditTool, ToolSettings
from VesselSegmentationLib.panel.panel_section import ANOTHER, PanelSection, allow, make_timer, say
from VesselSegmentationLib.panel.tool_choices import ToolChoice, fill_changes, fill_extents, fill_vessels, tool_choices
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS
from VesselSegmentationLib.scene.label_source import LabelSource, segment_names
from VesselSegmentationLib.scene.run_record import probability_of
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role

_POLL_MILLISECONDS = 200
#: How long a slider must rest before the preview follows it.
_REST_MILLISECONDS = 100


@dataclass(frozen=True)
class _Offer:
    """What waits for Apply or Cancel."""

    commit: Callable[[], Any]
    text: str
    present: object  #: as `CorrectSection._present` was when it was shown


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
        self._tool: EditTool | None = None
        self._points: list[Any] = []
        self._offer: _Offer | None = None
        self._clicks = EditClicks(slicer.mrmlScene, self._on_clicks)
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        self._click_timer = make_timer(0, self.take_clicks)
        self._rest_timer = make_timer(_REST_MILLISECONDS, self._preview)
        for timer in (self._click_timer, self._rest_timer):
            timer.setSingleShot(True)
        self._choices = tool_choices()
        self._choice: ToolChoice | None = None
        for choice in self._choices:
            self._button(choice).connect("toggled(bool)", lambda on, one=choice: self.choose(one.name if on else ""))
        fill_vessels(ui.toolVesselComboBox)
        fill_extents(ui.toolExtentComboBox)
        fill_changes(ui.toolChangeComboBox)
        panel = ui.correctCollapsibleButton.parent()
        # Not the buttons' own shortcuts: undoing must work while the section is closed, too.
        self._shortcuts = [qt.QShortcut(qt.QKeySequence(keys), panel) for keys in ("Ctrl+Z", "Ctrl+Shift+Z")]
        for shortcut, slot in zip(self._shortcuts, (self.undo, self.redo)):
            shortcut.connect("activated()", slot)
        ui.applyButton.connect("clicked(bool)", self.apply)
        ui.cancelToolButton.connect("clicked(bool)", self.cancel)
        ui.undoButton.connect("clicked(bool)", self.undo)
        ui.redoButton.connect("clicked(bool)", self.redo)
        ui.readerLineEdit.connect("textChanged(QString)", self._on_reader)
        self._on_reader(ui.readerLineEdit.text)
        for slider in (ui.toolThresholdSlider, ui.toolLengthSlider, ui.toolRadiusSlider, ui.toolCalibreSlider):
            slider.connect("valueChanged(double)", self._on_setting)
        for combo_box in (ui.toolVesselComboBox, ui.toolExtentComboBox, ui.toolChangeComboBox):
            combo_box.connect("activated(int)", self._on_setting)
        self._show_settings()
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
            errors, error_map = self._edits.errors, self._review.error_map
            reference = error_map.sources[1] if errors is not None and errors.applies else None
            with slicer.util.tryWithErrorDisplay(_("The edits cannot be measured against the reference.")):
                self._edits.measure_against(reference)
        self._show()

    def leave(self) -> None:
        """Give the mouse back: another module is opened. The history goes on."""
        self.choose("")

    def let_go(self) -> None:
        """Ask what becomes of edits that were not saved: the scene is about to be closed."""
        self._notice_saved()
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
        self._notice_saved()
        self._stop(lambda: self._edits.stop(keep_autosave=True))

    def poll(self) -> None:
        """Notice what others have edited, save against crashes, and show what can be undone."""
        try:
            self._notice_saved()
            if self._edits.target is None:
                if self._reason and self.parameters is not None:
                    self._follow()
                    self._show()
                return
            self._edits.poll()
        except VesselSegError as error:
            say(self.ui.toolHintLabel, f"{error.message}: {error.advice}")
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
        self._choice = next((choice for choice in self._choices if choice.name == name and not refused), None)
        for choice in self._choices:
            button = self._button(choice)
            button.blockSignals(True)
            button.checked = choice is self._choice
            button.blockSignals(False)
        self._tool = self._choice.tool(self._edits) if self._choice is not None else None
        if self._tool is None:
            self._clicks.stop()
        else:
            self._clicks.start()
        self._show_settings()
        say(self.ui.toolHintLabel, self._choice.hint if self._choice is not None else refused)
        self._show()

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
        self._edits.show_preview(edit)
        self._offer = _Offer(commit, text, self._present())
        say(self.ui.toolHintLabel, text)
        self._show()

    def apply(self) -> None:
        """Do what is shown; the tool stays in the hand."""
        self._catch_up()
        if self._rest_timer.isActive():
            self._preview()
        offer = self._offer
        if offer is None:
            return
        self._withdraw()
        done = False
        with slicer.util.tryWithErrorDisplay(_("The edit could not be made."), waitCursor=True):
            offer.commit()
            done = True
        self._again(_("Done: {text}").format(text=offer.text) if done else "")

    def cancel(self) -> None:
        """Take back what is shown; if nothing is, put the tool down."""
        if self._offer is None and not self._points:
            self.choose("")
        else:
            self._withdraw()
            self._again("")

    def undo(self) -> None:
        """Take the last step back, whoever made it."""
        self._step(self._edits.can_undo, self._edits.undo, _("Undone: {text}"))

    def redo(self) -> None:
        """Do the last undone step again."""
        self._step(self._edits.can_redo, self._edits.redo, _("Done again: {text}"))

    def take_clicks(self) -> None:
        """Look at what was clicked since the last time."""
        tool, points = self._tool, self._clicks.points
        if tool is None:
            return
        another = tool.clicks == 1 and len(points) > 1  # be it at the same place
        if another:
            self._clicks.keep_last()
            points = points[-1:]
        if points == self._points and not another:
            if self._offer is None and not self._clicks.placing:
                self.choose("")  # the user has taken something else into the hand
            return
        first, self._points = not self._points or tool.clicks == 1, points
        if first and points:
            self._suggest(tool)
        self._preview()
        self._clicks.start()

    def _refusal(self) -> str:
        """Ask for the packages that the tools need where they are missing; say why no tool can be used, if so."""
        with slicer.util.tryWithErrorDisplay(_("The tool cannot be used.")):
            try:
                self.logic.ensureRequirements()
            except VesselSegError as error:
                return f"{error.message}: {error.advice}"
        # The panel was alive while packages were installed: nothing need be as it was.
        return "" if self._edits.target is not None and not self._running else _("There is nothing to edit now.")

    def _suggest(self, tool: EditTool) -> None:
        try:
            threshold = tool.suggested_threshold(self._points, self._settings())
        except VesselSegError:
            return  # the preview says it
        if threshold is not None:
            self.ui.toolThresholdSlider.blockSignals(True)
            self.ui.toolThresholdSlider.value = threshold
            self.ui.toolThresholdSlider.blockSignals(False)

    def _preview(self) -> None:
        self._rest_timer.stop()
        tool, choice, points, settings = self._tool, self._choice, self._points, self._settings()
        self._offer = None
        self._edits.preview.remove()
        if tool is None or choice is None:
            return
        if len(points) < tool.clicks:
            say(self.ui.toolHintLabel, choice.hint if not points else _("Click the next place along the vessel."))
            self._show()
            return
        with slicer.util.tryWithErrorDisplay(_("The tool failed."), waitCursor=True):
            try:
                edit = tool.preview(points, settings)
            except VesselSegError as error:
                # A click beside a vessel happens all the time: no dialogue.
                say(self.ui.toolHintLabel, f"{error.message}: {error.advice}")
                self._show()
                return
            text = tool.describe(edit, settings)
            if edit.is_empty:
                say(self.ui.toolHintLabel, _("Nothing would change there: {text}.").format(text=text))
                self._show()
                return
            text = text[:1].upper() + text[1:]
            if not tool.only_names:
                text = _("{text} ({added:,} voxels added, {removed:,} removed)").format(
                    text=text, added=edit.voxels_added, removed=edit.voxels_removed
                )
            self.offer(edit, text, lambda: tool.commit(edit, points, settings))

    def _settings(self) -> ToolSettings:
        ui = self.ui
        return ToolSettings(
            threshold=ui.toolThresholdSlider.value,
            length_mm=ui.toolLengthSlider.value,
            radius_mm=ui.toolRadiusSlider.value,
            calibre_mm=ui.toolCalibreSlider.value,
            vessel=_chosen(ui.toolVesselComboBox),
            extent=_chosen(ui.toolExtentComboBox),
            change=_chosen(ui.toolChangeComboBox),
        )

    def _withdraw(self) -> None:
        """Take the preview and the clicks back."""
        self._rest_timer.stop()
        self._offer, self._points = None, []
        self._edits.preview.remove()
        self._clicks.clear()

    def _catch_up(self) -> None:
        """Take back what was shown of another label or another comparison than there are now."""
        if self._offer is not None and self._offer.present != self._present():
            self._withdraw()  # Apply would do something else than what is shown
            self._again("")

    def _present(self) -> object:
        return self._edits.state, self._review.error_map

    def _again(self, text: str) -> None:
        if self._tool is not None and self._choice is not None:
            self._clicks.start()
            text = text or self._choice.hint
        say(self.ui.toolHintLabel, text)
        self.poll()
        self._show()

    def _step(self, possible: bool, step: Callable[[], Any], text: str) -> None:
        if not possible or self._running:
            return
        self._withdraw()
        said = ""
        with slicer.util.tryWithErrorDisplay(_("The step could not be undone or done again."), waitCursor=True):
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
        node = parameters.outputSegmentation or parameters.comparedNode
        edited = target is not None and target.node is node
        if not segment_names(node):
            node = None
        segment_id = segment_with_role(node) if node is not None else None
        if node is not None and node is parameters.comparedNode:
            segment_id = parameters.comparedSegment or segment_id
        wanted = (node, segment_id, parameters.inputVolume) if node is not None else ()
        # What was refused is tried again where a transform was put right since.
        retried = bool(self._reason) and _places(node, parameters.inputVolume) != self._refused_at
        if self._stopping or (wanted == self._started and not retried):
            return
        if edited and self._edits.can_undo and target.node.GetSegmentation().GetSegment(segment_id or "") is None:
            return  # undoing brings the segment back
        self._notice_saved()
        self._stop(self._edits.leave)
        self._started = wanted
        self._timer.start()  # also where nothing is edited: what was left may be saved
        if node is None:
            return
        try:
            self._edits.start(node, parameters.inputVolume, segment_id=segment_id, review=self._review)
            self.comparison_changed({ANOTHER})
        except VesselSegError as error:
            self._reason = f"{error.message}: {error.advice}"
            self._refused_at = _places(node, parameters.inputVolume)

    def _stop(self, stop: Callable[[], None]) -> None:
        self._timer.stop()
        self._stopping = True  # what is removed from the scene now makes the panel update itself
        try:
            self.choose("")
            stop()
        except VesselSegError as error:
            # Not raised: the scene is closed, or the next segmentation chosen, all the same.
            slicer.util.errorDisplay(f"{error.message}: {error.advice}")
        finally:
            self._stopping = False
        self._started, self._reason, self._state = (), "", None
        self._show()

    def _notice_saved(self) -> None:
        """See which edits 3D Slicer itself has saved."""
        for node in self._edits.unsaved_nodes:
            if node.GetStorageNode() is not None and not node.GetModifiedSinceRead():
                self._edits.mark_saved(node)

    def _show(self) -> None:
        ui, edits = self.ui, self._edits
        reason = self._reason or _("There are no vessels yet: segment a scan first.")
        if self._running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif edits.target is not None:
            reason = ""
        for choice in self._choices:
            allow(self._button(choice), reason or self._missing(choice.tool), choice.tool_tip)
        waits = "" if self._offer is not None else _("Nothing is shown that could be applied: choose a tool and click.")
        allow(ui.applyButton, reason or waits, _("Do what is shown in cyan (added) and magenta (removed)."))
        busy = "" if self._offer is not None or self._tool is not None else _("No tool is chosen.")
        allow(ui.cancelToolButton, reason or busy, _("Take back what is shown, or put the tool down."))
        undo = "" if edits.can_undo else _("There is nothing to undo.")
        allow(ui.undoButton, reason or undo, _("Take the last step back, also strokes of Segment Editor."))
        redo = "" if edits.can_redo else _("There is nothing to redo.")
        allow(ui.redoButton, reason or redo, _("Do the last undone step again."))
        say(ui.editedLabel, self._reason or self._edited())

    def _edited(self) -> str:
        target = self._edits.target
        if target is None:
            return ""
        name = LabelSource(target.node, target.segment_id).name
        text = _("{segment} of {node}: edits not saved.") if self._edits.unsaved_edits else _("{segment} of {node}.")
        return text.format(segment=name, node=target.node.GetName())

    def _missing(self, tool: type[EditTool]) -> str:
        if self._edits.target is None:
            return ""
        if tool.needs_probability and probability_of(self._edits.target.node) is None:
            return _("The probability of these vessels is not in the scene: segment the scan again.")
        if tool.needs_comparison and (self._edits.errors is None or not self._edits.errors.applies):
            return _("Compare these vessels with a reference first.")
        return ""

    def _show_settings(self) -> None:
        shown = self._tool.settings if self._tool is not None else ()
        for name in ("Threshold", "Length", "Radius", "Calibre", "Vessel", "Extent", "Change"):
            for kind in ("Label", "Slider", "ComboBox"):
                widget = getattr(self.ui, f"tool{name}{kind}", None)
                if widget is not None:
                    widget.setVisible(name.lower() in shown)
        self.ui.toolFrame.setVisible(bool(shown))

    def _button(self, choice: ToolChoice) -> Any:
        return getattr(self.ui, f"{choice.name}ToolButton")

    def _on_reader(self, name: str) -> None:
        self._edits.reader = name

    def _on_clicks(self) -> None:
        self._click_timer.start()

    def _on_setting(self, value: Any) -> None:
        if self._tool is not None and self._points:
            self._rest_timer.start()


def _places(*nodes: Any) -> tuple[Any, ...]:
    """Return what changes when a node is moved, or gets another image or transform."""
    places: list[Any] = []
    for node in nodes:
        while node is not None:
            places += [node, node.GetMTime()]
            node = node.GetParentTransformNode()
    return tuple(places)


def _chosen(combo_box: Any) -> str:
    return str(combo_box.itemData(combo_box.currentIndex))
