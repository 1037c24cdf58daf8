"""Locks on files, which go with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import weakref
from pathlib import Path
from typing import IO

_locks: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()


def lock_file(path: Path) -> IO[bytes]:
    """Open a file, made if need be, and lock it until it is closed or the process ends.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    file object

    Raises
    ------
    BlockingIOError
        If it is locked already, be it by this process.
    OSError
        If it cannot be opened, or lies where files cannot be locked: some network file systems know no locks.
    """
    file = open(path, "a+b")  # noqa: SIM115 (it stays open as long as it is locked)
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:
                raise BlockingIOError(*error.args) from error
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_lock_of(file, path):
                raise BlockingIOError(errno.EAGAIN, "its former owner has just removed it", str(path))
    except BaseException:
        file.close()
        raise
    _locks.add(file)
    return file


def is_lock_of(lock: IO[bytes], path: Path) -> bool:
    """Tell whether a lock still keeps others out: its file is neither closed nor removed."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
    except (OSError, ValueError):
        return False


def remove_locked(path: Path, lock: IO[bytes]) -> None:
    """Remove a locked file, or the folder that it lies in, and end the lock; nobody can take the lock in between."""
    if sys.platform == "win32":
        lock.close()  # it removes no open file: not this one, nor one that somebody else has locked since
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
    lock.close()


def _let_go() -> None:
    for file in list(_locks):
        file.close()


if sys.platform != "win32":
    # A worker process, which may outlive its parent, would hold the lock with it.
    os.register_at_fork(after_in_child=_let_go)
