"""Choosing what is compared, in the section "Review" of 3D Slicer's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.wording import sentence
from VesselSegmentationLib.panel.panel_section import ANOTHER, PanelSection, allow, errors_shown, make_timer, say
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS, MAP, METRICS
from VesselSegmentationLib.scene.label_source import segment_names

_POLL_MILLISECONDS = 200


class CompareSection(PanelSection):
    """What is compared with what; start and end of a comparison, which follows every edit meanwhile.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    changed : callable
        Called with what has changed in the comparison: see `PanelSection.comparison_changed`.
    """

    def __init__(self, ui: Any, logic: Any, changed: Callable[[set[str]], None]) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        self._changed = changed
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        self._watched: list[tuple[Any, int]] = []
        ui.comparedSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_compared)
        ui.comparedSegmentComboBox.connect("activated(int)", self._choose_compared_segment)
        ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_reference)
        ui.referenceSegmentComboBox.connect("activated(int)", self._choose_reference_segment)
        ui.compareButton.connect("clicked(bool)", self.start)
        ui.stopCompareButton.connect("clicked(bool)", self.stop)
        say(ui.compareStatusLabel, "")
        self._show_segments(ui.comparedSegmentLabel, ui.comparedSegmentComboBox, None, "")
        self._show_segments(ui.referenceSegmentLabel, ui.referenceSegmentComboBox, None, "")

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        ui, parameters = self.ui, self.parameters
        ui.comparedSelector.setCurrentNode(parameters.comparedNode)
        ui.referenceSelector.setCurrentNode(parameters.referenceNode)
        self._list_segments()  # those of a scene that was closed are gone
        ui.referenceLabel.text = _("Reference:") if parameters.referenceIsTruth else _("Other:")
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif parameters.comparedNode is None and not self.logic.hasVessels(parameters.outputSegmentation):
            reason = _("There are no vessels yet: segment a scan first, or choose other vessels above.")
        elif parameters.referenceNode is None:
            reason = _("Choose the reference above.")
        allow(ui.compareButton, reason, _("Show where the vessels and the reference differ."))
        self._allow_stop()

    def start(self) -> None:
        """Compare what was chosen; if that is refused, what was compared before still is."""
        former = self._review.error_map
        try:
            with errors_shown(_("The labels could not be compared."), wait_cursor=True):
                self.logic.startReview(self.parameters)
                self._timer.start()
        finally:
            if self._review.error_map is not former:
                self._tell()

    def resume(self) -> None:
        """Go on with the comparison during which the scene was saved; say so if that is impossible."""
        node = self._review.put_maps_away()
        if node is None:
            return
        try:
            self.logic.resumeReview(node)
        except VesselSegError as error:
            text = _("The saved comparison could not be resumed. {error}")
            say(self.ui.compareStatusLabel, text.format(error=sentence(error)))
            return
        self._timer.start()
        self._tell()

    def stop(self) -> None:
        """Compare no more, and show the vessels again; the map stays in the scene."""
        try:
            if self._review.error_map is not None:
                with errors_shown(_("The vessels could not be shown again.")):
                    self._review.show_map(False)
        finally:
            self._end()

    def halt(self) -> None:
        """Follow the edits no more."""
        self._timer.stop()

    def let_go(self) -> None:
        """Let go of the scene."""
        self._watch_no_more()
        self._end()

    def _end(self) -> None:
        self._timer.stop()
        self._review.stop()
        self._tell()

    def poll(self) -> None:
        """Follow the edits."""
        failed = True
        try:
            with errors_shown(_("The comparison cannot follow the labels.")):
                changed = self._review.poll()
                failed = False
                if changed:
                    self._show_notes()
                    self._changed(changed)
        finally:
            if self._review.error_map is None:
                self._end()
            elif failed:
                self._changed({COMPONENTS, METRICS})  # what could not be made is not on its way any more

    def _tell(self) -> None:
        self._show_notes()
        self._allow_stop()
        self._changed({ANOTHER, MAP, COMPONENTS, METRICS})

    def _show_notes(self) -> None:
        error_map = self._review.error_map
        say(self.ui.compareStatusLabel, "\n".join(error_map.notes) if error_map is not None else "")

    def _allow_stop(self) -> None:
        reason = "" if self._review.error_map is not None else _("Nothing is compared.")
        allow(self.ui.stopCompareButton, reason, _("Stop comparing; the error map stays in the scene."))

    def _choose_compared(self, node: Any) -> None:
        if self.parameters is None:
            return
        if node is not self.parameters.comparedNode:
            self.parameters.comparedSegment = ""
        self.parameters.comparedNode = node
        self._list_segments()
        self._watch()

    def _choose_reference(self, node: Any) -> None:
        if self.parameters is None:
            return
        if node is not self.parameters.referenceNode:
            self.parameters.referenceSegment = ""
        self.parameters.referenceNode = node
        self._list_segments()
        self._watch()

    def _watch(self) -> None:
        """Follow segments that are added, removed or renamed."""
        self._watch_no_more()
        for node in {self.parameters.comparedNode, self.parameters.referenceNode} - {None}:
            if node.IsA("vtkMRMLSegmentationNode"):
                segmentation = node.GetSegmentation()
                for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
                    tag = segmentation.AddObserver(getattr(segmentation, event), self._on_segments)
                    self._watched.append((segmentation, tag))

    def _watch_no_more(self) -> None:
        for segmentation, tag in self._watched:
            segmentation.RemoveObserver(tag)
        self._watched = []

    def _on_segments(self, caller: Any, event: str) -> None:
        if self.parameters is not None:
            self._list_segments()

    def _list_segments(self) -> None:
        ui, parameters = self.ui, self.parameters
        for label, combo_box, node, segment in (
            (ui.comparedSegmentLabel, ui.comparedSegmentComboBox, parameters.comparedNode, parameters.comparedSegment),
            (
                ui.referenceSegmentLabel,
                ui.referenceSegmentComboBox,
                parameters.referenceNode,
                parameters.referenceSegment,
            ),
        ):
            self._show_segments(label, combo_box, node, segment)

    def _show_segments(self, label: Any, combo_box: Any, node: Any, segment: str) -> None:
        entries = [(_("Vessels, or all segments"), ""), *segment_names(node)]
        # A choice of one is none.
        several = len(entries) > 2 or bool(segment)
        if segment not in [each for _name, each in entries]:
            entries.append((_("(removed segment)"), segment))  # undoing may bring it back
        shown = [(combo_box.itemText(index), combo_box.itemData(index)) for index in range(combo_box.count)]
        if shown != entries:  # every stroke of a brush leads here
            combo_box.clear()
            for name, segment_id in entries:
                combo_box.addItem(name, segment_id)
        combo_box.setCurrentIndex(combo_box.findData(segment))
        label.setVisible(several)
        combo_box.setVisible(several)

    def _choose_compared_segment(self, index: int) -> None:
        self.parameters.comparedSegment = self.ui.comparedSegmentComboBox.itemData(index)

    def _choose_reference_segment(self, index: int) -> None:
        self.parameters.referenceSegment = self.ui.referenceSegmentComboBox.itemData(index)
