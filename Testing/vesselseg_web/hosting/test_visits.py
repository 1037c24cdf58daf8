"""Who gets a process, and when it ends; the processes are Python that sleeps."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("aiohttp", reason="needs trame-slicer")

from aiohttp import web

from vesselseg.errors import VesselSegError
from vesselseg_web.hosting import visits as module
from vesselseg_web.hosting.access import Access
from vesselseg_web.hosting.forwarding import Forwarder
from vesselseg_web.hosting.reception import Reception
from vesselseg_web.hosting.visits import CLOSED_SECONDS, LOST_SECONDS, Visit, Visits
from VesselSegmentationLib.jobs.worker import PythonCommand

#: Answers as a process of a visitor does, leaves a file, and ends with its standard input.
_SCRIPT = """
import json, os, sys, tempfile
tempfile.NamedTemporaryFile(delete=False)
print(json.dumps({"event": "result", "port": 1}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def command(script):
        path = tmp_path.parent / f"{tmp_path.name}.py"
        path.write_text(script)
        return PythonCommand((sys.executable, str(path)))

    yield command
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only pass when a test says so."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


#: It takes requests, and never answers.
_LISTENING = "import socket\nlistening = socket.create_server(('127.0.0.1', 0))\n" + _SCRIPT.replace(
    '"port": 1', '"port": listening.getsockname()[1]'
)


def run(work):
    asyncio.run(work)


async def asking(port, key):
    """Ask for the page; returns the connection."""
    _reader, browser = await asyncio.open_connection("127.0.0.1", port)
    cookie = f'vesselseg-{port}="{key}"'
    browser.write(f"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
    return browser


async def settle(visits, count):
    """Wait until processes have ended."""
    for _ in range(500):
        if len(visits._visits) == count and not visits._ending:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a visit has not ended")


def test_places_are_taken_and_given_back(python, tmp_path):
    async def visit():
        visits = Visits(most=2, python=python(_SCRIPT))
        await visits.prepare()
        (first, one), (second, two) = await asyncio.gather(visits.begin(), visits.begin())
        assert first != second
        assert one.headers != two.headers
        assert visits.find(first) is one
        assert visits.find("guess") is None
        assert await visits.begin() is None
        await visits.end(first)
        assert visits.find(first) is None
        assert not one.runs
        assert await visits.begin() is not None
        await visits.close()
        assert not two.runs
        assert list(tmp_path.iterdir()) == []

    run(visit())


def test_next_process_waits_ahead(python, clock):
    async def visit():
        visits = Visits(most=2, python=python(_SCRIPT))
        await visits.prepare()
        ahead = visits._next
        _key, first = await visits.begin()
        assert first is ahead
        await visits.look_after()
        assert visits._next is None  # not while the first page is loaded
        clock.now += 10
        await visits.look_after()
        assert visits._next is not None
        await visits.close()

    run(visit())


@pytest.mark.parametrize(
    "error", [VesselSegError("no memory"), OSError(28, "No space left on device")], ids=["process", "folder"]
)
def test_visits_go_on_where_no_process_can_be_started_for_the_next(python, clock, caplog, monkeypatch, error):
    def start(*arguments):
        starts.append(clock.now)
        if len(starts) == 2:
            raise error
        return Visit(*arguments)

    async def visit():
        visits = Visits(most=2, python=python(_SCRIPT))
        key, first = await visits.begin()
        for seconds in (10, 1, 30):
            clock.now += seconds
            await visits.look_after()
        assert visits.find(key) is first
        assert starts == [1000, 1010, 1041]  # not anew every second
        assert await visits.begin() is not None
        await visits.close()

    starts = []
    monkeypatch.setattr(module, "Visit", start)
    run(visit())
    assert f"no process waits for the next visitor: {error}" in caplog.text


@pytest.mark.parametrize(("closed_page", "seconds"), [(True, CLOSED_SECONDS), (False, LOST_SECONDS)])
def test_visit_ends_when_the_visitor_stays_away(python, clock, closed_page, seconds):
    async def visit():
        visits = Visits(most=1, python=python(_SCRIPT))
        _key, first = await visits.begin()
        first.enter()
        clock.now += 2 * LOST_SECONDS
        await visits.look_after()
        assert first.runs
        first.leave(closed_page=closed_page)
        clock.now += seconds - 1
        await visits.look_after()
        assert first.runs
        first.enter()  # the page is loaded anew
        first.leave(closed_page=closed_page)
        clock.now += seconds - 1
        await visits.look_after()
        assert visits.seconds_idle == 0
        clock.now += 2
        await visits.look_after()
        await settle(visits, 0)
        assert not first.runs
        clock.now += 100
        assert visits.seconds_idle == 100
        await visits.close()

    run(visit())


def test_silent_visitor_makes_room(python, clock):
    async def visit():
        visits = Visits(most=1, python=python(_SCRIPT))
        key, first = await visits.begin()
        first.enter()
        first.leave(closed_page=False)
        clock.now += module.SPARED_SECONDS - 1
        assert await visits.begin() is None
        clock.now += 2
        _key, second = await visits.begin()
        assert (first.runs, second.runs) == (False, True)
        assert visits.find(key) is None
        await visits.close()

    run(visit())


def test_process_that_does_not_start(python):
    async def visit():
        visits = Visits(python=python("raise SystemExit('no display')"))
        with pytest.raises(VesselSegError, match="cannot be started: no display"):
            await visits.prepare()
        await visits.close()

    run(visit())


def test_crash_is_told_and_gives_the_place_back(python, caplog):
    script = _SCRIPT.replace("sys.stdin.read()", "sys.stdin.readline(); os.abort()")

    async def visit():
        visits = Visits(most=1, python=python(script))
        key, first = await visits.begin()
        first._worker.ask_to_end()
        for _ in range(500):
            if not first.runs:
                break
            await asyncio.sleep(0.01)
        assert visits.find(key) is None
        await visits.look_after()
        await settle(visits, 0)
        await visits.close()

    run(visit())
    assert "ended unexpectedly" in caplog.text


def test_process_ends_with_the_server_whatever_happens_to_it(python, tmp_path):
    """Even when the server is killed: its end of the pipe closes."""
    command = python(_SCRIPT)
    code = (
        "import asyncio, os\n"
        "from vesselseg_web.hosting.visits import Visits\n"
        "from VesselSegmentationLib.jobs.worker import PythonCommand\n"
        "async def work():\n"
        f"    visits = Visits(python=PythonCommand({command.command!r}))\n"
        "    _key, visit = await visits.begin()\n"
        "    print(visit._worker._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(work())\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == -9
    gone = subprocess.run(
        ["timeout", "10", "tail", f"--pid={int(ended.stdout)}", "-f", "/dev/null"], check=False, capture_output=True
    )
    assert gone.returncode == 0


def test_process_that_is_busy_stays_while_the_page_is_waited_for(python, monkeypatch):
    """Whoever loads the page again has closed it just before."""
    monkeypatch.setattr(module, "CLOSED_SECONDS", 0.2)

    async def visit():
        visits, forwarder = Visits(most=1, python=python(_LISTENING)), Forwarder()
        key, busy = await visits.begin()
        runner = web.AppRunner(Reception(Access(), visits, forwarder).application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        browser = await asking(port, key)
        for _ in range(10):
            await asyncio.sleep(0.1)
            await visits.look_after()
        assert busy.runs
        browser.transport.abort()
        for _ in range(50):
            await visits.look_after()
            await asyncio.sleep(0.1)
        assert not busy.runs
        await settle(visits, 0)
        await visits.close()
        await forwarder.close()
        await runner.cleanup()

    run(visit())


def test_process_that_hangs_ends_when_its_visitor_has_gone(python, monkeypatch):
    monkeypatch.setattr(module, "CLOSED_SECONDS", 0.5)
    monkeypatch.setattr(module, "_END_SECONDS", 0.5)

    async def visit():
        visits, forwarder = Visits(most=1, python=python(_LISTENING)), Forwarder()
        key, hung = await visits.begin()
        os.kill(hung._worker._process.pid, signal.SIGSTOP)
        # As the server runs: aiohttp's own one for tests ends what a browser waits for no more.
        runner = web.AppRunner(Reception(Access(), visits, forwarder).application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        for _ in range(2):
            browser = await asking(port, key)
            await asyncio.sleep(0.1)
            browser.transport.abort()
        for _ in range(50):
            await visits.look_after()
            await asyncio.sleep(0.1)
            if not hung.runs:
                break
        assert not hung.runs
        await settle(visits, 0)
        await visits.close()
        await forwarder.close()
        await runner.cleanup()

    run(visit())


def test_secret_is_in_the_environment_only(python):
    script = (
        "import os, sys, json; arguments = [*sys.argv, *json.load(open(sys.argv[-1]))];"
        "print(json.dumps(arguments), os.environ['VESSELSEG_VISIT_SECRET'])"
    )
    visit = Visit([], python(script))
    (secret,) = visit.headers.values()

    async def look():
        for _ in range(500):
            if not visit.runs:
                break
            await asyncio.sleep(0.01)
        arguments, said = visit._worker.poll()[0]["message"].rsplit(" ", 1)
        assert said == secret
        assert "--visit" in arguments
        assert secret not in arguments
        await visit.end()

    run(look())
