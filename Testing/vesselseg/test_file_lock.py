from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
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
