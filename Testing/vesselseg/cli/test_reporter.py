from __future__ import annotations

import json
import logging
import sys
import threading
import time

import pytest

from vesselseg.cli.reporter import make_reporter


def fail() -> None:
    raise KeyError("what is not there")


@pytest.mark.parametrize("progress", ["plain", "json", "none"])
def test_the_traceback_of_a_mistake_is_told(progress: str, capsys: pytest.CaptureFixture[str]) -> None:
    with make_reporter(progress):
        try:
            fail()
        except KeyError:
            logging.getLogger("vesselseg").exception("an action of the page failed")
    said = capsys.readouterr()
    text = json.loads(said.out)["message"] if progress == "json" else said.err
    assert "an action of the page failed\nTraceback" in text
    assert "in fail\n" in text
    assert text.rstrip().endswith("KeyError: 'what is not there'")


def test_the_log_is_left_as_it_was() -> None:
    library = logging.getLogger("vesselseg")
    before = library.level, library.propagate, list(library.handlers)
    with make_reporter("none"):
        assert not library.propagate
    assert (library.level, library.propagate, library.handlers) == before


class SlowStream:
    """Notes what is written at a time, and whether another thread writes meanwhile."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.writing = self.torn = False

    def write(self, text: str) -> None:
        self.torn |= self.writing
        self.writing = True
        time.sleep(0.002)
        self.written.append(text)
        self.writing = False

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("progress", ["plain", "json", "none"])
def test_each_line_is_written_at_once_whichever_thread_says_it(progress: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SlowStream()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)

    def speak() -> None:
        for number in range(5):
            reporter.progress(number / 5, "reading")
            reporter.warning("a notice")
            logging.getLogger("vesselseg").warning("what the library says")

    with make_reporter(progress) as reporter:
        threads = [threading.Thread(target=speak) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reporter.result({"dice": 1.0}, "done")
        reporter.error("it failed", "try again")
    assert len(stream.written) >= 42
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in stream.written)
    assert not stream.torn
