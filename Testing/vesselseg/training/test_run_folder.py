"""The folder of a training run: whose lock it is, and what is removed from it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vesselseg.errors import VesselSegError
from vesselseg.training import run_folder
from vesselseg.training.config import TrainingConfig
from vesselseg.training.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "new" / "out", TrainingConfig(name="tube"))


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int, *, makes_it: bool = False) -> None:
    def refuse(path: Path) -> None:
        if makes_it:
            path.touch()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_folder, "lock_file", refuse)


def enter(folder: RunFolder) -> bool:
    with folder.lock():
        return True


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
def test_a_lock_of_another_user_keeps_a_training_out_and_is_left(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder.folder.mkdir(parents=True)
    (folder.folder / "training.lock").touch()
    refuse_locks(monkeypatch, number)
    with pytest.raises(VesselSegError, match=f"training.lock cannot be locked: {os.strerror(number)}; choose"):
        enter(folder)
    assert (folder.folder / "training.lock").exists()


def test_of_a_folder_that_cannot_be_locked_nothing_is_left(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuse_locks(monkeypatch, errno.EACCES)
    with pytest.raises(VesselSegError, match="cannot be locked"):
        enter(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS])
def test_where_there_are_no_locks_only_an_own_file_is_removed(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int, was_there: bool
) -> None:
    folder.folder.mkdir(parents=True)
    if was_there:
        (folder.folder / "training.lock").touch()
    refuse_locks(monkeypatch, number, makes_it=number != errno.EROFS)
    assert enter(folder)
    assert (folder.folder / "training.lock").exists() == was_there


def test_what_killed_runs_left_half_written_is_removed_from_drawn_scans_too(folder: RunFolder) -> None:
    pytest.importorskip("torch")
    case = folder.folder / "scans" / "training-00ff" / "001_0000"
    for place in (folder.folder, case):
        (place / ".vesselseg-00ff").mkdir(parents=True)
        (place / ".vesselseg-00ff" / "output.nii.gz").touch()
    (case / "tof.nii.gz").touch()
    folder.begin({})
    assert not list(folder.folder.rglob(".vesselseg-*"))
    assert [path.name for path in case.iterdir()] == ["tof.nii.gz"]
