"""What stands before the process of a visitor: only the reception may ask it, and it knows whether anyone looks."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from vesselseg_web.hosting.access import plain_page, same

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The header in which a request brings the secret.
SECRET_HEADER = "X-Vesselseg-Visit"


class Presence:
    """Lets nobody in who does not know the secret, and counts the pages that are open.

    Parameters
    ----------
    secret : str
        Any program of this machine can connect to the port; this is what only the reception knows.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._pages = 0
        self._seen_at: float | None = None

    @property
    def seconds_away(self) -> float:
        """For how long the visitor has had no page open; 0 while there is one, and before there was one."""
        return 0.0 if self._pages or self._seen_at is None else time.monotonic() - self._seen_at

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Return what has to stand before every handler of the server."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not same(request.headers.get(SECRET_HEADER, ""), self._secret):
                return plain_page(403, "This is not the address of the page.")
            is_page = request.headers.get("Upgrade", "").lower() == "websocket"
            self._pages += is_page
            try:
                return await handler(request)
            finally:
                self._pages -= is_page
                self._seen_at = time.monotonic()

        return guard
