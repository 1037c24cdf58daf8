"""Folders of drawn scans for training: complete, or drawn again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vesselseg.errors import VesselSegError
from vesselseg.synthesis.dataset import DRAWN_FILES
from vesselseg.training.config import DrawnFolder
from vesselseg.training.drawing import draw_folder


def test_a_grid_too_small_for_an_artery_is_told(tmp_path: Path) -> None:
    wanted = DrawnFolder(count=1, size=(48, 48, 32), spacing_mm=0.8)
    with pytest.raises(VesselSegError, match="no artery fits"):
        draw_folder(wanted, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_scan_that_a_kill_stopped_on_its_way_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = DrawnFolder(count=2, seed=1, size=(72, 80, 56))
    order: list[str] = []
    replaced = os.replace

    def noted(source: Path, target: Path) -> None:
        order.append(target.name)
        replaced(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", noted)
        draw_folder(wanted, tmp_path)
    assert order[-2:] == ["tof.nii.gz", "description.json"]
    other, case = tmp_path / "001_0000", tmp_path / "001_0001"
    made, scan = (other / "tof.nii.gz").stat().st_mtime_ns, (case / "tof.nii.gz").read_bytes()
    for placed in range(1, 5):
        # As a process leaves them that is killed when so many files have taken their places.
        for name in order[5 + placed :]:
            (case / f".vesselseg-{name}").mkdir()
            (case / name).rename(case / f".vesselseg-{name}" / "output")
        draw_folder(wanted, tmp_path)
        assert {path.name for path in case.iterdir()} == set(DRAWN_FILES)
        assert (case / "tof.nii.gz").read_bytes() == scan
    assert (other / "tof.nii.gz").stat().st_mtime_ns == made


def test_a_scan_of_a_former_version_that_has_its_description_alone_is_drawn_again(tmp_path: Path) -> None:
    wanted = DrawnFolder(count=1, seed=1, size=(72, 80, 56))
    (tmp_path / "001_0000").mkdir()
    (tmp_path / "001_0000" / "description.json").write_text("{}", encoding="utf-8")
    draw_folder(wanted, tmp_path)
    assert {path.name for path in (tmp_path / "001_0000").iterdir()} == set(DRAWN_FILES)
