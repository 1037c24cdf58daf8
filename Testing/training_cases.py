"""Small scans and configurations for the tests of training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.training.config import TrainingConfig
from vesselseg.volume import Volume

MEDIAN = {"method": "foreground_median", "clip": 4.0}
GRID = Geometry((64, 60, 20), (0.6, 0.6, 0.6))


def tube_scan(seed: int = 0) -> tuple[Volume, Volume]:
    """Make a noisy block with a bright tube along x."""
    z, y, _ = np.ogrid[:20, :60, :64]
    tube = np.broadcast_to((y - 30) ** 2 + (z - 10) ** 2 <= 6, GRID.shape)
    array = np.random.default_rng(seed).normal(100, 8, GRID.shape) + 150 * tube
    array[:, :8] = 2
    return Volume(array.astype(np.float32), GRID), Volume(tube.astype(np.uint8), GRID)


def write_scans(folder: Path, count: int = 2, first_seed: int = 0) -> None:
    for k in range(count):
        (folder / f"scan{k}").mkdir(parents=True)
        scan, label = tube_scan(first_seed + k)
        write_volume(scan, folder / f"scan{k}" / "tof.nii.gz")
        write_volume(label, folder / f"scan{k}" / "label.nii.gz")


def write_config(path: Path, **entries) -> Path:
    options = {"channels": [4, 8], "in_slices": 3, "norm": "batch"}
    small = {"patch_size": 32, "batch_size": 4, "steps": 40, "validate_every": 20, "learning_rate": 0.01}
    small |= {"threads": 1, "workers": 0, "precision": "float32"}
    values = {"name": "tube", "training_scans": ["train"], "options": options, **small, **entries}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def make_config(folder: Path, **entries) -> TrainingConfig:
    """Write scans, unless they are there, and a configuration; return it."""
    if not (folder / "train").exists():
        write_scans(folder / "train", 2)
        write_scans(folder / "held_out", 1, first_seed=9)
    return TrainingConfig.read(write_config(folder / "c.json", **{"validation_scans": ["held_out"], **entries}))


def curve(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics, without the time they took."""
    with open(run / "metrics.csv", encoding="utf-8") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]
