from __future__ import annotations

import errno
import multiprocessing
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vesselseg.file_lock import is_lock_of, lock_file, remove_locked


def test_a_lock_keeps_others_out_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = lock_file(path)
    assert is_lock_of(lock, path)
    with pytest.raises(BlockingIOError):
        lock_file(path)
    lock.close()
    assert not is_lock_of(lock, path)
    lock_file(path).close()


@pytest.mark.parametrize("folder", [True, False])
def test_what_is_locked_can_be_removed(tmp_path: Path, folder: bool) -> None:
    place = tmp_path / "place"
    place.mkdir()
    lock = lock_file(place / "lock")
    remove_locked(place if folder else place / "lock", lock)
    assert not is_lock_of(lock, place / "lock")
    assert place.exists() != folder
    assert list(tmp_path.rglob("lock")) == []


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.EACCES, BlockingIOError), (errno.EDEADLK, BlockingIOError), (errno.EINVAL, OSError)],
)
def test_on_windows_a_file_that_cannot_be_locked_is_not_taken_for_a_locked_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[OSError]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=refuse, LK_NBLCK=2))
    with pytest.raises(OSError, match=os.strerror(number)) as refused:
        lock_file(tmp_path / "lock")
    assert refused.type is raised


@pytest.mark.parametrize("taken", [True, False])
def test_on_windows_who_takes_the_lock_of_a_folder_that_is_removed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    place = tmp_path / "place"
    (place / "half").mkdir(parents=True)
    (place / "half" / "copy").touch()
    (place / "copy").touch()
    lock = lock_file(place / "lock")
    close, unlink = lock.close, Path.unlink
    found: list[list[str]] = []

    def note_close() -> None:
        if not lock.closed:
            found.append([path.name for path in place.iterdir()])
        close()

    def unlink_unless_open(path: Path, **options: Any) -> None:
        if path.name == "lock" and (taken or not lock.closed):
            raise PermissionError(errno.EACCES, "in use")
        unlink(path, **options)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(lock, "close", note_close)
    monkeypatch.setattr(Path, "unlink", unlink_unless_open)
    remove_locked(place, lock)
    assert found == [["lock"]]
    assert [path.name for path in tmp_path.rglob("*")] == (["place", "lock"] if taken else [])


def test_a_lock_that_is_lost_does_not_take_that_of_another_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lost = lock_file(path)
    path.rename(tmp_path / "away")
    lock = lock_file(path)
    remove_locked(path, lost)
    assert lost.closed
    assert is_lock_of(lock, path)
    lock.close()


@pytest.mark.skipif(sys.platform == "win32", reason="removes no open file")
def test_a_file_that_is_removed_while_it_is_locked_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    locked = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        os.unlink(tmp_path / "lock")
        locked(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(BlockingIOError):
        lock_file(tmp_path / "lock")


def rest(pipe: Any) -> None:
    pipe.send("begun")
    pipe.recv()


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = lock_file(tmp_path / "lock")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=rest, args=(theirs,))
    worker.start()
    try:
        assert ours.recv() == "begun"
        with pytest.raises(BlockingIOError):  # its end is not that of the lock
            lock_file(tmp_path / "lock")
        lock.close()
        lock_file(tmp_path / "lock").close()
    finally:
        ours.send(None)
        worker.join()
