"""The section "Segment" of 3D Slicer's panel."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.wording import sentence, stage_text, time_left
from VesselSegmentationLib.jobs.worker_job import CANCELLED, DONE, FAILED, RUNNING
from VesselSegmentationLib.panel.panel_section import PanelSection, allow, errors_shown, show_choice, show_failure

_POLL_MILLISECONDS = 100
#: As many characters of a title as a narrow panel shows: Qt cuts those of a combo box off without a word.
_TITLE_LENGTH = 38


class SegmentSection(PanelSection):
    """Model, device and brain mask; start, progress and end of a segmentation.

    Parameters
    ----------
    ui : object
        The panel's widgets by name.
    logic : VesselSegmentationLogic
    changed : callable
        Called without arguments when a segmentation has started or ended.
    segmented : callable
        Called with a job that is done, before `changed`.
    """

    def __init__(self, ui: Any, logic: Any, changed: Callable[[], None], segmented: Callable[[Any], None]) -> None:
        super().__init__(ui, logic)
        self._changed, self._segmented = changed, segmented
        self._job: Any = None
        self._starting = False
        self._device_query: Any = None
        self._logged_lines = 0
        self._models: dict[str, str] = {}
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self.poll)
        ui.deviceComboBox.connect("activated(int)", self._choose_device)
        ui.brainMaskSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._choose_brain_mask)
        ui.advancedGroupBox.connect("toggled(bool)", self._on_advanced)
        ui.segmentButton.connect("clicked(bool)", self.start)
        ui.cancelButton.connect("clicked(bool)", self.cancel)
        self._show_devices([])

    @property
    def running(self) -> bool:
        """Whether a segmentation runs."""
        return self._job is not None

    def fill_models(self) -> None:
        """List the models that are there now."""
        combo_box = self.ui.modelComboBox
        combo_box.clear()
        self._models = {manifest.name: manifest.title for manifest in self.logic.models()}
        for name, text in _entries(self._models).items():
            combo_box.addItem(text, name)
            combo_box.setItemData(combo_box.count - 1, self._describe(name), qt.Qt.ToolTipRole)

    def _describe(self, model: str) -> str:
        return f"{model}: {self._models[model]}" if model in self._models else model

    def update(self, running: bool) -> None:
        """Bring the widgets up to date."""
        ui, parameters = self.ui, self.parameters
        show_choice(ui.modelComboBox, parameters.model, _("{name} (not installed here)"))
        ui.modelComboBox.toolTip = self._describe(parameters.model)
        show_choice(ui.deviceComboBox, parameters.device, _("{name} (not seen on this machine)"))
        ui.brainMaskSelector.setCurrentNode(parameters.brainMaskNode)
        from_node = self.logic.needsMaskNode(parameters.brainMask)
        ui.brainMaskSelector.enabled = from_node
        ui.brainMaskNodeLabel.enabled = from_node
        reason = _("The segmentation is being started.") if self._starting else self._obstacle(running)
        allow(ui.segmentButton, reason, _("Find the vessels of the scan."))
        allow(ui.cancelButton, "" if running else _("Nothing is running."), _("Stop the segmentation."))
        if not running:
            ui.statusLabel.text = self._last_run() or _("Not segmented yet.")

    def start(self) -> None:
        """Start the segmentation; ask before packages are installed and before edited vessels are replaced."""
        if self._starting or self.running:
            return
        self._starting = True
        try:
            self.update(False)
            self._start()
        finally:
            self._starting = False
            self._changed()

    def _start(self) -> None:
        failed = _("The segmentation could not be started.")
        with errors_shown(failed):
            self.logic.ensureRequirements()
            # The panel was alive while packages were installed: nothing need be as it was.
            if self.parameters is None or self._obstacle(False) or not self.may_replace_vessels():
                return
        with errors_shown(failed, wait_cursor=True):
            recommended = self.logic.madeByAnotherModel(self.parameters)
            self._job = self.logic.startSegmentation(self.parameters, recommended=recommended)
        self.ui.logTextEdit.clear()
        self._logged_lines = 0
        self.ui.progressBar.value = 0
        self._timer.start()

    def _obstacle(self, running: bool) -> str:
        """Return why the scan cannot be segmented; empty if it can."""
        parameters = self.parameters
        if running:
            return _("The scan is being segmented. Press Cancel to stop.")
        if not self._models:
            return _("No model is installed: install the extension again.")
        if parameters.model not in self._models:
            return _("The model '{name}' is not installed here: choose another one.").format(name=parameters.model)
        if parameters.inputVolume is None:
            return _("Load a TOF scan and choose it above.")
        if self.logic.needsMaskNode(parameters.brainMask) and parameters.brainMaskNode is None:
            return _("Choose the brain mask under Advanced.")
        other = self.logic.otherScan(parameters)
        if other is not None:
            text = _("'{name}' holds the vessels of '{scan}': under Advanced, choose a new segmentation.")
            return text.format(name=parameters.outputSegmentation.GetName(), scan=other.GetName())
        return ""

    def cancel(self) -> None:
        """Stop the segmentation at once; nothing in the scene has changed."""
        if self._job is not None:
            self._job.cancel()
            self.poll()

    def halt(self) -> None:
        """Stop the segmentation: it would write into a scene that is gone."""
        self.cancel()

    def close(self) -> None:
        """Stop what runs."""
        self._timer.stop()
        for job in (self._job, self._device_query):
            if job is not None:
                job.cancel()
        self._job = self._device_query = None

    def poll(self) -> None:
        """Show how far the work in other processes is."""
        try:
            with errors_shown(_("The result could not be taken over.")):
                self._poll_device_query()
                self._poll_job()
        finally:
            if self._job is None and self._device_query is None:
                self._timer.stop()

    def _poll_job(self) -> None:
        job = self._job
        if job is None:
            return
        try:
            state = job.poll()
            self._show_progress(job)
            if state == DONE:
                self._segmented(job)
        finally:
            # Also where it raises: the buttons must not stay as they are while something runs.
            if job.state != RUNNING:
                self._job = None
                self._changed()
        if state == DONE and job.segmentation_node is not self.parameters.outputSegmentation:
            text = _("Done: the vessels of '{scan}' are found. Choose that scan to see them.")
            self.ui.statusLabel.text = text.format(scan=job.volume_node.GetName())
        elif state == CANCELLED:
            self.ui.statusLabel.text = _("Stopped: {reason}.").format(reason=job.message)
        elif state == FAILED:
            self.ui.statusLabel.text = _("Failed. {error}").format(error=sentence(job.error))
            show_failure(_("The segmentation failed."), job.error)

    def _show_progress(self, job: Any) -> None:
        for line in job.log[self._logged_lines :]:
            self.ui.logTextEdit.appendPlainText(line)
        self._logged_lines = len(job.log)
        self.ui.progressBar.value = 0 if job.state in (CANCELLED, FAILED) else int(job.percent)
        left = time_left(job.left)
        self.ui.statusLabel.text = stage_text(job.message, preview=job.preview.shown, left=left)
        if job.state != RUNNING:
            self.ui.logTextEdit.appendPlainText(job.message)

    def _last_run(self) -> str:
        """Return model, device, precision and seconds of the run that made the vessels; empty if none did."""
        run = self.logic.runSummary(self.parameters.outputSegmentation)
        if not run:
            return ""
        text = _("{model}, {device} ({device_name}), {engine} {precision}, {seconds:.1f} s").format(**run)
        return "; ".join([text, *run.get("notes", [])])

    def _choose_device(self, index: int) -> None:
        self.parameters.device = self.ui.deviceComboBox.itemData(index)

    def _choose_brain_mask(self, node: Any) -> None:
        if self.parameters is not None:
            self.parameters.brainMaskNode = node

    def _on_advanced(self, shown: bool) -> None:
        # Asked for only now: it takes a process, which imports torch where there may be a GPU.
        if shown and self._device_query is None and self.ui.deviceComboBox.findData("cpu") < 0:
            with errors_shown(_("The devices could not be listed.")):
                self._device_query = self.logic.startDeviceQuery()
                self._timer.start()

    def _poll_device_query(self) -> None:
        query = self._device_query
        if query is None or query.poll() == RUNNING:
            return
        self._device_query = None
        if query.state == DONE:
            self._show_devices(query.devices)
        else:
            error = query.error or VesselSegError(query.message)
            tool_tip = _("The devices could not be listed; Automatic works all the same. {error}")
            self.ui.deviceComboBox.toolTip = tool_tip.format(error=sentence(error))

    def _show_devices(self, devices: list[dict[str, Any]]) -> None:
        combo_box = self.ui.deviceComboBox
        combo_box.clear()
        combo_box.addItem(_("Automatic (the fastest)"), "auto")
        for device in devices:
            text = _("{name}: {product}, {memory:.0f} GiB").format(
                name=device["name"], product=device.get("label", ""), memory=device.get("memory_bytes", 0) / 2**30
            )
            combo_box.addItem(text, device["name"])
            combo_box.setItemData(combo_box.count - 1, text, qt.Qt.ToolTipRole)  # the panel may be narrow
        if self.parameters is not None:
            show_choice(combo_box, self.parameters.device, _("{name} (not seen on this machine)"))


def _entries(titles: dict[str, str]) -> dict[str, str]:
    """Return by the names of models what a list shows of their titles: never nothing, and never twice the same."""
    short = {name: _shortened(title, _TITLE_LENGTH) for name, title in titles.items()}
    texts = list(short.values())
    for name, text in short.items():
        if texts.count(text) > 1:  # a model and what was trained further from it
            title = _shortened(titles[name], _TITLE_LENGTH - len(f" ({name})"))
            short[name] = f"{title} ({name})" if title else name
    return {name: text or name for name, text in short.items()}


def _shortened(title: str, length: int) -> str:
    """Return the beginning of a title in whole words; empty where not even one fits."""
    text = textwrap.shorten(title.split(",")[0], max(length, 1), placeholder="…")
    return "" if text == "…" else text
