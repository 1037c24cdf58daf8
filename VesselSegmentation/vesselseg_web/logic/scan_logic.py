"""Loading scans: the synthetic one, files of this machine, and all that a visitor sends."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_io import DicomSeries
from vesselseg.image_io import read_label, read_reference, read_series, read_volume
from vesselseg.label_values import looks_like_label
from vesselseg.phantom import make_phantom
from vesselseg.segmentation import check_scan
from vesselseg.volume import Volume
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.question_logic import QuestionLogic, loading
from vesselseg_web.logic.states import ScanState
from vesselseg_web.uploads.arrivals import Arrival, find_arrival, label_of, without_folder
from vesselseg_web.uploads.local_files import lay_out
from vesselseg_web.uploads.upload_checks import shown_name
from vesselseg_web.workspace.case import given_notes, grid_text
from vesselseg_web.workspace.session import restore_session
from vesselseg_web.workspace.session_scene import take_over
from vesselseg_web.workspace.wording import as_sentences
from VesselSegmentationLib.jobs.wording import sentence

if TYPE_CHECKING:
    from vesselseg_web.viewing.views import Views
    from vesselseg_web.workspace.case import Case

#: What files that are sent can be.
SCAN, REFERENCE, MASK = "scan", "reference", "mask"
UPLOADS = (SCAN, REFERENCE, MASK)
_PHANTOM = "TOF phantom"
_LOOKS_LIKE_LABEL = "It looks like a segmentation: load its scan first, then open it under Review as a reference."


@dataclass(frozen=True)
class _Choice:
    """Series of which one has to be chosen, and the folder in which they wait."""

    folder: Path
    series: list[DicomSeries]
    name: str


class ScanLogic(SectionLogic[ScanState]):
    """Answers to the section "Scan", and takes every file that comes in.

    Parameters
    ----------
    page : PageLogic
    case : Case
    question : QuestionLogic
        Asked before anything takes the place of corrections.
    views : Views
    restored : callable, optional
        Called when a saved session has been loaded, with the name of the reference that was compared with.
    """

    def __init__(
        self,
        page: PageLogic,
        case: Case,
        question: QuestionLogic,
        views: Views,
        restored: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(page, case, ScanState)
        self._question = question
        self._views = views
        self._restored = restored
        self._choice: _Choice | None = None
        case.scan_changed.connect(self._show_scan)

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.phantom_clicked.connect(self.load_phantom)
        ui.series_clicked.connect(self.choose_series)
        ui.series_dismissed.connect(self.forget_choice)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Load something; a `VesselSegError` while something else is on its way: the last to finish would win."""
        if self.data.why_not:
            raise on_its_way()
        self.data.why_not = sentence(on_its_way())
        try:
            yield
        finally:
            self.data.why_not = ""

    async def load_phantom(self) -> None:
        """Load the synthetic scan."""
        if self.page.data.busy:
            return
        with self.page.reporting(keep=True), self.alone():
            async with self.page.busy("Making the synthetic scan"):
                # In a thread: the page stays alive, and a second click is answered while this is being done.
                scan, truth = await asyncio.to_thread(make_phantom)
                if await self._take_scan(scan, _PHANTOM):
                    self.case.add_reference(truth, f"True vessels of the {_PHANTOM}")

    async def open_files(self, paths: Sequence[str], folder: Path) -> None:
        """Load files of this machine, as if they were sent.

        Parameters
        ----------
        paths : sequence of str
            The first is the scan or a saved session, the others are vessels to compare with.
        folder : pathlib.Path
            A private folder.
        """
        with self.page.reporting(), self.alone():
            for index, path in enumerate(map(Path, paths)):
                files = folder / secrets.token_hex(8)
                lay_out(path, files)
                taken = await self.take_upload(files, path.name, REFERENCE if index else SCAN)
                if not taken or self._choice is not None:  # nothing to compare with
                    return

    async def take_upload(self, folder: Path, name: str, kind: str) -> bool:
        """Take what a visitor has sent.

        Parameters
        ----------
        folder : pathlib.Path
            It holds the files, under any names, and is removed when they are no longer needed.
        name : str
            What the visitor calls it; only ever shown.
        kind : str
            One of `UPLOADS`.

        Returns
        -------
        bool
            Whether it was taken; if not, the page shows why.
        """
        name = shown_name(name)
        taken = False
        self.forget_choice()
        try:
            async with self.page.busy(f"Reading {name}"):
                files = sorted(folder.iterdir())
                try:
                    arrival = await asyncio.to_thread(find_arrival, files, folder)
                    taken = await self._take(arrival, name, kind, folder)
                except VesselSegError as error:
                    raise without_folder(folder, name, error) from error
        finally:
            if self._choice is None:
                shutil.rmtree(folder, ignore_errors=True)
        return taken

    async def choose_series(self, index: str) -> None:
        """Load one of the series that were offered."""
        choice = self._choice
        if choice is None or not index.isdigit() or int(index) >= len(choice.series):
            return
        with self.page.reporting(keep=True), self.alone():
            self._choice, self.data.series = None, []
            try:
                async with self.page.busy(f"Reading {choice.name}"):
                    await self._take_series(choice.series[int(index)], choice.name)
            finally:
                shutil.rmtree(choice.folder, ignore_errors=True)

    def forget_choice(self) -> None:
        """Offer no series any more, and remove their files."""
        choice, self._choice = self._choice, None
        self.data.series = []
        if choice is not None:
            shutil.rmtree(choice.folder, ignore_errors=True)

    async def _take(self, arrival: Arrival, name: str, kind: str, folder: Path) -> bool:
        if kind != SCAN:
            await self._take_label(label_of(arrival), name, kind)
            return True
        if arrival.image is not None:
            return await self._take_scan(await asyncio.to_thread(read_volume, arrival.image), name)
        if arrival.session:
            description = await asyncio.to_thread(take_over, arrival.session, folder)
            if not await self._may_load(name):
                return False
            reference = restore_session(self.case, description)
            if self._restored is not None:
                self._restored(reference)
            self.page.say(f"Session {name} is restored.")
            return True
        if arrival.clear_series is not None:
            return await self._take_series(arrival.clear_series, name)
        self._choice = _Choice(folder, arrival.series, name)
        self.data.series = [{"title": each.text, "value": str(i)} for i, each in enumerate(arrival.series)]
        self.page.say("There are several series. Choose the scan.")
        return True

    async def _take_series(self, series: DicomSeries, name: str) -> bool:
        volume = await asyncio.to_thread(read_series, series, where=name)
        # What the scanner calls it is no name of a person; what the folder is called often is.
        return await self._take_scan(volume, shown_name(series.description) if series.description else name)

    async def _may_load(self, name: str) -> bool:
        """Ask where corrections would be lost. Last of all: what cannot be read replaces nothing."""
        if await self._question.agreed(loading(name)):
            return True
        self.page.say(f"Your corrections are kept: '{name}' is not loaded.")
        return False

    async def _take_scan(self, scan: Volume, name: str) -> bool:
        await asyncio.to_thread(check_scan, scan)
        is_label = await asyncio.to_thread(looks_like_label, scan.array)
        if not await self._may_load(name):
            return False
        self.case.load_scan(scan, name)
        if is_label:
            self.page.say(f"{name} is loaded. {_LOOKS_LIKE_LABEL}")
        else:
            self.page.data.section = "segment"
            self.page.say(f"{name} is loaded. Next: segment its vessels.")
        return True

    async def _take_label(self, path: Path, name: str, kind: str) -> None:
        if kind == REFERENCE:
            label, unsure = await asyncio.to_thread(read_reference, path)
            node = self.case.references[self.case.add_reference(label, name, unsure)]
            loaded = f"the reference {name} is loaded"
        else:
            self.case.set_mask(await asyncio.to_thread(read_label, path), name)
            node = self.case.mask
            loaded = f"the brain mask {name} is loaded"
        self.page.say(as_sentences([loaded, *given_notes(node)]))

    def _show_scan(self) -> None:
        scan = self.case.scan
        self._views.show_scan(scan)
        self.data.name = str(scan.GetName()) if scan is not None else ""
        self.data.grid = grid_text(scan) if scan is not None else ""


def on_its_way() -> VesselSegError:
    """Return what is said while something is being loaded."""
    return VesselSegError("another file is on its way", "wait until it is there")
