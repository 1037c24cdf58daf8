"""`vesselseg judge`: models and baselines on the same scans."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import UNSURE, write_volume
from vesselseg.metrics import evaluate
from vesselseg.model_checks.judging import read_drawn_case
from vesselseg.volume import Volume

GEOMETRY = Geometry((48, 44, 40), (0.6, 0.6, 0.6))


def write_case(folder: Path, *, contrast: float, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scan = rng.normal(100, 8, GEOMETRY.shape)
    label, radius = np.zeros(GEOMETRY.shape, np.uint8), np.zeros(GEOMETRY.shape, np.float32)
    label[4:36, 20:23, 20:23], radius[4:36, 20:23, 20:23] = 1, 0.9
    label[4:36, 30:33, 30:33], radius[4:36, 30:33, 30:33] = 1, 0.5
    scan += contrast * (label == 1)
    # As bright as a vessel, but nobody knows what it is.
    scan[:, 8:12, 8:12] += contrast
    label[:, 8:12, 8:12] = UNSURE
    # And outside the brain.
    scan[:, :, 46:] += contrast
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[:, :, :42] = 1
    folder.mkdir(parents=True)
    for name, array in (("tof", scan.astype(np.float32)), ("label", label), ("radius", radius), ("mask", mask)):
        write_volume(Volume(array, GEOMETRY), folder / f"{name}.nii.gz")
    (folder / "description.json").write_text(json.dumps({"arteries": kind, "seed": seed}))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    write_case(tmp_path / "cases" / "case_0", contrast=120, kind="clear", seed=1)
    write_case(tmp_path / "cases" / "case_1", contrast=25, kind="faint", seed=2)
    return tmp_path / "cases"


def test_the_tables_of_a_model_card(cases: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = cases.parent
    arguments = ["judge", str(cases), "--models", tiny_model, "--group-by", "arteries", "--device", "cpu"]
    files = ["--markdown", f"{out}/t.md", "--csv", f"{out}/t.csv", "--json", f"{out}/t.json"]
    assert main([*arguments, *files]) == 0
    values = json.loads((out / "t.json").read_text())
    card = (out / "t.md").read_text()
    assert values["command"].startswith(f"vesselseg judge {cases} --models {tiny_model}")
    assert values["command"] in card
    assert values["methods"][0]["sha256"] in card
    assert "no piece is dropped" in card
    mean = {(m["scans"], m["method"]): m["metrics"] for m in values["mean"]}
    assert {scans for scans, _ in mean} == {"all (2)", "arteries clear (1)", "arteries faint (1)"}
    best = mean["arteries clear (1)", "best threshold*"]
    assert best["dice"] == 1.0  # what is unsure and what lies outside the brain does not count
    assert best["pieces"] == 2
    assert best["sensitivity_small"] == 1.0
    assert best["sensitivity_large"] is None
    faint = mean["arteries faint (1)", "best threshold*"]["dice"]
    assert faint < 0.9
    assert mean["all (2)", "best threshold*"]["dice"] == pytest.approx((1 + faint) / 2)
    assert mean["arteries faint (1)", "multi-scale Frangi*"]["dice"] > faint
    assert "| 2 |" in card
    lines = list(csv.DictReader((out / "t.csv").open()))
    assert len(lines) == 2 * 3 + 3 * 3
    assert {line["method"] for line in lines} == {tiny_model, "best threshold*", "multi-scale Frangi*"}
    assert "best threshold*" in capsys.readouterr().out


def test_radius_maps_decide_on_the_calibre(cases: Path) -> None:
    case = read_drawn_case(cases / "case_0")
    truth = case.scan.with_array((case.truth.array == 1).astype(np.uint8))
    assert case.radius is not None
    thick_only = case.scan.with_array(truth.array * (case.radius.array > 0.6))
    values = evaluate(thick_only, truth, radius=case.radius)
    assert (values["sensitivity_small"], values["sensitivity_medium"]) == (0.0, 1.0)
    everything_wide = truth.with_array(np.full(truth.array.shape, 1.5, np.float32))
    values = evaluate(thick_only, truth, radius=everything_wide)
    assert np.isnan(values["sensitivity_small"])
    assert 0 < values["sensitivity_large"] < 1


def test_real_scans_have_measures_of_their_own(cases: Path) -> None:
    out = cases.parent
    files = [str(cases / "case_0" / f"{name}.nii.gz") for name in ("tof", "label", "mask")]
    outputs = ["--json", f"{out}/r.json", "--markdown", f"{out}/r.md"]
    assert main(["judge", "--real", *files, "--models", "--baselines", "threshold", *outputs]) == 0
    (row,) = json.loads((out / "r.json").read_text())["cases"]
    assert (row["case"], row["scan"]) == ("case_0", "real")
    assert row["metrics"]["sinus_found"] is None  # there are none
    assert row["metrics"]["centreline_found"] == 1.0
    assert row["metrics"]["pieces"] == 3
    assert "Drawn scans" not in (out / "r.md").read_text()


def test_real_scans_may_be_stored_in_any_orientation(cases: Path) -> None:
    values = []
    for orientation in ("LPS", "PIR"):
        files = []
        for name in ("tof", "label", "mask"):
            image = sitk.DICOMOrient(sitk.ReadImage(str(cases / "case_0" / f"{name}.nii.gz")), orientation)
            files.append(str(cases.parent / f"{orientation}_{name}.nii.gz"))
            sitk.WriteImage(image, files[-1])
        json_file = cases.parent / f"{orientation}.json"
        arguments = ["--models", "--baselines", "threshold", "--json", str(json_file)]
        assert main(["judge", "--real", *files, *arguments]) == 0
        values.append(json.loads(json_file.read_text())["cases"][0]["metrics"])
    assert values[0] == values[1]


def test_a_missing_file_is_told_before_any_case_is_measured(
    cases: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "vesselseg.model_checks.judging.judge", lambda *_args, **_options: pytest.fail("a case was measured")
    )
    real = [str(cases / "case_0" / "tof.nii.gz"), "missing.nii.gz"]
    assert main(["judge", str(cases), "--models", "--baselines", "threshold", "--real", *real]) == 1
    assert "no file missing.nii.gz" in capsys.readouterr().err


def test_a_case_that_cannot_be_measured_costs_no_other(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = sitk.ReadImage(str(cases / "case_1" / "label.nii.gz")) * 0
    sitk.WriteImage(nothing, str(cases / "case_1" / "label.nii.gz"))
    out = cases.parent
    arguments = ["judge", str(cases), "--models", "--baselines", "frangi", "threshold"]
    assert main([*arguments, "--json", f"{out}/t.json", "--markdown", f"{out}/t.md"]) == 1
    said = capsys.readouterr()
    assert "1 of 2 cases could not be measured: case_1" in said.err
    assert "case_1: the truth has no vessel inside the mask" in said.out
    values = json.loads((out / "t.json").read_text())
    assert "no vessel" in values["errors"]["case_1"]
    assert {row["case"] for row in values["cases"]} == {"case_0"}  # Frangi's, too: means are over the same cases
    assert {row["scans"] for row in values["mean"]} == {"all (1)"}
    assert "Not measured: case_1" in (out / "t.md").read_text()


def test_baselines_reach_whatever_is_counted_on_real_scans(tmp_path: Path) -> None:
    """Voxels of another size than 0.6 mm: the margin around the brain falls between two of them."""
    geometry = Geometry((40, 40, 40), (0.75, 0.75, 0.75))
    label, mask = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.uint8)
    mask[10:30, 10:30, 10:30] = 1
    label[20, 20, 2:38] = 1
    scan = (100.0 + 100 * label).astype(np.float32)
    for name, array in (("tof", scan), ("label", label), ("mask", mask)):
        write_volume(Volume(array, geometry), tmp_path / f"{name}.nii.gz")
    real = [str(tmp_path / f"{name}.nii.gz") for name in ("tof", "label", "mask")]
    assert main(["judge", "--real", *real, "--models", "--baselines", "threshold", "--json", f"{tmp_path}/r.json"]) == 0
    (row,) = json.loads((tmp_path / "r.json").read_text())["cases"]
    assert row["metrics"]["dice"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["judge"], "nothing to judge on"),
        (["judge", "{cases}", "--models", "--baselines"], "nothing to be judged"),
        (["judge", "{cases}/case_0"], "has no subfolders"),
        (["judge", "--real", "{cases}/case_0/tof.nii.gz"], "--real takes"),
        (["judge", *["--real", "{cases}/case_0/tof.nii.gz", "{cases}/case_0/label.nii.gz"] * 2], "both of case_0"),
        (["judge", "{cases}", "--models", "missing"], "no model 'missing'"),
        (["judge", "{cases}", "--models", "paper-half-unet", "--device", "nonsense"], "nonsense"),
    ],
)
def test_wrong_wishes_are_named(
    arguments: list[str], message: str, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part.format(cases=cases) for part in arguments]) == 1
    assert message in capsys.readouterr().err


def test_the_precision_that_is_asked_for_is_told(cases: Path, tiny_model: str) -> None:
    out = cases.parent
    arguments = ["judge", str(cases), "--models", tiny_model, "--baselines", "--device", "cpu", "--precision", "f32"]
    assert main([*arguments, "--json", f"{out}/t.json", "--markdown", f"{out}/t.md"]) == 0
    values = json.loads((out / "t.json").read_text())
    assert values["command"].endswith("--precision f32")
    assert values["methods"][0]["precisions"] == ["f32"]
    assert "computed in f32" in (out / "t.md").read_text()
    # And by default, that which was taken.
    assert main(["judge", str(cases), "--models", tiny_model, "--baselines", "--json", f"{out}/d.json"]) == 0
    values = json.loads((out / "d.json").read_text())
    assert "--precision" not in values["command"]
    assert len(values["methods"][0]["precisions"]) == 1


@pytest.mark.parametrize("value", [0.9, -1])
def test_what_is_no_label_is_named(cases: Path, value: float) -> None:
    path = cases / "case_0" / "label.nii.gz"
    values = np.full(GEOMETRY.shape, value, np.float32)
    write_volume(Volume(values, GEOMETRY), path, overwrite=True)
    with pytest.raises(VesselSegError, match=r"label\.nii\.gz is no label"):
        read_drawn_case(cases / "case_0")


def test_nothing_is_written_where_every_case_is_broken(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("case_0", "case_1"):
        (cases / name / "label.nii.gz").write_bytes(b"")
    out = cases.parent
    assert main(["judge", str(cases), "--models", "--baselines", "threshold", "--json", f"{out}/t.json"]) == 1
    assert "error: case_0: " in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["cases"]
