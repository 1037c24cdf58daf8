"""The commands that compare: in this process, as `test_cli` shows them in one of their own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from vesselseg.cli.main import main
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume, write_volume
from vesselseg.volume import Volume


@pytest.fixture
def folder(make_scan: Callable[..., Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scan = make_scan()
    truth = scan.with_array((scan.array > 180).astype(np.uint8))
    half = truth.array.copy()
    half[:, :, 24:] = 0
    mask = np.zeros_like(half)
    mask[:, :, :24] = 1
    files = {
        "scan": scan,
        "truth": truth,
        "found": truth.with_array(np.roll(truth.array, 1, axis=2)),
        "half": truth.with_array(half),
        "mask": truth.with_array(mask),
        "probability": scan.with_array(np.clip(scan.array / 250, 0, 1).astype(np.float32)),
        "elsewhere": Volume(half, Geometry(scan.geometry.size, scan.geometry.spacing, (900.0, 0.0, 0.0))),
    }
    for name, volume in files.items():
        write_volume(volume, tmp_path / f"{name}.nrrd")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    return main([*map(str, arguments), "--progress", "none"])


def test_evaluate_tells_the_mask_beside_the_whole_volume(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mask", "mask.nrrd", "--json", "m.json", "--csv", "m.csv", "--all"]
    assert run("evaluate", "half.nrrd", "truth.nrrd", *options) == 0
    values = json.loads((folder / "m.json").read_text())
    assert values["dice"] == 1
    assert values["whole_volume"]["dice"] < 0.9
    rows = {row["metric"]: row for row in csv.DictReader((folder / "m.csv").open())}
    assert float(rows["dice"]["inside_mask"]) == 1
    assert float(rows["dice"]["whole_volume"]) == pytest.approx(values["whole_volume"]["dice"])
    assert rows["hd95_mm"]["unit"] == "mm"
    assert "inside mask" in capsys.readouterr().out


def test_an_empty_mask_costs_only_the_metrics_inside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = read_volume(folder / "mask.nrrd")
    write_volume(mask.with_array(np.zeros(mask.array.shape, np.uint8)), folder / "empty.nrrd")
    assert run("evaluate", "half.nrrd", "truth.nrrd", "--json", "whole.json") == 0
    capsys.readouterr()
    options = ["--mask", "empty.nrrd", "--json", "m.json", "--csv", "m.csv"]
    assert run("evaluate", "half.nrrd", "truth.nrrd", *options) == 1
    shown, said = capsys.readouterr()
    assert said == "vesselseg: error: the mask is empty; give another one, or none\n"
    values = json.loads((folder / "m.json").read_text())
    assert values == {
        "whole_volume": json.loads((folder / "whole.json").read_text()),
        "errors": {"inside_mask": "the mask is empty; give another one, or none"},
    }
    assert f"{values['whole_volume']['dice']:.3f}" in shown
    assert list(csv.DictReader((folder / "m.csv").open()).fieldnames or []) == [
        "metric", "title", "unit", "whole_volume",
    ]  # fmt: skip


def test_agreement_on_nothing_inside_a_mask_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = read_volume(folder / "truth.nrrd")
    write_volume(truth.with_array((truth.array == 0).astype(np.uint8)), folder / "beside.nrrd")
    note = "there are no vessels of either label inside the mask"
    assert run("evaluate", "half.nrrd", "truth.nrrd", "--mask", "beside.nrrd", "--json", "m.json") == 0
    assert json.loads((folder / "m.json").read_text())["dice"] == 1
    assert capsys.readouterr().err == f"vesselseg: {note}\n"
    assert run("report", "half.nrrd", "truth.nrrd", "--mask", "beside.nrrd", "--output", "r.html", "--no-3d") == 0
    assert note[1:] in (folder / "r.html").read_text()
    assert run("evaluate", "half.nrrd", "truth.nrrd", "--mask", "mask.nrrd") == 0
    assert run("report", "half.nrrd", "truth.nrrd", "--mask", "mask.nrrd", "--output", "s.html", "--no-3d") == 0
    assert note[1:] not in (folder / "s.html").read_text()


@pytest.fixture
def lower(folder: Path) -> str:
    """The reference in an image of the lower half of the scan."""
    truth = read_volume(folder / "truth.nrrd")
    z, y, x = truth.array.shape
    box = (slice(0, z // 2), slice(0, y), slice(0, x))
    half = truth.array[box].astype(np.uint8)
    write_volume(Volume(np.ascontiguousarray(half), truth.geometry.cropped(box)), folder / "lower.nrrd")
    return "lower.nrrd"


def test_commands_agree_on_the_grid_of_the_scan(folder: Path, lower: str, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {}
    for name, scan in (("without", []), ("with", ["--scan", "scan.nrrd"])):
        assert run("evaluate", "truth.nrrd", lower, *scan, "--json", f"{name}.json") == 0
        assert run("errormap", "truth.nrrd", lower, *scan, "--output", f"{name}.nrrd") == 0
        assert run("report", "truth.nrrd", lower, *scan, "--output", f"{name}.html", "--no-3d") == 0
        assert run("thresholds", "probability.nrrd", lower, *scan, "--json", f"{name}-t.json", "--overlap-only") == 0
        values = json.loads((folder / f"{name}.json").read_text())
        errors = read_volume(folder / f"{name}.nrrd").array
        counts[name] = [values[f"{kind}s"] for kind in ("true_positive", "false_positive", "false_negative")]
        assert counts[name] == [np.count_nonzero(errors == value) for value in (1, 2, 3)]
        assert f"<td>{values['dice']:.3f}</td>" in (folder / f"{name}.html").read_text()
        best = json.loads((folder / f"{name}-t.json").read_text())["best_dice"]
        assert best == pytest.approx(values["dice"], abs=0.001)  # the segmentation was made of the probability
        told = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines() if "lies outside" in line]
        outside = "lies outside the image of the reference and"
        if scan:
            whats = [*["74 % of the segmentation"] * 3, "73 % of what is found at 0.5"]
            assert told == [f"{what} {outside} counts as false positive" for what in whats]
        else:
            assert told == [f"74 % of the segmentation {outside} is not compared"] * 3
    assert counts["without"][1:] == [0, 0]
    assert counts["with"][0] == counts["without"][0]
    assert counts["with"][1] > 0


@pytest.fixture
def unsure(folder: Path) -> str:
    """A reference that is unsure (255) about one of its vessels, which `found` has, too."""
    truth = read_volume(folder / "truth.nrrd")
    values = truth.array.astype(np.uint8)
    values[:, :, 24:] *= 255
    write_volume(truth.with_array(values), folder / "unsure.nrrd")
    write_volume(truth.with_array(np.where(values > 1, 0, values).astype(np.uint8)), folder / "sure.nrrd")
    return "unsure.nrrd"


def test_nothing_is_counted_where_a_reference_is_unsure(folder: Path, unsure: str) -> None:
    for number, found in enumerate(("truth.nrrd", "sure.nrrd")):
        assert run("evaluate", found, unsure, "--json", f"{number}.json") == 0
        values = json.loads((folder / f"{number}.json").read_text())
        assert (values["dice"], values["hd95_mm"], values["false_positives"]) == (1, 0, 0)
        assert run("errormap", found, unsure, "--output", f"{number}.nrrd") == 0
        assert set(np.unique(read_volume(folder / f"{number}.nrrd").array)) == {0, 1}
    assert run("evaluate", "truth.nrrd", unsure, "--mask", "mask.nrrd", "--json", "inside.json") == 0
    assert json.loads((folder / "inside.json").read_text())["dice"] == 1
    assert run("thresholds", "probability.nrrd", unsure, "--json", "t.json", "--overlap-only") == 0
    assert json.loads((folder / "t.json").read_text())["best_dice"] == 1
    assert run("report", "truth.nrrd", unsure, "--output", "r.html", "--no-3d") == 0
    assert "<td>1.000</td>" in (folder / "r.html").read_text()


def test_reports_say_what_evaluate_says(folder: Path, unsure: str) -> None:
    """Of a segmentation on a coarser grid, too."""
    truth = read_volume(folder / "truth.nrrd")
    geometry = truth.geometry
    coarse = Geometry(
        tuple(-(-n // 2) for n in geometry.size),
        tuple(2 * s for s in geometry.spacing),
        tuple(geometry.origin),
        tuple(geometry.direction),
    )
    write_volume(Volume(np.ascontiguousarray(truth.array[::2, ::2, ::2]), coarse), folder / "coarse.nrrd")
    assert run("evaluate", "coarse.nrrd", unsure, "--json", "m.json") == 0
    assert run("report", "coarse.nrrd", unsure, "--output", "r.html", "--no-3d") == 0
    values = json.loads((folder / "m.json").read_text())
    assert 0 < values["dice"] < 1
    page = (folder / "r.html").read_text()
    for key in ("dice", "cldice", "nsd"):
        assert f"<td>{values[key]:.3f}</td>" in page


def test_a_map_that_finds_nothing_has_no_best_threshold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    probability = read_volume(folder / "probability.nrrd")
    write_volume(probability.with_array(0 * probability.array), folder / "nothing.nrrd")
    assert main(["thresholds", "nothing.nrrd", "truth.nrrd", "--overlap-only", "--progress", "json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["best_threshold"] is None
    assert run("thresholds", "nothing.nrrd", "truth.nrrd", "--overlap-only") == 0
    said = capsys.readouterr().out
    assert "no threshold finds a vessel" in said
    assert "nan" not in said


def test_masks_of_0_and_255_are_vessels_throughout(folder: Path) -> None:
    truth = read_volume(folder / "truth.nrrd")
    write_volume(truth.with_array((255 * truth.array).astype(np.uint8)), folder / "255.nrrd")
    assert run("evaluate", "half.nrrd", "255.nrrd", "--json", "m.json") == 0
    assert run("evaluate", "half.nrrd", "truth.nrrd", "--json", "n.json") == 0
    assert (folder / "m.json").read_text() == (folder / "n.json").read_text()


def test_the_case_that_cannot_be_measured_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("A", "B"):
        for kind, source in (("seg", "found"), ("label", "truth"), ("mask", "mask")):
            (folder / kind).mkdir(exist_ok=True)
            volume = read_volume(folder / f"{source}.nrrd")
            array = volume.array * 0 if (name, kind) == ("B", "mask") else volume.array
            write_volume(volume.with_array(array.astype(np.uint8)), folder / kind / f"{name}_{kind}.nrrd")
    assert run("evaluate", "seg", "label", "--mask", "mask") == 1
    assert "error: B: the mask is empty" in capsys.readouterr().err


def test_errormap_of_two_results_uses_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--names", "Ann", "Bob", "--components", "list.csv", "--probability", "probability.nrrd"]
    assert run("errormap", "half.nrrd", "truth.nrrd", "--output", "map.nrrd", "--scan", "scan.nrrd", *options) == 0
    said = capsys.readouterr().out
    assert "only Bob" in said
    assert "negative" not in said
    rows = list(csv.DictReader((folder / "list.csv").open()))
    assert {row["kind"] for row in rows} == {"only Bob"}
    assert all(0.6 < float(row["mean_probability"]) <= 1 for row in rows)
    lengths = [float(row["affected_mm"]) for row in rows if row["boundary"] == "no"]
    assert lengths == sorted(lengths, reverse=True)
    assert run("errormap", "half.nrrd", "truth.nrrd", "--output", "m.nrrd", "--names", "Ann", "Ann") == 1


def test_errormap_lies_on_the_grid_of_the_scan(folder: Path) -> None:
    scan = read_volume(folder / "scan.nrrd")
    finer = scan.geometry.resampled((0.4, 0.4, 0.4))
    write_volume(Volume(np.zeros(finer.shape, np.float32), finer), folder / "finer.nrrd")
    assert run("errormap", "found.nrrd", "truth.nrrd", "--output", "map.nrrd", "--scan", "finer.nrrd") == 0
    assert read_volume(folder / "map.nrrd").geometry.same_grid(finer)


def test_errormap_draws_two_methods(folder: Path) -> None:
    options = ["--compare", "half.nrrd", "--methods", "one", "two", "--figure", "both.png", "--dpi", "60"]
    assert run("errormap", "found.nrrd", "truth.nrrd", "--output", "map.nrrd", *options) == 0
    assert imread(folder / "both.png").shape[1] == 432


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--figure", "map.gif"], "not the name of a figure"),
        (["--compare", "half.nrrd"], "picture only"),
        (["--figure", "m.png", "--compare", "half.nrrd", "--figure-kind", "closeups"], "picture of its own kind"),
        (["--scan", "elsewhere.nrrd"], "do not overlap"),
        (["--components", "list.txt"], "not the name of a list"),
        (["--longest", "3"], "for the list of pieces"),
        (["--probability", "probability.nrrd"], "for the list of pieces"),
        (["--components", "list.csv", "--probability", "scan.nrrd"], "outside 0 to 1"),
        (["--components", "list.csv", "--probability", "truth.nrrd"], "is a label, not a probability map"),
        (["--view", "left"], "for the figure"),
        (["--figure-kind", "overview"], "for the figure"),
        (["--figure", "m.png", "--around", "1", "2", "3"], "where close-ups look"),
        (["--figure", "m.png", "--figure-kind", "closeups", "--around", "900", "0", "0"], "outside the scan"),
        (["--figure", "m.png", "--methods", "A", "B"], "names the results of two methods"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_nothing(
    folder: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.iterdir())
    assert run("errormap", "found.nrrd", "truth.nrrd", "--output", "map.nrrd", *options) == 1
    errors = capsys.readouterr().err.splitlines()
    assert said in errors[-1]
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("errormap", ["--figure-kind", "cubist"], "no figure 'cubist'"),
        ("errormap", ["--view", "sideways"], "is no view"),
        ("errormap", ["--palette", "pretty"], "no palette"),
        ("errormap", ["--background", "pink"], "no background"),
        ("errormap", ["--dpi", "5"], "cannot have 5 dpi; give 50 to 1200"),
        ("errormap", ["--around", "nan", "0", "0"], "a place is three numbers"),
        ("errormap", ["--around", "a", "0", "0"], "'a' is no number that"),
        ("errormap", ["--longest", "0"], "give 1 or more"),
        ("errormap", ["--longest", "1.5"], "'1.5' is no number"),
        ("report", ["--palette", "pretty"], "no palette"),
        ("report", ["--view", "sideways"], "is no view"),
        ("thresholds", ["--current", "nan"], "give 0 to 1"),
        ("thresholds", ["--dpi", "5"], "cannot have 5 dpi"),
        ("thresholds", ["--background", "pink"], "no background"),
        ("evaluate", ["--nsd-tolerance", "-1"], "cannot be compared within"),
        ("evaluate", ["--nsd-tolerance", "abc"], "'abc' is no number"),
    ],
)
def test_values_out_of_range_are_wrong_usage(
    folder: Path, command: str, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [] if command in ("evaluate", "thresholds") else ["--output", "map.nrrd"]
    assert run(command, "found.nrrd", "truth.nrrd", *output, *options) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("option", "kind"), [("--json", "JSON"), ("--csv", "CSV")])
@pytest.mark.parametrize("command", ["evaluate", "thresholds"])
def test_tables_end_as_what_they_are(
    folder: Path, command: str, option: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = "found.nrrd" if command == "evaluate" else "probability.nrrd"
    assert run(command, first, "truth.nrrd", option, "m.txt") == 1
    assert f"m.txt is not the name of a {kind} file" in capsys.readouterr().err
    assert not (folder / "m.txt").exists()


def test_the_longest_of_a_list(folder: Path) -> None:
    options = ["--components", "list.json", "--output", "map.nrrd", "--longest", "1"]
    assert run("errormap", "found.nrrd", "truth.nrrd", *options) == 0
    (folder / "map.nrrd").unlink()
    assert run("errormap", "found.nrrd", "truth.nrrd", "--components", "all.json", "--output", "map.nrrd") == 0
    one, everything = (json.loads((folder / name).read_text()) for name in ("list.json", "all.json"))
    assert one["count"] == everything["count"] == len(everything["components"])
    assert one["components"] == everything["components"][:1]


def test_no_opengl_is_one_line_and_leaves_nothing(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vesselseg", "errormap", "found.nrrd", "truth.nrrd", "--output", "map.nrrd",
         "--figure", "map.png", "--progress", "none"],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow"},
    )  # fmt: skip
    if done.returncode == 0:
        pytest.skip("OSMesa is installed here: there is always an OpenGL")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no OpenGL" in done.stderr
    assert not list(folder.glob("map.*"))


def test_thresholds_writes_table_and_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mask", "mask.nrrd", "--csv", "t.csv", "--figure", "t.pdf", "--current", "0.4"]
    assert run("thresholds", "probability.nrrd", "truth.nrrd", *options) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("largest Dice 1.000 at threshold 0.7")
    assert ", inside the mask, small pieces kept; expected" in line
    assert len((folder / "t.csv").read_text().splitlines()) == 101
    assert (folder / "t.pdf").stat().st_size > 5000
    measured = [row["cldice"] != "" for row in csv.DictReader((folder / "t.csv").open())]
    assert sum(measured) == 6  # those that the help names
    assert all(measured[hundredth - 1] for hundredth in (10, 30, 50, 70, 90))
    assert run("thresholds", "scan.nrrd", "truth.nrrd") == 1
    assert run("thresholds", "truth.nrrd", "truth.nrrd") == 1
    assert "is a label, not a probability map" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--current", "0"], ["--title", "a"], ["--dpi", "300"], ["--background", "white"]])
def test_wishes_for_a_figure_need_one(folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("thresholds", "probability.nrrd", "truth.nrrd", *options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "are for the figure" in line
