"""Training: patches, augmentation, scans, and a run of a few steps."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from training_cases import GRID, MEDIAN, curve, make_config, tube_scan, write_config, write_scans
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, write_volume
from vesselseg.synthesis.dataset import DRAWN_FILES
from vesselseg.training.config import Augmentation, DrawnFolder, TrainingConfig
from vesselseg.training.data import PatchSampler, as_training_scan, load_scans, patch_statistics
from vesselseg.training.drawing import draw_folder
from vesselseg.training.evaluation import judge_on_real_scan
from vesselseg.volume import Volume

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    "entries",
    [
        {"options": {"channels": ["4", "8"]}},
        {"loss_options": {"smooth": -1}},
        {"loss_options": {"smooth": 0}},
        {"patch_size": 2, "batch_size": 1},
        {"loss": "soft_cldice", "loss_options": {"iterations": 2.5}},
        {"patch_size": 31},
    ],
)
def test_of_what_cannot_be_trained_nothing_is_left(tmp_path: Path, entries: dict) -> None:
    from vesselseg.training.trainer import train

    with pytest.raises(VesselSegError):
        train(make_config(tmp_path, **entries), tmp_path / "out")
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("name", ["tof", "label"])
def test_a_file_that_was_replaced_by_an_older_one_is_prepared_anew(tmp_path: Path, name: str) -> None:
    write_scans(tmp_path / "train", 1)
    write_scans(tmp_path / "corrected", 1, first_seed=5)
    corrected = tmp_path / "corrected" / "scan0"
    label = read_label(corrected / "label.nii.gz")
    label.array[5:15] = 1
    write_volume(label, corrected / "label.nii.gz", overwrite=True)
    os.utime(corrected / f"{name}.nii.gz", (1e9, 1e9))
    (before,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    values = [before.scan.copy(), before.label.copy()]
    del before
    os.replace(corrected / f"{name}.nii.gz", tmp_path / "train" / "scan0" / f"{name}.nii.gz")
    (after,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    changed = [not np.array_equal(*pair) for pair in zip(values, (after.scan, after.label))]
    assert changed == [name == "tof", name == "label"]
    assert len(list((tmp_path / "cache").iterdir())) == 4  # nothing is left of the former one


def test_scans_for_training_and_for_validation_are_open_together(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    scan, label = tube_scan()
    small = Geometry((8, 8, 8), (0.6, 0.6, 0.6))
    for folder in ("train", "held_out"):
        for k in range(70):
            (tmp_path / folder / f"{k}").mkdir(parents=True)
            for volume, name in ((scan, "tof"), (label, "label")):
                part = np.ascontiguousarray(volume.array[6:14, 26:34, :8])
                write_volume(Volume(part, small), tmp_path / folder / f"{k}" / f"{name}.nii.gz")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 1024:
        pytest.skip("this system does not allow as many open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        training = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
        validation = load_scans([str(tmp_path / "held_out")], tmp_path / "cache", MEDIAN)
        assert (len(training), len(validation)) == (70, 70)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
@pytest.mark.parametrize("workers", [0, 1])
def test_prepared_scans_are_closed_before_they_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Windows would keep them, for ever."""
    from vesselseg.training.trainer import train

    mapped = []
    remove = shutil.rmtree

    def look(path, **options):
        mapped.extend(line for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line)
        remove(path, **options)

    monkeypatch.setattr("vesselseg.training.trainer.shutil.rmtree", look)
    train(make_config(tmp_path, steps=2, validate_every=2, workers=workers), tmp_path / "out")
    assert not (tmp_path / "out" / "cache").exists()
    assert mapped == []


def test_shape_augmentation_keeps_image_and_label_together() -> None:
    from vesselseg.training.augmentation import augment_shape

    labels = torch.zeros(6, 1, 48, 48)
    labels[:, :, 20:28, 20:28] = 1
    images = labels.repeat(1, 3, 1, 1)
    patches, targets = augment_shape(images, labels, 32, torch.Generator().manual_seed(0))
    assert patches.shape == (6, 3, 32, 32)
    assert set(torch.unique(targets).tolist()) <= {0.0, 1.0}
    assert ((patches[:, :1] > 0.5) == (targets == 1)).float().mean() > 0.97


def test_patches_beyond_their_crop_do_not_count() -> None:
    from vesselseg.training.augmentation import augment_shape

    images, labels = torch.ones(8, 1, 24, 24), torch.ones(8, 1, 24, 24)
    far = Augmentation(rotation_deg=0, shear_deg=0, scale=(3.0, 3.0), stretch=0)
    patches, targets = augment_shape(images, labels, 16, torch.Generator().manual_seed(0), far)
    assert (targets == 255).any()
    assert (targets[patches > 0.99] == 1).all()
    assert (targets[patches == 0] == 255).all()


@pytest.mark.parametrize("axes", ["x", "y", "xy", ""])
def test_only_the_named_axes_are_mirrored(axes: str) -> None:
    from vesselseg.training.augmentation import augment_shape

    labels = torch.zeros(64, 1, 16, 16)
    labels[..., 3, 5] = 1
    still = Augmentation(rotation_deg=0, shear_deg=0, scale=(1.0, 1.0), stretch=0, flips=axes)
    _, targets = augment_shape(labels, labels, 16, torch.Generator().manual_seed(0), still)
    places = {tuple(int(v) for v in place[2:]) for place in torch.nonzero(targets == 1)}
    assert {y for y, _ in places} == ({3, 12} if "y" in axes else {3})
    assert {x for _, x in places} == ({5, 10} if "x" in axes else {5})


def test_statistics_are_those_of_the_patches(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 2)
    options = {"slices": 1, "labelled": 1, "size": 24, "vessel_share": 0.0, "head_share": 0.0}
    found = patch_statistics([str(tmp_path / "train")], options, seed=0)
    everything = np.stack([tube_scan(k)[0].array for k in range(2)])
    assert found["mean"] == pytest.approx(everything.mean(), rel=0.1)
    assert found["std"] == pytest.approx(everything.std(), rel=0.25)


def test_prepared_scans_of_another_normalisation_or_folder_are_others(tmp_path: Path) -> None:
    for folder in ("a/x/train", "b/x/train"):
        write_scans(tmp_path / folder, 1)
    folders = [str(tmp_path / "a/x/train"), str(tmp_path / "b/x/train")]
    load_scans(folders, tmp_path / "cache", MEDIAN)
    load_scans(folders, tmp_path / "cache", {"method": "zscore", "mean": 100, "std": 10})
    assert len(list((tmp_path / "cache").glob("*_scan.npy"))) == 4


def test_signal_augmentation_stays_in_range() -> None:
    from vesselseg.training.augmentation import augment_signal

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 5, 16, 16, generator=generator) * 4
    changed = augment_signal(images, generator)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 4
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("clip", [2.5, 8.0])
def test_changed_patches_reach_as_high_as_the_scans_do(clip: float) -> None:
    from vesselseg.networks import build_network
    from vesselseg.training.patches import PatchStream

    values = {"name": "tube", "training_scans": ["train"], "batch_size": 32, "patch_size": 32}
    options = {"channels": [4, 8], "in_slices": 3, "norm": "batch"}
    normalisation = {"method": "foreground_median", "clip": clip}
    config = TrainingConfig(**values, options=options, normalisation=normalisation)
    scan, label = tube_scan()
    array = scan.array.copy()
    array[8:13, 28:33, 28:38] = 2500  # little enough that the rest is the head still
    bright = scan.with_array(array)
    network = build_network(config.architecture, **config.options)
    images, _ = PatchStream(config, [as_training_scan(bright, label, normalisation)], network)[1]
    assert images.max() == clip


def test_a_short_run_learns_a_tube_and_writes_a_model(tmp_path: Path) -> None:
    from vesselseg.models.manifest import Manifest
    from vesselseg.models.weights import load_network
    from vesselseg.training.trainer import train

    write_scans(tmp_path / "train", 2)
    write_scans(tmp_path / "held_out", 1, first_seed=9)
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
    # Copies of the scans, and what a stopped run goes on from, are needed no more.
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["config.json", "curves.png", "metrics.csv", "run.json", "tube.json", "tube.safetensors"]


def test_a_run_can_begin_with_the_weights_of_another(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    write_scans(tmp_path / "train", 1)
    first = train(TrainingConfig.read(write_config(tmp_path / "a.json", steps=2)), tmp_path / "one")
    entries = {"steps": 1, "learning_rate": 0.0, "initial_model": "one/tube.json"}
    second = train(TrainingConfig.read(write_config(tmp_path / "b.json", **entries)), tmp_path / "two")
    from vesselseg.models.weights import load_network

    one, two = load_network(first).state_dict(), load_network(second).state_dict()
    assert torch.equal(one["head.weight"], two["head.weight"])


def test_the_best_weights_become_the_model_and_training_stops(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    # From step 6 on the rate is so high that nothing gets better any more.
    entries = {"steps": 40, "validate_every": 2, "patience": 3, "schedule": "constant", "learning_rate": 0.5}
    manifest = train(make_config(tmp_path, **entries), tmp_path / "out")
    rows = curve(tmp_path / "out")
    losses = [float(row["validation_loss"]) for row in rows]
    best = losses.index(min(losses))
    assert len(rows) == best + 4 < 20
    assert manifest.training["last_validation"]["step"] == int(rows[best]["step"])
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["model_from_step"] == int(rows[best]["step"])
    assert record["finished"]


@pytest.mark.parametrize(("threshold", "warned"), [(1.0, True), (0.01, False)])
def test_a_network_that_finds_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, threshold: float, warned: bool
) -> None:
    from vesselseg.training.trainer import train

    train(make_config(tmp_path, steps=2, validate_every=2, threshold=threshold), tmp_path / "out")
    assert ("after 2 steps the network finds no vessel" in caplog.text) is warned


def test_a_run_leaves_what_it_was_made_with(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    manifest = train(make_config(tmp_path, steps=4, validate_every=2, choose_threshold=True), tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["versions"]["torch"] == torch.__version__
    assert record["seed"] == 0
    assert not (out / "checkpoint.safetensors").exists()
    threshold = manifest.training["threshold"]
    assert threshold["dice"] >= threshold["dice_at_configured"] - 0.01
    assert str(tmp_path) not in manifest.to_json()


@pytest.mark.parametrize("loss", ["dice", "soft_cldice"])
def test_blocks_are_trained_with_every_loss(tmp_path: Path, loss: str) -> None:
    from vesselseg.training.trainer import train

    entries = {"architecture": "unet3d", "options": {"channels": [4, 8]}, "depth": 8, "loss": loss, "steps": 30}
    entries |= {"optimiser": "adamw", "weight_decay": 1e-4, "precision": "bfloat16", "learning_rate": 0.02}
    manifest = train(make_config(tmp_path, **entries), tmp_path / "out")
    assert manifest.training["precision"] == "bfloat16"
    assert manifest.training["last_validation"]["dice"] > 0.5


def test_mean_and_deviation_over_the_patches_stand_in_the_manifest(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    entries = {"normalisation": {"method": "zscore"}, "augmentation": {"signal": False}, "steps": 1}
    normalisation = train(make_config(tmp_path, **entries), tmp_path / "out").normalisation
    assert normalisation["mean"] == pytest.approx(90, abs=30)
    assert normalisation["std"] > 20


def test_other_weights_than_those_of_the_sum_are_not_begun_with(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    first = train(make_config(tmp_path, steps=1), tmp_path / "one")
    entries = {"steps": 1, "initial_model": "one/tube.json"}
    train(make_config(tmp_path, **entries, initial_model_sha256=first.sha256), tmp_path / "two")
    with pytest.raises(VesselSegError, match="initial_model_sha256"):
        train(make_config(tmp_path, **entries, initial_model_sha256="0" * 64), tmp_path / "three")


def test_frozen_parts_keep_their_weights(tmp_path: Path) -> None:
    from vesselseg.models.weights import load_network
    from vesselseg.training.trainer import train

    first = load_network(train(make_config(tmp_path, steps=2), tmp_path / "one")).state_dict()
    entries = {"steps": 3, "initial_model": "one/tube.json", "frozen": ["encoder"]}
    second = load_network(train(make_config(tmp_path, **entries), tmp_path / "two")).state_dict()
    for name, value in first.items():
        if name.startswith("encoder"):
            assert torch.equal(value, second[name]), name
    assert not torch.equal(first["head.weight"], second["head.weight"])
    with pytest.raises(VesselSegError, match="tail"):
        train(make_config(tmp_path, frozen=["tail"]), tmp_path / "three")


def test_patches_that_the_network_cannot_pool_are_refused(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    with pytest.raises(VesselSegError, match="multiple of 2"):
        train(make_config(tmp_path, patch_size=31), tmp_path / "out")


def test_command_trains_and_does_not_replace_a_model(tmp_path: Path) -> None:
    from vesselseg.cli.main import main

    write_scans(tmp_path / "train", 1)
    config = write_config(tmp_path / "c.json", steps=1)
    arguments = ["train", str(config), "--output", str(tmp_path / "out"), "--progress", "none"]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "tube.safetensors").is_file()
    assert main(arguments) == 1
    assert main([*arguments, "--overwrite"]) == 0
    assert main(["train", "no-such", "--output", str(tmp_path / "out"), "--progress", "none"]) == 1


@pytest.mark.parametrize("options", [["--steps", "300"], ["--name", "mine"], ["--cases", "a"]])
def test_options_of_fine_tuning_are_refused_without_it(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from vesselseg.cli.main import main

    assert main(["train", "small", "--output", str(tmp_path / "out"), "--progress", "none", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "are for --finetune" in line
    assert not (tmp_path / "out").exists()


def test_every_value_but_0_and_unsure_is_vessel(tmp_path: Path) -> None:
    scan, label = tube_scan()
    (tmp_path / "train" / "scan").mkdir(parents=True)
    values = np.where(label.array == 1, 2, 0).astype(np.uint16)
    values[0], values[1, 0, 0] = 255, 300
    write_volume(scan, tmp_path / "train" / "scan" / "tof.nii.gz")
    write_volume(label.with_array(values), tmp_path / "train" / "scan" / "label.nii.gz")
    (read,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    np.testing.assert_array_equal(read.label, np.select([values == 255, values > 0], [255, 1], 0))


@pytest.mark.parametrize("value", [0.9, -1])
def test_what_is_no_label_is_named(tmp_path: Path, value: float) -> None:
    scan, label = tube_scan()
    (tmp_path / "train" / "scan").mkdir(parents=True)
    write_volume(scan, tmp_path / "train" / "scan" / "tof.nii.gz")
    values = np.where(label.array == 1, np.float32(value), np.float32(0))
    write_volume(label.with_array(values), tmp_path / "train" / "scan" / "label.nii.gz")
    with pytest.raises(VesselSegError, match=r"label\.nii\.gz is no label"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)


def test_a_label_that_is_unsure_alone_is_no_label(tmp_path: Path) -> None:
    """Many programs write 255 for what is meant."""
    write_scans(tmp_path / "train", 1)
    path = tmp_path / "train" / "scan0" / "label.nii.gz"
    label = read_label(path)
    write_volume(label.with_array(label.array * np.uint8(255)), path, overwrite=True)
    with pytest.raises(VesselSegError, match="255 means unsure"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    write_volume(label.with_array(np.zeros_like(label.array)), path, overwrite=True)
    with pytest.raises(VesselSegError, match="has a vessel"):
        load_scans([str(tmp_path / "train")], tmp_path / "other", MEDIAN)


def test_scans_are_trained_as_the_network_is_given_them(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    (expected,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    for name in ("tof", "label"):
        path = tmp_path / "train" / "scan0" / f"{name}.nii.gz"
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(sitk.DICOMOrient(image, "PIR"), str(path))
    (turned,) = load_scans([str(tmp_path / "train")], tmp_path / "other", MEDIAN)
    np.testing.assert_array_equal(turned.label, expected.label)
    np.testing.assert_allclose(turned.scan, expected.scan, rtol=2e-3)


def test_validation_on_a_scan_that_is_trained_on_is_refused(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    config = make_config(tmp_path)
    shutil.copytree(tmp_path / "train" / "scan1", tmp_path / "held_out" / "another")
    with pytest.raises(VesselSegError, match=r"scan1 and .*another are the same"):
        train(config, tmp_path / "out")


def test_values_beyond_half_precision_are_told(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    with pytest.raises(VesselSegError, match="half precision"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", {"method": "zscore", "mean": 0, "std": 1e-20})


def test_a_grid_too_small_for_an_artery_is_told(tmp_path: Path) -> None:
    wanted = DrawnFolder(count=1, size=(48, 48, 32), spacing_mm=0.8)
    with pytest.raises(VesselSegError, match="no artery fits"):
        draw_folder(wanted, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_scan_that_a_kill_stopped_on_its_way_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = DrawnFolder(count=2, seed=1, size=(72, 80, 56))
    order: list[str] = []
    replaced = os.replace

    def noted(source: Path, target: Path) -> None:
        order.append(target.name)
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", noted)
        draw_folder(wanted, tmp_path)
    assert order[-2:] == ["tof.nii.gz", "description.json"]
    other, case = tmp_path / "001_0000", tmp_path / "001_0001"
    made, scan = (other / "tof.nii.gz").stat().st_mtime_ns, (case / "tof.nii.gz").read_bytes()
    for placed in range(1, 5):
        # As a process leaves them that is killed when so many files have taken their places.
        for name in order[5 + placed :]:
            (case / f".vesselseg-{name}").mkdir()
            (case / name).rename(case / f".vesselseg-{name}" / "output")
        draw_folder(wanted, tmp_path)
        assert {path.name for path in case.iterdir()} == set(DRAWN_FILES)
        assert (case / "tof.nii.gz").read_bytes() == scan
    assert (other / "tof.nii.gz").stat().st_mtime_ns == made


def test_a_scan_of_a_former_version_that_has_its_description_alone_is_drawn_again(tmp_path: Path) -> None:
    wanted = DrawnFolder(count=1, seed=1, size=(72, 80, 56))
    (tmp_path / "001_0000").mkdir()
    (tmp_path / "001_0000" / "description.json").write_text("{}", encoding="utf-8")
    draw_folder(wanted, tmp_path)
    assert {path.name for path in (tmp_path / "001_0000").iterdir()} == set(DRAWN_FILES)


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="holds no scans"):
        load_scans([str(tmp_path)], tmp_path / "cache", MEDIAN)


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
    in_other_units = scan.with_array(scan.array / 10_000)
    assert judge_on_real_scan(in_other_units, reference, reference, mask) == pytest.approx(perfect, nan_ok=True)
    half = reference.with_array(reference.array * (x < 40).astype(np.uint8))
    assert judge_on_real_scan(scan, half, reference, mask)["centreline_found"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(VesselSegError):
        judge_on_real_scan(scan, tube_scan()[1], reference, mask)
