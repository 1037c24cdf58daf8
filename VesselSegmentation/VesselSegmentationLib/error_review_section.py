"""The section "Compare" of 3D Slicer's panel. Only for 3D Slicer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.error_kinds import PALETTES
from VesselSegmentationLib.component_marks import ACCEPTED, REJECTED, REVIEWED
from VesselSegmentationLib.error_map_display import set_outlined, set_palette
from VesselSegmentationLib.label_source import segment_names
from VesselSegmentationLib.panel_section import PanelSection, allow
from VesselSegmentationLib.review_logic import COMPONENTS, MAP, METRICS, WHOLE_VOLUME
from VesselSegmentationLib.review_tables import shown_metrics

_POLL_MILLISECONDS = 200
_BLINK_MILLISECONDS = 350
#: An even number, so that the mark is shown at the end.
_BLINKS = 6
#: The list is sorted by what matters: nobody walks farther, and more rows would take their time with every edit.
_ROWS = 300


class ErrorReviewSection(PanelSection):
    """Error map, metrics and list of errors of the vessels and a reference, which follow every edit.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        self._ids: list[str] = []
        self._blinks = 0
        self._timer = self._make_timer(_POLL_MILLISECONDS, self.poll)
        self._blink_timer = self._make_timer(_BLINK_MILLISECONDS, self._blink)
        for name, palette in PALETTES.items():
            ui.paletteComboBox.addItem(palette.title[:1].upper() + palette.title[1:], name)
        ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_reference)
        ui.referenceSegmentComboBox.connect("activated(int)", self._choose_segment)
        ui.compareButton.connect("clicked(bool)", self.start)
        ui.stopCompareButton.connect("clicked(bool)", self.stop)
        ui.showMapButton.connect("toggled(bool)", self._show_map)
        ui.outlineCheckBox.connect("toggled(bool)", self._show_outlines)
        ui.paletteComboBox.connect("activated(int)", self._choose_palette)
        ui.hideBoundaryCheckBox.connect("toggled(bool)", self._hide_boundary)
        ui.errorsTable.connect("currentCellChanged(int,int,int,int)", self._choose_row)
        ui.previousErrorButton.connect("clicked(bool)", self.previous)
        ui.nextErrorButton.connect("clicked(bool)", self.next)
        ui.reviewedButton.connect("clicked(bool)", lambda: self.mark(REVIEWED))
        ui.acceptButton.connect("clicked(bool)", lambda: self.mark(ACCEPTED))
        ui.rejectButton.connect("clicked(bool)", lambda: self.mark(REJECTED))
        ui.bestThresholdButton.connect("clicked(bool)", self.take_best_threshold)

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        ui, parameters = self.ui, self.parameters
        ui.referenceSelector.setCurrentNode(parameters.referenceNode)
        reason = ""
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif not self.logic.hasVessels(parameters.outputSegmentation):
            reason = _("There are no vessels yet: segment a scan first.")
        elif parameters.referenceNode is None:
            reason = _("Choose the reference above.")
        allow(ui.compareButton, reason, _("Show where the vessels and the reference differ."))
        self._allow_review()

    def start(self) -> None:
        """Compare the vessels with the reference."""
        parameters = self.parameters
        try:
            with slicer.util.tryWithErrorDisplay(_("The labels could not be compared."), waitCursor=True):
                self.logic.startReview(
                    parameters.outputSegmentation, parameters.referenceNode, parameters.referenceSegment
                )
                self._show_comparison()
        finally:
            self._allow_review()

    def stop(self) -> None:
        """Compare no more, and show the vessels again; the map stays in the scene."""
        try:
            if self._review.error_map is not None:
                with slicer.util.tryWithErrorDisplay(_("The vessels could not be shown again.")):
                    self._review.show_map(False)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the scene."""
        self._timer.stop()
        self._blink_timer.stop()
        self._review.stop()
        self._show_errors()
        self._show_metrics()
        self.ui.compareStatusLabel.clear()
        self._allow_review()

    def poll(self) -> None:
        """Follow the edits."""
        try:
            with slicer.util.tryWithErrorDisplay(_("The comparison cannot follow the labels.")):
                changed = self._review.poll()
                if changed & {MAP, METRICS}:
                    self._show_metrics()
                if COMPONENTS in changed:
                    self._show_errors()
        finally:
            if self._review.error_map is None:
                self.close()

    def next(self) -> None:
        """Go to the next error."""
        self._go(lambda: self._review.navigator.next())

    def previous(self) -> None:
        """Go to the error before."""
        self._go(lambda: self._review.navigator.previous())

    def mark(self, decision: str) -> None:
        """Remember what the reader says about the chosen error, and go to the next one."""
        navigator = self._review.navigator
        if navigator is None or navigator.current is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The mark could not be made.")):
            navigator.mark(navigator.current.component_id, decision, self.ui.readerLineEdit.text)
            self._show_errors()
            self.next()

    def take_best_threshold(self) -> None:
        """Make the vessels anew with the threshold at which they agree best with the reference."""
        with slicer.util.tryWithErrorDisplay(_("The best threshold could not be found."), waitCursor=True):
            if not self.may_replace_vessels():
                return
            analysis = self._review.analyse_thresholds()
            self._review.threshold_charts(analysis)
            best = self._review.take_best_threshold(analysis)
            self.parameters.threshold = best
            text = _("Largest Dice {dice:.3f} at threshold {threshold:.2f}.")
            self.ui.compareStatusLabel.text = text.format(dice=analysis.best_dice, threshold=best)

    def _show_comparison(self) -> None:
        self.ui.compareStatusLabel.text = "\n".join(self._review.error_map.notes)
        self.ui.showMapButton.setChecked(True)
        self._show_map(True)
        self._show_outlines(self.ui.outlineCheckBox.checked)
        self._choose_palette(self.ui.paletteComboBox.currentIndex)
        self._hide_boundary(self.ui.hideBoundaryCheckBox.checked)
        self._timer.start()

    def _make_timer(self, milliseconds: int, slot: Callable[[], None]) -> Any:
        timer = qt.QTimer()
        timer.setInterval(milliseconds)
        timer.connect("timeout()", slot)
        return timer

    def _allow_review(self) -> None:
        ui = self.ui
        reason = "" if self._review.error_map is not None else _("Compare the vessels with a reference first.")
        for widget, tool_tip in (
            (ui.stopCompareButton, _("Compare no more; the map stays in the scene.")),
            (ui.showMapButton, _("Show the error map in place of the vessels and the reference (key M).")),
            (ui.outlineCheckBox, _("Show only outlines in slices.")),
            (ui.paletteComboBox, _("Colours of the map.")),
            (ui.hideBoundaryCheckBox, _("Hide rims one voxel thick along vessels that both have.")),
            (ui.previousErrorButton, _("Go to the error before (key P).")),
            (ui.nextErrorButton, _("Go to the next error (key N).")),
            (ui.reviewedButton, _("Seen.")),
            (ui.acceptButton, _("It is an error of the segmentation.")),
            (ui.rejectButton, _("It is none: the reference is wrong.")),
        ):
            allow(widget, reason, tool_tip)
        if not reason and self._review.probability() is None:
            reason = _("The probability of these vessels is not in the scene: segment the scan again.")
        allow(ui.bestThresholdButton, reason, _("Take the threshold at which the vessels agree best."))

    def _choose_reference(self, node: Any) -> None:
        if self.parameters is None:
            return
        if node is not self.parameters.referenceNode:
            self.parameters.referenceSegment = ""
        self.parameters.referenceNode = node
        combo_box = self.ui.referenceSegmentComboBox
        combo_box.clear()
        combo_box.addItem(_("Vessels, or all segments"), "")
        for name, segment_id in segment_names(node):
            combo_box.addItem(name, segment_id)
        combo_box.setCurrentIndex(max(combo_box.findData(self.parameters.referenceSegment), 0))

    def _choose_segment(self, index: int) -> None:
        self.parameters.referenceSegment = self.ui.referenceSegmentComboBox.itemData(index)

    def _show_map(self, shown: bool) -> None:
        if self._review.error_map is not None:
            with slicer.util.tryWithErrorDisplay(_("The error map could not be shown."), waitCursor=True):
                self._review.show_map(shown, three_d=self.parameters.show3D)

    def _show_outlines(self, outlined: bool) -> None:
        if self._review.error_map is not None:
            set_outlined(self._review.error_map.node, outlined)

    def _choose_palette(self, index: int) -> None:
        if self._review.error_map is not None:
            set_palette(self._review.error_map.node, self.ui.paletteComboBox.itemData(index))
            self._show_metrics()

    def _hide_boundary(self, hidden: bool) -> None:
        if self._review.navigator is not None:
            self._review.navigator.hide_boundary = hidden
            self._show_errors()

    def _choose_row(self, row: int, column: int, former_row: int, former_column: int) -> None:
        if 0 <= row < len(self._ids):
            self._go(lambda: self._review.navigator.choose(self._ids[row]))

    def _go(self, step: Callable[[], Any]) -> None:
        if self._review.navigator is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The error could not be shown.")):
            component = step()
            if component is not None:
                self._select(component.component_id)
                self._blinks = _BLINKS
                self._blink_timer.start()

    def _blink(self) -> None:
        self._blinks -= 1
        if self._blinks <= 0 or self._review.navigator is None:
            self._blink_timer.stop()
        if self._review.navigator is not None:
            self._review.navigator.highlight.set_visible(self._blinks % 2 == 0)

    def _select(self, component_id: str) -> None:
        table = self.ui.errorsTable
        table.blockSignals(True)
        table.setCurrentCell(self._ids.index(component_id) if component_id in self._ids else -1, 0)
        table.blockSignals(False)

    def _show_metrics(self) -> None:
        table, error_map = self.ui.metricsTable, self._review.error_map
        if error_map is None:
            table.setRowCount(0)
            self.ui.legendLabel.clear()
            return
        self.ui.legendLabel.text = "<br>".join(_legend_line(entry) for entry in error_map.legend())
        values = self._review.metrics.get(WHOLE_VOLUME, {})
        shown = [info for info in shown_metrics(error_map.wording) if info.is_main and info.key in values]
        table.setRowCount(len(shown))
        for row, info in enumerate(shown):
            _set_row(table, row, (info.title, info.text(values[info.key]), info.unit))
        table.resizeColumnsToContents()

    def _show_errors(self) -> None:
        table, navigator = self.ui.errorsTable, self._review.navigator
        components = navigator.shown()[:_ROWS] if navigator is not None else []
        marks = navigator.current_marks() if navigator is not None else {}
        self._ids = [component.component_id for component in components]
        table.blockSignals(True)
        table.setRowCount(len(components))
        for row, component in enumerate(components):
            mark = marks.get(component.component_id)
            title = self._review.error_map.wording.title(component.kind)
            texts = (
                title,
                f"{component.affected_mm:.1f}",
                f"{component.volume_mm3:.1f}",
                mark.decision if mark else "",
            )
            _set_row(table, row, texts)
        table.blockSignals(False)
        if navigator is not None and navigator.current is not None:
            self._select(navigator.current.component_id)


def _legend_line(entry: Any) -> str:
    color = "".join(f"{round(255 * part):02x}" for part in entry.colour)
    return f'<span style="color:#{color}">&#9632;</span> {entry.text}'


def _set_row(table: Any, row: int, texts: tuple[str, ...]) -> None:
    for column, text in enumerate(texts):
        table.setItem(row, column, qt.QTableWidgetItem(text))
