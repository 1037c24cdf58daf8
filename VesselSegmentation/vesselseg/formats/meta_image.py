"""What ITK passes over in MetaImage files: headers that crash it, and packed voxels, read as whatever comes out."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import IO

#: Small, as a block of zeros is a thousand times as large unpacked.
_BLOCK_BYTES = 1 << 16
_HEADER_BYTES = 1 << 20
#: Bytes of MetaImage's types of numbers.
_TYPES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
#: zlib's way to say that data may begin as its own or as gzip's do: ITK reads both.
_EITHER_FORMAT = 47
#: A line of a header: a name, what ITK passes over up to the sign, and the value.
_LINE = re.compile(r"[ \t\n\r\f\v]*([^=:\r\n\0]*)[^=:]*(?:[=:](.*))?", re.DOTALL)
_DATA_FILE = "ElementDataFile"
#: As many dimensions as SimpleITK reads.
_DIMENSIONS = ("1", "2", "3", "4", "5")
#: Entries of one number for each axis, of a matrix of axes, of one number and of a colour.
_VECTORS = (
    "DimSize", "ElementSpacing", "ElementSize", "ElementOrigin", "Offset", "Position", "Origin", "ImagePosition",
    "CenterOfRotation", "SequenceID",
)  # fmt: skip
_MATRICES = ("TransformMatrix", "Rotation", "Orientation", "ElementDirection")
_SCALARS = (
    "ElementMin", "ElementMax", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset", "ElementNBits",
    "ElementNumberOfChannels", "HeaderSize", "CompressedDataSize", "FileFormatVersion", "ID", "ParentID",
)  # fmt: skip
_COLOUR = "Color"
#: Entries that ITK copies into memory for a text of so many bytes, however long they are.
_TEXTS = ("ObjectType", "ObjectSubType", "Name", "Comment", "AcquisitionDate")
_LONGEST_TEXT = 254


def is_sound(path: Path) -> bool:
    """Tell whether the header of a MetaImage file can be given to ITK.

    ITK does not look at the number of dimensions and the length of texts before it writes to memory, takes the next
    line for the rest of a list of numbers that is too short, and the name of the voxels' file for a format of C's.

    Parameters
    ----------
    path : pathlib.Path
        An .mha or .mhd file.

    Returns
    -------
    bool
        Whether it says where its voxels are, and nothing in it makes ITK crash; other mistakes ITK refuses by itself.
    """
    with open(path, "rb") as stream:
        entries = _entries(stream)
    given = dict(entries)
    names = [name for name, _value in entries]
    if names.count("NDims") != 1 or given["NDims"] not in _DIMENSIONS or "%" in given.get(_DATA_FILE, "%"):
        return False
    axes = int(given["NDims"])
    numbers = {
        **dict.fromkeys(_VECTORS, axes), **dict.fromkeys(_MATRICES, axes**2), **dict.fromkeys(_SCALARS, 1), _COLOUR: 4,
    }  # fmt: skip
    return all(
        len(value.split()) >= numbers.get(name, 0) and (name not in _TEXTS or len(value) <= _LONGEST_TEXT)
        for name, value in entries
    )


def is_whole(path: Path) -> bool:
    """Tell whether the packed voxels of a MetaImage file can be unpacked, and are as many as its header says.

    Parameters
    ----------
    path : pathlib.Path
        An .mha or .mhd file.

    Returns
    -------
    bool
        True, too, where nothing is packed in this file, or its header makes no sense: ITK refuses that by itself.
    """
    with open(path, "rb") as stream:
        header = dict(_entries(stream))
        is_packed = header.get("CompressedData", "").upper().startswith(("T", "1"))
        if not is_packed or header.get(_DATA_FILE, "").upper() != "LOCAL":
            return True
        try:
            voxels = math.prod(int(side) for side in header["DimSize"].split())
            expected = voxels * int(header.get("ElementNumberOfChannels", 1)) * _TYPES[header["ElementType"]]
            # Without this size ITK does not find where packed voxels begin, and makes them up.
            left = int(header.get("CompressedDataSize", 0))
        except (KeyError, ValueError):
            return True
        unpacker, size = zlib.decompressobj(wbits=_EITHER_FORMAT), 0
        try:
            while not unpacker.eof and (block := stream.read(min(_BLOCK_BYTES, left))):
                left -= len(block)
                size += len(unpacker.decompress(block))
        except zlib.error:
            return False
    return unpacker.eof and size == expected


def _entries(stream: IO[bytes]) -> list[tuple[str, str]]:
    """Return names and values of a header, taken apart as ITK does it, up to the entry after which the voxels come."""
    entries: list[tuple[str, str]] = []
    name = None
    while line := stream.readline(_HEADER_BYTES - stream.tell()):
        start, value = _LINE.fullmatch(line.decode("latin-1")).groups()  # type: ignore[union-attr]
        if name is None and not line.isspace():
            name = start.rstrip(" \t")
        if name is not None and value is not None:  # else the value is that of the next line
            entries.append((name, value.lstrip("=: \t").rstrip()))
            if name == _DATA_FILE:
                break
            name = None
    return entries
