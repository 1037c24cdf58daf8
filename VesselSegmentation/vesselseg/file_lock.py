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
                if error.errno in (errno.EACCES, errno.EDEADLK):
                    raise BlockingIOError(*error.args) from error
                raise
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
    """Remove a locked file, or the folder that it lies in, and end the lock.

    Nobody can take the lock as long as anything but its file is there. On Windows somebody can just before that file
    goes too: it and the folder are left then.

    Parameters
    ----------
    path : pathlib.Path
        The file, or its folder. A file that is not the locked one any more is left: somebody else may have locked it.
    lock : file object
        As `lock_file` gives it.
    """
    own = Path(lock.name)
    with contextlib.closing(lock), contextlib.suppress(OSError):
        if path.is_dir():
            _remove_all_but(own.name, path)
        elif not is_lock_of(lock, path):
            return
        if sys.platform == "win32":
            lock.close()  # it removes no open file: not this one, nor one that somebody else has locked since
        own.unlink(missing_ok=True)
        if path != own:
            path.rmdir()


def _remove_all_but(kept: str, folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _let_go() -> None:
    for file in list(_locks):
        file.close()


if sys.platform != "win32":
    # A worker process, which may outlive its parent, would hold the lock with it.
    os.register_at_fork(after_in_child=_let_go)
