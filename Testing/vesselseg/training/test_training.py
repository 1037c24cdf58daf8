"""Training: runs of a few steps, what they leave, and what is refused."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import sys
from pathlib import Path

import pytest

from training_cases import curve, make_config, write_config, write_scans
from vesselseg.errors import VesselSegError
from vesselseg.training.config import TrainingConfig

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
        train(make_config(tmp_path, **entries), tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_a_second_training_in_one_folder_is_refused(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    config, out = make_config(tmp_path, steps=4, validate_every=2), tmp_path / "out"
    said = []

    def begin_another(fraction: float, message: str) -> None:
        for overwrite in (False, True):
            with pytest.raises(VesselSegError, match="another training runs in") as refused:
                train(config, out, overwrite=overwrite)
            said.append(refused.value)

    train(config, out, progress=begin_another)
    assert said
    assert [row["step"] for row in curve(out)] == ["2", "4"]
    assert not list(out.glob("*.lock"))


def test_a_folder_of_a_killed_training_is_not_locked_and_loses_what_it_left_half_written(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    out = tmp_path / "out"
    (out / ".vesselseg-00ff").mkdir(parents=True)
    (out / ".vesselseg-00ff" / "output.safetensors").touch()
    (out / "training.lock").touch()
    train(make_config(tmp_path, steps=2, validate_every=2), out)
    left = sorted(path.name for path in out.iterdir())
    assert left == ["config.json", "curves.png", "metrics.csv", "run.json", "tube.json", "tube.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks by other means")
def test_a_folder_where_nothing_can_be_locked_can_be_trained_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    from vesselseg.training.trainer import train

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    train(make_config(tmp_path, steps=2, validate_every=2), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.lock"))


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
    assert network.traits.in_slices == 3
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


def test_validation_on_a_scan_that_is_trained_on_is_refused(tmp_path: Path) -> None:
    from vesselseg.training.trainer import train

    config = make_config(tmp_path)
    shutil.copytree(tmp_path / "train" / "scan1", tmp_path / "held_out" / "another")
    with pytest.raises(VesselSegError, match=r"scan1 and .*another are the same"):
        train(config, tmp_path / "out")
