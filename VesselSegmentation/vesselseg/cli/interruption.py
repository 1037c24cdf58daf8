"""Ctrl-C and requests to terminate: whenever they come the process ends with one line, and cleans up in peace."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

EXIT_CANCELLED = 130
#: What is said in the end, and about what may be left.
CANCELLED = ("cancelled", "no output was left half-written")
#: What cleaning up may take; what takes longer hangs.
CLEAN_UP_SECONDS = 5.0


def end_at_once() -> None:
    """Let Ctrl-C and a request to terminate end a process that has only begun: there is nothing to clean up yet.

    An exception would do worse: libraries that are just being imported make anything of it.
    """

    def end(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):  # the standard error may be closed
            os.write(2, f"vesselseg: error: {'; '.join(CANCELLED)}\n".encode())
        os._exit(EXIT_CANCELLED)

    _listen(end)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End a block by `KeyboardInterrupt` on Ctrl-C and on requests to terminate, so that temporary files are removed.

    Those that follow are passed over while it cleans up. Should that hang, they end the process at once.
    """
    import threading  # not before Ctrl-C is listened to

    first: float | None = None

    def interrupt(number: int, frame: object) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - first > CLEAN_UP_SECONDS:
            os._exit(EXIT_CANCELLED)

    if threading.current_thread() is threading.main_thread():
        _listen(interrupt)
        # Windows knows no hang-up; nohup has it ignored, so that the work goes on when its user logs out.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, interrupt)
    try:
        yield
    except Exception as error:
        if first is None:
            raise
        raise KeyboardInterrupt from error  # of which a library has made something else


def _listen(handler: Callable[[int, object], None]) -> None:
    # Set even for Ctrl-C: a shell starts background programs with that signal ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
