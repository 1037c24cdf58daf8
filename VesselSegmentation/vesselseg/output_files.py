"""Files that appear whole or not at all, and what keeps them from being written, found out before any long work."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vesselseg.errors import VesselSegError

#: Begins the names of what is made for a short time where outputs are written.
_TEMPORARY = ".vesselseg-"


def portable_name(name: str) -> str:
    """Return a name with "-" for each character that no name of a file may have on some system: "5: TOF" of DICOM."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "-", name)


def check_outputs(
    outputs: Iterable[str | os.PathLike[str] | None],
    *,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
    overwrite: bool = False,
) -> None:
    """Make sure, before any long work, that files can be written and that none takes the place of another.

    Parameters
    ----------
    outputs : iterable of path-like or None
        The files to be written later; None stands for one that is not asked for.
    inputs : iterable of path-like or None
        Files that are read: never to be replaced, not even with `overwrite`.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    VesselSegError
        As `check_output`, and if two outputs are the same file or an output is an input.
    """
    kept = {_identity(path) for path in inputs if path is not None}
    seen: set[tuple[object, ...]] = set()
    for path in outputs:
        if path is None:
            continue
        check_output(path, overwrite=overwrite)
        identity = _identity(path)
        if identity in kept:
            raise VesselSegError(f"{path} is an input", "choose another name for the output")
        if identity in seen:
            raise VesselSegError(f"two outputs would be the same file, {path}", "give each a name of its own")
        seen.add(identity)


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Make sure, before any long work, that a file can be written.

    Parameters
    ----------
    path : path-like
        The file to be written later.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    VesselSegError
        If the file exists and may not be replaced, if its folder does not exist or is not writable.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise VesselSegError(f"{path} is a folder", "give the name of a file")
        if path.exists() and not path.is_file():  # a rename would replace it
            raise VesselSegError(f"{path} is a device or a pipe", "give the name of a file")
        if _is_there(path) and not overwrite:
            raise _taken(path)
        if not path.parent.is_dir():
            raise VesselSegError(f"there is no folder {path.parent}", "make it first, or choose another one")
        _try_to_write(path.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def check_output_folder(folder: Path) -> None:
    """Make sure, before any long work, that files can be written into a folder, be it one that is still to be made.

    Raises
    ------
    VesselSegError
        If they cannot.
    """
    try:
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        _try_to_write(there)
    except (OSError, ValueError) as error:
        raise _no_folder(folder, error) from error


def make_output_folder(folder: Path) -> None:
    """Make a folder, unless it is there.

    Raises
    ------
    VesselSegError
        If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _no_folder(folder, error) from error


def _no_folder(folder: Path, error: OSError | ValueError) -> VesselSegError:
    reason = getattr(error, "strerror", None) or error
    return VesselSegError(f"the folder {folder} cannot be made: {reason}", "choose another one")


def _try_to_write(folder: Path) -> None:
    """Make a file in a folder and remove it again. Asking for permissions is not enough: the disk may be read-only."""
    probe = _temporary_name(folder)
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    os.unlink(probe)


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder = _temporary_name(parent)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _temporary_name(folder: Path) -> Path:
    # Not by tempfile: without permission, on Windows, that tries billions of names (CPython's issue 66305).
    return folder / f"{_TEMPORARY}{secrets.token_hex(8)}"


def _identity(path: str | os.PathLike[str]) -> tuple[object, ...]:
    """Return what all spellings of a file's name have in common: on Macs and Windows "a.nii" may also be "A.nii"."""
    real = os.path.realpath(path)
    with contextlib.suppress(OSError, ValueError):
        there = os.stat(real)
        if there.st_ino:  # some disks number no files
            return there.st_dev, there.st_ino
    folder, name = os.path.split(real)
    if sys.platform in ("darwin", "win32"):
        name = unicodedata.normalize("NFC", name).casefold()
    with contextlib.suppress(OSError, ValueError):
        there = os.stat(folder)
        if there.st_ino:
            return there.st_dev, there.st_ino, name
    return folder, name


def _is_there(path: Path) -> bool:
    """Tell whether a name is taken, be it by a link that leads nowhere; raises where it cannot be one."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _taken(path: Path) -> VesselSegError:
    return VesselSegError(f"{path} exists already", "choose another name, or give --overwrite to replace it")


def _unwritable(path: Path, error: OSError | ValueError) -> VesselSegError:
    reason = getattr(error, "strerror", None) or error
    return VesselSegError(
        f"{path} cannot be written: {reason}", "choose a name and a folder that you may write to, with enough space"
    )


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name beside a file; the file takes its place only when the block ends without an error.

    Parameters
    ----------
    path : path-like
        The file to be written.
    overwrite : bool
        Whether an existing file may be replaced.
    durable : bool
        Whether to wait until the file is on the disk, so that not even a power cut leaves less than it or what it
        replaces; for a file that is read at once and removed that only takes time.

    Yields
    ------
    pathlib.Path
        Write here. The name ends as `path` does, in lower case: writers tell formats by it.

    Raises
    ------
    VesselSegError
        As `check_output`; also if the file has appeared meanwhile and may not be replaced.
    """
    with atomic_outputs([path], overwrite=overwrite, durable=durable) as (temporary,):
        yield temporary


@contextlib.contextmanager
def atomic_outputs(
    paths: Iterable[str | os.PathLike[str] | None], *, overwrite: bool = False, durable: bool = True
) -> Iterator[list[Any]]:
    """Give temporary names for files that are left together: none takes its place unless all could be written.

    Parameters
    ----------
    paths : iterable of path-like or None
        The files to be written, of which the last takes its place first; None stands for one that is not asked for.
    overwrite, durable : bool
        As for `atomic_output`.

    Yields
    ------
    list of pathlib.Path or None
        Where to write, as `atomic_output` gives it; None for None.

    Raises
    ------
    VesselSegError
        As `atomic_output`.
    """
    paths = list(paths)
    with contextlib.ExitStack() as stack:
        outputs: list[Any] = [
            path if path is None else stack.enter_context(_put_at_the_end(Path(path), overwrite, durable))
            for path in paths
        ]
        yield outputs
        # A full disk may show only here: before the first of them takes its place.
        for path, output in zip(paths, outputs):
            if durable and path is not None:
                try:
                    _flush(output)
                except OSError as error:
                    raise _unwritable(Path(path), error) from error


@contextlib.contextmanager
def _put_at_the_end(path: Path, overwrite: bool, durable: bool) -> Iterator[Path]:
    """Give a temporary name beside a file, which takes its place at the end; `durable` concerns its name only."""
    check_output(path, overwrite=overwrite)
    folder = None
    try:
        with _temporary_folder(path.parent) as folder:
            # Some writers know only names in UTF-8, of moderate length: the real one comes with the rename.
            suffix = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
            temporary = folder / f"output{suffix}"
            yield temporary
            _put(temporary, path, overwrite)
        if durable and sys.platform != "win32":  # where folders cannot be flushed
            with contextlib.suppress(OSError):  # nor can they on some network file systems
                _flush(path.parent)
    except OSError as error:
        failed = Path(str(error.filename)).parent
        if failed.name.startswith(_TEMPORARY) and failed != folder:
            raise  # to the one of several outputs, written together, that it is about
        raise _unwritable(path, error) from error


def write_texts(texts: Mapping[Any, str], *, overwrite: bool = False) -> None:
    """Write texts together, as `atomic_outputs` does.

    Parameters
    ----------
    texts : mapping of path-like or None to str
        By the files' names; the text of None is not asked for.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    VesselSegError
        As `atomic_output`.
    """
    with atomic_outputs(texts, overwrite=overwrite) as outputs:
        for output, text in zip(outputs, texts.values()):
            if output is not None:
                output.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder, where nobody else writes now."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a file its name, which another one may have taken while it was written."""
    if not overwrite:
        try:
            os.link(temporary, path)  # unlike a rename, it never replaces
            return
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # a file system without hard links
            if _is_there(path):
                raise _taken(path) from None
    os.replace(temporary, path)
