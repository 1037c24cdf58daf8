"""Training: configuration, patches, augmentation, losses, and a run of a few steps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.training.config import TrainingConfig
from vesselseg.training.data import PatchSampler, as_training_scan, load_scans
from vesselseg.training.evaluation import centreline, judge_on_real_scan
from vesselseg.volume import Volume

torch = pytest.importorskip("torch")

MEDIAN = {"method": "foreground_median", "clip": 4.0}
GRID = Geometry((64, 60, 20), (0.6, 0.6, 0.6))


def tube_scan(seed: int = 0) -> tuple[Volume, Volume]:
    """Make a noisy block with a bright tube along x."""
    z, y, _ = np.ogrid[:20, :60, :64]
    tube = np.broadcast_to((y - 30) ** 2 + (z - 10) ** 2 <= 6, GRID.shape)
    array = np.random.default_rng(seed).normal(100, 8, GRID.shape) + 150 * tube
    array[:, :8] = 2
    return Volume(array.astype(np.float32), GRID), Volume(tube.astype(np.uint8), GRID)


def write_scans(folder: Path, count: int = 2) -> None:
    for k in range(count):
        (folder / f"scan{k}").mkdir(parents=True)
        scan, label = tube_scan(k)
        write_volume(scan, folder / f"scan{k}" / "tof.nii.gz")
        write_volume(label, folder / f"scan{k}" / "label.nii.gz")


def write_config(path: Path, **entries) -> Path:
    options = {"channels": [4, 8], "in_slices": 3, "norm": "batch"}
    small = {"patch_size": 32, "batch_size": 4, "steps": 40, "validate_every": 20, "learning_rate": 0.01}
    small |= {"threads": 1, "workers": 0, "precision": "float32"}
    values = {"name": "tube", "training_scans": ["train"], "options": options, **small, **entries}
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_configuration_finds_scans_beside_itself(tmp_path: Path) -> None:
    config = TrainingConfig.read(write_config(tmp_path / "c.json"))
    assert config.training_scans == [str(tmp_path / "train")]
    assert config.steps == 40


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"leaning_rate": 1}, "leaning_rate"),
        ({"steps": 0}, "steps"),
        ({"vessel_share": 0.8, "head_share": 0.4}, "share"),
        ({"training_scans": []}, "no training scans"),
    ],
)
def test_wrong_configuration_is_named(tmp_path: Path, entries: dict, message: str) -> None:
    with pytest.raises(VesselSegError, match=message):
        TrainingConfig.read(write_config(tmp_path / "c.json", **entries))


def test_configuration_without_name_or_not_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    (tmp_path / "b.json").write_text("[", encoding="utf-8")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(VesselSegError):
            TrainingConfig.read(tmp_path / name)


def test_patches_lie_around_vessels_and_do_not_count_outside() -> None:
    scan = as_training_scan(*tube_scan(), MEDIAN)
    sampler = PatchSampler([scan], slices=3, labelled=1, size=48, vessel_share=1.0, head_share=0.0)
    images, labels = sampler.batch(16, np.random.default_rng(0))
    assert images.shape == (16, 3, 48, 48)
    assert labels.shape == (16, 1, 48, 48)
    assert ((labels == 1).sum(axis=(1, 2, 3)) > 0).all()
    assert (labels == 255).any()
    vessel = labels[:, 0] == 1
    assert images[:, 1][vessel].mean() > 2 * images[:, 1][labels[:, 0] == 0].mean()


def test_patches_are_reproducible() -> None:
    scan = as_training_scan(*tube_scan(), MEDIAN)
    sampler = PatchSampler([scan], slices=1, labelled=1, size=24, vessel_share=0.3, head_share=0.3)
    one, two = (sampler.batch(5, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_cache_is_used_and_renewed(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    first = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    file = next((tmp_path / "cache").glob("*_scan.npy"))
    made = file.stat().st_mtime_ns
    load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    assert file.stat().st_mtime_ns == made
    assert first[0].scan.shape == GRID.shape
    assert len(first[0].vessel) == tube_scan()[1].array.sum()


def test_shape_augmentation_keeps_image_and_label_together() -> None:
    from vesselseg.training.augmentation import augment_shape

    labels = torch.zeros(6, 1, 48, 48)
    labels[:, :, 20:28, 20:28] = 1
    images = labels.repeat(1, 3, 1, 1)
    patches, targets = augment_shape(images, labels, 32, torch.Generator().manual_seed(0))
    assert patches.shape == (6, 3, 32, 32)
    assert set(torch.unique(targets).tolist()) <= {0.0, 1.0}
    assert ((patches[:, :1] > 0.5) == (targets == 1)).float().mean() > 0.97


def test_signal_augmentation_stays_in_range() -> None:
    from vesselseg.training.augmentation import augment_signal

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 5, 16, 16, generator=generator) * 4
    changed = augment_signal(images, generator)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 4
    assert not torch.equal(changed, images)


def test_loss_ignores_unsure_voxels_and_rewards_the_truth() -> None:
    from vesselseg.training.losses import dice_cross_entropy

    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:5, 2:5] = 1
    valid = torch.ones_like(target)
    valid[..., 7] = 0
    good = (target * 2 - 1) * 10
    spoiled = good.clone()
    spoiled[..., 7] = 10  # wrong, but does not count
    assert dice_cross_entropy(good, target, valid) < 0.01
    assert dice_cross_entropy(spoiled, target, valid) == pytest.approx(float(dice_cross_entropy(good, target, valid)))
    assert dice_cross_entropy(-good, target, valid) > 1


def test_dice_loss_agrees_with_monai() -> None:
    monai = pytest.importorskip("monai.losses")
    from vesselseg.training.losses import dice_loss

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    target = (torch.rand(3, 1, 8, 8, generator=generator) > 0.7).float()
    theirs = monai.DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target)
    assert float(dice_loss(logits, target, torch.ones_like(target))) == pytest.approx(float(theirs), abs=1e-6)


def test_a_short_run_learns_a_tube_and_writes_a_model(tmp_path: Path) -> None:
    from vesselseg.models.manifest import Manifest
    from vesselseg.models.weights import load_network
    from vesselseg.training.trainer import train

    write_scans(tmp_path / "train", 2)
    write_scans(tmp_path / "held_out", 1)
    config = TrainingConfig.read(write_config(tmp_path / "c.json", validation_scans=["held_out"]))
    fractions: list[float] = []
    manifest = train(config, tmp_path / "out", progress=lambda fraction, message: fractions.append(fraction))
    with open(tmp_path / "out" / "metrics.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [20, 40]
    assert float(rows[-1]["dice"]) > 0.8
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)
    assert manifest.path is not None
    network = load_network(Manifest.read(manifest.path))
    assert network.in_slices == 3
    assert json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["steps"] == 40


def test_a_run_can_begin_with_the_weights_of_another(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    write_scans(tmp_path / "train", 1)
    first = train(TrainingConfig.read(write_config(tmp_path / "a.json", steps=2)), tmp_path / "one")
    entries = {"steps": 1, "learning_rate": 0.0, "initial_model": "one/tube.json"}
    second = train(TrainingConfig.read(write_config(tmp_path / "b.json", **entries)), tmp_path / "two")
    from vesselseg.models.weights import load_network

    one, two = load_network(first).state_dict(), load_network(second).state_dict()
    assert torch.equal(one["head.weight"], two["head.weight"])


def test_command_trains_and_does_not_replace_a_model(tmp_path: Path) -> None:
    from vesselseg.cli.main import main

    write_scans(tmp_path / "train", 1)
    config = write_config(tmp_path / "c.json", steps=1)
    arguments = ["train", str(config), "--output", str(tmp_path / "out"), "--progress", "none"]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "tube.safetensors").is_file()
    assert main(arguments) == 1


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="holds no scans"):
        load_scans([str(tmp_path)], tmp_path / "cache", MEDIAN)


def test_centreline_of_a_tube_is_a_line() -> None:
    _, label = tube_scan()
    assert 50 < centreline(label.array > 0).sum() < 75
    assert not centreline(np.zeros((4, 5, 6), bool)).any()


def test_judgement_of_a_real_scan() -> None:
    z, y, x = np.ogrid[:60, :90, :80]
    geometry = Geometry((80, 90, 60), (1.2, 1.2, 1.2))
    brain = ((x - 40) / 32) ** 2 + ((y - 45) / 38) ** 2 + ((z - 28) / 24) ** 2 < 1
    tube = (y - 45) ** 2 + (z - 20) ** 2 + 0 * x <= 3
    scan = Volume((100.0 * brain + 100 * tube).astype(np.float32), geometry)
    mask, reference = scan.with_array(brain.astype(np.uint8)), scan.with_array((tube & (x > 0)).astype(np.uint8))
    perfect = judge_on_real_scan(scan, reference, reference, mask)
    assert perfect["centreline_found"] == 1
    assert perfect["dice"] == 1
    assert perfect["pieces"] == 1
    assert perfect["stands_out"] > 0.95
    half = reference.with_array(reference.array * (x < 40).astype(np.uint8))
    assert judge_on_real_scan(scan, half, reference, mask)["centreline_found"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(VesselSegError):
        judge_on_real_scan(scan, tube_scan()[1], reference, mask)
