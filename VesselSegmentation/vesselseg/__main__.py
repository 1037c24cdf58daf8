"""The command line as a process: ``vesselseg``, or ``python -m vesselseg`` for workers without it on their path."""

import contextlib
import os
import signal
import sys

from vesselseg.cli.interruption import EXIT_CANCELLED, end_at_once


def run() -> None:
    """Run the command line and end the process; with one line, whenever Ctrl-C comes."""
    end_at_once()
    from vesselseg.cli.main import main  # which takes a while

    status = main()
    if status == EXIT_CANCELLED:
        # All is cleaned up: whoever has cancelled need not wait for threads that compute in vain.
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done
    sys.exit(status)


if __name__ == "__main__":
    run()
