"""The benchmark's processes: what is measured of them, and that none is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselseg.benchmark import measuring
from vesselseg.benchmark.measuring import measure
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume

VESSELSEG = [sys.executable, "-m", "vesselseg"]

needs_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux' list of processes")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def processes_with(text: str) -> list[str]:
    """Return the command lines of all living processes that hold a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if text in line:
                found.append(line)
    return found


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell the memory of a process that ended")
def test_memory_is_that_of_the_program_and_its_children_not_of_this_process() -> None:
    ballast = np.ones(40_000_000)  # 320 MB
    small = measure(python("pass"))
    large = measure(
        python("import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = b\"x\" * 150_000_000'])")
    )
    assert ballast[-1] == 1
    assert small.peak_bytes is not None
    assert large.peak_bytes is not None
    assert small.peak_bytes < 60e6
    assert 150e6 < large.peak_bytes < 220e6


def test_events_come_with_their_moments_and_other_lines_are_left_out() -> None:
    code = "import json, time; print('a library greets'); print('[1]')\n"
    code += "for k in range(2): print(json.dumps({'event': 'progress', 'k': k}), flush=True); time.sleep(0.2)\n"
    code += "print(json.dumps({'event': 'result', 'value': 7}))"
    seen: list[Any] = []
    measurement = measure(python(code), until=lambda event: bool(seen.append(event)))
    assert [event["event"] for _, event in measurement.events] == ["progress", "progress", "result"]
    moments = [moment for moment, _ in measurement.events]
    assert 0 < moments[0] < moments[1] - 0.1 < moments[2]
    assert moments[2] <= measurement.seconds + 0.1
    assert measurement.result["value"] == 7
    assert measurement.failure == ""
    assert len(seen) == 3


def test_a_failure_is_told_in_the_programs_own_words() -> None:
    done = measure(python("import sys; print('this is wrong', file=sys.stderr); sys.exit(3)"))
    assert (done.exit_code, done.failure) == (3, "this is wrong")
    told = python('print(\'{"event": "error", "message": "no scan", "advice": "give one"}\'); raise SystemExit(1)')
    assert measure(told).failure == "no scan"
    assert measure(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")).failure != ""


def test_a_command_is_stopped_when_it_has_said_enough() -> None:
    code = "import json, sys; print(json.dumps({'event': 'progress'}), flush=True); sys.stdin.read(); sys.exit(5)"
    measurement = measure(python(code), until=lambda event: event["event"] == "progress")
    assert len(measurement.events) == 1
    assert measurement.exit_code == 5  # it ended by itself when its standard input closed


@needs_linux
def test_a_command_that_does_not_listen_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_PATIENCE_S", 0.3)
    mark = f"marked-{os.getpid()}"
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', "
    code += f"'{mark}']); print('{{\"event\": \"progress\"}}', flush=True); time.sleep(60)"
    measure(python(code), until=lambda event: True)
    time.sleep(0.1)
    assert processes_with(mark) == []


@pytest.fixture
def scan(make_scan: Any, tmp_path: Path) -> Path:
    write_volume(make_scan(Geometry((64, 48, 20), (0.6, 0.6, 0.6))), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VESSELSEG, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_engines_and_peers_are_compared_and_saved(scan: Path, tiny_model: str, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    options = ["--scan", scan, "--model", tiny_model, "--brain-mask", "none", "--quick", "--rounds", "1"]
    done = run(
        "engines", *options, "--only", "torch-f32", "openvino-int8", "monai", "torch-eager", "--json",
        tmp_path / "bench.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "bench.json").read_text())
    assert values["subject"] == "engines"
    assert values["case"]["size"] == [64, 48, 16]
    assert values["machine"]["versions"]["torch"]
    assert values["machine"]["usable_cores"] >= 1
    assert values["peaks"]["f32"]["flops"] > 0
    assert values["date"].startswith("20")
    programs = {program["name"]: program for program in values["programs"]}
    assert list(programs) == ["openvino-int8", "torch-f32", "monai", "torch-eager"]
    assert "int8" in programs["openvino-int8"]["not_run"]
    own, monai, eager = (programs[name] for name in ("torch-f32", "monai", "torch-eager"))
    assert eager["network_s"] > 0
    assert eager["runs"][0]["network_voxels"] == 16 * 48 * 64
    assert 0 < eager["share_of_peak"] < 1.5
    assert monai["faster"] == [1.0, 1.0, 1.0]
    # Without a mask this program too sees whole slices; MONAI's windows fill up with zeros what the slice lacks.
    assert own["largest_difference"] <= 1e-5
    assert own["dice"] == 1.0
    assert own["total_s"] > own["first_part_s"] > own["import_s"] > 0
    for name in programs:
        assert name in done.stdout
    assert "peak f32" in done.stdout


def test_a_missing_program_and_wrong_usage_are_told(tmp_path: Path) -> None:
    done = run("--only", "nonesuch")
    assert done.returncode == 1
    assert "nonesuch" in done.stderr
    assert "openvino-f32" in done.stderr
    assert run("engines", "--rounds", "0").returncode == 2
    for subject, option in (("startup", "--only"), ("metrics", "--scan"), ("edit", "--brain-mask")):
        done = run(subject, option, "something")
        assert done.returncode == 1
        assert f"{option} does nothing for 'bench {subject}'" in done.stderr
    (tmp_path / "there.json").write_text("precious")
    done = run("metrics", "--json", tmp_path / "there.json")
    assert done.returncode == 1
    assert "--overwrite" in done.stderr


@needs_linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_benchmark_leaves_no_process(
    number: int, scan: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = [*VESSELSEG, "bench", "--scan", str(scan), "--model", tiny_model, "--only", "torch-eager"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        # The peer has the place of its outputs among its arguments.
        while not processes_with(str(temporary)):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(timeout=30)
    while processes_with(str(temporary)):
        assert time.monotonic() < until + 30
        time.sleep(0.05)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert list(temporary.iterdir()) == []
