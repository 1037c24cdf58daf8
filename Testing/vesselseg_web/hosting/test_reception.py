"""What visitors and others get to see, with processes of visitors that only pretend."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("aiohttp", reason="needs trame-slicer")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from vesselseg_web.hosting.access import Access
from vesselseg_web.hosting.forwarding import Forwarder
from vesselseg_web.hosting.presence import SECRET_HEADER, Presence
from vesselseg_web.hosting.reception import Reception


class PretendedVisit:
    """A process that answers with its number."""

    def __init__(self, number):
        self.number, self.secret = number, f"secret {number}"
        self.headers = {SECRET_HEADER: self.secret}
        self.runs = True
        self.entered = self.heard = 0
        self.closed_page = None
        self.presence = Presence(self.secret)
        self.received = []

    async def start(self):
        app = web.Application(middlewares=[self.presence.middleware()], client_max_size=1 << 30)
        app.add_routes(
            [
                web.get("/index.html", self._answer),
                web.get("/broken", self._break_off),
                web.get("/large", self._send),
                web.post("/upload/scan", self._take),
                web.get("/ws", self._socket),
            ]
        )
        self.server = TestServer(app)
        await self.server.start_server()
        self.address = f"http://127.0.0.1:{self.server.port}"

    def hear(self):
        self.heard += 1

    def enter(self):
        self.entered += 1

    def leave(self, *, closed_page=None):
        self.entered -= 1
        if closed_page is not None:
            self.closed_page = closed_page

    async def _answer(self, request):
        return web.Response(text=f"scan of {self.number}", headers={"X-Cookies": str(dict(request.cookies))})

    async def _take(self, request):
        self.received.append(len(await request.read()))
        return web.Response(status=204)

    async def _send(self, request):
        return web.Response(body=bytes(5 << 20))

    async def _break_off(self, request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"some")
        request.transport.close()
        return response

    async def _socket(self, request):
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.data == "go":
                break
            await (socket.send_bytes if message.type == aiohttp.WSMsgType.BINARY else socket.send_str)(message.data)
        return socket


class PretendedVisits:
    """Two places."""

    def __init__(self):
        self.places = [PretendedVisit(1), PretendedVisit(2)]
        self.visits = {}

    def find(self, key):
        visit = self.visits.get(key)
        return visit if visit is not None and visit.runs else None

    async def begin(self):
        if len(self.visits) == len(self.places):
            return None
        visit = self.places[len(self.visits)]
        self.visits[f"key {visit.number}"] = visit
        return f"key {visit.number}", visit

    async def end(self, key):
        self.visits.pop(key)


@asynccontextmanager
async def serving(token=""):
    """Serve; gives the visits, and what opens another browser."""
    visits, forwarder = PretendedVisits(), Forwarder()
    for each in visits.places:
        await each.start()
    server = TestServer(Reception(Access(token), visits, forwarder).application())
    browsers = []

    async def browser():
        # Cookies of numeric addresses are not kept otherwise.
        client = TestClient(server, cookie_jar=aiohttp.CookieJar(unsafe=True))
        await client.start_server()
        browsers.append(client)
        return client

    try:
        yield visits, browser
    finally:
        for each in browsers:
            await each.close()
        await forwarder.close()
        for each in visits.places:
            await each.server.close()


def in_loop(test):
    """Run a test in a loop of its own."""

    def run():
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


async def until(condition, seconds=10):
    for _ in range(int(seconds * 100)):
        if condition():
            break
        await asyncio.sleep(0.01)
    assert condition()


@in_loop
async def test_visitor_gets_everything():
    async with serving() as (visits, browser):
        visitor = await browser()
        page = await visitor.get("/")
        assert (page.status, await page.text(), page.url.path) == (200, "scan of 1", "/index.html")
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Cookies"] == "{}"  # the key stays here
        cookie = page.history[0].headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert (await visitor.post("/upload/scan", data=bytes(5 << 20))).status == 204
        assert visits.places[0].received == [5 << 20]
        async with visitor.ws_connect("/ws") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            await socket.send_bytes(bytes(1 << 20))
            assert len(await socket.receive_bytes()) == 1 << 20
            assert visits.places[0].entered == 1
        await until(lambda: visits.places[0].entered == 0)
        assert visits.places[0].closed_page is True


@in_loop
async def test_each_visitor_has_a_process_of_their_own():
    async with serving() as (visits, browser):
        first, second, third = [await browser() for _ in range(3)]
        assert await (await first.get("/")).text() == "scan of 1"
        assert await (await second.get("/")).text() == "scan of 2"
        assert await (await first.get("/index.html")).text() == "scan of 1"
        page = await third.get("/")
        assert page.status == 503
        assert "All places are taken" in await page.text()
        assert (await third.post("/upload/scan")).status == 403
        page = await first.post("/leave")
        text = await page.text()
        assert "deleted" in text
        assert "<a href=/>Start again</a>" in text
        assert (await first.get("/ws")).status == 403
        assert list(visits.visits) == ["key 2"]


@in_loop
async def test_nothing_before_the_page():
    async with serving() as (visits, browser):
        visitor = await browser()
        assert (await visitor.get("/download/label")).status == 403
        assert (await visitor.post("/leave")).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await visitor.ws_connect("/ws")
        assert visits.visits == {}


@in_loop
async def test_token_is_needed_once():
    async with serving("secret") as (_visits, browser):
        visitor = await browser()
        for address in ("/", "/?token=", "/?token=guess", "/index.html"):
            assert (await visitor.get(address)).status == 403
        for _ in range(2):
            page = await visitor.get("/?token=secret")
            assert (page.status, page.url.query_string) == (200, "")
        assert (await visitor.get("/index.html")).status == 200
        assert (await (await browser()).get("/")).status == 403


@in_loop
async def test_requests_of_other_pages_are_refused():
    async with serving() as (visits, browser):
        visitor = await browser()
        # Pages elsewhere can make browsers ask, but not take places.
        assert (await visitor.get("/", headers={"Sec-Fetch-Mode": "no-cors"})).status == 403
        assert visits.visits == {}
        await visitor.get("/")
        elsewhere = {"Origin": "http://elsewhere.example"}
        assert (await visitor.post("/upload/scan", headers=elsewhere)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await visitor.ws_connect("/ws", headers=elsewhere)
        # A name elsewhere that was made to point to this machine.
        assert (await visitor.get("/", headers={"Host": "elsewhere.example"})).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_servers_can_link_to_the_page_only(site):
    async def ask():
        async with serving() as (_visits, browser):
            visitor = await browser()
            link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            assert (await visitor.get("/", headers=link)).status == 200
            assert (await visitor.get("/index.html", headers=link)).status == 200
            assert (await visitor.get("/large", headers=link)).status == 403
            assert (await visitor.post("/leave", headers=link)).status == 403
            for own in ("same-origin", "none"):
                assert (await visitor.get("/large", headers={"Sec-Fetch-Site": own})).status == 200

    asyncio.run(ask())


@pytest.mark.parametrize("token", ["", "secret"])
@pytest.mark.parametrize(
    "headers",
    [{"Host": "["}, {"Host": "127.0.0.1:abc"}, {"Host": "127.0.0.1:99999999"}, {"Origin": "http://["}],
)
def test_what_is_no_address_is_refused(headers, token):
    async def ask():
        async with serving(token) as (visits, browser):
            visitor = await browser()
            assert (await visitor.get(f"/?token={token}", headers=headers)).status == 403
            assert visits.visits == {}

    asyncio.run(ask())


@in_loop
async def test_processes_answer_nobody_else():
    async with serving() as (visits, _browser), aiohttp.ClientSession() as stranger:
        for headers in ({}, {SECRET_HEADER: "secret 2"}):
            answer = await stranger.get(f"{visits.places[0].address}/index.html", headers=headers)
            assert answer.status == 403


@asynccontextmanager
async def hanging():
    """Serve as the server does; gives visits of which one has begun, and what asks its process, which never answers."""
    visits, forwarder = PretendedVisits(), Forwarder()
    key, visit = await visits.begin()
    runner = web.AppRunner(Reception(Access(), visits, forwarder).application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"

    async def ask(request, *headers):
        _reader, writer = await asyncio.open_connection(*host.split(":"))
        cookie = f'Cookie: vesselseg-{host.split(":")[1]}="{key}"'
        writer.write("\r\n".join([f"{request} HTTP/1.1", f"Host: {host}", cookie, *headers, "", ""]).encode())
        return writer

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nobody.listen()
        visit.address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        try:
            yield visit, ask
        finally:
            await forwarder.close()
            await runner.cleanup()


_WEBSOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + "A" * 24,
)


@in_loop
async def test_a_request_that_is_never_answered_holds_a_place_while_it_is_waited_for():
    async with hanging() as (visit, ask):
        browser = await ask("GET /index.html")
        await until(lambda: visit.entered == 1)
        browser.transport.abort()
        await until(lambda: visit.entered == 0)


@in_loop
async def test_an_upload_that_is_never_answered_holds_no_place():
    async with hanging() as (visit, ask):
        upload = await ask("POST /upload/scan", "Content-Length: 100000000")
        upload.write(bytes(1 << 20))
        await until(lambda: visit.heard > 1)
        assert visit.entered == 0


@in_loop
async def test_a_page_that_goes_before_the_process_answers_holds_no_place():
    async with hanging() as (visit, ask):
        browser = await ask("GET /ws", *_WEBSOCKET)
        await until(lambda: visit.entered == 1)
        browser.transport.abort()
        await until(lambda: visit.entered == 0)
        assert visit.closed_page is True


@in_loop
async def test_each_piece_that_moves_is_heard():
    async with serving() as (visits, browser):
        visitor = await browser()
        await visitor.get("/")
        for ask in (lambda: visitor.post("/upload/scan", data=bytes(5 << 20)), lambda: visitor.get("/large")):
            before = visits.places[0].heard
            await (await ask()).read()
            assert visits.places[0].heard > before + 5


@in_loop
async def test_process_that_has_gone():
    async with serving() as (visits, browser):
        visitor = await browser()
        await visitor.get("/")
        with pytest.raises(aiohttp.ClientError):
            await (await visitor.get("/broken")).read()
        async with visitor.ws_connect("/ws") as socket:
            await socket.send_str("go")
            assert (await socket.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
        await until(lambda: visits.places[0].entered == 0)
        assert visits.places[0].closed_page is False
        await visits.places[0].server.close()
        page = await visitor.get("/index.html")
        assert page.status == 502
        assert "Load the page again" in await page.text()
        visits.places[0].runs = False
        page = await visitor.get("/index.html")
        assert page.status == 410
        assert "Your visit has ended" in await page.text()
        assert list(visits.visits) == ["key 1"]
        assert (await visitor.get("/ws")).status == 403
        assert await (await visitor.get("/index.html")).text() == "scan of 2"


@in_loop
async def test_visit_that_has_ended_begins_anew_at_the_address_of_the_server():
    async with serving() as (visits, browser):
        visitor = await browser()
        await visitor.get("/")
        visits.places[0].runs = False
        assert await (await visitor.get("/")).text() == "scan of 2"


@in_loop
async def test_no_link_leads_past_the_token():
    async with serving("secret") as (_visits, browser):
        visitor = await browser()
        await visitor.get("/?token=secret")
        text = await (await visitor.post("/leave")).text()
        assert "deleted" in text
        assert "Start again" not in text


@in_loop
async def test_whoever_has_left_begins_anew():
    async with serving() as (_visits, browser):
        visitor = await browser()
        await visitor.get("/")
        await visitor.post("/leave")
        assert (await visitor.get("/index.html")).status == 200


def test_presence_knows_how_long_the_visitor_is_away(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("vesselseg_web.hosting.presence.time", clock)

    async def come_and_go():
        visit = PretendedVisit(1)
        await visit.start()
        assert visit.presence.seconds_away == 0
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{visit.address}/ws", headers=visit.headers):
                clock.now = 500.0
                assert visit.presence.seconds_away == 0
            await until(lambda: visit.presence._pages == 0)
            clock.now = 530.0
            assert visit.presence.seconds_away == pytest.approx(30)
        await visit.server.close()

    asyncio.run(come_and_go())
