from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("aiohttp", reason="needs trame-slicer")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from vesselseg_web.access import Access


async def _answer(request):
    return web.Response(text="the scan")


async def _socket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@asynccontextmanager
async def serving(access):
    """Serve something behind the access; gives what opens another browser."""
    app = web.Application(middlewares=[access.middleware()])
    app.add_routes(
        [
            web.get("/index.html", _answer),
            web.get("/download/label", _answer),
            web.post("/upload/scan", _answer),
            web.get("/ws", _socket),
        ]
    )
    server = TestServer(app)
    browsers = []

    async def browser():
        # Cookies of numeric addresses are not kept otherwise.
        client = TestClient(server, cookie_jar=aiohttp.CookieJar(unsafe=True))
        await client.start_server()
        browsers.append(client)
        return client

    try:
        yield browser
    finally:
        for each in browsers:
            await each.close()


def in_loop(test):
    """Run a test in a loop of its own."""

    def run():
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_visitor_gets_everything():
    async with serving(Access()) as browser:
        visitor = await browser()
        page = await visitor.get("/")
        assert (page.status, await page.text(), page.url.path) == (200, "the scan", "/index.html")
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await visitor.get("/download/label")).status == 200
        assert (await visitor.post("/upload/scan")).status == 200
        async with visitor.ws_connect("/ws") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"


@in_loop
async def test_second_visitor_gets_nothing_but_a_clear_line():
    async with serving(Access()) as browser:
        await (await browser()).get("/")
        second = await browser()
        page = await second.get("/")
        assert page.status == 409
        assert "Somebody else is working here" in await page.text()
        assert (await second.get("/index.html")).status == 409
        assert (await second.get("/download/label")).status == 403
        assert (await second.post("/upload/scan")).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await second.ws_connect("/ws")


@in_loop
async def test_nothing_before_the_page():
    async with serving(Access()) as browser:
        visitor = await browser()
        assert (await visitor.get("/download/label")).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await visitor.ws_connect("/ws")


@in_loop
async def test_token_is_needed_once():
    async with serving(Access("secret")) as browser:
        visitor = await browser()
        for address in ("/", "/?token=", "/?token=guess", "/index.html"):
            assert (await visitor.get(address)).status == 403
        page = await visitor.get("/?token=secret")
        assert (page.status, page.url.query_string) == (200, "")
        assert (await visitor.get("/download/label")).status == 200
        assert (await (await browser()).get("/?token=secret")).status == 409


@in_loop
async def test_requests_of_other_pages_are_refused():
    async with serving(Access()) as browser:
        visitor = await browser()
        await visitor.get("/")
        elsewhere = {"Origin": "http://elsewhere.example"}
        assert (await visitor.post("/upload/scan", headers=elsewhere)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await visitor.ws_connect("/ws", headers=elsewhere)
        # A name elsewhere that was made to point to this machine.
        assert (await visitor.get("/", headers={"Host": "elsewhere.example"})).status == 403


@in_loop
async def test_release_ends_what_the_visitor_has_open():
    access = Access()
    async with serving(access) as browser:
        first, second = await browser(), await browser()
        await first.get("/")
        async with first.ws_connect("/ws") as socket:
            assert access.seconds_away == 0
            access.release()
            assert (await socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
        assert (await second.get("/")).status == 200
        assert (await first.get("/download/label")).status == 403
        assert (await first.get("/")).status == 409


@in_loop
async def test_knows_how_long_the_visitor_is_away():
    seconds = [0.0]
    access = Access(clock=lambda: seconds[0])
    assert not access.visited
    async with serving(access) as browser:
        visitor = await browser()
        await visitor.get("/")
        async with visitor.ws_connect("/ws"):
            seconds[0] = 500.0
            assert access.seconds_away == 0
        for _ in range(100):
            if access.seconds_away or access._connections == 0:
                break
            await asyncio.sleep(0.01)
        seconds[0] = 530.0
        assert access.visited
        assert access.seconds_away == pytest.approx(30)
