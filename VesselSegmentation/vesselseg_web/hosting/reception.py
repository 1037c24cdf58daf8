"""Meets visitors at the door, gives each a place, and passes on what they ask for."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable

import aiohttp
from aiohttp import web

from vesselseg.errors import VesselSegError
from vesselseg_web.hosting.access import Access, add_headers, cookie_name, plain_page
from vesselseg_web.hosting.background import about_server
from vesselseg_web.hosting.forwarding import Forwarder, while_there
from vesselseg_web.hosting.visits import Visit, Visits

logger = logging.getLogger("vesselseg")

_PAGE = "/index.html"
_FULL = "All places are taken. Try again in a minute: a place is free soon after somebody closes the page."
_DELETED = "Everything has been deleted. Open the address of this server to start again."
_OVER = (
    "Your visit has ended: the program behind it has stopped, or nothing was heard of the page for long. What was not "
    "saved is lost. Open the address of this server to start again."
)
_GONE = "The program behind this page has ended. Load the page again to start again."


class Reception:
    """Answers all requests.

    Whoever comes gets a cookie; every later request, the websocket among them, is refused without it, and goes to the
    process of that visitor with it. So no visitor ever sees the scan of another.

    Parameters
    ----------
    access : Access
    visits : Visits
    forwarder : Forwarder
    """

    def __init__(self, access: Access, visits: Visits, forwarder: Forwarder) -> None:
        self._access = access
        self._visits = visits
        self._forwarder = forwarder

    def application(self) -> web.Application:
        """Return what a server has to run."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        application.on_response_prepare.append(add_headers)
        return application

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        refused = self._access.refuse(request)
        if refused is not None:
            return refused
        if request.path == "/about" and not self._access.needs_token:
            return web.json_response(about_server(os.getpid()))
        key = request.cookies.get(cookie_name(request), "")
        visit = self._visits.find(key)
        if visit is None and key and request.path == _PAGE:
            # Whoever loads the page again expects their work there, rather than an empty page without a word.
            return _without_cookie(request, self._last_page(410, _OVER))
        if visit is None:
            return await self._welcome(request)
        if request.path == "/leave" and request.method == "POST":
            await self._visits.end(key)
            return _without_cookie(request, self._last_page(200, _DELETED))
        if "token" in request.query:
            # The token does not stay in the address bar, nor in the browser's history of the page.
            return _to_page()
        return await self._pass_on(request, visit)

    async def _welcome(self, request: web.Request) -> web.StreamResponse:
        refused = self._access.refuse_newcomer(request)
        if refused is not None:
            return refused
        try:
            begun = await self._visits.begin()
        except VesselSegError as error:
            logger.warning("%s", error)
            return plain_page(503, "The page cannot be started at present. The log of the server says why.")
        if begun is None:
            return plain_page(503, _FULL)
        response = _to_page()
        response.set_cookie(cookie_name(request), begun[0], httponly=True, samesite="Lax", path="/")
        return response

    async def _pass_on(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._pass_page_on(request, visit)
            passing = self._forwarder.request(request, visit.address, visit.headers, visit.hear)
            if request.body_exists:
                # Not until it is answered: a process that hangs never does that, and often nothing tells that the
                # browser has broken the upload off.
                visit.hear()
                return await passing
            return await self._answer(request, visit, passing)
        except (aiohttp.ClientError, ConnectionError):
            return self._last_page(502, _GONE)

    def _last_page(self, status: int, text: str) -> web.Response:
        """Return a page that ends a visit. With a token, only the whole address leads back: no page shows that."""
        return plain_page(status, text, start_again=not self._access.needs_token)

    async def _answer(
        self, request: web.Request, visit: Visit, passing: Awaitable[web.StreamResponse]
    ) -> web.StreamResponse:
        """Keep the visit as long as the browser waits: whoever loads the page again has closed it just before."""
        visit.enter()
        try:
            return await while_there(request, passing)
        finally:
            visit.leave()

    async def _pass_page_on(self, request: web.Request, visit: Visit) -> web.StreamResponse:
        closed_page = True
        visit.enter()
        try:
            response, closed_page = await self._forwarder.websocket(request, visit.address, visit.headers)
            return response
        finally:
            visit.leave(closed_page=closed_page)


def _to_page() -> web.Response:
    return web.Response(status=303, headers={"Location": _PAGE, "Cache-Control": "no-store"})


def _without_cookie(request: web.Request, response: web.Response) -> web.Response:
    response.del_cookie(cookie_name(request), path="/")
    return response
