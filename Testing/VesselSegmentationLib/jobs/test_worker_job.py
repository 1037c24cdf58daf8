from __future__ import annotations

import os
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs import worker_job
from VesselSegmentationLib.jobs.wording import sentence
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import WorkerJob, hand_over


def test_front_end_waits_for_no_disk_when_it_hands_volumes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), Geometry((4, 3, 2), (1.0, 1.0, 1.0)))
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    arguments = hand_over({"reference": volume, "prediction": None, "mask": volume}, tmp_path)
    assert flushed == []
    assert arguments == [str(tmp_path / "reference.nii"), "--mask", str(tmp_path / "mask.nii")]
    np.testing.assert_array_equal(read_volume(tmp_path / "mask.nii").array, volume.array)


class _Worker:
    """Reports what a test lets it report."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        self.events: list[dict[str, object]] = []
        self.finished = False

    def poll(self) -> list[dict[str, object]]:
        events, self.events = self.events, []
        return events

    def close(self) -> None:
        self.finished = True


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float | None]:
    """Let time go on to a second at which the worker reports percents; return how many seconds are left then."""
    now = 100.0
    monkeypatch.setattr(worker_job, "Worker", _Worker)
    monkeypatch.setattr(worker_job, "time", types.SimpleNamespace(monotonic=lambda: now))
    job = WorkerJob([])

    def report(second: float, *percents: float) -> float | None:
        nonlocal now
        now = 100.0 + second
        job._worker.events += [{"event": "progress", "percent": percent} for percent in percents]
        job.poll()
        return job.left

    return report


def test_time_left_counts_down_between_events(left: Callable[..., float | None]) -> None:
    assert left(0, 0) is None
    assert left(30, 10) is None  # slow start: it says nothing of the speed
    assert left(34, 50) is None  # too early
    assert left(40, 60) == pytest.approx(8)
    assert left(42) == pytest.approx(6)
    assert left(42.5, 60, 20) == pytest.approx(5.5)  # nothing has moved
    assert left(47.9) == pytest.approx(0.1)
    assert left(48) is None  # the guess has run out
    assert left(60, 70) == pytest.approx(15)
    assert left(61, 100) is None


def test_time_left_does_not_count_a_preview(left: Callable[..., float | None]) -> None:
    left(0, 0)
    left(1, 1)
    left(10, 1)
    left(20, 1)  # the preview is there
    assert left(30, 11) == pytest.approx(89)
    assert left(35) == pytest.approx(84)


def test_time_left_waits_until_enough_is_done(left: Callable[..., float | None]) -> None:
    left(0, 1)
    assert left(60, 10.5) is None
    assert left(61, 11) == pytest.approx(61 / 10 * 89)


def test_nothing_is_left_of_a_job_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(worker_job, "Worker", _Worker)
    monkeypatch.setattr(worker_job, "time", types.SimpleNamespace(monotonic=lambda: now))
    job = WorkerJob([])
    job._take({"event": "progress", "percent": 10})
    now = 10.0
    job._take({"event": "progress", "percent": 50})
    assert job.left == pytest.approx(12.5)
    job.cancel()
    assert job.left is None


def test_last_lines_of_a_crashed_worker_are_in_the_log(
    python: Callable[[str], PythonCommand], caplog: pytest.LogCaptureFixture
) -> None:
    job = WorkerJob([], python=python("crash"))
    assert job.wait(20) == "failed"
    assert job.error is not None
    assert sentence(job.error) == "The worker ended unexpectedly (exit status 1). The log has its last lines."
    assert "libcudnn.so.9: cannot open shared object file" in caplog.text


def test_what_is_wrong_with_a_file_that_was_handed_over_is_told_without_its_name() -> None:
    label = Volume(np.ones((2, 3, 4), np.float32), Geometry((4, 3, 2)))
    damaged = label.with_array(label.array.copy())
    damaged.array[0, 0, 0] = np.nan
    with folder_to_hand_over() as folder:
        arguments = ["evaluate", *hand_over({"segmentation": label, "reference": damaged}, folder)]
        job = WorkerJob(arguments, folder=folder)
    assert job.wait(60) == "failed"
    assert job.error is not None
    assert job.error.message == "1 voxel of the reference is not a number"
    assert job.message.startswith(job.error.message)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("{}/scan.nrrd and {}/brain_mask.nrrd", "the scan 'TOF' and the brain mask"),
        ("{}/compare.nii", "the second method"),
        ("{}/output-0/Case 1, left.pdf is no figure", "Case 1, left.pdf is no figure"),
        ("{}/.vesselseg-0a1b/output.nii: no space", "output.nii: no space"),
        ("{}\\map.nii", "the error map"),
        ("/data/scan.nrrd", "/data/scan.nrrd"),
    ],
)
def test_files_of_the_private_folder_are_called_what_they_are(
    message: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class _Failing(_Worker):
        folder, returncode = tmp_path, 1

        def poll(self) -> list[dict[str, object]]:
            self.finished = True
            text = message.replace("{}", str(tmp_path))
            return [{"event": "log", "message": text}, {"event": "error", "message": text, "advice": text}]

    monkeypatch.setattr(worker_job, "Worker", _Failing)
    job = WorkerJob([], folder=tmp_path, names={"scan": "the scan 'TOF'"})
    assert job.poll() == "failed"
    assert job.error is not None
    assert (job.error.message, job.error.advice, job.log) == (told, told, [told])
