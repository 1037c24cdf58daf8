"""How soon the program is there: command line, first progress, panel, page."""

from __future__ import annotations

import importlib.util
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from vesselseg.benchmark.case import Case
from vesselseg.benchmark.measuring import VESSELSEG, Event, Measurement, measure
from vesselseg.benchmark.rounds import CONTESTANTS
from vesselseg.benchmark.timing import Timing
from vesselseg.errors import VesselSegError
from vesselseg.progress import ProgressCallback, no_progress

#: Promised for ``vesselseg --help``, in seconds.
HELP_LIMIT_S = 0.3

#: How long a page may take to come up, in seconds.
_PAGE_PATIENCE_S = 60.0

#: What the panel asks for before it is shown, as far as it can be had without 3D Slicer's windows.
_PANEL_IMPORTS = (
    "import json; import VesselSegmentationLib.correcting.edit_logic, VesselSegmentationLib.reviewing.review_logic,"
    " VesselSegmentationLib.segmenting.segmentation_logic; print(json.dumps({'event': 'result'}), flush=True)"
)

_JSON = ("--progress", "json", "--stop-with-stdin")


def measure_startup(case: Case, folder: Path, *, rounds: int, progress: ProgressCallback = no_progress) -> list[Timing]:
    """Measure how long it takes from the start of a process to what a user sees first.

    Parameters
    ----------
    case : Case
        For the command that segments; it is stopped as soon as it has said what is waited for.
    folder : pathlib.Path
        For its outputs.
    rounds : int
        How often each start is measured, after one that does not count.
    progress : callable

    Returns
    -------
    list of Timing
        What cannot run here, or fails, says why.
    """
    segment = CONTESTANTS[0].command(case, folder / "label.nii.gz", folder / "probability.nii")
    starts: list[tuple[str, float | None, str, Callable[[], float]]] = [
        ("vesselseg --help", HELP_LIMIT_S, "", lambda: _checked(measure([*VESSELSEG, "--help"])).seconds),
        ("vesselseg segment: first word", None, "", lambda: _until(segment, "progress", "")),
        ("vesselseg segment: first part of the scan", None, "", lambda: _until(segment, "progress", "part ")),
        (
            "panel: logic imported",
            None,
            _lacking("slicer"),
            lambda: _until([sys.executable, "-c", _PANEL_IMPORTS], "result", ""),
        ),
        ("panel: first widget", None, "it needs the application 3D Slicer", lambda: 0.0),
        ("vesselseg web: page answers", None, _lacking("slicer", "trame_slicer"), _page),
    ]
    timings = []
    for number, (name, limit, lacking, start) in enumerate(starts):
        progress(number / len(starts), name)
        if lacking:
            timings.append(Timing(name, limit_s=limit, skipped=lacking))
            continue
        try:
            start()
            timings.append(Timing(name, tuple(start() for _ in range(rounds)), limit))
        except VesselSegError as error:
            timings.append(Timing(name, limit_s=limit, skipped=error.message))
    return timings


def _lacking(*packages: str) -> str:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return f"{missing[0]} is not installed" if missing else ""


def _checked(measurement: Measurement) -> Measurement:
    if measurement.failure:
        raise VesselSegError(f"a command that was to be measured failed: {measurement.failure}")
    return measurement


def _until(command: Sequence[str], kind: str, message: str) -> float:
    """Return the seconds from the start of a command to an event; the command is stopped then."""

    def wanted(event: Event) -> bool:
        return event["event"] == kind and str(event.get("message", "")).startswith(message)

    measurement = measure(command, until=wanted)
    for moment, event in measurement.events:
        if wanted(event):
            return moment
    raise VesselSegError(f"a command that was to be measured failed: {measurement.failure or 'it said nothing'}")


def _page() -> float:
    """Return the seconds from the start of the server to the first answer of the page."""
    answered: list[float] = []

    def ask(event: Event) -> bool:
        if event["event"] != "result":
            return False
        try:
            # With cookies, like a browser: by them the server knows its visitors.
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(event["address"], timeout=_PAGE_PATIENCE_S) as answer:
                answer.read()
        except OSError as error:
            raise VesselSegError(f"the page does not answer: {error}") from error
        answered.append(time.monotonic())
        return True

    begun = time.monotonic()
    measurement = measure([*VESSELSEG, "web", "--port", "0", *_JSON], until=ask)
    if not answered:
        raise VesselSegError(f"the page did not come up: {measurement.failure or 'it said nothing'}")
    return answered[0] - begun
