from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker_job import hand_over


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
