"""What somebody sends must be one self-contained image of a bearable size, whatever its name says."""

from __future__ import annotations

import gzip
import math
import mmap
import zlib
from pathlib import Path

from vesselseg.errors import VesselSegError
from vesselseg.formats.itk_messages import quiet_itk
from vesselseg.image_io import image_reader

#: All that is taken at a time, and most voxels that are unpacked from it: a head at 0.2 mm has 400 million.
MAX_FILE_BYTES = 1 << 30
MAX_FILES = 5000
MAX_VOXELS = 400_000_000

_NIFTI_HEADER_BYTES = 348
_NIFTI_MAGIC = slice(344, 348)
_GZIP_MAGIC = b"\x1f\x8b"
_DICOM_MAGIC = slice(128, 132)
#: As much of a file is looked at to tell what it is, and as much of a header in text.
_START_BYTES = 1 << 10
_LONGEST_HEADER = 8 << 20
#: What tells in MetaImages where the voxels are.
_MHA_DATA = b"ElementDataFile"
#: What a packed file may hold beyond its voxels: extensions of the header.
_SLACK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20
_MOST_BYTES_PER_VOXEL = 16
_MAX_NAME = 80
#: ITK's readers by the last endings of files.
_READERS = {".nii": "NiftiImageIO", ".gz": "NiftiImageIO", ".nrrd": "NrrdImageIO", ".mha": "MetaImageIO"}


def image_suffix_of(path: Path) -> str:
    """Find out by its first bytes what kind of image a file is.

    Parameters
    ----------
    path : pathlib.Path
        Its name is not looked at.

    Returns
    -------
    str
        The ending that its format has: ".nii", ".nii.gz", ".nrrd" or ".mha".

    Raises
    ------
    VesselSegError
        If it is none of these, or takes its voxels from another file: that could be any file of the server.
    """
    with open(path, "rb") as stream:
        start = stream.read(_START_BYTES)
    if start[_NIFTI_MAGIC] == b"n+1\0":
        return ".nii"
    if start.startswith(_GZIP_MAGIC) and _unpacked_start(path)[_NIFTI_MAGIC] == b"n+1\0":
        return ".nii.gz"
    if start.startswith(b"NRRD000"):
        fields = [line.split(b":")[0].strip().lower() for line in _header_lines(path, until=b"")]
        if b"data file" in fields or b"datafile" in fields:
            raise _not_self_contained()
        return ".nrrd"
    if start.startswith(b"ObjectType"):
        # The voxels follow the line that says so. Who reads the file may see other lines than those that are seen here:
        # no other place may speak of a file.
        key, _equals, value = _header_lines(path, until=_MHA_DATA)[-1].partition(b"=")
        if key.strip() != _MHA_DATA or value.strip() != b"LOCAL" or _occurrences(path, _MHA_DATA) != 1:
            raise _not_self_contained()
        return ".mha"
    if not start:
        raise VesselSegError("this file is empty", "copy or export it again")
    raise VesselSegError("this file is no image that can be read here", "choose DICOM, NIfTI, NRRD or MHA")


def check_unpacked_size(path: Path) -> int:
    """Refuse an image that would not fit into the memory, before its voxels are read.

    Parameters
    ----------
    path : pathlib.Path
        With the ending of its format.

    Returns
    -------
    int
        How many voxels it has.

    Raises
    ------
    VesselSegError
        If the header cannot be read, or is not the only one, or announces too many voxels, or a packed file holds far
        more than it announces.
    """
    try:
        with quiet_itk():
            reader = image_reader(path)
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise VesselSegError("the header of this image cannot be read", "export the scan again") from error
    if reader.GetImageIO() != _READERS[path.suffix]:
        # Whoever goes by the contents, as scenes do, would read another image than the one that was looked at here.
        raise VesselSegError("this file is an image of two kinds at once", "export the scan again")
    voxels = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    check_voxels(voxels)
    if path.name.endswith(".gz"):
        _check_packed(path, voxels * _MOST_BYTES_PER_VOXEL + _SLACK_BYTES)
    return int(voxels)


def check_voxels(voxels: int) -> None:
    """Refuse what has too many voxels."""
    if voxels > MAX_VOXELS:
        raise VesselSegError(
            f"this image has {voxels:,} voxels, more than the {MAX_VOXELS:,} that are taken here",
            "use the command line, or crop it",
        )


def is_dicom(path: Path) -> bool:
    """Tell by its first bytes whether a file is a DICOM file."""
    with open(path, "rb") as file:
        return file.read(_DICOM_MAGIC.stop)[_DICOM_MAGIC] == b"DICM"


def shown_name(name: str) -> str:
    """Return the name of a file as people may see it: without folders, control characters and ending, not too long."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(character for character in name if character.isprintable()).strip()
    for ending in (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".mhd", ".dcm", ".zip", ".mrb"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return name[:_MAX_NAME].strip(" .") or "scan"


def _unpacked_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(_NIFTI_HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _check_packed(path: Path, most_bytes: int) -> None:
    size = 0
    try:
        with gzip.open(path) as stream:
            while block := stream.read(_BLOCK_BYTES):
                size += len(block)
                if size > most_bytes:
                    raise VesselSegError("this file unpacks to far more than it announces", "export the scan again")
    except (OSError, EOFError, zlib.error) as error:
        raise VesselSegError("this file is damaged or breaks off", "copy or export it again") from error


def _header_lines(path: Path, until: bytes) -> list[bytes]:
    """Return the lines of a header up to an empty one, or to one that begins with a key.

    Raises
    ------
    VesselSegError
        If there is no such line, or lines end in a way that not all programs understand alike.
    """
    lines = []
    with open(path, "rb") as stream:
        for line in iter(lambda: stream.readline(_LONGEST_HEADER), b""):
            text = line.removesuffix(b"\n").removesuffix(b"\r")
            if stream.tell() > _LONGEST_HEADER or not line.endswith(b"\n") or b"\r" in text or b"\0" in text:
                break
            lines.append(text)
            if text.strip().startswith(until) if until else not text:
                return lines
    raise VesselSegError("the header of this image cannot be read", "export the scan again")


def _occurrences(path: Path, word: bytes) -> int:
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        count, place = 0, content.find(word)
        while place >= 0 and count < 2:
            count, place = count + 1, content.find(word, place + 1)
    return count


def _not_self_contained() -> VesselSegError:
    return VesselSegError("the voxels of this image lie in another file", "save it as one file: .nii.gz, .nrrd or .mha")
