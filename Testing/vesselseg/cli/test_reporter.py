from __future__ import annotations

import json
import logging

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
