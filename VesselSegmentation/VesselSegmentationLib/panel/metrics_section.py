"""Metrics and thresholds, in the section "Review" of 3D Slicer's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError
from vesselseg.metrics import nothing_counted
from vesselseg.review.threshold_analysis import ThresholdAnalysis
from VesselSegmentationLib.jobs.worker_job import DONE, RUNNING
from VesselSegmentationLib.panel.application_views import show_charts, show_table
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
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK, WHOLE_VOLUME
from VesselSegmentationLib.reviewing.review_logic import MAP, METRICS
from VesselSegmentationLib.reviewing.review_tables import shown_metrics
from VesselSegmentationLib.reviewing.threshold_job import start_threshold_analysis

_POLL_MILLISECONDS = 200


class MetricsSection(PanelSection):
    """Table of metrics, in whole and inside a brain mask; analysis of the threshold.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    taken : callable
        Called without arguments when the vessels were made anew with the best threshold.
    """

    def __init__(self, ui: Any, logic: Any, taken: Callable[[], None]) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        self._taken = taken
        self._table: Any = None
        self._running = False
        self._job: Any = None
        self._take = False
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        ui.reviewMaskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_mask)
        ui.allMetricsCheckBox.connect("toggled(bool)", self._show_all)
        ui.metricsTableButton.connect("clicked(bool)", self.make_table)
        ui.analyseThresholdsButton.connect("clicked(bool)", self.analyse)
        ui.bestThresholdButton.connect("clicked(bool)", self.take_best_threshold)
        # Long titles take a second line where the panel is narrow.
        ui.metricsTable.horizontalHeader().sectionResized.connect(self._fit_rows)
        say(ui.metricsNoteLabel, "")
        say(ui.bestThresholdLabel, "")
        ui.allMetricsCheckBox.toolTip = _("Show counts, volumes and further distances as well.")

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        if running and not self._running:
            self._forget_analysis()  # of a probability that is about to be replaced
        self._running = running
        ui = self.ui
        ui.reviewMaskSelector.setCurrentNode(self.parameters.reviewMaskNode)
        reason = "" if self._review.error_map is not None else _("Compare the vessels with a reference first.")
        allow(ui.metricsTableButton, reason, _("Write the metrics into a table of the scene, which follows them."))
        if running:
            reason = _("Wait until the segmentation is done, or cancel it.")
        elif not reason and not self._review.has_probability:
            reason = _("The probability of these vessels is not in the scene: segment the scan again.")
        elif not reason and self._job is not None:
            reason = _("The thresholds are being measured.")
        allow(ui.analyseThresholdsButton, reason, _("Plot the metrics at every threshold, and the calibration."))
        if not reason and self._review.error_map.sources[0].node is not self.parameters.outputSegmentation:
            reason = _("Only the vessels found above have a threshold.")
        allow(ui.bestThresholdButton, reason, _("Use the threshold at which they agree best with the reference."))

    def comparison_changed(self, changed: set[str]) -> None:
        """Show the metrics."""
        if ANOTHER in changed:
            self._table = None
            self.halt()
            say(self.ui.bestThresholdLabel, "")
            self.ui.metricsGroupBox.collapsed = self._review.error_map is None
            if self.parameters is not None:
                self.update(self._running)
        if changed & {MAP, METRICS}:
            self._show()
            # A table that the user has deleted does not come back.
            followed = self._table is not None and slicer.mrmlScene.IsNodePresent(self._table)
            if followed and (self._review.metrics_current or self._review.metrics_failed):
                self._review.metrics_table()

    def make_table(self) -> None:
        """Write the metrics into a table of the scene, and show it."""
        with errors_shown(_("The table could not be made.")):
            table = self._review.metrics_table()
            show_table(table)
            self._table = table

    def analyse(self) -> None:
        """Start to measure every threshold; plots follow."""
        self._start_analysis(take=False)

    def take_best_threshold(self) -> None:
        """Make the vessels anew with the threshold at which they agree best with the reference, once it is known."""
        self._start_analysis(take=True)

    def halt(self) -> None:
        """Stop the analysis."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def poll(self) -> None:
        """Take the analysis when it is done."""
        if slicer.mrmlScene.IsClosing():  # what another module asks before the panel is told keeps timers alive
            self.halt()
            return
        job = self._job
        if job is None or job.poll() == RUNNING:
            return
        self.halt()
        say(self.ui.bestThresholdLabel, "")
        try:
            with errors_shown(_("The thresholds could not be analysed."), wait_cursor=True):
                if job.state != DONE:
                    raise job.error or VesselSegError(job.message, _("try again"))
                self._show_analysis(job.analysis, job.masked)
        finally:
            self.update(self._running)

    def _forget_analysis(self) -> None:
        """Say no more what was measured of something else than there is now."""
        stopped = self._job is not None
        self.halt()
        say(self.ui.bestThresholdLabel, _("Stopped, as what was measured is replaced.") if stopped else "")

    def _start_analysis(self, take: bool) -> None:
        with errors_shown(_("The thresholds could not be analysed."), wait_cursor=True):
            self._job, self._take = start_threshold_analysis(self._review), take
            say(self.ui.bestThresholdLabel, _("Measuring at every threshold..."))
            self._timer.start()
            self.update(self._running)

    def _show_analysis(self, analysis: ThresholdAnalysis, masked: bool) -> None:
        if self._review.error_map is None:
            return
        show_charts(self._review.threshold_charts(analysis, masked=masked))
        if analysis.best_dice == 0:
            say(self.ui.bestThresholdLabel, _("No threshold finds a vessel of the reference: is it of this scan?"))
            return
        text = _(
            "Largest Dice {dice:.3f} at threshold {threshold:.2f}, small pieces kept; "
            "calibration error above 0.1 {error:.3f}."
        )
        error = analysis.calibration.vessel_expected_error
        text = text.format(dice=analysis.best_dice, threshold=analysis.best_threshold, error=error)
        say(self.ui.bestThresholdLabel, f"{text} {_('Measured inside the mask.')}" if masked else text)
        # Meanwhile other vessels may have been chosen: neither their edits nor their threshold are meant.
        chosen = self._review.error_map.sources[0].node is self.parameters.outputSegmentation
        if self._take and chosen and self.may_replace_vessels():
            self._review.take_best_threshold(analysis)
            self._taken()

    def _choose_mask(self, node: Any) -> None:
        if self.parameters is None or node is self.parameters.reviewMaskNode:
            return
        self.parameters.reviewMaskNode = node
        if self._review.error_map is not None:
            with errors_shown(_("The mask could not be used.")):
                self._review.use_mask(self.logic.reviewMask(self.parameters))
                self._forget_analysis()
                self._show()
            self.update(self._running)

    def _fit_rows(self, column: int, former_width: int, width: int) -> None:
        if column == 0:  # the rows would still take the former width
            qt.QTimer.singleShot(0, self.ui.metricsTable.resizeRowsToContents)

    def _show_all(self, shown: bool) -> None:
        self._show()

    def _show(self) -> None:
        ui, error_map = self.ui, self._review.error_map
        table = ui.metricsTable
        if error_map is None:
            table.setRowCount(0)
            say(ui.metricsNoteLabel, "")
            return
        masked = self._review.mask_node is not None
        columns = [(WHOLE_VOLUME, _("Value"))] if not masked else [(WHOLE_VOLUME, _("Whole")), (INSIDE_MASK, _("Mask"))]
        everything = ui.allMetricsCheckBox.checked
        infos = [info for info in shown_metrics(error_map.wording) if info.is_main or everything]
        table.setColumnCount(len(columns) + 2)
        table.setHorizontalHeaderLabels([_("Metric"), *(title for _region, title in columns), _("Unit")])
        table.setRowCount(len(infos))
        missing = outdated = False
        for row, info in enumerate(infos):
            values = [self._review.metrics.get(region, {}).get(info.key) for region, _title in columns]
            texts = ("..." if value is None else info.text(value) for value in values)
            set_row(table, row, (info.table_title, *texts, info.unit))
            table.item(row, 0).setToolTip(info.explanation)
            for column, (value, (region, _title)) in enumerate(zip(values, columns), start=1):
                if not self._review.is_current(region, info.key):
                    missing, outdated = missing or value is None, outdated or value is not None
                    table.item(row, column).setForeground(qt.QBrush(qt.QColor(128, 128, 128)))
        fit_columns(table)
        table.resizeRowsToContents()
        notes = []
        if self._review.metrics_failed:
            notes = [_("Grey values could not be measured. The next edit, or another mask, starts a new attempt.")]
        elif missing or outdated:
            notes += [_("Values shown as ... are being measured.")] if missing else []
            notes += [_("Grey values are out of date; they are updated when you stop editing.")] if outdated else []
        inside = self._review.metrics.get(INSIDE_MASK)
        if inside and nothing_counted(inside):
            notes.append(_("There are no vessels of either label inside the mask."))
        say(ui.metricsNoteLabel, " ".join(notes))
