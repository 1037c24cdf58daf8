"""The configuration of a training run: what it takes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training_cases import write_config
from vesselseg.errors import VesselSegError
from vesselseg.training.config import TrainingConfig, shipped_configs

pytest.importorskip("torch")


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
        ({"loss": "hinge"}, "loss"),
        ({"optimiser": "adam", "weight_decay": 0.1}, "AdamW"),
        ({"patience": 3}, "validation scans"),
        ({"validation_scans": ["./train"]}, "named for training and for validation"),
        ({"synthesize": {"training": {"count": 1}, "validation": {"count": 2}}}, "both drawn with the seed 0"),
        ({"augmentation": {"rotation": 3}}, "rotation"),
        ({"augmentation": {"scale": [2, 1]}}, "scale"),
        ({"augmentation": {"flips": "up"}}, "flips"),
        ({"normalisation": {"method": "zscore"}}, "signal"),
        ({"synthesize": {"test": {"count": 1}}}, "test"),
        ({"synthesize": {"training": {"counts": 1}}}, "counts"),
        ({"name": "a/b"}, "name"),
        ({"workers": -1}, "workers"),
        ({"steps": "many"}, "wrong kind"),
        ({"augmentation": 3}, "augmentation"),
        ({"synthesize": []}, "synthesize"),
        ({"normalisation": "zscore"}, "normalisation"),
        ({"loss_options": {"smooth": "a"}}, "loss_options"),
        ({"steps": 100.5}, "steps cannot be 100.5"),
        ({"seed": 1.5}, "seed"),
        ({"workers": 1.5}, "workers"),
        ({"workers": True}, "workers cannot be true"),
        ({"workers": 100_000}, "workers is more than"),
        ({"threads": 100_000}, "threads is more than"),
        ({"choose_threshold": 1}, "choose_threshold"),
        ({"learning_rate": "0.1"}, "learning_rate"),
        ({"patch_size": 64.0}, "patch_size"),
        ({"options": []}, "options"),
        ({"spacing_mm": [1, 1]}, "spacing_mm"),
        ({"training_scans": "train"}, "training_scans"),
        ({"frozen": "encoder"}, "frozen"),
        ({"augmentation": {"flips": ["x"]}}, r"augmentation\.flips"),
        ({"synthesize": {"training": {"count": "6"}}}, r"synthesize\.training\.count"),
        ({"synthesize": {"training": {"count": 1, "size": [8, 8]}}}, r"synthesize\.training\.size"),
        ({"synthesize": {"training": {}}}, "count"),
        ({"normalisation": {"method": "foreground_median", "clip": "4"}}, "normalisation cannot be"),
        ({"normalisation": {"method": "foreground_median", "clip": None}}, "normalisation cannot be"),
        ({"normalisation": {"method": "foreground_median", "clip": 0}}, "normalisation cannot be"),
        ({"normalisation": {"method": "foreground_median", "clop": 4}}, "has no clop"),
        ({"normalisation": {"method": "zscore", "mean": "a", "std": 1}}, "normalisation cannot be"),
        ({"normalisation": {"method": "zscore", "mean": 1}}, "belong together"),
        ({"normalisation": {"method": ["zscore"]}}, "method of the normalisation"),
        ({"normalisation": {}}, "method of the normalisation"),
        ({"spacing_mm": [0, 1, 1]}, "spacing_mm cannot be"),
        ({"min_component_mm3": -5}, "min_component_mm3 cannot be"),
        ({"positive_weight": -1}, "positive_weight"),
        ({"learning_rate": float("nan")}, "learning_rate cannot be NaN"),
        ({"learning_rate": 10**400}, "learning_rate cannot be"),
        ({"augmentation": {"scale": [1, float("inf")]}}, r"augmentation\.scale"),
        ({"seed": 2**63}, "seed cannot be"),
        ({"name": ".."}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 300}, "name"),
        ({"name": "config"}, "another file"),
        ({"synthesize": {"training": {"count": 0}}}, "count"),
        ({"synthesize": {"training": {"count": 1, "seed": -1}}}, "seed"),
        ({"synthesize": {"training": {"count": 1, "size": [0, 64, 64]}}}, "no head fits"),
        ({"synthesize": {"training": {"count": 1, "size": [64, 64, 64], "spacing_mm": 0.1}}}, "no head fits"),
        ({"synthesize": {"training": {"count": 1, "size": [64, 64, 64], "data": "data"}}}, "real heads"),
        ({"synthesize": {"training": {"count": 1, "size": [64, 64, 64], "trees": ["BG001"]}}}, "real heads"),
        ({"synthesize": {"training": {"count": 1, "size": [64, 64, 64], "simulated_share": 0.5}}}, "real heads"),
        ({"synthesize": {"training": {"count": 1, "spacing_mm": 0.6}}}, "small grid"),
        ({"synthesize": {"training": {"count": 1, "data": "data"}}}, "data .* are not used"),
    ],
)
def test_wrong_configuration_is_named(tmp_path: Path, entries: dict, message: str) -> None:
    with pytest.raises(VesselSegError, match=message):
        TrainingConfig.read(write_config(tmp_path / "c.json", **entries))


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configurations_are_whole_and_fit_their_networks(name: str) -> None:
    from vesselseg.networks import build_network
    from vesselseg.training.losses import build_loss

    config = TrainingConfig.read(name)
    network = build_network(config.architecture, **config.options)
    assert config.patch_size % network.traits.divisor == 0
    assert network.traits.dimensions == 2 or config.depth % network.traits.divisor == 0
    build_loss(config)


def test_shipped_configurations_take_scans_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert TrainingConfig.read("default").training_scans == [str(tmp_path / "train")]


def test_configuration_of_the_paper() -> None:
    from vesselseg.networks import build_network

    config = TrainingConfig.read("paper-half-unet")
    network = build_network(config.architecture, **config.options)
    assert sum(p.numel() for p in network.parameters()) == 7_846_081
    assert (config.loss, config.optimiser, config.schedule, config.learning_rate) == ("dice", "adam", "constant", 1e-4)
    assert (config.augmentation.rotation_deg, config.augmentation.shear_deg) == (30, 20)
    # 41 patients, 1000 patches each, 10 epochs
    assert config.steps * config.batch_size == 41 * 1000 * 10


def test_a_configuration_survives_its_own_file(tmp_path: Path) -> None:
    entries = {"augmentation": {"scale": [0.9, 1.1]}, "synthesize": {"training": {"count": 2, "size": [32, 32, 32]}}}
    config = TrainingConfig.read(write_config(tmp_path / "c.json", **entries))
    (tmp_path / "again.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")
    assert TrainingConfig.read(tmp_path / "again.json") == config


def test_configuration_without_name_or_not_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    (tmp_path / "b.json").write_text("[", encoding="utf-8")
    for name in ("a.json", "b.json", "missing.json"):
        with pytest.raises(VesselSegError):
            TrainingConfig.read(tmp_path / name)
