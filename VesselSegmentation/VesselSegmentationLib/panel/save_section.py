"""The section "Save" of 3D Slicer's panel: figures, reports and tables of what is compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError
from vesselseg.output_files import portable_name
from VesselSegmentationLib.jobs.wording import sentence, stage_text
from VesselSegmentationLib.jobs.worker_job import DONE, FAILED, RUNNING
from VesselSegmentationLib.panel.panel_section import (
    PanelSection,
    allow,
    ask_for_file,
    errors_shown,
    make_timer,
    say,
    show_failure,
)
from VesselSegmentationLib.saving.review_export import export_components, export_metrics
from VesselSegmentationLib.saving.review_files import METHODS, FigureSettings, start_figure, start_report
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.view_navigation import seen_from

_POLL_MILLISECONDS = 200
_LIKE_3D_VIEW = "3D view"


class SaveSection(PanelSection):
    """Figures and reports are drawn by a worker process: the views stay alive meanwhile.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__(ui, logic)
        self._review = logic.review
        self._job: Any = None
        self._starting = False
        self._path = ""
        self._folder = os.path.expanduser("~")
        self._timer = make_timer(_POLL_MILLISECONDS, self.poll)
        for text, kind, tool_tip in (
            (_("Overview"), "overview", _("Reference, result and error map side by side.")),
            (_("Close-ups"), "closeups", _("Where most large and most small vessels are.")),
            (_("Projections"), "projections", _("The error map from three sides.")),
            (_("Two methods"), METHODS, _("The result beside that of another method, chosen under Advanced.")),
        ):
            ui.figureKindComboBox.addItem(text, kind)
            ui.figureKindComboBox.setItemData(ui.figureKindComboBox.count - 1, tool_tip, qt.Qt.ToolTipRole)
        for text, view in (
            (_("Anterior"), "anterior"),
            (_("Posterior"), "posterior"),
            (_("Left"), "left"),
            (_("Right"), "right"),
            (_("Superior"), "superior"),
            (_("Inferior"), "inferior"),
            (_("As in the 3D view"), _LIKE_3D_VIEW),
        ):
            ui.figureViewComboBox.addItem(text, view)
        for text, background in ((_("Black"), "black"), (_("White"), "white")):
            ui.figureBackgroundComboBox.addItem(text, background)
        ui.saveFigureButton.connect("clicked(bool)", self.save_figure)
        ui.saveReportButton.connect("clicked(bool)", self.save_report)
        ui.saveErrorsButton.connect("clicked(bool)", self.save_errors)
        ui.saveMetricsButton.connect("clicked(bool)", self.save_metrics)
        ui.cancelSavingButton.connect("clicked(bool)", self.cancel)
        ui.figureKindComboBox.connect("activated(int)", self._on_choice)
        ui.figureOtherSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_choice)
        ui.savingFrame.setVisible(False)
        say(ui.savingStatusLabel, "")

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        ui = self.ui
        reason = "" if self._review.error_map is not None else _("Compare the vessels with a reference first.")
        allow(ui.saveErrorsButton, reason, _("Save the list of errors, with what readers said, as CSV or JSON."))
        metrics = reason
        if not reason and self._review.metrics_failed:
            metrics = _("The metrics could not be measured.")
        elif not reason and not self._review.metrics_current:
            metrics = _("The metrics are being computed.")
        allow(ui.saveMetricsButton, metrics, _("Save the metrics as CSV or JSON."))
        if not reason and (self._starting or self._job is not None):
            reason = _("Wait until the other file is written, or cancel it.")
        allow(ui.saveReportButton, reason, _("Save scan facts, settings, metrics, figures and errors as HTML or PDF."))
        if not reason and self._figure_kind() == METHODS and ui.figureOtherSelector.currentNode() is None:
            reason = _("Choose the other method under Advanced.")
        allow(ui.saveFigureButton, reason, _("Save a figure for a paper as PNG, PDF or SVG."))

    def comparison_changed(self, changed: set[str]) -> None:
        """See what can be saved."""
        self.update(False)

    def halt(self) -> None:
        """Stop writing."""
        self.cancel()

    def save_figure(self) -> None:
        """Start to draw the figure that was chosen."""
        ui = self.ui
        path = self._ask(_("Save figure"), ".png", _("Figures (*.png *.pdf *.svg)"), "figure")
        if not path:
            return
        other = ui.figureOtherSelector.currentNode() if self._figure_kind() == METHODS else None
        settings = FigureSettings(
            kind=self._figure_kind(),
            view=self._view(),
            background=ui.figureBackgroundComboBox.itemData(ui.figureBackgroundComboBox.currentIndex),
            dpi=ui.figureDpiSpinBox.value,
            title=ui.figureTitleLineEdit.text.strip(),
            other=LabelSource(other) if other is not None else None,
        )
        self._start(path, lambda: start_figure(self._review, path, settings))

    def save_report(self) -> None:
        """Start to write the report."""
        path = self._ask(_("Save report"), ".html", _("Reports (*.html *.pdf)"), "report")
        if path:
            self._start(path, lambda: start_report(self._review, [path], case=self.ui.caseLineEdit.text.strip()))

    def save_errors(self) -> None:
        """Save the list of errors."""
        path = self._ask(_("Save errors"), ".csv", _("Tables (*.csv *.json)"), "errors")
        if path:
            with errors_shown(_("The list could not be saved."), wait_cursor=True):
                wording = self._review.error_map.wording
                count = self._review.listing.count
                export_components(self._review.navigator, path, wording, count=count, overwrite=True)
                self._say_saved(path)

    def save_metrics(self) -> None:
        """Save the metrics."""
        # An edit makes them out of date at once, the button only at the next poll.
        if not self._review.metrics_current:
            self.update(False)
            say(self.ui.savingStatusLabel, _("The metrics are being computed: save them in a moment."))
            return
        path = self._ask(_("Save metrics"), ".csv", _("Tables (*.csv *.json)"), "metrics")
        if path:
            with errors_shown(_("The metrics could not be saved.")):
                export_metrics(self._review, path, overwrite=True)
                self._say_saved(path)

    def cancel(self) -> None:
        """Stop writing at once; no file is left."""
        if self._job is not None:
            self._job.cancel()
            self.poll()

    def poll(self) -> None:
        """Show how far the worker is."""
        job = self._job
        if job is None:
            self._timer.stop()
            return
        state = job.poll()
        self.ui.savingProgressBar.value = int(job.percent)
        say(self.ui.savingStatusLabel, stage_text(job.message))
        if state == RUNNING:
            return
        self._timer.stop()
        self._job = None
        self.ui.savingFrame.setVisible(False)
        self.update(False)
        if state == DONE:
            self._say_saved(self._path)
        elif state == FAILED:
            self._show_failure(job.error)
        else:
            say(self.ui.savingStatusLabel, _("Not saved: {reason}.").format(reason=job.message))

    def _start(self, path: str, start: Callable[[], Any]) -> None:
        if self._starting or self._job is not None:
            return
        self._starting = True  # the panel is alive while packages are installed
        refused: VesselSegError | None = None
        try:
            self.update(False)
            with errors_shown(_("The file could not be saved."), wait_cursor=True):
                try:
                    self.logic.ensureRequirements()
                    self._job, self._path = start(), path
                except VesselSegError as error:
                    refused = error
        finally:
            self._starting = False
            self.update(False)
        if refused is not None:
            self._show_failure(refused)
            return
        self.ui.savingProgressBar.value = 0
        self.ui.savingFrame.setVisible(True)
        self._timer.start()

    def _show_failure(self, error: Any) -> None:
        say(self.ui.savingStatusLabel, _("Not saved. {error}").format(error=sentence(error)))
        show_failure(_("The file could not be saved."), error)

    def _ask(self, title: str, ending: str, kinds: str, what: str) -> str:
        if self._review.error_map is None:
            return ""
        name = f"{self._review.error_map.volume_node.GetName()} {what}{ending}"
        path = ask_for_file(title, os.path.join(self._folder, portable_name(name)), kinds)
        if path:
            self._folder = os.path.dirname(path)
        return path

    def _say_saved(self, path: str) -> None:
        say(self.ui.savingStatusLabel, _("Saved: {path}").format(path=path))

    def _figure_kind(self) -> str:
        return str(self.ui.figureKindComboBox.itemData(self.ui.figureKindComboBox.currentIndex))

    def _view(self) -> str:
        view = str(self.ui.figureViewComboBox.itemData(self.ui.figureViewComboBox.currentIndex))
        if view != _LIKE_3D_VIEW:
            return view
        angles = seen_from(slicer.mrmlScene)
        return f"{angles[0]:.1f},{angles[1]:.1f}" if angles is not None else "anterior"

    def _on_choice(self, choice: Any) -> None:
        self.update(False)
