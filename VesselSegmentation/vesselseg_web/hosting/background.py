"""A server that goes on when the command that started it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import vesselseg
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.worker import own_group

_START_SECONDS = 300.0
_POLL_SECONDS = 0.1
_RECORD, _LOG = "page.json", "page.log"


@dataclass(frozen=True)
class BackgroundServer:
    """A server that runs.

    Parameters
    ----------
    address : str
        To open in a browser.
    process : int
        Its process ID: a request to terminate ends it.
    log : pathlib.Path
        What it says.
    """

    address: str
    process: int
    log: Path


def serve_in_background(folder: Path, *, port: int, idle_minutes: float) -> BackgroundServer:
    """Start to serve the page, unless an earlier call has started a server that still runs.

    Parameters
    ----------
    folder : pathlib.Path
        For the log, and for a note about the server.
    port : int
        Any free one is taken where this one is not.
    idle_minutes : float
        The server ends when it has had no visitor for so long.

    Returns
    -------
    BackgroundServer
        Answers already.

    Raises
    ------
    VesselSegError
        If it does not start.
    """
    log, record = folder / _LOG, folder / _RECORD
    running = _running(record, log)
    if running is not None:
        return running
    command = [sys.executable, "-m", "vesselseg", "web", "--progress", "json", "--idle-minutes", f"{idle_minutes:g}"]
    # The same version as in this process, whatever else is installed.
    paths = [str(Path(vesselseg.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for number in (port, 0):
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*command, "--port", str(number)],
                # Whoever waits until all output of the caller is closed must not wait for this one.
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                **own_group(),
            )
        address = _wait_for_address(process, log)
        if address:
            # In a virtual environment on Windows, what was started is not the server, but starts it.
            number_of_process = int(str(_about(address).get("process", process.pid)))
            record.write_text(json.dumps({"address": address, "process": number_of_process}), encoding="utf-8")
            return BackgroundServer(address, number_of_process, log)
    raise VesselSegError("the page cannot be served", f"see {log}")


def _wait_for_address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                return str(json.loads(line)["address"])
        time.sleep(_POLL_SECONDS)
    process.kill()
    process.wait()
    return ""


def _running(record: Path, log: Path) -> BackgroundServer | None:
    """Return the server that an earlier call has started, if it still runs."""
    try:
        note = json.loads(record.read_text(encoding="utf-8"))
        server = BackgroundServer(str(note["address"]), int(note["process"]), log)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if _answers(server) else None


def _answers(server: BackgroundServer) -> bool:
    """Tell whether this very process serves there: its number could belong to another one by now."""
    return _about(server.address) == about_server(server.process)


def _about(address: str) -> dict[str, object]:
    """Return what the server at an address says about itself; nothing if there is none."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{address}about", timeout=5) as answer:
            about = json.load(answer)
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def about_server(process: int) -> dict[str, object]:
    """Return what a server says about itself to programs of its own machine."""
    return {"program": "vesselseg", "version": vesselseg.__version__, "process": process}
