"""Headers of MetaImage files. Without the checks, most of those that are refused here end the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.errors import VesselSegError
from vesselseg.formats.meta_image import is_sound
from vesselseg.image_io import read_volume, write_volume
from vesselseg.volume import Volume

_DATA = "ElementDataFile = LOCAL\n"


def _write(path: Path, volume: Volume, change: Callable[[str], str]) -> None:
    """Write an unpacked image, with its header changed."""
    write_volume(volume, path, compress=False)
    content = path.read_bytes()
    end = content.index(_DATA.encode()) + len(_DATA)
    path.write_bytes(change(content[:end].decode()).encode("latin-1") + content[end:])


def _with_entry(name: str, value: str) -> Callable[[str], str]:
    """Return what gives an entry of a header a value; one that is not there comes before the dimensions' sizes."""

    def change(header: str) -> str:
        lines = [line for line in header.splitlines() if not line.startswith(f"{name} =")]
        place = next((n for n, line in enumerate(header.splitlines()) if line.startswith(f"{name} =")), 2)
        return "\n".join([*lines[:place], f"{name} = {value}", *lines[place:]]) + "\n"

    return change


@pytest.mark.parametrize("count", ["-1", "0", "6", "31", "999999", "1e30", "4294967299", "31e30BinaryData = True", ""])
def test_dimensions_that_itk_cannot_have_are_refused(
    count: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    _write(tmp_path / "scan.mha", make_scan(), _with_entry("NDims", count))
    with pytest.raises(VesselSegError, match="cannot be read as an image"):
        read_volume(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    ("name", "value"),
    [("Name", "N" * 300), ("Comment", "C" * 300), ("ElementDataFile", "%s%s%s%s"), ("ElementDataFile", "%d 5 1 0")],
)
def test_entries_that_would_make_itk_crash_are_refused(
    name: str, value: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    _write(tmp_path / "scan.mha", make_scan(), _with_entry(name, value))
    assert not is_sound(tmp_path / "scan.mha")
    with pytest.raises(VesselSegError, match="cannot be read as an image"):
        read_volume(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    "lines",
    ["ElementSpacing = 1 2", "Rotation = 1 0 0", "ElementMin =", "Color = 1 1 1", "ID =\n5", "a line without a sign"],
)
def test_voxels_are_not_taken_for_a_header(lines: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    """ITK takes the line that ends the header for the rest of the one before, and reads on."""
    pretended = "NDims = 999999\nOffset = 1 1 1\n"
    _write(tmp_path / "scan.mha", make_scan(), lambda header: header.replace(_DATA, f"{lines}\n{_DATA}{pretended}"))
    with pytest.raises(VesselSegError, match="cannot be read as an image"):
        read_volume(tmp_path / "scan.mha")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header,
        lambda header: header.replace("\n", "\r\n").replace(_DATA.replace("\n", "\r\n"), _DATA),
        lambda header: header.replace(" = ", ":"),
        lambda header: header.replace("NDims = 3", "Comment = \nNDims   =   3\n"),
        _with_entry("Name", "N" * 254),
        _with_entry("0020|4000", "a comment of several\nlines = 2, in latin-1: \xe9\nElementMax = 5"),
    ],
    ids=["as written", "CRLF", "colons", "spaces", "long name", "several lines"],
)
def test_other_headers_that_itk_reads_are_read(
    change: Callable[[str], str], make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan()
    _write(tmp_path / "scan.mha", scan, change)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "scan.mha"))), scan.array)
    again = read_volume(tmp_path / "scan.mha")
    np.testing.assert_array_equal(again.array, scan.array)
    assert again.geometry.same_grid(scan.geometry)
