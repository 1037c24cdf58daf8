"""How the commands talk: to a person at a terminal, or to a program that reads JSON lines."""

from __future__ import annotations

import json
import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS_CHOICES = ("plain", "json", "none")


class Reporter(logging.Handler):
    """Takes progress, notices and results of a command, and what the library logs.

    As a context manager it listens to the library's log while the command runs. This class itself says nothing but
    warnings: it is ``--progress none``.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._furthest = 0.0
        self._before = logging.NOTSET, True

    def __enter__(self) -> Reporter:
        library = logging.getLogger("vesselseg")
        self._before = library.level, library.propagate
        library.addHandler(self)
        library.setLevel(logging.INFO)
        library.propagate = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        library = logging.getLogger("vesselseg")
        library.removeHandler(self)
        level, library.propagate = self._before
        library.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on what the library logs, with the traceback if there is one."""
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            self.warning(text)
        else:
            self.info(text)

    def progress(self, fraction: float, message: str) -> None:
        """Tell how far the work is; a stage that begins anew never makes the progress fall."""
        self._furthest = max(self._furthest, min(fraction, 1.0))
        self.show_progress(self._furthest, message)

    def show_progress(self, fraction: float, message: str) -> None:
        """Show the share of the work done, in [0, 1]."""

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Write a line, on standard error by default, in one piece, whatever other threads write meanwhile."""
        stream = stream or sys.stderr
        # Where Python does not buffer, `print` would write the end of the line by itself.
        self.acquire()
        try:
            stream.write(f"{text}\n")
            stream.flush()
        finally:
            self.release()

    def info(self, text: str) -> None:
        """Show a notice."""

    def warning(self, text: str) -> None:
        """Show a notice that nobody may miss."""
        self.say(f"vesselseg: {text}")

    def preview(self, path: str, seconds: float) -> None:
        """Tell that a coarse result is there, so many seconds after the command began."""
        self.info(f"{path}: preview after {seconds:.1f} s")

    def result(self, values: dict[str, Any], text: str = "") -> None:
        """Give the result: as values for a program, as text for a person."""
        if text:
            self.say(text, sys.stdout)

    def error(self, message: str, advice: str) -> None:
        """Show what went wrong, on one line."""
        text = " ".join((f"{message}; {advice}" if advice else message).split())
        self.say(f"vesselseg: error: {text}")


class PlainReporter(Reporter):
    """For people: a progress bar on a terminal, else a line for every tenth of the work."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._tenth = -1

    def __enter__(self) -> Reporter:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description:<28}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._bar.add_task("", total=1.0)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._bar is not None:
            self._bar.stop()

    def show_progress(self, fraction: float, message: str) -> None:
        """Move the bar, or print a line."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=fraction, description=message)
        elif int(fraction * 10) > self._tenth:
            self._tenth = int(fraction * 10)
            self.say(f"{fraction:4.0%} {message}")

    def info(self, text: str) -> None:
        """Print a notice above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            self.say(text)

    def warning(self, text: str) -> None:
        """Print a warning above the bar."""
        self.info(f"warning: {text}")

    def result(self, values: dict[str, Any], text: str = "") -> None:
        """Print the result below the bar, which moves no more."""
        if self._bar is not None:
            self._bar.stop()
        super().result(values, text)


class JsonReporter(Reporter):
    """For programs: one JSON object a line on standard output."""

    def _write(self, event: str, **values: Any) -> None:
        self.say(json.dumps({"event": event, **values}), sys.stdout)

    def show_progress(self, fraction: float, message: str) -> None:
        """Write a progress event, in per cent."""
        self._write("progress", percent=round(100 * fraction, 2), message=message)

    def info(self, text: str) -> None:
        """Write a log event."""
        self._write("log", level="info", message=text)

    def warning(self, text: str) -> None:
        """Write a log event."""
        self._write("log", level="warning", message=text)

    def preview(self, path: str, seconds: float) -> None:
        """Write the preview event."""
        self._write("preview", preview=path, seconds=round(seconds, 2))

    def result(self, values: dict[str, Any], text: str = "") -> None:
        """Write the result event."""
        self._write("result", **values)

    def error(self, message: str, advice: str) -> None:
        """Write an error event, and before it the line on standard error, which may be read where the event is not."""
        super().error(message, advice)
        self._write("error", message=message, advice=advice)


def make_reporter(progress: str) -> Reporter:
    """Return the reporter for a value of ``--progress``."""
    return {"plain": PlainReporter, "json": JsonReporter, "none": Reporter}[progress]()
