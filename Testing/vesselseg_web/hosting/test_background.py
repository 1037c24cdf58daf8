"""Servers that go on when what has started them has ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from vesselseg.errors import VesselSegError
from vesselseg_web.hosting.background import serve_in_background


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose server is ended."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    yield tmp_path
    record = tmp_path / "page.json"
    if record.is_file():
        end(json.loads(record.read_text())["process"])


def end(process):
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        return
    for _ in range(300):
        try:
            # Our own children have to be waited for, those of others not.
            if os.waitpid(process, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            if not os.path.exists(f"/proc/{process}"):
                return
        time.sleep(0.1)


def test_one_server_for_all_calls(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = serve_in_background(folder, port=taken.getsockname()[1], idle_minutes=5)
    with urllib.request.urlopen(f"{first.address}about", timeout=30) as answer:
        assert json.load(answer)["process"] == first.process
    assert serve_in_background(folder, port=0, idle_minutes=5) == first
    end(first.process)
    assert list((folder / "temporary").iterdir()) == []


def test_note_about_a_server_that_has_gone(folder, monkeypatch):
    # Its number may belong to another process by now.
    note = {"address": "http://127.0.0.1:9/", "process": os.getpid()}
    (folder / "page.json").write_text(json.dumps(note))
    monkeypatch.setattr("vesselseg_web.hosting.background.sys.executable", "/bin/false")
    with pytest.raises(VesselSegError, match="cannot be served"):
        serve_in_background(folder, port=0, idle_minutes=5)
    (folder / "page.json").unlink()


def test_server_that_does_not_start(folder, monkeypatch):
    monkeypatch.setattr("vesselseg_web.hosting.background.sys.executable", "/bin/false")
    with pytest.raises(VesselSegError, match="cannot be served"):
        serve_in_background(folder, port=0, idle_minutes=5)


@pytest.mark.slow
def test_demo_ends_with_the_address(folder):
    """It comes back although its output is a pipe, and the page is there."""
    command = [sys.executable, "-m", "vesselseg", "demo", "--output", str(folder), "--serve", "--progress", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, last = done.stdout.strip().splitlines()
    assert last.startswith("Open http://127.0.0.1:")
    assert (folder / "errormap.png").is_file()
    address = last.split()[1]
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert b"trame" in opener.open(address, timeout=120).read()
