"""Files that come in and go out, as plain requests: they have a progress, and no message has to hold them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from vesselseg.errors import VesselSegError
from vesselseg_web.logic.save_logic import DOWNLOADS
from vesselseg_web.logic.scan_logic import UPLOADS
from vesselseg_web.uploads.upload_checks import MAX_FILE_BYTES, MAX_FILES

if TYPE_CHECKING:
    from vesselseg_web.logic.page_logic import PageLogic
    from vesselseg_web.logic.save_logic import SaveLogic
    from vesselseg_web.logic.scan_logic import ScanLogic

_BLOCK_BYTES = 1 << 20
_LONGEST_NAME_BYTES = 4096
#: Of a form, beyond the files in it: names and lines between them.
_SLACK_BYTES = 16 << 20
#: An upload of which nothing has come for so long is given up: no other is taken while it is on its way.
_STALLED_SECONDS = 60.0

T = TypeVar("T")


class Transfers:
    """Takes uploads and answers to downloads.

    Parameters
    ----------
    folder : pathlib.Path
        A private folder. Files lie in it, under names of our own, only while they are on their way.
    page : PageLogic
    scan : ScanLogic
    save : SaveLogic
    """

    def __init__(self, folder: Path, page: PageLogic, scan: ScanLogic, save: SaveLogic) -> None:
        self._folder = folder
        self._page, self._scan, self._save = page, scan, save

    def routes(self) -> list[web.RouteDef]:
        """Return what the server has to answer."""
        return [
            web.post(f"/upload/{{kind:{'|'.join(UPLOADS)}}}", self.upload),
            # Not for who asks for its headers alone: nothing would be saved.
            web.get(f"/download/{{what:{'|'.join(DOWNLOADS)}}}", self.download, allow_head=False),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        """Take a form with the field "name", of what is sent, for people, and any number of files."""
        folder = self._folder / secrets.token_hex(8)
        taken = False
        with self._reporting(), self._scan.alone():
            try:
                folder.mkdir()
                name = await _receive(request, folder)
                taken = await self._scan.take_upload(folder, name, request.match_info["kind"])
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            finally:
                # The page that counted may be gone: it was loaded anew meanwhile.
                self._scan.data.upload_percent = -1.0
        await self._page.show_now()
        return web.Response(status=204 if taken else 422)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send what can be saved; the query ``format`` is its ending."""
        what, suffix = request.match_info["what"], request.query.get("format", "")
        if suffix not in DOWNLOADS[what]:
            return web.Response(status=404)
        folder = self._folder / secrets.token_hex(8)
        path, name = folder / f"file{suffix}", ""
        present = self._save.present()
        self._page.data.error = ""  # of an earlier download, which this one repeats
        try:
            with self._reporting():
                folder.mkdir()
                name = await self._save.write(what, path)
            await self._page.show_now()
            if not name:
                return web.Response(status=409, text=self._page.data.error)
            with self._reporting():
                response = await _send(request, path, f"{name}{suffix}")
                self._page.say(f"{name} is saved.")
                self._save.sent(what, suffix, present)
                return response
            # In the middle of a file nothing else can be answered, but whoever waits for its end has to be told.
            if request.transport is not None:
                request.transport.abort()
            await self._page.show_now()
            return web.Response(status=500)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """As the page reports; a browser that goes away is no mistake of ours."""
        with self._page.reporting(keep=True):
            try:
                yield
            except ConnectionError:
                raise VesselSegError("the transfer broke off", "try again") from None


async def _send(request: web.Request, path: Path, name: str) -> web.StreamResponse:
    """Send a file piece by piece, while it is there."""
    response = web.StreamResponse(
        headers={
            "Cache-Control": "no-store",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(path.stat().st_size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        }
    )
    await response.prepare(request)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            await response.write(block)
    await response.write_eof()
    return response


async def _receive(request: web.Request, folder: Path) -> str:
    """Write the files of a form into a folder; returns the name of what is sent."""
    too_large = VesselSegError(
        f"this is more than the {MAX_FILE_BYTES >> 20} MiB that are taken here", "use the command line"
    )
    if (request.content_length or 0) > MAX_FILE_BYTES + _SLACK_BYTES:
        raise too_large
    if not request.content_type.startswith("multipart/"):
        raise VesselSegError("this is no form with files", "use the page")
    name, size, count = "", 0, 0
    try:
        form = await request.multipart()
        while (part := await _in_time(form.next())) is not None:
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "name":
                name = (await _in_time(part.read_chunk(_LONGEST_NAME_BYTES))).decode("utf-8", "replace")
                continue
            count += 1
            if count > MAX_FILES:
                raise VesselSegError(
                    f"these are more than the {MAX_FILES:,} files that are taken here", "send one series"
                )
            with open(folder / f"{count:05d}", "xb") as file:
                while block := await _in_time(part.read_chunk(_BLOCK_BYTES)):
                    size += len(block)  # what was announced need not be true
                    if size > MAX_FILE_BYTES:
                        raise too_large
                    file.write(block)
    except (ValueError, asyncio.TimeoutError) as error:
        raise VesselSegError("the upload broke off", "try again") from error
    if count == 0:
        raise VesselSegError("no file was sent", "choose one")
    return name


async def _in_time(piece: Coroutine[object, object, T]) -> T:
    """Wait for a piece of an upload, but not for ever."""
    return await asyncio.wait_for(piece, _STALLED_SECONDS)
