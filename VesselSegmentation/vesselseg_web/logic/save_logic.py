"""What can be downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vesselseg.errors import VesselSegError
from vesselseg.image_io import write_volume
from vesselseg.volume import Volume
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.states import SaveState
from vesselseg_web.uploads.upload_checks import shown_name
from vesselseg_web.workspace.session import write_session
from vesselseg_web.workspace.wording import LOAD_FIRST
from VesselSegmentationLib.correcting.edit_log import export_log
from VesselSegmentationLib.jobs.wording import stage_text
from VesselSegmentationLib.jobs.worker_job import FAILED, RUNNING, WorkerJob
from VesselSegmentationLib.saving.edit_export import export_signed
from VesselSegmentationLib.saving.review_export import export_components, export_metrics, listed_text
from VesselSegmentationLib.saving.review_files import FigureSettings, start_figure, start_report

if TYPE_CHECKING:
    from vesselseg_web.workspace.case import Case

LABEL, PROBABILITY, ERROR_MAP, SESSION = "label", "probability", "errormap", "session"
FIGURE, REPORT, METRICS, ERRORS, EDITS = "figure", "report", "metrics", "errors", "edits"
#: What is offered, and the endings it can have, the usual one first.
DOWNLOADS = {
    SESSION: (".mrb",),
    LABEL: (".nii.gz", ".nrrd", ".seg.nrrd", ".stl"),
    PROBABILITY: (".nii.gz", ".nrrd"),
    ERROR_MAP: (".nii.gz", ".nrrd"),
    FIGURE: (".png", ".pdf", ".svg"),
    REPORT: (".html", ".pdf"),
    METRICS: (".csv", ".json"),
    ERRORS: (".csv", ".json"),
    EDITS: (".json",),
}
FIGURE_KINDS = (
    {"title": "Overview", "value": "overview"},
    {"title": "Close-ups", "value": "closeups"},
    {"title": "Projections", "value": "projections"},
)
#: Ending of a label that is no image.
_SURFACE = ".stl"
#: Metrics and errors that follow an edit take about a second.
_LONGEST_WAIT = 120.0
_POLL_SECONDS = 0.1


class SaveLogic(SectionLogic[SaveState]):
    """Answers to the section "Save".

    Parameters
    ----------
    page : PageLogic
    case : Case
    """

    def __init__(self, page: PageLogic, case: Case) -> None:
        super().__init__(page, case, SaveState)
        self._images: dict[str, Callable[[], Volume]] = {
            LABEL: case.label,
            PROBABILITY: case.probability,
            ERROR_MAP: case.error_map,
        }
        self._job: WorkerJob | None = None
        self.data.figures = list(FIGURE_KINDS)
        self.data.figure = FIGURE_KINDS[0]["value"]
        case.scan_changed.connect(self.update)
        case.labels_changed.connect(self.update)
        case.run_changed.connect(self.update)
        self.update()

    def update(self) -> None:
        """Say what can be saved."""
        scan = "" if self.case.scan is not None else LOAD_FIRST
        vessels = scan or ("" if self.case.has_vessels else "Segment the scan first.")
        probability = vessels or ("" if self.case.probability_node is not None else "There is no probability map.")
        compared = self.case.review.error_map is not None
        comparison = vessels or ("" if compared else "Compare the vessels with a reference first.")
        why_not = dict.fromkeys(DOWNLOADS, comparison)
        why_not.update({SESSION: scan, LABEL: vessels, EDITS: vessels, PROBABILITY: probability})
        self.data.why_not = why_not

    def comparison_changed(self, changed: set[str]) -> None:
        """See what can be saved."""
        self.update()

    def stop(self) -> None:
        """Stop drawing."""
        if self._job is not None:
            self._job.cancel()

    async def write(self, what: str, path: Path) -> str:
        """Write a file.

        Parameters
        ----------
        what : str
            One of `DOWNLOADS`.
        path : pathlib.Path
            With one of its endings.

        Returns
        -------
        str
            The name that the file gets, without ending; of a list of errors that is not whole it says so.

        Raises
        ------
        VesselSegError
            If there is no such thing at present, or it cannot be written.
        """
        if self.data.why_not[what]:
            raise VesselSegError("there is nothing to save", self.data.why_not[what])
        name = f"{shown_name(str(self.case.scan.GetName()))} {what}"
        if what in (FIGURE, REPORT):
            await self._draw(what, path)
        elif what == SESSION:
            with self._showing("Saving the session"):
                await self.page.show_now()
                write_session(self.case, path)
        else:
            with self._showing(f"Saving {name}"):
                await self.page.show_now()
                await self._write(what, path)
        review = self.case.review
        if what == ERRORS and review.navigator is not None and review.listing is not None:
            cut = listed_text(review.navigator, review.listing.count)
            name += f" ({cut})" if cut else ""
        return name

    def present(self) -> object:
        """Return what is other after every correction."""
        return self.case.edits.target, self.case.edits.state

    def sent(self, what: str, suffix: str, present: object) -> None:
        """Note that corrections are saved, if a file that was sent holds all of them.

        Parameters
        ----------
        what, suffix : str
            One of `DOWNLOADS` with one of its endings.
        present : object
            What `present` returned before the file was written: corrections that were made since are not in it.
        """
        edits = self.case.edits
        if not edits.unsaved_edits or present != self.present():
            return
        is_label = what == LABEL and suffix != _SURFACE
        if what == SESSION or (is_label and edits.only_voxels):
            edits.mark_saved()

    async def _write(self, what: str, path: Path) -> None:
        review, target = self.case.review, self.case.edits.target
        compared = review.error_map

        def another() -> bool:
            return review.error_map is not compared

        if what == METRICS:
            await self._wait_until(lambda: another() or review.metrics_current or review.metrics_failed)
        elif what == ERRORS:
            await self._wait_until(lambda: another() or (review.listing is not None and not review.listing.pending))
        if what in (METRICS, ERRORS):
            if compared is None or another() or review.navigator is None:
                raise VesselSegError("this comparison has ended", "compare again, then save")
            if what == METRICS:
                export_metrics(review, path)
            else:
                count = review.listing.count if review.listing is not None else 0
                export_components(review.navigator, path, compared.wording, count=count)
        elif what == EDITS:
            export_log(self.case.vessels, self.case.scan, path)
        elif what == LABEL and path.name.endswith((".seg.nrrd", ".stl")):
            if target is None:
                raise VesselSegError("there are no vessels yet", "segment the scan first")
            export_signed(target, [path], reader="")
        else:
            await asyncio.to_thread(write_volume, self._images[what](), path)

    async def _draw(self, what: str, path: Path) -> None:
        if self._job is not None:
            raise VesselSegError("another file is being made", "wait until it is there")
        review = self.case.review
        settings = FigureSettings(kind=self.data.figure)
        job = self._job = start_figure(review, path, settings) if what == FIGURE else start_report(review, [path])
        try:
            while job.poll() == RUNNING:
                self.data.message, self.data.percent = stage_text(job.message), job.percent
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            job.cancel()
            self._job = None
            self.data.message, self.data.percent = "", -1.0
        if job.state == FAILED and job.error is not None:
            raise job.error
        if not path.is_file():
            raise VesselSegError("nothing was saved", "try again")

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the page does meanwhile."""
        end = time.monotonic() + _LONGEST_WAIT
        while not condition() and time.monotonic() < end:
            await asyncio.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def _showing(self, what: str) -> Iterator[None]:
        self.page.data.busy = what
        try:
            yield
        finally:
            self.page.data.busy = ""
