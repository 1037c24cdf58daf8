"""Which file belongs to which, and `vesselseg evaluate` over folders."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from vesselseg.case_matching import match_cases, subject_of
from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, write_volume
from vesselseg.metrics import evaluate
from vesselseg.reports.case_table import CaseTable, mean_of
from vesselseg.volume import Volume


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("segmentation", "reference", "subject"),
    [
        ("MNI_0656_seg.nii.gz", "MNI_0656_label.nii.gz", "MNI_0656"),
        ("MNI_0656.nrrd", "MNI_0656_tof_label.nii.gz", "MNI_0656"),
        ("sub-01_prediction.mha", "sub-01/sub-01_label.nii.gz", "sub-01"),
        ("case_001/seg.nii.gz", "case_001/label.nii.gz", "case_001"),
        ("sub-01/sub-01_ses-1_seg.nii.gz", "sub-01/sub-01_ses-1_label.nii.gz", "sub-01_ses-1"),
        ("sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz", "sub-01_ses-1_label.nii.gz", "sub-01_ses-1"),
        ("a.b-Seg.nii", "a.b_manual.nii", "a.b"),
        ("A_seg.NII.GZ", "A_label.NII", "A"),
        ("Mu\u0308ller_seg.nii", "M\u00fcller_label.nii", "M\u00fcller"),  # as a Mac writes it, and as others do
        ("Mu\u0308ller/seg.nii", "M\u00fcller/label.nii", "M\u00fcller"),
    ],
)
def test_files_of_one_subject_find_each_other(segmentation: str, reference: str, subject: str, tmp_path: Path) -> None:
    found, truth = touch(tmp_path / "found", segmentation), touch(tmp_path / "truth", reference)
    ((case,), _) = match_cases(found, truth)
    assert (case.subject, case.segmentation, case.reference) == (subject, found / segmentation, truth / reference)


def test_two_sessions_in_a_folder_are_two_cases(tmp_path: Path) -> None:
    names = [f"s/s_ses-{number}_{{}}.nii.gz" for number in (1, 2)]
    found, truth = (
        touch(tmp_path / word, *(name.format(word) for name in names), f".hidden/s_{word}.nii.gz")
        for word in ("seg", "label")
    )
    cases, _ = match_cases(found, truth)
    assert [(case.subject, case.reference) for case in cases] == [
        (f"s_ses-{number}", truth / f"s/s_ses-{number}_label.nii.gz") for number in (1, 2)
    ]


def test_other_names_in_one_folder_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, truth = touch(tmp_path / "found", "A/first_seg.nii"), touch(tmp_path / "truth", "A/second_label.nii")
    ((case,), _) = match_cases(found, truth)
    assert case.subject == "A"
    assert "A: first_seg.nii is compared with second_label.nii" in caplog.text


def test_scans_maps_and_masks_are_no_labels(tmp_path: Path) -> None:
    names = [f"case_0/{name}.nii.gz" for name in ("tof", "radius", "artery", "mask", "label")]
    truth = touch(tmp_path / "truth", *names)
    found = touch(tmp_path / "found", "case_0_probability.nii.gz", "case_0_seg.nii.gz", "notes.txt")
    ((case,), _) = match_cases(found, truth, masks=truth, scans=truth)
    assert case.reference == truth / "case_0/label.nii.gz"
    assert case.mask == truth / "case_0/mask.nii.gz"
    assert case.scan == truth / "case_0/tof.nii.gz"


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (["a_seg.nii.gz", "a_pred.nii.gz"], ["a_label.nii.gz"], "both of a"),
        (["a_seg.nii.gz"], ["a_label.nii.gz", "a/label.nii.gz"], "both of a"),
        (["s/s_ses-1_seg.nii.gz"], ["s/s_ses-2_label.nii.gz"], "s_ses-1: there is no reference"),
        (["seg.nii.gz"], ["label.nii.gz"], "does not tell its subject"),
        (["a_vessel_mask.nii.gz"], ["a_label.nii.gz"], "names end in mask"),
        (["notes.txt"], ["a_label.nii.gz"], "has no image"),
    ],
)
def test_what_does_not_match_is_named(found: list[str], truth: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match=message):
        match_cases(touch(tmp_path / "found", *found), touch(tmp_path / "truth", *truth))


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("MNI_0656_tof.nii.gz", "MNI_0656"),
        ("a/tof.nii.gz", "a"),
        ("sub-01_ses-1.5T_tof.nii.gz", "sub-01_ses-1.5T"),
        ("1.2.840", "1.2.840"),
    ],
)
def test_a_file_tells_its_subject(path: str, subject: str) -> None:
    assert subject_of(Path(path)) == subject


def test_what_lacks_its_partner_is_told(tmp_path: Path) -> None:
    found = touch(tmp_path / "f", "a_seg.nii", "c_seg.nii", "d_seg.nii")
    truth = touch(tmp_path / "t", "a_label.nii", "b_label.nii", "d_label.nii")
    masks = touch(tmp_path / "m", "a_mask.nii", "e_mask.nii")
    cases, unmatched = match_cases(found, truth, masks)
    assert [case.subject for case in cases] == ["a"]
    assert {subject: error.message for subject, error in unmatched.items()} == {
        "b": f"there is no segmentation for it in {found}",
        "c": f"there is no reference for it in {truth}",
        "d": f"there is no mask for it in {masks}",
    }


def test_a_mean_leaves_out_what_is_not_defined() -> None:
    mean = mean_of([{"a": 1.0, "b": math.nan, "c": 1.0}, {"a": 2.0, "b": 4.0, "c": math.inf}])
    assert mean == {"a": 1.5, "b": 4.0, "c": math.inf}
    assert math.isnan(mean_of([{"a": math.nan}])["a"])
    text = CaseTable(("case",), [(("x|y",), {"dice": 0.5})]).markdown()
    assert "x\\|y" in text
    assert "| 0.500 |" in text


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    geometry = Geometry((16, 14, 12), (0.5, 0.5, 0.6))
    for folder in ("found", "truth", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        truth = np.zeros(geometry.shape, np.uint8)
        truth[2:10, 4:8, 4:8] = 1
        found = np.roll(truth, number + 1, axis=2)
        mask = np.ones(geometry.shape, np.uint8)
        mask[:, :, :5] = 0
        for folder, name, array in (("found", "seg", found), ("truth", "label", truth), ("masks", "mask", mask)):
            write_volume(Volume(array, geometry), tmp_path / folder / f"s{number}_{name}.nii.gz")
    return tmp_path / "found", tmp_path / "truth"


def test_evaluate_compares_folders(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found, truth = folders
    out = found.parent
    assert main(["evaluate", str(found), str(truth), "--json", f"{out}/m.json", "--csv", f"{out}/m.csv"]) == 0
    values = json.loads((out / "m.json").read_text())
    for subject, metrics in values["cases"].items():
        alone = evaluate(read_label(found / f"{subject}_seg.nii.gz"), read_label(truth / f"{subject}_label.nii.gz"))
        assert metrics["dice"] == pytest.approx(alone["dice"])
        assert metrics["hd95_mm"] == pytest.approx(alone["hd95_mm"])
    dices = [metrics["dice"] for metrics in values["cases"].values()]
    assert dices == pytest.approx([0.75, 0.5])
    assert values["mean"]["dice"] == pytest.approx(np.mean(dices))
    lines = list(csv.DictReader((out / "m.csv").open()))
    assert [line["case"] for line in lines] == ["s0", "s1", "mean"]
    assert float(lines[2]["dice"]) == pytest.approx(0.625)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["s0", "0.750"], ["s1", "0.500"], ["mean", "0.625"]]


@pytest.mark.parametrize("unreadable", ["s0", "s1"])
def test_evaluate_goes_on_after_a_case_that_cannot_be_read(
    unreadable: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, truth = folders
    out = found.parent
    (truth / f"{unreadable}_label.nii.gz").write_bytes(b"")
    assert main(["evaluate", str(found), str(truth), "--json", f"{out}/m.json", "--csv", f"{out}/m.csv"]) == 1
    values = json.loads((out / "m.json").read_text())
    (subject,) = values["cases"]
    assert subject != unreadable
    assert values["mean"] == values["cases"][subject]
    assert list(values["errors"]) == [unreadable]
    assert "is empty" in values["errors"][unreadable]
    lines = {line["case"]: line["dice"] for line in csv.DictReader((out / "m.csv").open())}
    assert list(lines) == ["s0", "s1", "mean"]
    assert lines[unreadable] == ""
    assert lines[subject] == lines["mean"] != ""
    shown, said = capsys.readouterr()
    assert [line.split()[0] for line in shown.splitlines()] == ["case", subject, "mean", f"{unreadable}:"]
    assert f"(1 of 2 cases could not be compared: {unreadable};" in said.splitlines()[-1]


@pytest.mark.parametrize(("lacking", "kind"), [("found/s0_seg", "segmentation"), ("truth/s1_label", "reference")])
def test_evaluate_tells_a_case_that_lacks_a_file_and_goes_on(
    lacking: str, kind: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, truth = folders
    out = found.parent
    (out / f"{lacking}.nii.gz").unlink()
    subject = lacking.partition("/")[2][:2]
    assert main(["evaluate", str(found), str(truth), "--json", f"{out}/m.json", "--csv", f"{out}/m.csv"]) == 1
    values = json.loads((out / "m.json").read_text())
    assert list(values["cases"]) == [{"s0": "s1", "s1": "s0"}[subject]]
    assert f"no {kind} for it in" in values["errors"][subject]
    lines = {line["case"]: line["dice"] for line in csv.DictReader((out / "m.csv").open())}
    assert list(lines) == ["s0", "s1", "mean"]
    assert lines[subject] == ""
    shown, said = capsys.readouterr()
    assert shown.splitlines()[-1].startswith(f"{subject}: not compared: there is no {kind}")
    assert f"(1 of 2 cases could not be compared: {subject};" in said.splitlines()[-1]


@pytest.mark.parametrize("progress", ["plain", "json", "none"])
def test_warnings_name_their_case(
    progress: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, truth = folders
    label = read_label(found / "s1_seg.nii.gz")
    size = tuple(2 * n for n in label.geometry.size)
    finer = Geometry(size, tuple(s / 2 for s in label.geometry.spacing), label.geometry.origin)
    array = label.array.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    write_volume(Volume(array, finer), found / "s1_seg.nii.gz", overwrite=True)
    assert main(["evaluate", str(found), str(truth), "--progress", progress]) == 0
    shown, said = capsys.readouterr()
    lines = [line for line in (shown + said).splitlines() if "another grid" in line]
    assert len(lines) == 1
    assert "s1: the segmentation lies on another grid" in lines[0]


def test_evaluate_writes_nothing_where_no_case_can_be_read(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, truth = folders
    for path in truth.iterdir():
        path.write_bytes(b"")
    assert main(["evaluate", str(found), str(truth), "--json", str(found.parent / "m.json")]) == 1
    shown, said = capsys.readouterr()
    assert shown == ""
    assert "error: s0: " in said
    assert not (found.parent / "m.json").exists()


def test_evaluate_compares_on_the_grids_of_a_folder_of_scans(folders: tuple[Path, Path]) -> None:
    found, truth = folders
    out = found.parent
    (out / "scans").mkdir()
    for number in range(2):
        path = truth / f"s{number}_label.nii.gz"
        label = read_label(path)
        write_volume(label.with_array(label.array.astype(np.float32)), out / f"scans/s{number}_tof.nii.gz")
        cut = (slice(0, 6), slice(0, 14), slice(0, 16))
        write_volume(Volume(label.array[cut], label.geometry.cropped(cut)), path, overwrite=True)
    for options, dices in (([], [0.75, 0.5]), (["--scan", str(out / "scans")], [0.5, 1 / 3])):
        arguments = [str(found), str(truth), "--json", str(out / "m.json"), "--overwrite", *options]
        assert main(["evaluate", *arguments]) == 0
        cases = json.loads((out / "m.json").read_text())["cases"]
        assert [cases[name]["dice"] for name in ("s0", "s1")] == pytest.approx(dices)
    (out / "scans/s1_tof.nii.gz").unlink()
    assert main(["evaluate", *arguments]) == 1
    assert "there is no scan for it" in json.loads((out / "m.json").read_text())["errors"]["s1"]


def test_evaluate_counts_inside_the_masks_of_a_folder(folders: tuple[Path, Path]) -> None:
    found, truth = folders
    out = found.parent
    assert main(["evaluate", str(found), str(truth), "--mask", f"{out}/masks", "--json", f"{out}/m.json"]) == 0
    values = json.loads((out / "m.json").read_text())
    assert values["cases"]["s0"]["dice"] > values["cases"]["s0"]["whole_volume"]["dice"] == pytest.approx(0.75)
    assert values["mean"]["whole_volume"]["dice"] == pytest.approx(0.625)


def test_a_folder_is_not_compared_with_a_file(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found, truth = folders
    assert main(["evaluate", str(found), str(truth / "s0_label.nii.gz")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_evaluate_never_replaces_an_input_of_a_folder(folders: tuple[Path, Path]) -> None:
    found, truth = folders
    before = (truth / "s0_label.nii.gz").read_bytes()
    assert main(["evaluate", str(found), str(truth), "--json", str(truth / "s0_label.nii.gz"), "--overwrite"]) == 1
    assert (truth / "s0_label.nii.gz").read_bytes() == before
