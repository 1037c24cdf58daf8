"""Learning from corrections: measured on what was held out, registered only when better."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from training_cases import make_config
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume, write_volume
from vesselseg.models import Manifest, list_models
from vesselseg.volume import Volume

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")

SHAPE = (44, 48, 48)
#: Coronal slices, as a reader may have turned them: x, then z, then y.
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


def write_case(folder: Path, *, radius: float, seed: int = 0, label: str = "tube", coronal: bool = False) -> Path:
    """Write a noisy block with a bright tube along z of radius 3; its label may be thinner, or something else."""
    folder.mkdir(parents=True)
    _, y, x = np.ogrid[:44, :48, :48]
    distance = np.broadcast_to((y - 24) ** 2 + (x - 24) ** 2, SHAPE)
    array = np.random.default_rng(seed).normal(100, 8, SHAPE) + 150 * (distance <= 9)
    array[:, :6] = 2
    target = (distance <= radius**2).astype(np.uint8)
    if label == "block":
        target[:] = 0
        target[:, 30:, 30:] = 1
    geometry = Geometry((48, 48, 44), (0.6, 0.6, 0.6))
    if coronal:
        array, target = array.transpose(1, 0, 2), target.transpose(1, 0, 2)
        geometry = Geometry((48, 44, 48), (0.6, 0.6, 0.6), direction=CORONAL)
    write_volume(Volume(np.ascontiguousarray(array, np.float32), geometry), folder / "tof.nii.gz")
    write_volume(Volume(np.ascontiguousarray(target), geometry), folder / "label.nii.gz")
    return folder


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A model that finds bright tubes, as wide as they are."""
    from vesselseg.training.trainer import train

    return train(make_config(tmp_path_factory.mktemp("parent"), steps=60), tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("VESSELSEG_MODELS", raising=False)


def test_a_better_model_is_registered_and_names_its_parent(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.models.weights import load_network
    from vesselseg.training.finetuning import finetune

    cases = [write_case(tmp_path / f"case{k}", radius=1.5, seed=k, coronal=k == 1) for k in range(2)]
    model = finetune(parent, cases, tmp_path / "out", steps=240, device="cpu")
    found = model.evaluation["finetuning"]
    assert found["improved"], found
    assert found["after"]["dice"] > found["before"]["dice"] + 0.1
    assert [row["case"] for row in found["by_case"]] == ["case0", "case1"]
    assert model.training["parent"] == {"name": "tube", "sha256": parent.sha256}
    assert "tube-finetuned" in [manifest.name for manifest in list_models()]
    before, after = load_network(parent).state_dict(), load_network(model).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name.startswith("encoder"))
    assert str(tmp_path) not in model.to_json()
    with pytest.raises(VesselSegError, match="already"):
        finetune(parent, cases, tmp_path / "other", steps=40, device="cpu")


def test_no_improvement_is_claimed_that_was_not_measured(
    tmp_path: Path, parent: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    from vesselseg.cli.main import main

    # What is learnt from each contradicts the other.
    cases = [write_case(tmp_path / "one", radius=3), write_case(tmp_path / "two", radius=3, seed=1, label="block")]
    arguments = ["train", "--finetune", str(parent.path), "--cases", *map(str, cases), "--steps", "20"]
    arguments += ["--output", str(tmp_path / "out"), "--device", "cpu", "--progress", "json"]
    assert main(arguments) == 0
    model = Manifest.read(tmp_path / "out" / "tube-finetuned.json")
    assert not model.evaluation["finetuning"]["improved"]
    assert "NO improvement" in model.title
    assert "tube-finetuned" not in [manifest.name for manifest in list_models()]


def test_arteries_thinner_than_the_networks_voxels_are_not_taught_as_background(
    tmp_path: Path, parent: Manifest
) -> None:
    from vesselseg.training.finetuning import finetune

    folder = write_case(tmp_path / "case", radius=3)
    geometry = Geometry((96, 96, 44), (0.3, 0.3, 0.6))
    _, y, x = np.ogrid[:44, :96, :96]
    tubes = [
        np.broadcast_to((y - 48) ** 2 + (x - place) ** 2 <= radius**2, (44, 96, 96))
        for place, radius in ((30, 8), (70, 1))
    ]
    scan = np.random.default_rng(0).normal(100, 8, (44, 96, 96)) + 150 * (tubes[0] | tubes[1])
    write_volume(Volume(scan.astype(np.float32), geometry), folder / "tof.nii.gz", overwrite=True)
    write_volume(Volume((tubes[0] | tubes[1]).astype(np.uint8), geometry), folder / "label.nii.gz", overwrite=True)
    finetune(parent, [folder], tmp_path / "out", steps=1, device="cpu")
    taught = read_volume(tmp_path / "out" / "cases" / "case" / "case" / "label.nii.gz")
    assert taught.geometry.spacing == pytest.approx((0.6, 0.6, 0.6), rel=0.1)
    column = taught.array[:, 24, 35]  # along the thin one
    assert (column != 0).all()
    assert (taught.array[:, 24, 15] == 1).all()
    assert (taught.array[:, 24, 22] == 0).all()  # beside the thick one nothing is unsure


@pytest.mark.parametrize("name", ["tube"])
def test_a_child_does_not_take_the_place_of_its_parent(tmp_path: Path, parent: Manifest, name: str) -> None:
    from vesselseg.training.finetuning import finetune

    case = write_case(tmp_path / "case", radius=3)
    with pytest.raises(VesselSegError, match="as its parent is"):
        finetune(parent, [case], tmp_path / "out", name=name, steps=1, device="cpu", overwrite=True)


def test_a_model_for_standardised_scans_can_learn_on(tmp_path: Path) -> None:
    from vesselseg.training.finetuning import finetune
    from vesselseg.training.trainer import train

    entries = {"normalisation": {"method": "zscore"}, "augmentation": {"signal": False}, "steps": 2}
    standardised = train(make_config(tmp_path, **entries), tmp_path / "parent")
    case = write_case(tmp_path / "case", radius=3)
    model = finetune(standardised, [case], tmp_path / "out", steps=2, device="cpu")
    assert model.normalisation == standardised.normalisation


def test_parent_and_child_are_measured_in_one_precision(
    tmp_path: Path, parent: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vesselseg.training import finetuning

    ran: list[str] = []
    segment = finetuning.segment

    def noted(*arguments: Any, **options: Any) -> Any:
        done = segment(*arguments, **options)
        ran.append(done.run.precision)
        return done

    monkeypatch.setattr(finetuning, "segment", noted)
    # A machine that would take bfloat16 for the one that was checked for it.
    monkeypatch.setattr("vesselseg.engines.choice._best_precision", lambda *_: "bf16")
    case = write_case(tmp_path / "case", radius=3)
    finetuning.finetune(parent, [case], tmp_path / "out", steps=1, device="cpu")
    assert ran == ["f32", "f32"]


def test_a_part_of_a_single_case_is_kept_back(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.image_io import read_volume
    from vesselseg.training.finetuning import finetune

    case = write_case(tmp_path / "case", radius=1.5)
    model = finetune(parent, [case], tmp_path / "out", steps=10, device="cpu")
    found = model.evaluation["finetuning"]
    assert "kept back" in found["what"]
    assert found["by_case"][0]["case"] == "case, slices 30 and above"
    trained = read_volume(next((tmp_path / "out" / "cases" / "case-below").glob("*/label.nii.gz"))).array
    assert (trained[24:] == 255).all()
    assert (trained[:24] == 1).any()


def test_a_stopped_fine_tuning_goes_on_and_notices_new_labels(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.errors import Cancelled
    from vesselseg.training.finetuning import finetune

    def stop(fraction: float, message: str) -> None:
        if fraction > 0.7:
            raise Cancelled

    cases = [write_case(tmp_path / f"case{k}", radius=2, seed=k) for k in range(2)]
    out = tmp_path / "out"

    def tuned(folder: Path, **options: Any) -> Manifest:
        shutil.rmtree(tmp_path / "home", ignore_errors=True)  # a better model was registered there
        return finetune(parent, cases, folder, steps=4, device="cpu", **options)

    with pytest.raises(Cancelled):
        tuned(out, progress=stop)
    trained = [(out / "folds" / str(k) / f"tube-finetuned-fold{k}.json").stat().st_mtime_ns for k in range(2)]
    model = tuned(out)
    again = [(out / "folds" / str(k) / f"tube-finetuned-fold{k}.json").stat().st_mtime_ns for k in range(2)]
    assert trained == again
    whole = tuned(tmp_path / "whole")
    assert model.sha256 == whole.sha256
    (tmp_path / "case1" / "label.nii.gz").unlink()
    (tmp_path / "case1" / "tof.nii.gz").unlink()
    (tmp_path / "case1").rmdir()
    write_case(tmp_path / "case1", radius=1, seed=1)
    with pytest.raises(VesselSegError, match="exists already"):
        tuned(out)
    assert tuned(out, overwrite=True).sha256 != whole.sha256


def test_what_the_parent_has_learnt_from_is_not_held_out(
    tmp_path: Path, parent: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    from vesselseg.training.finetuning import finetune

    def tuned(parent: Manifest, cases: list[Path], name: str) -> Manifest:
        return finetune(parent, cases, tmp_path / name, name=name, steps=2, device="cpu")

    cases = [write_case(tmp_path / f"case{k}", radius=1.5, seed=k) for k in range(2)]
    first = tuned(parent, cases, "first")
    # Corrected once more, which makes no new scan of it.
    shutil.rmtree(tmp_path / "case1")
    write_case(tmp_path / "case1", radius=2, seed=1)
    cases.append(write_case(tmp_path / "case2", radius=1.5, seed=2, coronal=True))
    found = tuned(first, cases, "second").evaluation["finetuning"]
    assert [row["case"] for row in found["by_case"]] == ["case2"]
    assert found["cases"] == 3
    assert "2 from which the parent had learnt before were not held out" in found["what"]
    # Models of former versions hold a sum of scan and label together, and no other.
    old = [{key: value for key, value in each.items() if key != "scan_sha256"} for each in first.training_data]
    (row,) = tuned(replace(first, training_data=old), cases[:2], "third").evaluation["finetuning"]["by_case"]
    assert row["case"] == "case1"
    caplog.clear()
    last = tuned(first, cases[:2], "fourth")
    assert last.evaluation["finetuning"] == {
        "what": "nothing was measured, as the parent has learnt from every case before",
        "cases": 2, "before": {}, "after": {}, "improved": False, "by_case": [],
    }  # fmt: skip
    assert last.title.endswith("NO improvement measured")
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert line.startswith("nothing was measured, as the parent has learnt from every case before: the model stays in")
    assert "fourth" not in [manifest.name for manifest in list_models()]


def test_of_a_single_case_that_the_parent_knows_no_part_is_kept_back(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.cli.main import main
    from vesselseg.training.finetuning import finetune

    case = write_case(tmp_path / "case", radius=1.5)
    first = finetune(parent, [case], tmp_path / "first", name="first", steps=1, device="cpu")
    arguments = ["train", "--finetune", str(first.path), "--cases", str(case), "--steps", "1", "--name", "second"]
    assert main([*arguments, "--output", str(tmp_path / "second"), "--device", "cpu", "--progress", "json"]) == 0
    found = Manifest.read(tmp_path / "second" / "second.json").evaluation["finetuning"]
    assert not found["by_case"]
    assert not found["improved"]


@pytest.mark.parametrize(("label", "turned"), [("tube", False), ("block", False), ("tube", True)])
def test_one_scan_in_two_folders_is_refused(tmp_path: Path, parent: Manifest, label: str, turned: bool) -> None:
    from vesselseg.training.finetuning import finetune

    cases = [write_case(tmp_path / "one", radius=3), write_case(tmp_path / "two", radius=3, label=label)]
    for path in (tmp_path / "two").iterdir() if turned else ():
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "PIR"), str(path))
    with pytest.raises(VesselSegError, match="one and two are the same scan"):
        finetune(parent, cases, tmp_path / "out", steps=1, device="cpu")


def test_a_stopped_fine_tuning_does_not_go_on_from_another_parent(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.errors import Cancelled
    from vesselseg.models.weights import load_network, save_model
    from vesselseg.training.finetuning import finetune

    network = load_network(parent)
    own = save_model(network, parent, tmp_path / "parent", half=False)
    cases = [write_case(tmp_path / f"case{k}", radius=2, seed=k) for k in range(2)]

    def stop_in_the_second_part(fraction: float, message: str) -> None:
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        finetune(own, cases, tmp_path / "out", steps=2, device="cpu", progress=stop_in_the_second_part)
    with torch.no_grad():
        network.head.weight *= 2
    own = save_model(network, parent, tmp_path / "parent", half=False, overwrite=True)
    with pytest.raises(VesselSegError, match=r"fold0\.json exists already"):
        finetune(own, cases, tmp_path / "out", steps=2, device="cpu")
    finetune(own, cases, tmp_path / "out", steps=2, device="cpu", overwrite=True)


def test_voxels_outside_the_mask_are_neither_learnt_from_nor_counted(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.image_io import read_volume
    from vesselseg.training.finetuning import finetune

    cases = [write_case(tmp_path / f"case{k}", radius=3, seed=k) for k in range(2)]
    mask = read_volume(cases[0] / "label.nii.gz")
    inside = np.zeros(mask.array.shape, np.uint8)
    inside[:, :30, :30] = 1
    write_volume(mask.with_array(inside), cases[0] / "mask.nii.gz")
    finetune(parent, cases, tmp_path / "out", steps=2, device="cpu")
    label = read_volume(tmp_path / "out/cases/case0/case0/label.nii.gz").array
    assert ((label == 255) == (inside == 0)).all()
    entries = json.loads((tmp_path / "out" / "run" / "config.json").read_text(encoding="utf-8"))
    assert entries["frozen"] == ["encoder"]


def test_cases_that_cannot_be_used_are_named(tmp_path: Path, parent: Manifest) -> None:
    from vesselseg.cli.main import main
    from vesselseg.training.finetuning import finetune

    case = write_case(tmp_path / "case", radius=3)
    empty = write_case(tmp_path / "empty", radius=-1)
    for cases, message in (
        ([], "no cases"),
        ([case, case], "twice"),
        ([case, tmp_path / "nothing"], "no file"),
        ([case, write_case(tmp_path / "more" / "case", radius=3)], "same name"),
    ):
        with pytest.raises(VesselSegError, match=message):
            finetune(parent, cases, tmp_path / "out", device="cpu")
    write_volume(Volume(np.zeros((4, 4, 4), np.uint8), Geometry((4, 4, 4), (1, 1, 1))), case / "mask.nii.gz")
    with pytest.raises(VesselSegError, match="one grid"):
        finetune(parent, [case], tmp_path / "out", device="cpu")
    (empty / "label.nii.gz").unlink()
    write_volume(Volume(np.zeros(SHAPE, np.uint8), Geometry((48, 48, 44), (0.6, 0.6, 0.6))), empty / "label.nii.gz")
    with pytest.raises(VesselSegError, match="no vessels"):
        finetune(parent, [empty], tmp_path / "out", device="cpu")
    shares = np.full(SHAPE, 0.5, np.float32)
    write_volume(Volume(shares, Geometry((48, 48, 44), (0.6, 0.6, 0.6))), empty / "label.nii.gz", overwrite=True)
    with pytest.raises(VesselSegError, match="is no label"):
        finetune(parent, [empty], tmp_path / "out", device="cpu")
    assert main(["train", "--output", str(tmp_path / "out")]) == 1
    assert main(["train", "small", "--finetune", "x", "--output", str(tmp_path / "out")]) == 1
