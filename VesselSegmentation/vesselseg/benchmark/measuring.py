"""One command in a process of its own: when it said what, how long it took, how much memory and processor time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vesselseg
from vesselseg.benchmark import launcher
from vesselseg.benchmark.machine import OthersMeter

#: Python with this very version of the program.
VESSELSEG = (sys.executable, "-m", "vesselseg")

#: How long a process that has been told to end may take for it, in seconds.
_PATIENCE_S = 10.0

Event = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """What a process took.

    Parameters
    ----------
    seconds : float
        From its start to its end.
    events : tuple of (float, dict)
        What it reported as JSON lines, with the seconds since its start.
    exit_code : int
    peak_bytes : int or None
        Largest resident memory of it or of a process it started; None where the system does not tell.
    processor_seconds : float or None
        Processor time of it and of those it started.
    others : float or None
        Share of the usable cores that other processes took meanwhile, in [0, 1].
    errors : str
        What it wrote to standard error.
    """

    seconds: float
    events: tuple[tuple[float, Event], ...]
    exit_code: int
    peak_bytes: int | None
    processor_seconds: float | None
    others: float | None
    errors: str

    @property
    def result(self) -> Event:
        """The result it reported, or an empty one."""
        return next((event for _, event in self.events if event["event"] == "result"), {})

    @property
    def failure(self) -> str:
        """Why it failed, on one line; empty if it did not."""
        if self.exit_code == 0:
            return ""
        for _, event in self.events:
            if event["event"] == "error":
                return str(event["message"])
        lines = self.errors.strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.exit_code}"


def measure(command: Sequence[str], *, until: Callable[[Event], bool] | None = None) -> Measurement:
    """Run a command to its end, or until it has said something.

    Parameters
    ----------
    command : sequence of str
        Program and arguments. It should end when its standard input closes (``--stop-with-stdin``): that is how it is
        stopped, by this function or by the death of this process.
    until : callable, optional
        Told every event as it comes; the command is stopped when it returns True.

    Returns
    -------
    Measurement
    """
    events: list[tuple[float, Event]] = []
    with tempfile.TemporaryDirectory(prefix="vesselseg-bench-") as folder:
        report, errors = Path(folder, "report.json"), Path(folder, "errors.txt")
        meter = OthersMeter()
        with open(errors, "wb") as stream, _started(report, command, stream) as process:
            for line in process.stdout or ():
                moment = time.monotonic()
                event = _event(line)
                if event is None:
                    continue
                events.append((moment, event))
                if until is not None and until(event):
                    _end(process)
            process.wait()
        others = meter.share()
        text = errors.read_text(encoding="utf-8", errors="replace")
        # A launcher that was killed has left none.
        values = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    started = values.get("started", events[0][0] if events else time.monotonic())
    ended = values.get("ended", time.monotonic())
    return Measurement(
        seconds=ended - started,
        events=tuple((moment - started, event) for moment, event in events),
        exit_code=values.get("exit_code", -signal.SIGTERM),
        peak_bytes=values.get("peak_bytes"),
        processor_seconds=values.get("processor_seconds"),
        others=others,
        errors=text,
    )


@contextlib.contextmanager
def _started(report: Path, command: Sequence[str], errors: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command through the launcher; whatever happens, none of its processes is left."""
    package_folder = str(Path(vesselseg.__file__).resolve().parents[1])
    paths = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", launcher.__file__, str(report), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        # A group of its own: Ctrl-C reaches only us, and all of it can be ended together.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)
        if process.stdout is not None:
            process.stdout.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command: by closing its standard input, and by force if it does not listen."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _event(line: bytes) -> Event | None:
    """Return the event of a line; None for what libraries print beside them."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
