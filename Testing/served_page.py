"""The page as a person starts it: ``vesselseg web`` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

_START_SECONDS = 120


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

    def children(self):
        """Process IDs of the workers that run."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return listed.stdout.split()

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
            [sys.executable, "-m", "vesselseg", "web", "--port", "0", *arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(temporary), "TRAME_ARGS": ""},
        )
    try:
        yield Served(process, output, temporary)
    finally:
        process.kill()
        process.wait()
