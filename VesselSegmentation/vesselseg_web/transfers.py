"""Files that come in and go out, as plain requests: they have a progress, and no message has to hold them."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from aiohttp import web

from vesselseg.errors import VesselSegError
from vesselseg.image_io import write_volume
from vesselseg_web.save_logic import ERROR_MAP, FORMATS, LABEL, PROBABILITY
from vesselseg_web.scan_logic import UPLOADS
from vesselseg_web.upload_checks import MAX_FILE_BYTES

if TYPE_CHECKING:
    from vesselseg_web.page_logic import PageLogic
    from vesselseg_web.save_logic import SaveLogic
    from vesselseg_web.scan_logic import ScanLogic

_BLOCK_BYTES = 1 << 20


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
        self._uploading = False

    def routes(self) -> list[web.RouteDef]:
        """Return what the server has to answer."""
        kinds = "|".join(UPLOADS)
        images = "|".join((LABEL, PROBABILITY, ERROR_MAP))
        return [
            web.post(f"/upload/{{kind:{kinds}}}", self.upload),
            web.get(f"/download/{{what:{images}}}", self.download),
        ]

    async def upload(self, request: web.Request) -> web.Response:
        """Take the body of a request as a file; its name, for people, is in the header ``X-File-Name``."""
        path = self._folder / secrets.token_hex(8)
        try:
            if self._uploading:
                raise VesselSegError("another file is on its way", "wait until it is there")
            self._uploading = True
            try:
                await _receive(request, path)
                name = unquote(request.headers.get("X-File-Name", ""))
                taken = await self._scan.take_upload(path, name, request.match_info["kind"])
            finally:
                self._uploading = False
        except VesselSegError as error:
            self._page.show_error(error)
            await self._page.show_now()
            taken = False
        finally:
            path.unlink(missing_ok=True)
        return web.Response(status=204 if taken else 422)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send an image; the query ``format`` is its ending."""
        suffix = request.query.get("format", FORMATS[0])
        if suffix not in FORMATS:
            return web.Response(status=404)
        path = self._folder / f"{secrets.token_hex(8)}{suffix}"
        try:
            volume, name = self._save.image(request.match_info["what"])
            await asyncio.to_thread(write_volume, volume, path)
            headers = {"Cache-Control": "no-store", "Content-Disposition": _disposition(f"{name}{suffix}")}
            # Packed images are small; streamed, the file would have to outlive this method.
            return web.Response(body=path.read_bytes(), content_type="application/octet-stream", headers=headers)
        except VesselSegError as error:
            self._page.show_error(error)
            await self._page.show_now()
            return web.Response(status=409, text=str(error))
        finally:
            path.unlink(missing_ok=True)


async def _receive(request: web.Request, path: Path) -> None:
    too_large = VesselSegError(
        f"this file is larger than the {MAX_FILE_BYTES >> 20} MiB that are taken here", "use the command line"
    )
    if (request.content_length or 0) > MAX_FILE_BYTES:
        raise too_large
    size = 0
    with open(path, "xb") as file:
        async for block in request.content.iter_chunked(_BLOCK_BYTES):
            size += len(block)  # what was announced need not be true
            if size > MAX_FILE_BYTES:
                raise too_large
            file.write(block)


def _disposition(name: str) -> str:
    """Return the header that makes browsers save a file under a name."""
    return f"attachment; filename*=UTF-8''{quote(name)}"
