from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.image_io import write_volume
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs import wording
from VesselSegmentationLib.jobs.wording import sentence, stage_text, time_left


@pytest.mark.parametrize(
    ("message", "preview", "expected"),
    [
        ("starting", False, "Starting"),
        ("brain mask", False, "Finding the brain"),
        ("preview shown", True, "Finding the vessels. The preview is coarse."),
        ("preview shown; brain mask", True, "Finding the brain. The preview is coarse."),
        ("preview shown; part 2 of 5", True, "Finding the vessels, part 2 of 5. The preview is coarse."),
        ("threshold 0.35", False, "Measuring thresholds"),
        ("threshold and components", False, "Applying the threshold"),
        ("figure", False, "Drawing the figure"),
        ("something new", False, "Something new"),
        ("", False, ""),
    ],
)
def test_stages(message: str, preview: bool, expected: str) -> None:
    assert stage_text(message, preview=preview) == expected


def test_every_stage_of_a_worker_is_known(
    make_scan: Callable[..., Volume], tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    scan = make_scan()
    label = scan.with_array((scan.array > 180).astype(np.uint8))
    write_volume(scan, tmp_path / "scan.nii")
    write_volume(label, tmp_path / "label.nii")
    write_volume(label.with_array(np.roll(label.array, 1, axis=2)), tmp_path / "found.nii")
    write_volume(scan.with_array(scan.array / 256), tmp_path / "probability.nii")
    monkeypatch.chdir(tmp_path)
    segment = ["--brain-mask", "label.nii", "--output", "vessels.nii", "--preview", "preview.nii"]
    segment += ["--model", tiny_model, "--device", "cpu"]
    flat = ["--figure", "figure.png", "--figure-kind", "projections"]
    for command in (
        ["segment", "scan.nii", *segment],
        ["errormap", "found.nii", "label.nii", "--output", "map.nii", *flat],
        ["errormap", "found.nii", "label.nii", "--output", "two.nii", "--names", "A", "B"],
        ["report", "found.nii", "label.nii", "--output", "r.html", "--no-3d", "--probability", "probability.nii"],
    ):
        assert main([*command, "--progress", "json"]) == 0
    events = map(json.loads, capsys.readouterr().out.splitlines())
    said = {event["message"] for event in events if event["event"] == "progress"}
    assert {"preview", "writing", "error map", "comparison", "figure", "report", "done"} < said
    unknown = {each for each in said - set(wording._STAGES) if not each.startswith(("part ", "threshold"))}
    assert unknown == set()


def test_time_left_comes_before_what_is_said_of_the_preview() -> None:
    text = stage_text("preview shown; part 2 of 5", preview=True, left="about 40 s left")
    assert text == "Finding the vessels, part 2 of 5, about 40 s left. The preview is coarse."
    assert stage_text("writing", left="about 5 s left") == "Writing the result, about 5 s left"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, ""),
        (0.1, "about 5 s left"),
        (30, "about 30 s left"),
        (31, "about 35 s left"),
        (60, "about 60 s left"),
        (61, "about 2 min left"),
        (5400, "about 90 min left"),
    ],
)
def test_time_left(seconds: float | None, expected: str) -> None:
    assert time_left(seconds) == expected


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
