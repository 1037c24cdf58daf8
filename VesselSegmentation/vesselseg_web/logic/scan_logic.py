"""Loading scans: the synthetic one, files of this machine, and all that a visitor sends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_io import DicomSeries
from vesselseg.image_io import read_label, read_reference, read_series, read_volume
from vesselseg.phantom import make_phantom
from vesselseg.volume import Volume
from vesselseg_web.logic.page_logic import PageLogic, SectionLogic
from vesselseg_web.logic.question_logic import QuestionLogic, loading
from vesselseg_web.logic.states import ScanState
from vesselseg_web.uploads.arrivals import Arrival, find_arrival
from vesselseg_web.uploads.upload_checks import shown_name
from vesselseg_web.workspace.case import given_notes, grid_text
from vesselseg_web.workspace.session import restore_session
from vesselseg_web.workspace.session_scene import take_over
from vesselseg_web.workspace.wording import as_sentences

if TYPE_CHECKING:
    from vesselseg_web.viewing.views import Views
    from vesselseg_web.workspace.case import Case

#: What files that are sent can be.
SCAN, REFERENCE, MASK = "scan", "reference", "mask"
UPLOADS = (SCAN, REFERENCE, MASK)
_PHANTOM = "TOF phantom"


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

    async def load_phantom(self) -> None:
        """Load the synthetic scan."""
        if self.page.data.busy:
            return
        async with self.page.busy("Making the synthetic scan"):
            # In a thread: the page stays alive, and a second click is answered while there is something to wait for.
            scan, truth = await asyncio.to_thread(make_phantom)
            if await self._take_scan(scan, _PHANTOM):
                self.case.add_reference(truth, f"True vessels of the {_PHANTOM}")

    async def open_files(self, paths: Sequence[str]) -> None:
        """Load files of this machine: the first is the scan, the others are vessels to compare with."""
        for index, path in enumerate(paths):
            name, taken = shown_name(Path(path).name), False
            async with self.page.busy(f"Reading {name}"):
                if index == 0:
                    taken = await self._take_scan(await asyncio.to_thread(read_volume, path), name)
                else:
                    await self._take_label(Path(path), name, REFERENCE)
                    taken = True
            if not taken:  # what could not be read is told
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
                    raise _without(folder, name, error) from error
        finally:
            if self._choice is None:
                shutil.rmtree(folder, ignore_errors=True)
        return taken

    async def choose_series(self, index: str) -> None:
        """Load one of the series that were offered."""
        choice = self._choice
        if choice is None or not index.isdigit() or int(index) >= len(choice.series):
            return
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
            if arrival.image is None:
                raise VesselSegError("this is no label", "send one as NIfTI, NRRD or MHA")
            await self._take_label(arrival.image, name, kind)
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
        if not await self._may_load(name):
            return False
        self.case.load_scan(scan, name)
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


def _without(folder: Path, name: str, error: VesselSegError) -> VesselSegError:
    """Return an error that tells a file by the name that its sender knows, not by where it lies here."""
    texts = []
    for text in (error.message, error.advice):
        words = [f"'{name}'" if word.startswith(str(folder)) else word for word in text.split(" ")]
        texts.append(" ".join(words))
    return VesselSegError(*texts)
