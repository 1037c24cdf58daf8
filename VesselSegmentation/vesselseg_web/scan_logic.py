"""Loading scans: the synthetic one, files of this machine, files that a visitor sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselseg.image_io import read_label, read_volume
from vesselseg_web.case import grid_text
from vesselseg_web.page_logic import PageLogic, SectionLogic
from vesselseg_web.states import ScanState
from vesselseg_web.upload_checks import check_unpacked_size, image_suffix_of, shown_name

if TYPE_CHECKING:
    from vesselseg_web.case import Case
    from vesselseg_web.views import Views

#: What a file that is sent can be.
SCAN, REFERENCE, MASK = "scan", "reference", "mask"
UPLOADS = (SCAN, REFERENCE, MASK)


class ScanLogic(SectionLogic[ScanState]):
    """Answers to the section "Scan", and takes every file that comes in.

    Parameters
    ----------
    page : PageLogic
    case : Case
    views : Views
    """

    def __init__(self, page: PageLogic, case: Case, views: Views) -> None:
        super().__init__(page, case, ScanState)
        self._views = views
        case.scan_changed.connect(self._show_scan)

    def set_ui(self, ui: Any) -> None:
        """Answer to the clicks."""
        ui.phantom_clicked.connect(self.load_phantom)

    async def load_phantom(self) -> None:
        """Load the synthetic scan."""
        if self.page.data.busy:
            return
        async with self.page.busy("Making the synthetic scan"):
            self.case.load_phantom()
            self.page.say("The synthetic scan is loaded. Next: segment its vessels.")

    async def open_files(self, paths: Sequence[str]) -> None:
        """Load files of this machine: the first is the scan, the others are vessels to compare with."""
        for index, path in enumerate(paths):
            async with self.page.busy(f"Reading {shown_name(path)}"):
                await self._take(Path(path), shown_name(Path(path).name), SCAN if index == 0 else REFERENCE)
            if self.page.data.error:
                return

    async def take_upload(self, path: Path, name: str, kind: str) -> bool:
        """Take a file that a visitor has sent.

        Parameters
        ----------
        path : pathlib.Path
            Where it lies now; it is removed.
        name : str
            What the visitor calls it; only ever shown.
        kind : str
            One of `UPLOADS`.

        Returns
        -------
        bool
            Whether it could be used; if not, the page shows why.
        """
        name = shown_name(name)
        taken = False
        try:
            async with self.page.busy(f"Reading {name}"):
                named = path.rename(path.with_suffix(image_suffix_of(path)))
                try:
                    await asyncio.to_thread(check_unpacked_size, named)
                    await self._take(named, name, kind)
                    taken = True
                finally:
                    named.unlink(missing_ok=True)
        finally:
            path.unlink(missing_ok=True)
        return taken

    async def _take(self, path: Path, name: str, kind: str) -> None:
        read: Callable[[Path], Any] = read_volume if kind == SCAN else read_label
        volume = await asyncio.to_thread(read, path)
        if kind == SCAN:
            self.case.load_scan(volume, name)
            self.page.say(f"{name} is loaded. Next: segment its vessels.")
        elif kind == REFERENCE:
            self.case.add_reference(volume, name)
            self.page.say(f"The reference {name} is loaded.")
        else:
            self.case.set_mask(volume, name)
            self.page.say(f"The brain mask {name} is loaded.")

    def _show_scan(self) -> None:
        scan = self.case.scan
        self._views.show_scan(scan)
        self.data.name = str(scan.GetName()) if scan is not None else ""
        self.data.grid = grid_text(scan) if scan is not None else ""
