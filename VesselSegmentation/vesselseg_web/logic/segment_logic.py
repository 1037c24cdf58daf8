"""Finding the vessels, and the threshold that makes them from the probability map."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.models import list_models
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.question_logic import SEGMENTING, THRESHOLD, QuestionLogic
from vesselseg_web.logic.states import SegmentState
from vesselseg_web.workspace.wording import LOAD_FIRST, SEGMENT_FIRST, WAIT
from VesselSegmentationLib.jobs.wording import stage_text, time_left
from VesselSegmentationLib.jobs.worker_job import CANCELLED, DONE, FAILED, RUNNING
from VesselSegmentationLib.scene.run_record import recorded_summary, recorded_threshold
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown
from VesselSegmentationLib.segmenting.device_query import DeviceQuery
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationJob, SegmentationSettings

if TYPE_CHECKING:
    from vesselseg.models import Manifest
    from vesselseg_web.workspace.case import Case

#: How long a slider must rest before the vessels follow it.
_REST_SECONDS = 0.2
_SAME = 1e-6
_MASKS = {"auto": "Automatic", "none": "None (whole scan)"}
_GIVEN_MASK = "given"
NO_PROBABILITY = "The probability map of these vessels is missing: segment the scan again."
_AUTOMATIC_DEVICE = {"title": "Automatic", "value": "auto"}


class SegmentLogic(SectionLogic[SegmentState]):
    """Answers to the section "Segment".

    Parameters
    ----------
    page : PageLogic
    case : Case
    question : QuestionLogic
    """

    def __init__(self, page: PageLogic, case: Case, question: QuestionLogic) -> None:
        super().__init__(page, case, SegmentState)
        self._question = question
        self._job: SegmentationJob | None = None
        self._query: DeviceQuery | None = None
        self._devices: list[str] = []
        self._moved_at: float | None = None
        self._offered_mask: Any = None
        self.data.devices = [_AUTOMATIC_DEVICE]
        self._show_models()
        self.bind_changes(
            {
                self.name.model: self._choose_model,
                (self.name.threshold, self.name.min_component): self._on_moved,
            }
        )
        case.scan_changed.connect(self._on_scan)
        case.labels_changed.connect(self.update)
        case.run_changed.connect(self.show_what_ran)
        self.update()

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.start_clicked.connect(self.start)
        ui.cancel_clicked.connect(self.cancel)

    def start(self) -> None:
        """Start to segment the scan; corrected vessels only after the user has agreed."""
        if self._job is None:
            self._question.before(SEGMENTING, self._start)

    def _start(self) -> None:
        with self.page.reporting():
            choice = self.data.mask
            self._check_choices()
            threshold, min_component = self._numbers()
            settings = SegmentationSettings(
                model=self.data.model,
                device=self.data.device,
                brain_mask=self.case.mask if choice == _GIVEN_MASK else choice,
                threshold=threshold,
                min_component_mm3=min_component,
            )
            self._job = self.case.segmentation.start_segmentation(
                self.case.scan, self.case.vessels, self.case.probability_node, settings
            )
            self.data.log = []
            self.page.say("Segmenting.")
        self.update()

    def _numbers(self) -> tuple[float | None, float | None]:
        """Return threshold and smallest piece; None for those of the model where the sliders speak of another one."""
        summary = recorded_summary(self.case.vessels) if self.case.has_vessels else {}
        if summary.get("model", self.data.model) != self.data.model:
            return None, None
        return self.data.threshold, self.data.min_component

    def _check_choices(self) -> None:
        """Refuse what was not offered: the worker would take the name of a file, too, as the command line does."""
        offered = (
            (self.data.model, [manifest.name for manifest in list_models()]),
            (self.data.device, [_AUTOMATIC_DEVICE["value"], *self._devices]),
            (self.data.mask, [*_MASKS, *([_GIVEN_MASK] if self.case.mask is not None else [])]),
        )
        for choice, choices in offered:
            if choice not in choices:
                raise VesselSegError(f"'{choice}' cannot be chosen", f"choose one of: {', '.join(choices)}")

    def cancel(self) -> None:
        """Stop the segmentation at once; nothing in the scene has changed."""
        if self._job is not None:
            self._job.cancel()
            self._poll_job()

    def stop(self) -> None:
        """Stop all that runs."""
        self.cancel()
        if self._query is not None:
            self._query.cancel()
            self._query = None

    def ask_for_devices(self) -> None:
        """Start to ask which devices there are."""
        with self.page.reporting():
            self._query = self.case.segmentation.start_device_query()

    def poll(self) -> None:
        """Show how far the workers are; let the vessels follow a slider that has come to rest."""
        self._poll_job()
        self._poll_query()
        if self._moved_at is not None and time.monotonic() - self._moved_at > _REST_SECONDS:
            self._moved_at = None
            self.apply_threshold()

    def apply_threshold(self) -> None:
        """Make the vessels anew from the probability map, if the sliders say something else than made them."""
        if self.data.why_no_threshold or not self.case.has_vessels or self.case.probability_node is None:
            return
        applied = recorded_threshold(self.case.vessels)
        wanted = (float(self.data.threshold), float(self.data.min_component))
        if applied is not None and max(abs(a - b) for a, b in zip(applied, wanted)) < _SAME:
            return
        # Corrections that are kept take the sliders back to what the vessels were made with.
        self._question.before(THRESHOLD, self._apply, self._show_threshold)

    def _apply(self) -> None:
        wanted = float(self.data.threshold), float(self.data.min_component)
        with self.page.reporting():
            self.case.segmentation.apply_threshold(self.case.probability_node, self.case.vessels, *wanted)
            self.page.say(f"Threshold {wanted[0]:.2f}, pieces of at least {wanted[1]:.1f} mm³.")

    def show_what_ran(self) -> None:
        """Show what has made the vessels: they came with a session, or are there again after undo."""
        self._show_threshold()
        self.update()
        summary = recorded_summary(self.case.vessels) if self.case.has_vessels else {}
        self.data.message = _what_ran(summary) if summary else ""

    def _show_threshold(self) -> None:
        applied = recorded_threshold(self.case.vessels) if self.case.has_vessels else None
        if applied is not None:
            self.data.threshold, self.data.min_component = applied

    def update(self) -> None:
        """Say what can be done."""
        data, running = self.data, self._job is not None
        data.running = running
        data.why_not = ""
        if running:
            data.why_not = "The scan is being segmented."
        elif not data.models:
            data.why_not = "No model is installed."
        elif self.case.scan is None:
            data.why_not = LOAD_FIRST
        data.why_no_mask = LOAD_FIRST if self.case.scan is None else WAIT if running else ""
        data.why_no_threshold = ""
        if running:
            data.why_no_threshold = WAIT
        elif self.case.probability_node is None:
            data.why_no_threshold = NO_PROBABILITY if self.case.has_vessels else SEGMENT_FIRST
        self._show_masks()

    def _on_scan(self) -> None:
        self.cancel()
        self._moved_at = None
        self.data.message, self.data.percent, self.data.log = "", 0.0, []
        if self.data.mask == _GIVEN_MASK:
            self.data.mask = "auto"
        self._choose_model(self.data.model)
        self.update()

    def _show_models(self) -> None:
        with self.page.reporting():
            manifests = list_models()
            self.data.models = [_choice(each) for each in manifests]
            if manifests:
                self.data.model = manifests[0].name
                self._choose_model(self.data.model)

    def _choose_model(self, name: str) -> None:
        """Take the threshold that is recommended for a model, unless there are vessels that a threshold has made."""
        for manifest in list_models():
            if manifest.name == name and not self.case.has_vessels:
                self.data.threshold, self.data.min_component = manifest.threshold, manifest.min_component_mm3

    def _show_masks(self) -> None:
        masks = [{"title": title, "value": value} for value, title in _MASKS.items()]
        if self.case.mask is not None:
            masks.append({"title": str(self.case.mask.GetName()), "value": _GIVEN_MASK})
            if self.case.mask is not self._offered_mask:
                self.data.mask = _GIVEN_MASK  # who sends one wants it to be used
        self._offered_mask = self.case.mask
        self.data.masks = masks

    def _on_moved(self, threshold: float, min_component: float) -> None:
        self._moved_at = time.monotonic()

    def _poll_job(self) -> None:
        job = self._job
        if job is None:
            return
        state = job.poll()
        self.data.percent, self.data.log = job.percent, list(job.log)
        left = time_left(job.left)
        self.data.message = stage_text(job.message, preview=job.preview.shown, left=left)
        if state == RUNNING:
            return
        self._job = None
        with self.page.reporting():
            self._take_end(job)
        self.update()

    def _take_end(self, job: SegmentationJob) -> None:
        self.data.percent = 100.0 if job.state == DONE else 0.0
        if job.state == CANCELLED:
            self.data.message = ""
            self.page.say("The segmentation was cancelled: nothing has changed.")
        elif job.state == FAILED:
            self.data.message = ""
            self.page.say("The scan was not segmented: nothing has changed.")
            raise job.error or VesselSegError(job.message)
        else:
            if not self.case.has_vessels:
                set_surface_shown(job.segmentation_node, True)
            self.case.take_vessels(job.segmentation_node)
            self._show_threshold()
            self.data.message = _what_ran(job.summary)
            self.page.say(f"The vessels are found. {self.data.message}")

    def _poll_query(self) -> None:
        query = self._query
        if query is None or query.poll() == RUNNING:
            return
        self._query = None
        # Where they cannot be listed, automatic works all the same.
        devices = [
            {"title": f"{each['name']}: {each.get('label', '')}", "value": str(each["name"])} for each in query.devices
        ]
        self._devices = [each["value"] for each in devices]
        self.data.devices = [_AUTOMATIC_DEVICE, *devices]


def _choice(manifest: Manifest) -> dict[str, str]:
    """Return what a list of models shows: what it is, and below it how it came about."""
    title, _, rest = manifest.title.partition(", ")
    return {"title": title, "value": manifest.name, "subtitle": rest}


def _what_ran(summary: dict[str, Any]) -> str:
    text = "{model}, {device} ({device_name}), {engine} {precision}, {seconds:.1f} s.".format(**summary)
    return " ".join([text, *(f"{note}." for note in summary.get("notes", []))])
