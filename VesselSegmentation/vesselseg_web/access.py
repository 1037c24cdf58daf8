"""Who may come in: one visitor at a time, who knows the token where one is asked for."""

from __future__ import annotations

import asyncio
import hmac
import html
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Names of this machine for itself. A page elsewhere whose name was made to point here has another one.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")

_PAGES = ("/", "/index.html")
#: Nothing is loaded from, or sent to, anywhere else; templates of the page are compiled in the browser.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:; worker-src 'self' blob:; "
        "frame-ancestors 'self'"
    ),
    # "no-referrer" would take the origin away from our own forms, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_TAKEN = (
    "Somebody else is working here. This server serves one person at a time; "
    "try again when they have left, or start another one with 'vesselseg web --port 0'."
)
_TOKEN_NEEDED = "Open the whole address that 'vesselseg web' has printed, with its token."


class Access:
    """Lets one visitor in and keeps everybody else out.

    Whoever comes first while the place is free gets a cookie; every request, the websocket among them, is refused
    without it. So a second visitor never sees the scan of the first.

    Parameters
    ----------
    token : str
        Has to be in the address (``/?token=...``) with which a visitor comes; empty: this server can only be reached
        from its own machine, and asks for none.
    clock : callable
        Returns seconds.
    """

    def __init__(self, token: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._visitor = ""
        self._requests: set[asyncio.Task[object]] = set()
        self._connections = 0
        self._seen_at = 0.0

    @property
    def visited(self) -> bool:
        """Whether there is a visitor, who may be away for a moment."""
        return bool(self._visitor)

    @property
    def seconds_away(self) -> float:
        """For how long the visitor has had no page open; 0 while there is one."""
        return 0.0 if self._connections or not self._visitor else self._clock() - self._seen_at

    def release(self) -> None:
        """Make the place free for whoever comes next.

        The cookie of the last visitor is worth nothing from now on, and all that they have asked for ends: a page that
        stays open must not see what the next one does, nor an upload arrive there. To be called in the server's loop.
        """
        self._visitor = ""
        for task in self._requests - {asyncio.current_task()}:
            task.cancel()

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Return what has to stand before every handler of the server."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = self._refuse(request) or await self._pass(request, handler)
            if not response.prepared:
                response.headers.update(_HEADERS)
            return response

        return guard

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        is_page = request.headers.get("Upgrade", "").lower() == "websocket"
        self._requests.add(task)
        self._connections += is_page
        try:
            return await handler(request)
        finally:
            self._requests.discard(task)
            self._connections -= is_page
            self._seen_at = self._clock()

    def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        host = urlsplit(f"//{request.host}")
        if not self._token and host.hostname not in LOOPBACK_NAMES:
            return plain_page(403, "This server can only be reached under the address that it has printed.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return plain_page(403, "A page of another server cannot use this one.")
        # Browsers share cookies between the ports of a machine.
        cookie = f"vesselseg-{host.port or 80}"
        known = self._visitor and _same(request.cookies.get(cookie, ""), self._visitor)
        if known and "token" not in request.query:
            return None
        if request.method != "GET" or request.path not in _PAGES:
            return plain_page(403, _TOKEN_NEEDED if self._token else "Open the page first.")
        if not known:
            if self._token and not _same(request.query.get("token", ""), self._token):
                return plain_page(403, _TOKEN_NEEDED)
            if self._visitor:
                return plain_page(409, _TAKEN)
            self._visitor = secrets.token_urlsafe(32)
            self._seen_at = self._clock()
        # The token does not stay in the address bar, nor in the browser's history of the page.
        response = web.Response(status=303, headers={"Location": "/index.html", "Cache-Control": "no-store"})
        response.set_cookie(cookie, self._visitor, httponly=True, samesite="Lax", path="/")
        return response


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def plain_page(status: int, text: str) -> web.Response:
    """Return a page that says one thing."""
    page = (
        "<!doctype html><meta charset=utf-8><title>Vessel Segmentation</title>"
        "<style>body{font:18px/1.5 sans-serif;background:#15181c;color:#e6e6e6;margin:15vh auto;max-width:36em;"
        f"padding:0 1em}}</style><p>{html.escape(text)}"
    )
    return web.Response(status=status, text=page, content_type="text/html", headers={"Cache-Control": "no-store"})
