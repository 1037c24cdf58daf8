"""The command line as other programs call it: in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from inputs import BAD_INPUTS, make_bad_files, write_dicom
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume, write_volume
from vesselseg.volume import Volume

COMMAND = [sys.executable, "-m", "vesselseg"]


def vesselseg(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def scan(make_scan: Callable[..., Volume], tmp_path: Path) -> Path:
    folder = tmp_path / "scans, with spaces and é"
    folder.mkdir()
    write_volume(make_scan(Geometry((48, 44, 24), (0.6, 0.6, 0.6), (3.0, -4.0, 5.0))), folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_segment_writes_label_and_probability_on_the_scans_grid(scan: Path, suffix: str, tiny_model: str) -> None:
    label, probability = scan.parent / f"label{suffix}", scan.parent / f"probability{suffix}"
    done = vesselseg(
        "segment", scan, "--output", label, "--probability", probability, "--model", tiny_model, "--brain-mask", "none",
        "--threshold", "0.6", "--min-component", "0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cpu" in done.stdout or "cuda" in done.stdout
    assert names(scan.parent) == sorted([scan.name, label.name, probability.name])
    read = sitk.ReadImage(str(label))
    source = sitk.ReadImage(str(scan))
    for ours, theirs in zip(
        (read.GetSize(), read.GetSpacing(), read.GetOrigin(), read.GetDirection()),
        (source.GetSize(), source.GetSpacing(), source.GetOrigin(), source.GetDirection()),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert read.GetPixelID() == sitk.sitkUInt8
    assert np.all(read_volume(probability).array[sitk.GetArrayFromImage(read) == 1] >= 0.6)


def test_progress_as_json_lines(scan: Path, tiny_model: str, tmp_path: Path) -> None:
    options = ["--model", tiny_model, "--brain-mask", "none", "--progress", "json"]
    done = vesselseg("segment", scan, "--output", tmp_path / "label.nrrd", *options)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    percents = [event["percent"] for event in events if event["event"] == "progress"]
    assert percents[0] == 0
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert events[-1]["event"] == "result"
    assert events[-1]["model"] == tiny_model
    assert events[-1]["vessel_voxels"] > 0


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_one_line_and_leaves_nothing(name: str, tmp_path: Path, tiny_model: str) -> None:
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    path = make_bad_files(inputs)[name]
    done = vesselseg("segment", path, "--output", outputs / "x.nii.gz", "--model", tiny_model, "--progress", "none")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("vesselseg: error: ")
    assert done.stderr.count("\n") == 1
    assert names(outputs) == []


def test_error_as_json_says_the_same(tmp_path: Path, tiny_model: str) -> None:
    done = vesselseg(
        "segment", tmp_path / "no.nii", "--output", tmp_path / "x.nii", "--model", tiny_model, "--progress", "json"
    )
    assert done.returncode == 1
    event = json.loads(done.stdout.splitlines()[-1])
    assert event["event"] == "error"
    assert event["message"] in done.stderr
    assert event["advice"]


def test_an_input_is_never_replaced(scan: Path, tiny_model: str) -> None:
    mask = scan.parent / "mask.nii.gz"
    volume = read_volume(scan)
    write_volume(volume.with_array((volume.array > 50).astype(np.uint8)), mask)
    before = mask.read_bytes()
    for done in (
        vesselseg("segment", scan, "--output", mask, "--brain-mask", mask, "--model", tiny_model, "--overwrite"),
        vesselseg("evaluate", mask, mask, "--json", mask, "--overwrite"),
        vesselseg("errormap", mask, mask, "--output", mask, "--overwrite"),
    ):
        assert done.returncode == 1
        assert "is an input" in done.stderr
    assert mask.read_bytes() == before


def test_several_dicom_series_are_said(make_scan: Callable[..., Volume], tmp_path: Path, tiny_model: str) -> None:
    for count in (6, 9):
        write_dicom(make_scan(Geometry((24, 24, count), (1, 1, 1))), tmp_path / "in", series=f"1.2.3.{count}")
    options = ["--model", tiny_model, "--brain-mask", "none"]
    done = vesselseg("segment", tmp_path / "in", "--output", tmp_path / "x.nrrd", *options)
    assert done.returncode == 0, done.stderr
    assert "2 DICOM series" in done.stderr


def test_a_wrong_seed_leaves_nothing(tmp_path: Path) -> None:
    for command in ("phantom", "demo"):
        assert vesselseg(command, "--seed", "-1", "--output", tmp_path / "out").returncode == 2
    assert names(tmp_path) == []


def test_an_empty_argument_is_wrong_usage(tmp_path: Path) -> None:
    assert vesselseg("segment", "scan.nii", "--output", "", "--probability", tmp_path / "p.nii").returncode == 2


def test_a_user_without_a_home_has_the_shipped_models() -> None:
    # As for a user number that the system does not know, in a container.
    code = "import os, pwd; del os.environ['HOME']; pwd.getpwuid = {}.__getitem__; import vesselseg.models as m"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; m.list_models()"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_existing_output_needs_overwrite(scan: Path, tiny_model: str) -> None:
    output = scan.parent / "label.nii.gz"
    output.write_text("precious")
    arguments = ["segment", scan, "--output", output, "--model", tiny_model, "--brain-mask", "none"]
    done = vesselseg(*arguments)
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    assert output.read_text() == "precious"
    assert vesselseg(*arguments, "--overwrite").returncode == 0
    assert read_volume(output).array.any()


def test_output_over_the_input_is_refused(scan: Path, tiny_model: str) -> None:
    before = scan.read_bytes()
    done = vesselseg("segment", scan, "--output", scan, "--model", tiny_model, "--overwrite")
    assert done.returncode == 1
    assert "is an input" in done.stderr
    assert scan.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["nonesuch"],
        [],
        ["segment", "a", "--output", "b", "--threshold", "x"],
        ["segment", "a", "--output", "b", "--threshold", "1.5"],
        ["segment", "a", "--output", "b", "--min-component", "-1"],
        ["synthesize", "--output", "a", "--count", "0"],
        ["synthesize", "--output", "a", "--simulated-share", "2"],
        ["synthesize", "--output", "a", "--spacing", "0.1", "0.5"],
        ["synthesize", "--output", "a", "--supersampling", "0"],
        ["train", "--finetune", "tof-unet3d", "--steps", "0", "--cases", "a", "--output", "b"],
        ["bench", "--rounds", "0"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert vesselseg(*arguments).returncode == 2


@pytest.fixture
def long_run(make_scan: Callable[..., Volume], tmp_path: Path, tiny_model: str) -> Callable[..., subprocess.Popen[str]]:
    """Start a segmentation that takes some seconds, and wait until the network is at work."""
    write_volume(make_scan(Geometry((300, 300, 400), (0.6, 0.6, 0.6))), tmp_path / "long.nrrd", compress=False)
    (tmp_path / "out").mkdir()

    def start(*extra: str, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "segment", str(tmp_path / "long.nrrd"), "--output", str(tmp_path / "out" / "label.nii.gz"),
             "--probability", str(tmp_path / "out" / "probability.nii.gz"), "--model", tiny_model,
             "--brain-mask", "none", "--device", "cpu", "--progress", "json", *extra],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("percent", 0) > 2:
                return process
        raise AssertionError(process.communicate()[1])

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing(
    number: int, long_run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = long_run()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert names(tmp_path / "out") == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without hang-ups")
@pytest.mark.parametrize("ignored", [True, False])
def test_nohup_is_heeded(ignored: bool) -> None:
    listens = "from vesselseg.cli.main import main; import signal; main(['models', 'list']); signal.raise_signal(1)"
    done = subprocess.run(
        [sys.executable, "-c", listens], capture_output=True, text=True, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode == 0) == ignored
    assert ("KeyboardInterrupt" in done.stderr) != ignored


@pytest.fixture
def label(make_scan: Callable[..., Volume], tmp_path: Path) -> Path:
    truth = make_scan()
    write_volume(truth.with_array((truth.array > 180).astype(np.uint8)), tmp_path / "label é.nii.gz")
    return tmp_path / "label é.nii.gz"


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2), (0, 2)])
def test_closed_streams_are_no_hindrance(closed: tuple[int, ...], label: Path, tmp_path: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    command = [*COMMAND, "evaluate", label, label, "--json", tmp_path / "metrics.json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, preexec_fn=close)
    assert done.returncode == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["dice"] == 1
    assert ("Dice" in done.stdout) == (1 not in closed)
    command = [*COMMAND, "evaluate", label, tmp_path / "no.nii", "--progress", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, preexec_fn=close)
    assert done.returncode == 1
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ([] if 1 in closed else ["error"])


def test_names_that_the_output_cannot_encode_are_no_hindrance(label: Path, tiny_model: str, make_scan: Any) -> None:
    scan = label.parent / "scan.nii"
    write_volume(make_scan(), scan)
    command = [*COMMAND, "segment", scan, "--model", tiny_model, "--brain-mask", "none", "--output"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for name, progress in (("é1.nii", "none"), ("é2.nii", "json")):
        done = subprocess.run(
            [*command, label.parent / name, "--progress", progress], capture_output=True, env=environment, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert (label.parent / name).is_file()
        if progress == "json":
            assert json.loads(done.stdout.splitlines()[-1])["event"] == "result"
        else:
            assert b"\\xe91.nii: " in done.stdout


@pytest.mark.parametrize("progress", ["plain", "json"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
def test_an_error_that_nobody_reads_is_no_traceback(progress: str, tmp_path: Path) -> None:
    command = [*COMMAND, "evaluate", str(tmp_path / "no.nii"), str(tmp_path / "no.nii"), "--progress", progress]
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full, os.fdopen(writing, "w") as gone:
        for where in (full, gone):
            done = subprocess.run(command, stdout=where, stderr=subprocess.PIPE, text=True, timeout=60)
            assert done.returncode == 1
            assert done.stderr.startswith("vesselseg: error: there is no file")
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "--model", "nonesuch", "--output", "{}/a/b"], "no model 'nonesuch'"),
        (["demo", "--device", "tpu", "--output", "{}/a/b"], "no device 'tpu'"),
        (["demo", "--output", "{}/file/a"], "cannot be made"),
        (["phantom", "--output", "{}/file/a"], "cannot be made"),
        (["synthesize", "--simulated-share", "1", "--output", "{}/file/a"], "cannot be made"),
        (["train", "--finetune", "tof-unet3d", "--output", "{}/a"], "no cases"),
        (["train", "--finetune", "tof-unet3d", "--cases", "{}", "--output", "{}/a"], "there is no file"),
        (["demo", "--output", "{}/a", "--model", "{}/no.json"], "there is no file"),
        (["demo", "--output", "{}/a", "--model", "{}/a.safetensors"], "give the manifest {}/a.json"),
        (["models", "import", "{}/no.json"], "there is no file"),
        (["bench", "--model", "nonesuch", "--folder", "{}/a"], "no model 'nonesuch'"),
        (["bench", "--untrained", "nonesuch", "--folder", "{}/a"], "no network 'nonesuch'"),
        (["bench", "peer"], "own processes"),
        (["web", "{}/no.nii", "--port", "0"], "there is no file"),
    ],
)
def test_what_cannot_be_done_is_said_before_long_work_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = vesselseg(*(each.format(tmp_path) for each in arguments), "--progress", "json")
    assert done.returncode == 1
    assert message.format(tmp_path) in done.stderr
    assert [event["event"] for event in map(json.loads, done.stdout.splitlines())] == ["error"]
    assert names(tmp_path) == ["file"]


#: Runs the command line without the limit of what is resampled.
_UNLIMITED = """
import sys
from vesselseg.cli.main import main
from vesselseg.prediction import preparation
preparation._MOST_VOXELS = float("inf")
sys.exit(main())
"""


def test_memory_that_itk_does_not_get_is_told_in_one_line(scan: Path, models_folder: Path, tmp_path: Path) -> None:
    for path in models_folder.iterdir():
        shutil.copy(path, tmp_path)
    manifest = json.loads((tmp_path / "tiny.json").read_text())
    (tmp_path / "tiny.json").write_text(json.dumps({**manifest, "spacing_mm": [1e-4] * 3}))
    command = ["segment", scan, "--output", scan.parent / "label.nii", "--model", tmp_path / "tiny.json"]
    done = subprocess.run(
        [sys.executable, "-c", _UNLIMITED, *command, "--brain-mask", "none", "--progress", "none"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("vesselseg: error: the memory does not suffice")
    assert done.stderr.count("\n") == 1
    assert names(scan.parent) == [scan.name]


def test_an_interrupted_phantom_leaves_no_folder(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "phantom", "--output", str(tmp_path / "phantom"), "--progress", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert names(tmp_path) == []


def test_worker_ends_when_its_front_end_is_gone(long_run: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process = long_run("--stop-with-stdin", stdin=subprocess.PIPE)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    started = time.monotonic()
    assert process.wait(timeout=20) == 130
    assert time.monotonic() - started < 10
    assert names(tmp_path / "out") == []


def test_worker_that_is_done_ends_while_its_front_end_lives() -> None:
    with subprocess.Popen(
        [*COMMAND, "devices", "--stop-with-stdin"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.wait(timeout=20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_evaluate_and_errormap(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    truth = make_scan()
    truth = truth.with_array((truth.array > 180).astype(np.uint8))
    found = truth.with_array(np.roll(truth.array, 1, axis=2))
    write_volume(truth, tmp_path / "truth.nii.gz")
    write_volume(found, tmp_path / "found.nii.gz")
    done = vesselseg("evaluate", tmp_path / "found.nii.gz", tmp_path / "truth.nii.gz", "--json", tmp_path / "m.json")
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "m.json").read_text())
    wanted = {"dice", "precision", "sensitivity", "cldice", "hd95_mm", "assd_mm", "nsd", "betti0_error"}
    assert wanted <= values.keys()
    both = np.count_nonzero(truth.array & found.array)
    assert values["dice"] == pytest.approx(2 * both / (truth.array.sum() + found.array.sum(dtype=int)))
    assert f"{values['dice']:.3f}" in done.stdout
    done = vesselseg(
        "errormap", tmp_path / "found.nii.gz", tmp_path / "truth.nii.gz", "--output", tmp_path / "map.nrrd",
        "--figure", tmp_path / "map.png", "--dpi", 60, "--components", tmp_path / "errors.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.count_nonzero(read_volume(tmp_path / "map.nrrd").array == 1) == both
    header, *rows = (tmp_path / "errors.csv").read_text().splitlines()
    assert header.startswith("kind,voxels,volume_mm3,r_mm,a_mm,s_mm,")
    wrong = np.count_nonzero(truth.array != found.array)
    assert sum(int(row.split(",")[1]) for row in rows) == wrong


def test_empty_prediction_gives_json_that_others_can_read(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    write_volume(scan.with_array((scan.array > 180).astype(np.uint8)), tmp_path / "truth.nii.gz")
    write_volume(scan.with_array(np.zeros(scan.array.shape, np.uint8)), tmp_path / "found.nii.gz")
    done = vesselseg("evaluate", tmp_path / "found.nii.gz", tmp_path / "truth.nii.gz", "--json", tmp_path / "m.json")
    assert done.returncode == 0, done.stderr

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    values = json.loads((tmp_path / "m.json").read_text(), parse_constant=refuse)
    assert values["dice"] == 0
    assert values["hd95_mm"] is None


def test_models_and_devices(tiny_model: str, models_folder: Path) -> None:
    assert tiny_model in vesselseg("models", "list").stdout
    for arguments in (("--progress", "json", "list"), ("list", "--progress", "json")):
        assert tiny_model in json.loads(vesselseg("models", *arguments).stdout)["models"]
    info = json.loads(vesselseg("models", "info", tiny_model).stdout)
    assert info == json.loads((models_folder / "tiny.json").read_text())
    assert "only models that were imported" in vesselseg("models", "remove", tiny_model).stderr
    assert vesselseg("models", "import", models_folder / "tiny.json", "--overwrite").returncode == 1
    devices = json.loads(vesselseg("devices", "--json").stdout)
    assert devices[-1]["name"] == "cpu"
    assert devices[-1]["memory_bytes"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


#: Runs the command line on what calls itself another system, and tells which locale it asks for; there is none.
_LOCALE = """
import locale, sys
from vesselseg.cli.main import main
def asked(category, name=None):
    print(category == locale.LC_CTYPE, name)
    raise locale.Error("unsupported locale setting")
locale.setlocale = asked
sys.platform = sys.argv[1]
sys.exit(main(["--version"]))
"""


@pytest.mark.parametrize(("system", "asked"), [("win32", ["True .UTF-8"]), ("linux", []), ("darwin", [])])
def test_on_windows_names_are_given_to_the_c_library_in_utf_8(system: str, asked: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", _LOCALE, system], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == asked
