from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from served_page import serving, until
from vesselseg.cli.main import main

pytest.importorskip("trame_slicer", reason="needs trame-slicer")


def status_of(address):
    # The redirect needs the cookie that comes with it.
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        return opener.open(address, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def test_packages_that_are_not_there_are_named(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trame_slicer" else find(name))
    assert main(["web"]) == 1
    assert 'pip install "vesselseg[mrml]"' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["damaged.mrb", "nowhere.nii"])
def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path, capsys, name):
    (tmp_path / "damaged.mrb").write_bytes(b"PK\x03\x04")
    assert main(["web", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / name) in said
    assert said.count("\n") == 1


def test_help_needs_none_of_them():
    code = (
        "import sys; from vesselseg.cli.main import main; main(['web', '--help']);"
        "assert not {'trame', 'slicer', 'vtk', 'torch', 'aiohttp'} & set(sys.modules), 'heavy imports'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_port_that_is_taken(capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "-m", "vesselseg", "web", "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert run.returncode == 1
    assert f"127.0.0.1 port {port} cannot be listened to" in run.stderr
    assert "Traceback" not in run.stderr


def alive(processes):
    listed = subprocess.run(
        ["ps", "-o", "pid=", "-p", ",".join(processes)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_serves_until_a_signal_comes(tmp_path, number):
    with serving(tmp_path) as served:
        assert served.address.startswith("http://127.0.0.1:")
        assert status_of(served.address) == 200
        until(lambda: served.descendants(" web "))  # the visitor's process, and one ahead
        processes = served.descendants()
        assert served.stop(number) == (-9 if number == signal.SIGKILL else 0)
        assert "Traceback" not in served.text
        # Even where it could not say goodbye, nothing goes on without it.
        until(lambda: alive(processes) == [])
        until(lambda: list(served.folder.iterdir()) == [])


def test_ends_when_nobody_comes(tmp_path):
    with serving(tmp_path, "--idle-minutes", "0.01") as served:
        assert served.process.wait(30) == 0
        assert list(served.folder.iterdir()) == []


@pytest.mark.parametrize("given", [(), ("--token=",)])
def test_beyond_this_machine_a_token_is_needed(tmp_path, given):
    with serving(tmp_path, "--host", "0.0.0.0", *given) as served:
        address, _question, token = served.address.partition("?token=")
        assert len(token) >= 16
        # As visitors from elsewhere can open it.
        assert address.startswith(f"http://{socket.gethostname()}:")
        address = address.replace(socket.gethostname(), "127.0.0.1")
        assert status_of(address) == 403
        assert status_of(f"{address}ws") == 403
        assert status_of(f"{address}?token={token}") == 200
        assert served.text.count(token) == 1
