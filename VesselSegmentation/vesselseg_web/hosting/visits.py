"""The visitors: each has a process of their own, which ends with their visit, and all that it knows with it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg_web.hosting.presence import SECRET_HEADER
from VesselSegmentationLib.jobs.worker import PythonCommand, Worker, private_folder

logger = logging.getLogger("vesselseg")

#: How many at a time, unless told otherwise: each process takes about half a gigabyte, and what a scan needs.
MOST_VISITORS = 4
#: A visit ends when its page has been closed for this long: one that is loaded anew is back within seconds.
CLOSED_SECONDS = 20.0
#: And when nothing was heard of the page for this long: a laptop that slept over lunch finds its work again.
LOST_SECONDS = 3600.0
#: Unless somebody else needs the place; then it is given away after this.
SPARED_SECONDS = 120.0
#: Nobody's first page waits for the process of whoever comes next.
_NEXT_AFTER_SECONDS = 6.0
_AFTER_FAILURE_SECONDS = 30.0
_START_SECONDS = 240.0
_END_SECONDS = 5.0
_POLL_SECONDS = 0.05
#: The environment, unlike arguments, is not shown to everybody of this machine.
SECRET_VARIABLE = "VESSELSEG_VISIT_SECRET"


class Visit:
    """The process of one visitor, and whether they are there.

    Parameters
    ----------
    files : sequence of str
        With absolute paths.
    python : PythonCommand
        How to start Python.

    Attributes
    ----------
    address : str
        Where the process answers; empty until it does.
    headers : dict
        That a request to it needs.
    """

    def __init__(self, files: Sequence[str], python: PythonCommand) -> None:
        secret = secrets.token_urlsafe(32)
        self.headers = {SECRET_HEADER: secret}
        self.address = ""
        self._open = 0
        self._closed_page = True
        self._seen_at = time.monotonic()
        folder = private_folder()
        environment = {**python.environment, SECRET_VARIABLE: secret}
        self._worker = Worker(
            ["web", "--visit", str(folder), "--progress", "json", "--stop-with-stdin", "--", *files],
            folder=folder,
            python=PythonCommand(python.command, environment),
        )

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._worker.returncode is None

    @property
    def seconds_away(self) -> float:
        """For how long no page of the visitor has been open, nor anything else been asked for."""
        return 0.0 if self._open else time.monotonic() - self._seen_at

    @property
    def is_over(self) -> bool:
        """Whether the visitor is not expected any more."""
        return self.seconds_away > (CLOSED_SECONDS if self._closed_page else LOST_SECONDS)

    def hear(self) -> None:
        """Note that the visitor sends something, or that a piece of it is on its way."""
        self._seen_at = time.monotonic()

    def enter(self) -> None:
        """Note that a page of the visitor is open, or that they wait for an answer, until `leave`."""
        self._open += 1

    def leave(self, *, closed_page: bool | None = None) -> None:
        """Note that this is over; `closed_page` tells whether the page was closed or has become silent."""
        self._open -= 1
        self.hear()
        if closed_page is not None:
            self._closed_page = closed_page

    def poll(self) -> None:
        """Take in what the process reports."""
        for event in self._worker.poll():
            if event["event"] == "result":
                self.address = f"http://127.0.0.1:{int(event['port'])}"
            elif event["event"] == "error" or event.get("level") == "warning":
                logger.warning("%s", event["message"])

    async def ready(self) -> None:
        """Wait until the process answers.

        Raises
        ------
        VesselSegError
            If it does not.
        """
        end = time.monotonic() + _START_SECONDS
        while not self.address:
            self.poll()
            if not self.address and (not self.runs or time.monotonic() > end):
                said = self.last_words()
                await self.end()
                raise VesselSegError(f"the page cannot be started: {said}", "report this to the developers")
            await asyncio.sleep(_POLL_SECONDS)

    async def end(self) -> None:
        """End the process and its workers, and remove all that it has written."""
        if not self._worker.finished:
            self._worker.ask_to_end()
            end = time.monotonic() + _END_SECONDS
            while self.runs and time.monotonic() < end:
                await asyncio.sleep(_POLL_SECONDS)
        self._worker.close()

    def last_words(self) -> str:
        """Return the last lines of what the process has said about its end."""
        return " ".join(self._worker.last_error_lines(3)) or "it has said nothing"


class Visits:
    """All visitors, and one process that waits for the next.

    Parameters
    ----------
    files : sequence of str
        A scan, and vessels to compare with, with which each visit begins.
    most : int
        How many visitors there can be.
    python : PythonCommand, optional
        How to start Python for their processes.
    """

    def __init__(
        self,
        files: Sequence[str] = (),
        *,
        most: int = MOST_VISITORS,
        python: PythonCommand | None = None,
    ) -> None:
        self._files = [str(Path(name).absolute()) for name in files]
        self._most = most
        self._python = python or PythonCommand()
        self._visits: dict[str, Visit] = {}
        self._next: Visit | None = None
        self._next_at = 0.0
        self._lock = asyncio.Lock()
        self._visited_at = time.monotonic()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def seconds_idle(self) -> float:
        """For how long there has been no visitor."""
        return 0.0 if self._visits else time.monotonic() - self._visited_at

    def find(self, key: str) -> Visit | None:
        """Return the visit to which a key belongs, if its process runs."""
        visit = self._visits.get(key)
        return visit if visit is not None and visit.runs else None

    async def prepare(self) -> None:
        """Start a process for whoever comes next, and wait until it answers; raises as `Visit.ready`."""
        if self._next is None:
            self._next = Visit(self._files, self._python)
        try:
            await self._next.ready()
        except VesselSegError:
            self._next = None
            raise

    async def begin(self) -> tuple[str, Visit] | None:
        """Begin a visit.

        Returns
        -------
        tuple of str and Visit
            Key and visit; None if all places are taken.

        Raises
        ------
        VesselSegError
            If no process can be started.
        """
        async with self._lock:
            if self._next is None and not await self._make_room():
                return None
            await self.prepare()
            visit, self._next = self._next, None
            if visit is None:
                return None
            self._next_at = time.monotonic() + _NEXT_AFTER_SECONDS
            key = secrets.token_urlsafe(32)
            self._visits[key] = visit
            visit.hear()
            return key, visit

    async def end(self, key: str) -> None:
        """End a visit; its key is worth nothing from now on."""
        visit = self._visits.pop(key, None)
        if visit is not None:
            self._visited_at = time.monotonic()
            await visit.end()

    async def look_after(self) -> None:
        """End visits that are over; start the process for the next visitor. To be called about once a second."""
        for key, visit in list(self._visits.items()):
            visit.poll()
            if not visit.runs:
                logger.warning("the process of a visitor has ended unexpectedly: %s", visit.last_words())
            if not visit.runs or visit.is_over:
                self._end_soon(key)
        if self._next is not None:
            self._next.poll()
            if not self._next.runs:
                logger.warning("the process for the next visitor has ended: %s", self._next.last_words())
                await self._next.end()
                self._next, self._next_at = None, time.monotonic() + _AFTER_FAILURE_SECONDS
        elif not self._lock.locked() and len(self._visits) < self._most and time.monotonic() > self._next_at:
            try:
                self._next = Visit(self._files, self._python)
            except (VesselSegError, OSError) as error:
                # Memory, disk or file handles are short: no reason to end the visits that there are.
                logger.warning("no process waits for the next visitor: %s", error)
                self._next_at = time.monotonic() + _AFTER_FAILURE_SECONDS

    async def close(self) -> None:
        """End everything."""
        last = [self._next.end()] if self._next is not None else []
        await asyncio.gather(*last, *(self.end(key) for key in list(self._visits)), *self._ending)

    def _end_soon(self, key: str) -> None:
        task = asyncio.ensure_future(self.end(key))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _make_room(self) -> bool:
        """Take the place of whoever has been silent for longest, if there is no other; tell whether there is one."""
        if len(self._visits) < self._most:
            return True
        key = max(self._visits, key=lambda each: self._visits[each].seconds_away)
        if self._visits[key].seconds_away < SPARED_SECONDS:
            return False
        await self.end(key)
        return True
