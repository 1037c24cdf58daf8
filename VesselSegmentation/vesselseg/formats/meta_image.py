"""What ITK passes over in MetaImage files: it reads packed voxels as whatever comes out of damaged ones."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

#: Small, as a block of zeros is a thousand times as large unpacked.
_BLOCK_BYTES = 1 << 16
_HEADER_BYTES = 1 << 16
#: Bytes of MetaImage's types of numbers.
_TYPES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
#: zlib's way to say that data may begin as its own or as gzip's do: ITK reads both.
_EITHER_FORMAT = 47


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
        header: dict[str, str] = {}
        while "ElementDataFile" not in header and (line := stream.readline(_HEADER_BYTES - stream.tell())):
            key, _, value = line.decode("latin-1").partition("=")
            header[key.strip()] = value.strip()
        is_packed = header.get("CompressedData", "").upper().startswith(("T", "1"))
        if not is_packed or header.get("ElementDataFile", "").upper() != "LOCAL":
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
