"""Unpacking archives that somebody sends: no name in them is ever a path here, and none grows without bounds."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg_web.uploads.upload_checks import MAX_FILE_BYTES, MAX_FILES

_ZIP_MAGIC, _EMPTY_ZIP_MAGIC = b"PK\x03\x04", b"PK\x05\x06"

#: All that an archive may unpack to, and what it may without a closer look: empty space packs well.
MAX_UNPACKED_BYTES = 2 * MAX_FILE_BYTES
_UNSUSPICIOUS_BYTES = 256 << 20
_MOST_EXPANSION = 100
_ENTRY_MAGIC = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK_BYTES = 1 << 20


def is_archive(path: Path) -> bool:
    """Tell by its first bytes whether a file is a zip archive."""
    with open(path, "rb") as file:
        return file.read(len(_ZIP_MAGIC)) in (_ZIP_MAGIC, _EMPTY_ZIP_MAGIC)


def unpack(path: Path, folder: Path) -> dict[str, Path]:
    """Unpack an archive into files with names of our own.

    Parameters
    ----------
    path : pathlib.Path
    folder : pathlib.Path
        An empty folder.

    Returns
    -------
    dict
        File by its name in the archive, of which nothing is used here. An archive among them is a file like any other.

    Raises
    ------
    VesselSegError
        If the archive is damaged, packed in a way that is not known, or unpacks to too much.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir()]
            _check(entries, path.stat().st_size)
            files: dict[str, Path] = {}
            left = MAX_UNPACKED_BYTES
            for index, entry in enumerate(entries):
                target = folder / f"{index:05d}"
                left -= _unpack_one(archive, entry, target, left)
                files[entry.filename] = target
            return files
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise VesselSegError("this archive is damaged", "pack or copy it again") from error


def _check_directory(path: Path) -> None:
    """Refuse millions of entries before the list of them is made: it would take far more memory than the archive."""
    entries, end = 0, b""
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            entries += (end + block).count(_ENTRY_MAGIC)
            end = block[1 - len(_ENTRY_MAGIC) :]
    if entries > 2 * MAX_FILES:
        raise _too_many()


def _check(entries: list[zipfile.ZipInfo], packed_bytes: int) -> None:
    if not entries:
        raise VesselSegError("this archive is empty", "pack the scan again")
    if len(entries) > MAX_FILES:
        raise _too_many()
    if any(entry.flag_bits & 1 for entry in entries):
        raise VesselSegError("this archive is locked with a password", "pack it without one")
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise VesselSegError("this archive is packed in a way that is not known here", "pack it as a plain zip")
    if sum(entry.compress_size for entry in entries) > packed_bytes:
        raise VesselSegError("the files of this archive overlap", "pack it again")
    unpacked = sum(entry.file_size for entry in entries)
    too_dense = unpacked > _UNSUSPICIOUS_BYTES and unpacked > _MOST_EXPANSION * packed_bytes
    if unpacked > MAX_UNPACKED_BYTES or too_dense:
        raise _too_large()


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most_bytes: int) -> int:
    size = 0
    with archive.open(entry) as packed, open(target, "xb") as file:
        while block := packed.read(_BLOCK_BYTES):
            size += len(block)  # what is announced need not be true
            if size > most_bytes:
                raise _too_large()
            file.write(block)
    return size


def _too_many() -> VesselSegError:
    return VesselSegError(
        f"this archive holds more than the {MAX_FILES:,} files that are taken here", "pack one series"
    )


def _too_large() -> VesselSegError:
    return VesselSegError("this archive unpacks to more than is taken here", "send one series, or use the command line")
