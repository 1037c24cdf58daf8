"""Ctrl-C at moments that no clock hits: the process of the command line sends it to itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vesselseg.image_io import write_volume
from vesselseg.volume import Volume

_ONE_LINE = "vesselseg: error: cancelled; no output was left half-written\n"
#: What ``python -m vesselseg`` does, after some preparation.
_RUN = """
import atexit, runpy, shutil, signal, sys, time
def ctrl_c():
    signal.raise_signal(signal.SIGINT)
{}
runpy.run_module("vesselseg", run_name="__main__", alter_sys=True)
"""
#: Does something while a module is looked for.
_AT_IMPORT = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{}":
            {}()
def ctrl_c_as_import_error():
    try:
        ctrl_c()
    except KeyboardInterrupt:
        raise ImportError("a part of it cannot be loaded")
sys.meta_path.insert(0, Finder())
"""
#: Ctrl-C while an output is written, and another one when it is taken away.
_WHILE_WRITING = """
import SimpleITK
write, remove = SimpleITK.WriteImage, shutil.rmtree
def write_and_interrupt(*arguments, **options):
    write(*arguments, **options)
    ctrl_c()
def interrupt_and_remove(folder, **options):
    ctrl_c()
    remove(folder, **options)
SimpleITK.WriteImage, shutil.rmtree = write_and_interrupt, interrupt_and_remove
"""
_CLEAN_UP_HANGS = """
from vesselseg.cli import interruption
interruption.CLEAN_UP_SECONDS = 0.1
def hang(folder, **options):
    time.sleep(0.2)
    ctrl_c()
    time.sleep(60)
shutil.rmtree = hang
"""
_WHEN_ALL_IS_DONE = "atexit.register(ctrl_c)"

Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(make_scan: Callable[..., Volume], tiny_model: str, tmp_path: Path) -> Run:
    """Segment a scan, into an empty folder, in a process that is prepared by some code."""
    write_volume(make_scan(), tmp_path / "scan.nii")
    (tmp_path / "out").mkdir()
    outputs = ["--output", tmp_path / "out" / "label.nii", "--probability", tmp_path / "out" / "probability.nii"]
    options = ["--model", tiny_model, "--brain-mask", "none", "--device", "cpu", "--progress", "none"]

    def start(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _RUN.format(code), "segment", tmp_path / "scan.nii", *outputs, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return start


@pytest.mark.parametrize(
    "code",
    [
        _AT_IMPORT.format("vesselseg.cli.main", "ctrl_c"),
        _AT_IMPORT.format("numpy", "ctrl_c"),
        _AT_IMPORT.format("numpy.linalg", "ctrl_c_as_import_error"),
        _AT_IMPORT.format("vesselseg.segmentation", "ctrl_c"),
        _AT_IMPORT.format("SimpleITK", "ctrl_c_as_import_error"),
        _WHILE_WRITING,
    ],
    ids=["start", "arguments", "error at the start", "command", "error in the command", "twice while writing"],
)
def test_whenever_it_comes_it_is_one_line_and_leaves_nothing(run: Run, code: str, tmp_path: Path) -> None:
    done = run(code)
    assert (done.returncode, done.stderr) == (130, _ONE_LINE)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_process_that_hangs_while_it_cleans_up_can_be_ended(run: Run) -> None:
    started = time.monotonic()
    done = run(_WHILE_WRITING + _CLEAN_UP_HANGS)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 50


def test_after_the_work_it_changes_nothing(run: Run, tmp_path: Path) -> None:
    done = run(_WHEN_ALL_IS_DONE)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"label.nii", "probability.nii"}
