"""Choosing what is compared, in the section "Review" of 3D Slicer's panel. Only for 3D Slicer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from VesselSegmentationLib.label_source import segment_names
from VesselSegmentationLib.panel_section import ANOTHER, PanelSection, allow, make_timer, say
from VesselSegmentationLib.review_logic import COMPONENTS, MAP, METRICS

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
            with slicer.util.tryWithErrorDisplay(_("The labels could not be compared."), waitCursor=True):
                self.logic.startReview(self.parameters)
                self._timer.start()
        finally:
            if self._review.error_map is not former:
                self._tell()

    def stop(self) -> None:
        """Compare no more, and show the vessels again; the map stays in the scene."""
        try:
            if self._review.error_map is not None:
                with slicer.util.tryWithErrorDisplay(_("The vessels could not be shown again.")):
                    self._review.show_map(False)
        finally:
            self.close()

    def let_go(self) -> None:
        """Let go of the scene."""
        self.close()

    def close(self) -> None:
        """Compare no more."""
        self._timer.stop()
        self._review.stop()
        self._tell()

    def poll(self) -> None:
        """Follow the edits."""
        failed = True
        try:
            with slicer.util.tryWithErrorDisplay(_("The comparison cannot follow the labels.")):
                changed = self._review.poll()
                failed = False
                if changed:
                    self._changed(changed)
        finally:
            if self._review.error_map is None:
                self.close()
            elif failed:
                self._changed({COMPONENTS, METRICS})  # what could not be made is not on its way any more

    def _tell(self) -> None:
        error_map = self._review.error_map
        say(self.ui.compareStatusLabel, "\n".join(error_map.notes) if error_map is not None else "")
        self._allow_stop()
        self._changed({ANOTHER, MAP, COMPONENTS, METRICS})

    def _allow_stop(self) -> None:
        reason = "" if self._review.error_map is not None else _("Nothing is compared.")
        allow(self.ui.stopCompareButton, reason, _("Compare no more; the map stays in the scene."))

    def _choose_compared(self, node: Any) -> None:
        if self.parameters is None:
            return
        if node is not self.parameters.comparedNode:
            self.parameters.comparedSegment = ""
        self.parameters.comparedNode = node
        segment = self.parameters.comparedSegment
        self._show_segments(self.ui.comparedSegmentLabel, self.ui.comparedSegmentComboBox, node, segment)

    def _choose_reference(self, node: Any) -> None:
        if self.parameters is None:
            return
        if node is not self.parameters.referenceNode:
            self.parameters.referenceSegment = ""
        self.parameters.referenceNode = node
        segment = self.parameters.referenceSegment
        self._show_segments(self.ui.referenceSegmentLabel, self.ui.referenceSegmentComboBox, node, segment)

    def _show_segments(self, label: Any, combo_box: Any, node: Any, segment: str) -> None:
        names = segment_names(node)
        combo_box.clear()
        combo_box.addItem(_("Vessels, or all segments"), "")
        for name, segment_id in names:
            combo_box.addItem(name, segment_id)
        combo_box.setCurrentIndex(max(combo_box.findData(segment), 0))
        # A choice of one is none.
        label.setVisible(len(names) > 1)
        combo_box.setVisible(len(names) > 1)

    def _choose_compared_segment(self, index: int) -> None:
        self.parameters.comparedSegment = self.ui.comparedSegmentComboBox.itemData(index)

    def _choose_reference_segment(self, index: int) -> None:
        self.parameters.referenceSegment = self.ui.referenceSegmentComboBox.itemData(index)
