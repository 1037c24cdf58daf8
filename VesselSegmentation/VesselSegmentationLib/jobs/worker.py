"""The command line in a process of its own, watched without ever waiting for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import vesselseg
from vesselseg.errors import VesselSegError
from vesselseg.file_lock import lock_file

#: Kinds of events that a worker reports; each is a dict with the key "event".
EVENTS = ("progress", "log", "preview", "result", "error")

_LAST_BYTES = 16384
_KILL_SECONDS = 5.0
_FOLDER_PREFIX = "vesselseg-"
_LOCK_NAME = "lock"
#: In the current folder of a worker: all its arguments, as a list in JSON.
_ARGUMENTS_NAME = "arguments.json"
#: A folder that is just being made is not locked yet.
_UNLOCKED_SECONDS = 10.0
#: Pauses between the tries to remove a folder.
_RETRY_SECONDS = (0.1, 0.3)
#: Of the private folders of this process; they go with it, however it ends.
_locks: dict[str, IO[bytes]] = {}


@dataclass(frozen=True)
class PythonCommand:
    """How to start Python for a worker.

    Parameters
    ----------
    command : tuple of str
        The interpreter and its first arguments; in 3D Slicer the path of PythonSlicer.
    environment : mapping of str to str
        Variables that are added to those of this process, or take their place.
    """

    command: tuple[str, ...] = field(default_factory=lambda: (sys.executable,))
    environment: Mapping[str, str] = field(default_factory=dict)


def worker_environment(python: PythonCommand, folder: Path) -> dict[str, str]:
    """Return the environment of a worker.

    Parameters
    ----------
    python : PythonCommand
    folder : pathlib.Path
        Where the worker keeps its temporary files, so that they go with the folder even if it is killed.
    """
    environment = {**os.environ, **python.environment}
    package_folder = str(Path(vesselseg.__file__).resolve().parents[1])
    former = environment.get("PYTHONPATH")
    # The same version of the library as in this process, whatever else is installed.
    environment["PYTHONPATH"] = os.pathsep.join([package_folder, former] if former else [package_folder])
    if environment.get("VESSELSEG_MODELS"):
        # The worker has another current folder.
        folders = environment["VESSELSEG_MODELS"].split(os.pathsep)
        environment["VESSELSEG_MODELS"] = os.pathsep.join(os.path.abspath(name) for name in folders if name)
    environment.update(PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)))
    return environment


class Worker:
    """Run ``python -m vesselseg`` in a process of its own.

    The process writes into files of a private folder, and `poll` reads what is new there. Unlike a pipe, a file never
    makes the process wait for us, and it needs no thread: inside 3D Slicer threads only run while the main thread
    lets them. The process holds the other end of a pipe as its standard input and ends when that closes: it does not
    outlive a crashed application.

    Parameters
    ----------
    arguments : sequence of str
        For ``python -m vesselseg``.
    folder : path-like, optional
        An existing folder for the files of the process; the default is a new one. It is removed by `close`, and when
        this object goes, whoever made it.
    python : PythonCommand, optional
        How to start Python; the default is this process' interpreter.

    Raises
    ------
    VesselSegError
        If the process cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: str | os.PathLike[str] | None = None,
        python: PythonCommand | None = None,
    ) -> None:
        python = python or PythonCommand()
        self.folder = Path(folder) if folder is not None else private_folder()
        # PythonSlicer of Slicer 5.8 and 5.10 on Windows garbles what is not ASCII: the arguments come from a file. The
        # command stands here, too, for lists of processes.
        command = [*python.command, "-m", "vesselseg", *arguments[:1], "--arguments-from", _ARGUMENTS_NAME]
        self._output_path, self._errors_path = self.folder / "stdout.txt", self.folder / "stderr.txt"
        try:
            (self.folder / _ARGUMENTS_NAME).write_text(json.dumps(list(arguments)), encoding="utf-8")
            with open(self._output_path, "wb") as output, open(self._errors_path, "wb") as errors:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=errors,
                    env=worker_environment(python, self.folder),
                    # The current folder comes first among the modules: it must not hold any.
                    cwd=self.folder,
                    **own_group(),
                )
        except OSError as error:
            remove_folder(str(self.folder))
            raise VesselSegError(
                f"the worker process cannot be started: {error}", f"check that {python.command[0]} is a working Python"
            ) from error
        # Runs on close, else when this object goes or the interpreter ends, whichever comes first.
        self._clean_up = weakref.finalize(self, _clean_up, self._process, str(self.folder))
        self._output = open(self._output_path, "rb")  # noqa: SIM115 - read bit by bit until the process ends
        self._incomplete = b""
        self.finished = False

    @property
    def returncode(self) -> int | None:
        """Exit status of the process; negative: the signal that ended it; None while it runs."""
        return self._process.poll()

    def poll(self) -> list[dict[str, Any]]:
        """Return the events since the last call. Never waits.

        Returns
        -------
        list of dict
            Each with the key "event", one of `EVENTS`. A line that is no event comes as one of kind "log". After the
            one call that returned the last of them, `finished` is True.
        """
        if self.finished:
            return []
        # Asked before reading: what was written before the end is then read for sure.
        ended = self._process.poll() is not None
        *lines, self._incomplete = (self._incomplete + self._output.read()).split(b"\n")
        if ended:
            lines.append(self._incomplete)
            self._output.close()
            self.finished = True
        return [_event(line) for line in (raw.decode("utf-8", "replace").strip() for raw in lines) if line]

    def last_error_lines(self, count: int = 30) -> list[str]:
        """Return the last whole lines that the process wrote to standard error."""
        if not self._errors_path.is_file():
            return []
        with open(self._errors_path, "rb") as errors:
            size = errors.seek(0, os.SEEK_END)
            errors.seek(max(size - _LAST_BYTES, 0))
            lines = errors.read().decode("utf-8", "replace").splitlines()
        return [line for line in lines[1 if size > _LAST_BYTES else 0 :] if line.strip()][-count:]

    def ask_to_end(self) -> None:
        """Close the standard input of the process: one that listens to that cleans up and ends by itself."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def cancel(self) -> None:
        """End the process and its children at once.

        Nothing is asked of the process: it may be in a long call that does not listen, and whatever it leaves behind
        lies in the folder.
        """
        _kill_group(self._process)

    def close(self) -> None:
        """End the process, if it still runs, and remove the folder."""
        self._output.close()
        self.finished = True
        self._clean_up()


def private_folder() -> Path:
    """Make a new folder that only this user can read; those that crashed processes have left are removed.

    Raises
    ------
    VesselSegError
        If there is no place for temporary files.
    """
    try:
        _remove_what_crashes_left()
        folder = tempfile.mkdtemp(prefix=_FOLDER_PREFIX)
    except OSError as error:
        raise _no_place(error) from error
    with contextlib.suppress(OSError):  # some network file systems know no locks
        _locks[folder] = lock_file(Path(folder) / _LOCK_NAME)
    return Path(folder)


@contextlib.contextmanager
def folder_to_hand_over() -> Iterator[Path]:
    """Make a private folder for a worker's inputs; whoever takes it over removes it.

    It is removed here if an exception leaves the block, since then nobody has taken it over.

    Raises
    ------
    VesselSegError
        If there is no place for temporary files, or not enough.
    """
    folder = private_folder()
    try:
        yield folder
    except BaseException as error:
        remove_folder(str(folder))
        if isinstance(error, VesselSegError) and isinstance(error.__cause__, OSError) and str(folder) in error.message:
            raise _no_place(error.__cause__) from error  # nobody has chosen the name of that file
        raise


def _no_place(error: OSError) -> VesselSegError:
    where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""
    return VesselSegError(
        f"temporary files cannot be written{where}: {error.strerror or error}",
        "make space there, or set TMPDIR (on Windows TEMP) to another folder and start again",
    )


def _remove_what_crashes_left() -> None:
    for lock_path in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*/{_LOCK_NAME}"):
        try:
            if time.time() - lock_path.stat().st_mtime < _UNLOCKED_SECONDS:
                continue
            lock_file(lock_path).close()
        except OSError:  # its process lives, or it belongs to another user
            continue
        _remove(lock_path.parent)


def remove_folder(folder: str) -> None:
    """Remove a folder that `private_folder` made, by its path as text."""
    lock = _locks.pop(folder, None)
    if lock is not None:
        lock.close()  # Windows removes no open file
    for seconds in _RETRY_SECONDS:
        if _remove(Path(folder)):
            return
        time.sleep(seconds)
    _remove(Path(folder))


def _remove(folder: Path) -> bool:
    """Remove a folder; where a worker that is about to end still keeps a file open, leave the lock to be found by."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / _LOCK_NAME).touch()
    return not folder.exists()


def _event(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict) and event.get("event") in EVENTS:
            return event
    return {"event": "log", "level": "info", "message": line}


def own_group() -> dict[str, Any]:
    """Return what `subprocess.Popen` needs for a process that no Ctrl-C of this one reaches, nor a closed console."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _clean_up(process: subprocess.Popen[bytes], folder: str) -> None:
    _kill_group(process)
    remove_folder(folder)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with all its children, and wait until the system has taken it away."""
    if process.poll() is None:
        if sys.platform == "win32":
            command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
            subprocess.run(command, capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW)
        else:
            # Not reaped yet, so that its number cannot belong to another process.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_SECONDS)
    if process.stdin is not None:
        process.stdin.close()
