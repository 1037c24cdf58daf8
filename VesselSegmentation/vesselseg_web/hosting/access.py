"""Who may come in: people of this machine, or such as know the token; nobody is sent here by a page elsewhere."""

from __future__ import annotations

import hmac
import html
from urllib.parse import urlsplit

from aiohttp import web

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
#: What browsers call pages of other servers, on this machine or not.
_ELSEWHERE = ("cross-site", "same-site")
_NOT_FROM_ELSEWHERE = "A page of another server cannot use this one."
_TOKEN_NEEDED = "Open the whole address that 'vesselseg web' has printed, with its token."


class Access:
    """Tells visitors from everybody else.

    Parameters
    ----------
    token : str
        Has to be in the address (``/?token=...``) with which a visitor comes; empty: this server can only be reached
        from its own machine, and asks for none.
    """

    def __init__(self, token: str = "") -> None:
        self._token = token

    @property
    def needs_token(self) -> bool:
        """Whether people of other machines can come."""
        return bool(self._token)

    def refuse(self, request: web.Request) -> web.Response | None:
        """Answer a request that comes under a wrong name or from a page of another server; None if it does not."""
        origin = request.headers.get("Origin")
        try:
            host = urlsplit(f"//{request.host}")
            _port = host.port  # raises for one that is none
            is_ours = origin is None or urlsplit(origin).netloc == request.host
        except ValueError:
            return plain_page(403, "This is no address.")
        if not self._token and host.hostname not in LOOPBACK_NAMES:
            return plain_page(403, "This server can only be reached under the address that it has printed.")
        # Links elsewhere may lead to the page, but to nothing that it does: a download counts as saved.
        is_link = request.headers.get("Sec-Fetch-Site") in _ELSEWHERE
        if not is_ours or (is_link and request.path not in _PAGES):
            return plain_page(403, _NOT_FROM_ELSEWHERE)
        return None

    def refuse_newcomer(self, request: web.Request) -> web.Response | None:
        """Answer somebody who has no cookie yet and may not have one; None if they may."""
        if request.method != "GET" or request.path not in _PAGES:
            return plain_page(403, _TOKEN_NEEDED if self._token else "Open the page first.")
        # Somebody opens the page, rather than another page making their browser ask for it, again and again.
        wanted = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}  # no frame of another page either
        if any(request.headers.get(name, value) != value for name, value in wanted.items()):
            return plain_page(403, _NOT_FROM_ELSEWHERE)
        if self._token and not same(request.query.get("token", ""), self._token):
            return plain_page(403, _TOKEN_NEEDED)
        return None


def cookie_name(request: web.Request) -> str:
    """Return the name of our cookie: browsers share cookies between the ports of a machine."""
    return f"vesselseg-{urlsplit(f'//{request.host}').port or 80}"


def same(one: str, other: str) -> bool:
    """Compare secrets in a time that says nothing about where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what our pages never do."""
    response.headers.update(_HEADERS)


def plain_page(status: int, text: str, *, start_again: bool = False) -> web.Response:
    """Return a page that says one thing, and perhaps leads to the beginning."""
    link = "<p><a href=/>Start again</a>" if start_again else ""
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Vessel Segmentation</title><link rel=icon href=data:,>"
        "<style>body{font:18px/1.5 sans-serif;background:#15181c;color:#e6e6e6;margin:15vh auto;max-width:36em;"
        f"padding:0 1em}}a{{color:#8ab4f8}}</style><p>{html.escape(text)}{link}"
    )
    return web.Response(status=status, text=page, content_type="text/html", headers={"Cache-Control": "no-store"})
