from __future__ import annotations

import pytest

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.stages import sentence, stage_text, time_left


@pytest.mark.parametrize(
    ("message", "preview", "expected"),
    [
        ("starting", False, "Starting"),
        ("brain mask", False, "Finding the brain"),
        ("preview shown", True, "Finding the vessels. The preview is coarse."),
        ("preview shown; brain mask", True, "Finding the brain. The preview is coarse."),
        ("preview shown; part 2 of 5", True, "Finding the vessels, part 2 of 5. The preview is coarse."),
        ("something new", False, "Something new"),
        ("", False, ""),
    ],
)
def test_stages(message: str, preview: bool, expected: str) -> None:
    assert stage_text(message, preview=preview) == expected


def test_time_left_comes_before_what_is_said_of_the_preview() -> None:
    text = stage_text("preview shown; part 2 of 5", preview=True, left="about 40 s left")
    assert text == "Finding the vessels, part 2 of 5, about 40 s left. The preview is coarse."
    assert stage_text("writing", left="about 5 s left") == "Writing the result, about 5 s left"


@pytest.mark.parametrize(
    ("seconds", "percent", "expected"),
    [
        (4.9, 50, ""),  # nobody knows yet
        (60, 9, ""),
        (5, 10, "about 45 s left"),
        (20, 40, "about 30 s left"),
        (18, 99.9, "about 5 s left"),
        (60, 50, "about 60 s left"),
        (61, 50, "about 2 min left"),
        (600, 10, "about 90 min left"),
        (600, 100, ""),
    ],
)
def test_time_left(seconds: float, percent: float, expected: str) -> None:
    assert time_left(seconds, percent) == expected


@pytest.mark.parametrize(
    ("message", "advice", "expected"),
    [
        ("scikit-image is not installed", "agree to install it", "Scikit-image is not installed. Agree to install it."),
        ("packages are missing: a, b", "", "Packages are missing: a, b."),
        ("is it damaged?", "load it again.", "Is it damaged? Load it again."),
        ("scan.nii.gz is empty", "copy it again", "scan.nii.gz is empty. Copy it again."),
        ("'TOF' is a label", "choose a scan", "'TOF' is a label. Choose a scan."),
        ("the worker  was killed\nlibrary: hello\n", "close\nothers", "The worker was killed. Close others."),
    ],
)
def test_errors_are_whole_sentences(message: str, advice: str, expected: str) -> None:
    assert sentence(VesselSegError(message, advice)) == expected
