"""The page as a person starts it: ``vesselseg web`` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

_START_SECONDS = 240


def until(condition, seconds=240):
    """Wait until something holds that another process does in its own time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    assert condition()


class Served:
    """A server that runs."""

    def __init__(self, process, output, folder):
        self.process = process
        self.folder = folder
        self._output = output
        end = time.monotonic() + _START_SECONDS
        while not (match := re.search(r"Open (\S+) in a browser", self.text)):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the server did not start:\n{self.text}")
            time.sleep(0.1)
        self.address = match[1]

    @property
    def text(self):
        """All that it has printed."""
        return self._output.read_text()

    def descendants(self, command=""):
        """Process IDs of all that it has started, and what that has, with a word in the command."""
        listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        processes = [line.split(None, 2) for line in listed.stdout.splitlines()]
        found, parents = [], {str(self.process.pid)}
        while parents:
            children = [each for each in processes if each[1] in parents]
            found += [pid for pid, _parent, arguments in children if command in arguments]
            parents = {pid for pid, *_ in children}
        return found

    def files(self):
        """All files that it keeps, but for what its processes are told, print, and their empty locks."""
        theirs = ("arguments.json", "stdout.txt", "stderr.txt")
        files = [each for each in self.folder.rglob("*") if each.is_file() and each.name not in theirs]
        return [each for each in files if each.name != "lock" or each.stat().st_size]

    def stop(self, number=signal.SIGTERM):
        """Ask it to end; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(folder, *arguments):
    """Start a server that keeps its temporary files in a folder; it is stopped in the end."""
    temporary = folder / "temporary"
    temporary.mkdir()
    output = folder / "output.txt"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vesselseg", "web", "--port", "0", *map(str, arguments)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary), "TRAME_ARGS": ""},
        )
    try:
        yield Served(process, output, temporary)
    finally:
        process.kill()
        process.wait()
