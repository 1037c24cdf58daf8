"""Entry point of the command line: finds the command, runs it, turns what happened into an exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import locale
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import vesselseg
from vesselseg.cli.arguments import add_common_arguments
from vesselseg.cli.interruption import CANCELLED, CLEAN_UP_SECONDS, EXIT_CANCELLED, interruptible
from vesselseg.cli.reporter import Reporter, make_reporter
from vesselseg.errors import Cancelled, VesselSegError

EXIT_ERROR = 1

#: Command -> what it does. The module `vesselseg.cli.<command>` holds its arguments and what it runs.
COMMANDS = {
    "segment": "segment the vessels of a TOF-MRA scan",
    "evaluate": "compare a segmentation with a reference: metrics",
    "errormap": "compare a segmentation with a reference: error map",
    "thresholds": "compare a probability map with a reference at all thresholds",
    "judge": "measure models and baselines on the same scans",
    "report": "compare a segmentation with a reference: report as HTML or PDF",
    "phantom": "make a synthetic TOF scan with its exact label",
    "synthesize": "make training scans with exact labels",
    "train": "train a network",
    "models": "list, describe, import and remove models",
    "devices": "list the devices a network can run on",
    "demo": "phantom, segmentation, evaluation and error map in one go",
    "bench": "measure how fast it runs on this machine, beside other programs",
    "web": "serve a page on which all of it is done in a browser",
}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; with the arguments of one command only, where that is known, to start quickly."""
    parser = argparse.ArgumentParser(
        prog="vesselseg", description="Segment brain vessels in TOF-MRA scans and compare the result with a reference."
    )
    parser.add_argument("--version", action="version", version=f"vesselseg {vesselseg.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if only in (None, name):
            importlib.import_module(f"vesselseg.cli.{name}").add_arguments(command)
            add_common_arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the default is `sys.argv`.

    Returns
    -------
    int
        0 done, 1 a named error, 2 wrong usage, 130 cancelled.
    """
    _open_streams()
    _open_all_names()
    # Before NumPy is imported. By default it asks for memory in pages of 2 MB, which virtual machines first have to get
    # from their host: that made segmenting a scan half a second slower, and gained nothing.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[1:2] == ["--arguments-from"]:  # a worker: on its command line, names could be garbled
        with open(arguments[2], encoding="utf-8") as file:
            arguments = json.load(file)
    command = arguments[0] if arguments and arguments[0] in COMMANDS else None
    try:
        parser = build_parser(command or "")
        if "" in arguments:
            parser.error("an argument is empty")  # a variable that was not set, usually
        options = parser.parse_args(arguments)
    except SystemExit as end:  # argparse has printed the help or what is wrong with the usage
        return int(end.code or 0)
    reporter = make_reporter(options.progress)
    try:
        with interruptible():
            if options.stop_with_stdin:
                threading.Thread(target=_stop_when_stdin_closes, daemon=True).start()
            return _run(options, reporter)
    except (KeyboardInterrupt, Cancelled):
        _tell(reporter, *CANCELLED)
        return EXIT_CANCELLED
    except VesselSegError as error:
        _tell(reporter, error.message, error.advice)
        return EXIT_ERROR
    except MemoryError:
        _tell(reporter, "the memory does not suffice", "close other programs, or take a smaller scan")
        return EXIT_ERROR
    except (BrokenPipeError, ConnectionResetError):
        _fall_silent()
        return EXIT_ERROR
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _tell(
            reporter, f"{where}{error.strerror or error}", "check the name, the permissions and the space on the disk"
        )
        return EXIT_ERROR


def _tell(reporter: Reporter, message: str, advice: str) -> None:
    try:
        reporter.error(message, advice)
    except OSError:
        _fall_silent()


def _fall_silent() -> None:
    """Write no more: the reader of our output has gone; nothing can be said to it, not even by Python at its exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace, reporter: Reporter) -> int:
    command = importlib.import_module(f"vesselseg.cli.{options.command}")
    with reporter:
        return int(command.run(options, reporter))


def _open_streams() -> None:
    """See to it that whatever is written goes where it belongs, or nowhere, and cannot fail for its characters."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened, an output say, would take its number
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _open_all_names() -> None:
    """Let SimpleITK open names beyond the code page: it gives them in UTF-8 to the C library."""
    if sys.platform == "win32":
        with contextlib.suppress(locale.Error):  # the C library takes UTF-8 from Windows 10 1803 on
            locale.setlocale(locale.LC_CTYPE, ".UTF-8")


def _stop_when_stdin_closes() -> None:
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        # A read that waits would make libraries wait that look at the standard input while they are loaded.
        pipe = ctypes.c_void_p(msvcrt.get_osfhandle(sys.stdin.fileno()))
        while ctypes.windll.kernel32.PeekNamedPipe(pipe, None, 0, None, None, None):
            time.sleep(0.5)
    else:
        # Not through sys.stdin: Python could not end while this thread holds the lock of its buffer.
        while os.read(sys.stdin.fileno(), 1024):
            pass
    signal.raise_signal(signal.SIGINT)
    time.sleep(CLEAN_UP_SECONDS)
    os._exit(EXIT_CANCELLED)  # the main thread is busy in a long call that does not listen
