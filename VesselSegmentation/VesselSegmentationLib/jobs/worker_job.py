"""Work that a worker process does, as front ends see it: state, progress, log, and one clear error."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, Worker

logger = logging.getLogger("vesselseg")

#: States of a job; it begins with the first and ends in one of the others.
RUNNING, DONE, CANCELLED, FAILED = "running", "done", "cancelled", "failed"

_CANCELLED_STATUS = 130
_LAUNCHER_TELLS = "exit abnormally - Report the problem."
_POLL_SECONDS = 0.05
#: What files that are handed over stand for, where their names do not say it.
_SPOKEN = {"compare": "second method", "map": "error map"}
#: Before this nobody can tell how long the rest takes.
_LEAST_SECONDS, _LEAST_PERCENT = 5.0, 10.0


def hand_over(volumes: Mapping[str, Volume | None], folder: Path) -> list[str]:
    """Write what a command works on into a private folder; return the arguments that name it.

    Parameters
    ----------
    volumes : mapping of str to Volume or None
        The first two are given by their place, the others as options of these names; None is left out.
    folder : pathlib.Path

    Returns
    -------
    list of str
    """
    from vesselseg.image_io import write_volume

    arguments = []
    for number, (name, volume) in enumerate(volumes.items()):
        if volume is not None:
            path = folder / f"{name}.nii"
            write_volume(volume, path, compress=False, durable=False)  # read at once, and the front end waits
            arguments += [str(path)] if number < 2 else [f"--{name}", str(path)]
    return arguments


class WorkerJob:
    """A command that runs in a worker process.

    A front end calls `poll` from a timer, about ten times a second, and shows the attributes; a script calls `wait`.
    Subclasses say what to do with the result.

    Parameters
    ----------
    arguments : sequence of str
        For ``python -m vesselseg``.
    folder : path-like, optional
        A private folder with the input; it is removed when the job has ended.
    python : PythonCommand, optional
        How to start Python.
    names : mapping of str to str, optional
        What to call files of the folder in messages, by their names without the ending: users do not know these files.

    Attributes
    ----------
    state : str
        "running", "done", "cancelled" or "failed".
    percent : float
        How far the work is, 0 to 100. Never falls.
    message : str
        What is being done at present, or how it ended.
    log : list of str
        Notices, warnings first of all.
    error : VesselSegError or None
        Why it failed.

    Raises
    ------
    VesselSegError
        If the process cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: str | os.PathLike[str] | None = None,
        python: PythonCommand | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.state = RUNNING
        self.percent = 0.0
        self.message = "starting"
        self.log: list[str] = []
        self.error: VesselSegError | None = None
        self._moved_from: tuple[float, float] | None = None
        self._ready_at: float | None = None
        self._events: deque[dict[str, Any]] = deque()
        self._result: dict[str, Any] | None = None
        self._worker_error: VesselSegError | None = None
        self._names = names or {}
        self._worker = Worker([*arguments, "--progress", "json", "--stop-with-stdin"], folder=folder, python=python)

    def poll(self) -> str:
        """Take in what the worker has reported. Waits for nothing but, once, the reading of the result.

        Returns
        -------
        str
            The state.
        """
        if self.state != RUNNING:
            return self.state
        reason = self._reason_to_stop()
        if reason:
            self._end(CANCELLED, reason)
            return self.state
        self._events.extend(self._worker.poll())
        while self._events:  # where one cannot be taken, the others are at the next poll
            self._take(self._events.popleft())
        if self._worker.finished:
            self._take_end()
        return self.state

    @property
    def left(self) -> float | None:
        """Seconds that the rest may take; None where that cannot be told yet, or where the guess has run out."""
        if self.state != RUNNING or self._ready_at is None:
            return None
        left = self._ready_at - time.monotonic()
        return left if left > 0 else None

    def wait(self, timeout: float | None = None) -> str:
        """Poll until the job has ended.

        Parameters
        ----------
        timeout : float, optional
            Longest wait in seconds; the default is to wait for as long as it takes.

        Returns
        -------
        str
            The state, still "running" if the time did not suffice.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while self.poll() == RUNNING and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return self.state

    def cancel(self) -> None:
        """Stop at once. Has no effect on a job that has ended."""
        if self.state == RUNNING:
            self._end(CANCELLED, "cancelled")

    def _reason_to_stop(self) -> str:
        """Say why the work has become pointless; empty if it has not."""
        return ""

    def _use_result(self, result: dict[str, Any]) -> None:
        """Do what is to be done with the result, once. May raise `VesselSegError`."""

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        text = str(event.get("message", ""))
        if kind == "progress":
            percent = event.get("percent")
            if isinstance(percent, (int, float)) and math.isfinite(percent):
                self._take_percent(min(float(percent), 100.0))
            self.message = text
        elif kind == "log":
            text = self._named(text)
            self.log.append(f"warning: {text}" if event.get("level") == "warning" else text)
        elif kind == "error":
            self._worker_error = VesselSegError(text, str(event.get("advice", "")))
        elif kind == "result":
            self._result = event

    def _take_percent(self, percent: float) -> None:
        now, rises = time.monotonic(), percent > self.percent
        self.percent = max(self.percent, percent)
        if self._moved_from is None or self.percent == self._moved_from[1]:
            # A preview may stand at the first percent for long: what follows goes at another speed.
            self._moved_from = (now, self.percent) if self.percent > 0 else None
        elif rises:  # between events time goes on and percent does not: it tells nothing of the speed then
            seconds, done = now - self._moved_from[0], self.percent - self._moved_from[1]
            known = seconds >= _LEAST_SECONDS and done >= _LEAST_PERCENT
            self._ready_at = now + seconds * (100 - self.percent) / done if known else None

    def _take_end(self) -> None:
        status = self._worker.returncode
        if status == _CANCELLED_STATUS:
            self._end(CANCELLED, "cancelled")
            return
        try:
            if self._worker_error is not None:
                raise self._worker_error
            if status != 0:
                lines = self._worker.last_error_lines()
                # Not all front ends show more than a sentence of what went wrong.
                logger.error("a worker ended with status %s:\n%s", status, "\n".join(lines))
                raise _crash(status or 0, lines)
            if self._result is None:
                raise VesselSegError("the worker ended without a result", "look into the log, and try again")
            self._use_result(self._result)
        except VesselSegError as error:
            self.error = VesselSegError(self._named(error.message), self._named(error.advice))
            self._end(FAILED, str(self.error))
        except Exception as error:
            # A mistake of ours: it must end the job all the same, and be seen in full where it happened.
            self.error = VesselSegError(f"the result could not be taken over: {error}", "report this to the developers")
            self._end(FAILED, str(self.error))
            raise
        else:
            self.percent = 100.0
            self._end(DONE, "done")

    def _named(self, text: str) -> str:
        """Call the files of the private folder, which goes with the job, what they are to a user."""

        def name(found: re.Match[str]) -> str:
            stem = found["stem"]
            return self._names.get(stem, f"the {_SPOKEN.get(stem, stem.replace('_', ' '))}") if stem else ""

        # Of what lies deeper, outputs, the user knows the names.
        files = rf"{re.escape(str(self._worker.folder))}[/\\](?:(?P<stem>\w+)\.\w+|(?:[^/\\\s]+[/\\])*)"
        return re.sub(files, name, text)

    def _end(self, state: str, message: str) -> None:
        self.state = state
        self.message = message
        self._worker.close()


def _crash(status: int, last_lines: list[str]) -> VesselSegError:
    # PythonSlicer is a launcher: it ends with 1, and tells that Python, its child, was killed or crashed.
    launched = [line for line in last_lines if line.rstrip().endswith(_LAUNCHER_TELLS)]
    said = "\n".join(line for line in last_lines if line not in launched) or "it wrote nothing to standard error"
    advice = "close other programs, or run it on a machine with more memory"
    if launched:
        return VesselSegError(f"the worker was killed, or crashed (out of memory?)\n{said}", advice)
    if status < 0:
        out_of_memory = ""
        if sys.platform != "win32" and -status == signal.SIGKILL:
            out_of_memory = " (out of memory?)"
        else:
            advice = "try again; if it happens again, choose another device"
        return VesselSegError(f"the worker was killed by signal {-status}{out_of_memory}\n{said}", advice)
    # Windows gives an exception's code as an unsigned number; it is known in its hexadecimal form.
    shown = f"0x{status:08X}" if status > 255 else str(status)
    return VesselSegError(f"the worker ended unexpectedly (exit status {shown})\n{said}", "the log has its last lines")
