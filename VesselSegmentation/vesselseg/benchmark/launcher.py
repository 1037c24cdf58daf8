"""Starts a program and writes down what it took, for `vesselseg.benchmark.measuring`; run as a script.

It stands between because of how memory is accounted for: a process inherits the peak of the one that started it, and a
large starter would make every program look large. This one is small: it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


def main(report: str, command: Sequence[str]) -> int:
    """Run a command, write the report and return the command's exit code."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    usage: Any = None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
    else:  # Windows
        code = process.wait()
    taken: dict[str, float | int | None] = {"started": started, "ended": time.monotonic(), "exit_code": code}
    if usage is not None:
        taken["peak_bytes"] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        taken["processor_seconds"] = usage.ru_utime + usage.ru_stime
    with open(report, "w", encoding="utf-8") as stream:
        json.dump(taken, stream)
    return max(code, 0) or int(code < 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
