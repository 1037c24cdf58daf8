from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselseg.cli.main import main
from vesselseg.engines import choice, openvino_engine, plan_run
from vesselseg.engines.bfloat16_speed import bfloat16_pays
from vesselseg.engines.openvino_engine import computes_natively
from vesselseg.engines.openvino_graph import BELOW
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume, write_volume
from vesselseg.model_checks import quantising
from vesselseg.model_checks.precision_check import check_precisions, write_checks
from vesselseg.model_checks.quantising import quantise_model
from vesselseg.models import Manifest
from vesselseg.models.manifest import PrecisionCheck
from vesselseg.models.weights import load_weights
from vesselseg.segmentation import segment
from vesselseg.volume import Volume

MakeScan = Callable[..., Volume]

needs_int8 = pytest.mark.skipif(not computes_natively("int8"), reason="this CPU does not compute in int8")


@pytest.fixture
def own_model(models_folder: Path, tmp_path: Path) -> Path:
    """A manifest that a test may write to."""
    shutil.copytree(models_folder, tmp_path / "own")
    return tmp_path / "own" / "tiny.json"


@pytest.fixture
def cases(make_scan: MakeScan, tmp_path: Path) -> Path:
    """Two drawn cases with a thin artery."""
    for seed in range(2):
        scan = make_scan(Geometry((48, 44, 24), (0.6, 0.6, 0.6)), seed)
        folder = tmp_path / "cases" / f"case_{seed}"
        folder.mkdir(parents=True)
        artery = np.zeros(scan.array.shape, np.uint8)
        artery[12, 10:12, 5:40] = 1
        write_volume(scan, folder / "tof.nii.gz")
        write_volume(scan.with_array(artery), folder / "label.nii.gz")
        write_volume(scan.with_array(artery * np.float32(0.4)), folder / "radius.nii.gz")
        write_volume(scan.with_array(np.ones_like(artery)), folder / "mask.nii.gz")
    return tmp_path / "cases"


@pytest.mark.skipif(not computes_natively("bf16"), reason="this CPU does not compute in bfloat16")
def test_numbers_are_measured_and_kept(own_model: Path, cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(own_model.read_text())
    before["from a later version"] = 1
    own_model.write_text(json.dumps(before))
    assert main(["models", "--progress", "none", "check-precision", str(own_model), "--cases", str(cases)]) == 0
    said = capsys.readouterr().out
    after = json.loads(own_model.read_text())
    check = Manifest.read(own_model).precisions["bf16"]
    assert {**after, "precisions": {}} == {**before, "precisions": {}}
    assert (check.scans, check.model_sha256) == (2, before["sha256"])
    assert 0.5 < check.dice_to_f32 <= 1
    assert "openvino" in check.versions
    assert f"bf16: Dice {check.dice_to_f32:.4f} against f32" in said
    passes = Manifest.read(own_model).passes("bf16")
    assert said.strip().endswith("passes" if passes else "fails")
    taken = passes and bfloat16_pays()
    assert plan_run(Manifest.read(own_model), device="cpu").precision == ("bf16" if taken else "f32")
    # By hand: the two labels of the two precisions.
    plain = Manifest.read(own_model)
    plain.precisions.clear()
    dice = []
    for folder in sorted(cases.iterdir()):
        scan = read_volume(folder / "tof.nii.gz")
        exact, rounded = (
            segment(scan, model=plain, brain_mask="none", device="cpu", precision=precision).label.array != 0
            for precision in ("f32", "bf16")
        )
        dice.append(2 * (exact & rounded).sum() / (exact.sum() + rounded.sum()))
    assert check.dice_to_f32 == pytest.approx(np.mean(dice), abs=1e-5)


def test_numbers_are_written_where_there_was_nothing(own_model: Path) -> None:
    own_model.write_text(json.dumps({**json.loads(own_model.read_text()), "precisions": None}))
    check = PrecisionCheck(0.9995, 0.0, 1, Manifest.read(own_model).sha256)
    assert write_checks(Manifest.read(own_model), {"bf16": check}).precisions == {"bf16": check}


def test_numbers_of_an_int8_form_that_was_made_anew_since_are_not_written(own_model: Path) -> None:
    manifest = Manifest.read(own_model)
    check = PrecisionCheck(0.9995, 0.0, 1, manifest.sha256)
    values = json.loads(own_model.read_text())
    own_model.write_text(json.dumps({**values, "int8": {"model_sha256": manifest.sha256, "ranges": {"head": 2.0}}}))
    assert write_checks(manifest, {"bf16": check, "int8": check}).precisions == {"bf16": check}
    assert set(write_checks(Manifest.read(own_model), {"int8": check}).precisions) == {"bf16", "int8"}


@pytest.mark.parametrize("measure", [check_precisions, quantise_model])
def test_a_manifest_that_cannot_be_written_is_refused_before_the_work(
    own_model: Path, cases: Path, measure: Callable[..., object]
) -> None:
    def started(fraction: float, message: str) -> None:
        pytest.fail("work began")

    model = replace(Manifest.read(own_model), path=Path("/proc/tiny.json"))
    with pytest.raises(VesselSegError, match=r"tiny\.json cannot be written"):
        measure(model, sorted(cases.iterdir()), progress=started)


def test_folders_without_cases_are_refused(own_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--progress", "none", "check-precision", str(own_model), "--cases", str(tmp_path)]) == 1
    assert "has no subfolders" in capsys.readouterr().err


@needs_int8
def test_int8_form_is_made_used_and_checked(
    own_model: Path, cases: Path, make_scan: MakeScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights leave many voxels near the threshold.
    monkeypatch.setattr(quantising, "_WANTED_DICE", 0.97)
    before = {**json.loads(own_model.read_text()), "precisions": None}  # as good as none
    own_model.write_text(json.dumps(before))
    assert main(["models", "--progress", "none", "quantise", str(own_model), "--cases", str(cases)]) == 0
    model = Manifest.read(own_model)
    assert json.loads(own_model.read_text()) == {**before, "int8": model.int8}
    ranges = model.int8["ranges"]
    assert {name.removesuffix(BELOW) + ".weight" for name in ranges} < set(load_weights(model))
    assert not {"encoder.0.0", "encoder.0.0" + BELOW} & set(ranges)  # it takes the scan itself
    done = segment(make_scan(), model=model, brain_mask="none", precision="int8")
    exact = segment(make_scan(), model=model, brain_mask="none", device="cpu", precision="f32")
    assert (done.run.engine, done.run.precision) == ("openvino", "int8")
    assert any("not measured" in note for note in done.run.notes)
    assert 0 < np.abs(done.probability.array - exact.probability.array).mean() < 0.05
    check = check_precisions(model, sorted(cases.iterdir()))["int8"]
    assert 0.9 < check.dice_to_f32 < 1
    with pytest.raises(VesselSegError, match="has an int8 form already"):
        quantise_model(model, sorted(cases.iterdir()))
    assert quantise_model(model, sorted(cases.iterdir()), overwrite=True) == model


def test_model_that_8_bits_change_gets_no_int8_form(
    own_model: Path, cases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantising, "_WANTED_DICE", 1.1)
    monkeypatch.setattr(openvino_engine, "_multiplies_bytes", lambda: True)  # right sums or wrong ones: never enough
    before = own_model.read_bytes()
    assert main(["models", "--progress", "none", "quantise", str(own_model), "--cases", str(cases)]) == 1
    assert "no convolution of this model can be computed in 8 bits" in capsys.readouterr().err
    assert own_model.read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": "tiny.int8.xml"}, "has no int8 form"),
        ({"ranges": {}}, "no numbers above 0"),
        ({"ranges": {"encoder.1.0": 1.0}, "model_sha256": "0" * 64}, "made for other weights"),
        ({"ranges": {"encoder.1.0": 0.0}}, "no numbers above 0"),
        ({"ranges": {"encoder.1.0": "1"}}, "no numbers above 0"),
        ({"ranges": {"encoder.1.0": float("nan")}}, "no numbers above 0"),
        ({"ranges": ["encoder.1.0"]}, "no numbers above 0"),
        ({"ranges": {"encoder.1.0": True}}, "no numbers above 0"),
        ({"ranges": {"encoder.1.0": 10**400}}, "no numbers above 0"),
        pytest.param({"ranges": {"encoder.9.0": 1.0}}, "ranges for 8 bits do not fit", marks=needs_int8),
    ],
)
def test_wrong_int8_forms_are_refused(
    own_model: Path, make_scan: MakeScan, wrong: dict[str, Any], message: str
) -> None:
    model = Manifest.read(own_model)
    model = replace(model, int8={"model_sha256": model.sha256, **wrong})
    with pytest.raises(VesselSegError, match=message):
        segment(make_scan(), model=model, brain_mask="none", precision="int8")


def test_nothing_is_quantised_where_nothing_is_found(
    own_model: Path, tmp_path: Path, make_scan: MakeScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "_multiplies_bytes", lambda: True)  # it does not come to that
    case = tmp_path / "empty" / "case"
    case.mkdir(parents=True)
    scan = make_scan()
    write_volume(scan, case / "tof.nii.gz")
    for name, value in (("label", 0), ("radius", 0), ("mask", 1)):
        write_volume(scan.with_array(np.full(scan.array.shape, value, np.uint8)), case / f"{name}.nii.gz")
    sure = replace(Manifest.read(own_model), threshold=1.0)
    with pytest.raises(VesselSegError, match="finds no vessel"):
        quantise_model(sure, [case])


def test_int8_needs_a_cpu_that_adds_bytes_rightly(
    own_model: Path, make_scan: MakeScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Manifest.read(own_model)
    model = replace(model, int8={"model_sha256": model.sha256, "ranges": {"encoder.1.0": 1.0}})
    monkeypatch.setattr(openvino_engine, "_multiplies_bytes", lambda: False)
    with pytest.raises(VesselSegError, match="does not compute in int8"):
        segment(make_scan(), model=model, brain_mask="none", precision="int8")
    # Nor are ranges chosen by wrong sums.
    before = own_model.read_bytes()
    with pytest.raises(VesselSegError, match="does not compute in int8"):
        quantise_model(Manifest.read(own_model), [Path("never read")])
    assert own_model.read_bytes() == before


def test_beside_8_bits_bfloat16_only_of_models_that_pass(own_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: True)
    model = Manifest.read(own_model)
    check = PrecisionCheck(
        dice_to_f32=0.9995, small_sensitivity_change=0.0, scans=1, model_sha256=model.sha256, versions={}
    )
    native = computes_natively("bf16")
    assert choice.floats_of_int8(model) == "f32"
    assert choice.floats_of_int8(replace(model, precisions={"bf16": check})) == ("bf16" if native else "f32")
    bad = replace(check, dice_to_f32=0.998)
    assert choice.floats_of_int8(replace(model, precisions={"bf16": bad})) == "f32"
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: False)
    assert choice.floats_of_int8(replace(model, precisions={"bf16": check})) == "f32"
