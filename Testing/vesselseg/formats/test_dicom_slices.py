from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inputs import rotation, write_dicom, write_enhanced_dicom
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume
from vesselseg.volume import Volume

# DICOM has right-handed axes only.
OBLIQUE = Geometry((30, 26, 20), (0.5, 0.6, 0.8), (-20.0, 15.0, 7.0), tuple(rotation(10, 4, -6).ravel()))


@pytest.mark.parametrize("where", ["file", "folder"])
@pytest.mark.parametrize(
    "frames",
    [range(20), range(19, -1, -1), np.random.default_rng(3).permutation(20).tolist()],
    ids=["up", "down", "any"],
)
def test_frames_lie_where_their_headers_say_in_any_order(
    frames: Sequence[int], where: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan(OBLIQUE)
    path = tmp_path / "enhanced.dcm"
    write_enhanced_dicom(path, scan, frames)
    again = read_volume(path if where == "file" else tmp_path)
    assert again.geometry.same_grid(OBLIQUE)
    np.testing.assert_array_equal(again.array, np.floor(scan.array))


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([*range(9), *range(10, 20)], r"not evenly spaced: between .* a gap of 1.60 mm, elsewhere 0.80 mm"),
        ([*range(10), *range(10)], "not evenly spaced: 10 of them lie where another one lies"),  # two echoes
        ([*range(6), *range(12, 20)], "not evenly spaced: between .* a gap of 5.60 mm"),  # two stacks
    ],
)
def test_frames_that_are_no_single_stack_are_refused(
    frames: list[int], what: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    write_enhanced_dicom(tmp_path / "enhanced.dcm", make_scan(OBLIQUE), frames)
    with pytest.raises(VesselSegError, match=what):
        read_volume(tmp_path / "enhanced.dcm")


def _changed(path: Path, change: Callable[..., None]) -> None:
    from pydicom import dcmread

    data = dcmread(path)
    change(data)
    data.save_as(path)


def _without_places(data: object) -> None:
    del data.PerFrameFunctionalGroupsSequence  # type: ignore[attr-defined]


def _turned(data: object) -> None:
    frames = data.PerFrameFunctionalGroupsSequence  # type: ignore[attr-defined]
    for frame in frames[10:]:
        frame.PlaneOrientationSequence = [type(frame)()]
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def _rescaled(data: object) -> None:
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):  # type: ignore[attr-defined]
        frame.PixelValueTransformationSequence = [type(frame)()]
        frame.PixelValueTransformationSequence[0].RescaleSlope = 1.5 + number
        frame.PixelValueTransformationSequence[0].RescaleIntercept = -3


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_without_places, "do not say where they lie"),
        (_turned, "several stacks"),
    ],
)
def test_frames_of_several_kinds_are_refused(
    change: Callable[..., None], what: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    path = tmp_path / "enhanced.dcm"
    write_enhanced_dicom(path, make_scan(OBLIQUE))
    _changed(path, change)
    with pytest.raises(VesselSegError, match=what):
        read_volume(path)


def test_every_frame_has_its_own_scale(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    """ITK takes that of the first one for all."""
    scan = make_scan(OBLIQUE)
    path = tmp_path / "enhanced.dcm"
    order = [*range(10, 20), *range(10)]
    write_enhanced_dicom(path, scan, order)
    _changed(path, _rescaled)
    expected = np.floor(scan.array) * (1.5 + np.argsort(order))[:, None, None] - 3
    np.testing.assert_allclose(read_volume(path).array, expected, rtol=1e-6)


def test_a_series_may_be_several_enhanced_objects(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(OBLIQUE)
    write_enhanced_dicom(tmp_path / "a.dcm", scan, range(12, 20))
    write_enhanced_dicom(tmp_path / "b.dcm", scan, range(12))
    _changed(tmp_path / "b.dcm", lambda data: setattr(data, "SOPInstanceUID", "1.2.3"))
    again = read_volume(tmp_path)
    assert again.geometry.same_grid(OBLIQUE)
    np.testing.assert_array_equal(again.array, np.floor(scan.array))


@pytest.mark.parametrize("enhanced", [False, True])
def test_slices_of_several_matrix_sizes_are_refused(
    enhanced: bool, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    for number, (columns, z) in enumerate([(18, 0.0), (24, 8.0)]):
        part = make_scan(Geometry((columns, 16, 10), (0.5, 0.5, 0.8), (0.0, 0.0, z)))
        if enhanced:
            path = tmp_path / f"{number}.dcm"
            write_enhanced_dicom(path, part)
            _changed(path, lambda data, uid=f"1.2.3.{number}": setattr(data, "SOPInstanceUID", uid))
        else:
            write_dicom(part, tmp_path / str(number))
            for path in (tmp_path / str(number)).iterdir():
                _changed(path, lambda data, n=number: setattr(data, "SOPInstanceUID", f"{data.SOPInstanceUID}.{n}"))
    with pytest.raises(VesselSegError, match="images or pixels of several sizes"):
        read_volume(tmp_path)


def test_slices_at_uneven_distances_are_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_dicom(make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8))), tmp_path)
    for path in sorted(tmp_path.iterdir())[6:]:

        def lowered(data: Any) -> None:
            data.ImagePositionPatient[2] -= 0.3

        _changed(path, lowered)
    with pytest.raises(VesselSegError, match=r"not evenly spaced: their distances are from 0\.50 to 0\.80 mm"):
        read_volume(tmp_path)


def test_slices_that_lean_are_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8)))
    for k in range(12):
        shifted = Geometry((20, 20, 12), (0.5, 0.5, 0.8), (0.2 * k, 0.0, 0.0))
        write_dicom(Volume(scan.array, shifted), tmp_path, leave_out=tuple(i for i in range(12) if i != k))
    with pytest.raises(VesselSegError, match="straight above each other"):
        read_volume(tmp_path)


@pytest.mark.parametrize("column", ["0.0015\\1\\0", "0.2\\0.98\\0", "1\\0\\0", "0\\0\\0", "0\\1"])
@pytest.mark.parametrize("where", ["series", "slice", "enhanced"])
def test_rows_and_columns_that_are_not_at_right_angles_are_refused(
    column: str, where: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """ITK takes the identity for their directions, and gives no word."""
    scan = make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8)))
    directions = ["1", "0", "0", *column.split("\\")]
    path = tmp_path
    if where == "enhanced":
        path = tmp_path / "enhanced.dcm"
        write_enhanced_dicom(path, scan, directions=directions)
    else:
        write_dicom(scan, tmp_path, ImageOrientationPatient=directions)
        if where == "slice":
            path = min(tmp_path.iterdir())
    # Of an enhanced object ITK notices the coarsest itself.
    others = "|cannot be read|do not say where they lie" if where == "enhanced" else ""
    with pytest.raises(VesselSegError, match=f"not at right angles{others}"):
        read_volume(path)


def test_every_slice_has_its_own_scale(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8)))
    first, last = tuple(range(6)), tuple(range(6, 12))
    write_dicom(scan, tmp_path, leave_out=last, RescaleSlope="1", RescaleIntercept="0")
    write_dicom(scan, tmp_path, leave_out=first, RescaleSlope="0.5", RescaleIntercept="-200")
    stored = np.trunc(scan.array)
    expected = np.concatenate([stored[:6], 0.5 * stored[6:] - 200])
    np.testing.assert_allclose(read_volume(tmp_path).array, expected)


@pytest.mark.parametrize(
    "tags", [{"ImageOrientationPatient": ["0", "1", "0", "-1", "0", "0"]}, {"PixelSpacing": ["0.9", "0.9"]}]
)
def test_slices_of_several_kinds_are_refused(
    tags: dict[str, object], make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8)))
    first, last = tuple(range(6)), tuple(range(6, 12))
    write_dicom(scan, tmp_path, leave_out=last)
    write_dicom(scan, tmp_path, leave_out=first, **tags)
    with pytest.raises(VesselSegError, match="several stacks"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (np.uint16, np.int16),
        (np.uint8, np.uint16),
    ],
)
def test_every_slice_has_its_own_type(
    first: type, later: type, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """ITK takes that of the first slice for all, in which other values wrap."""
    scan = make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8)))
    expected = np.random.default_rng(0).integers(0, 200, scan.array.shape).astype(np.float32)
    expected[6:] += -1000 if later is np.int16 else 1000
    for k, kind in enumerate([first] * 6 + [later] * 6):
        bits = 8 * np.dtype(kind).itemsize
        write_dicom(
            scan,
            tmp_path,
            leave_out=tuple(i for i in range(12) if i != k),
            BitsAllocated=bits,
            BitsStored=bits,
            HighBit=bits - 1,
            PixelRepresentation=int(kind is np.int16),
            PixelData=expected[k].astype(kind).tobytes(),
        )
    np.testing.assert_array_equal(read_volume(tmp_path).array, expected)


@pytest.mark.parametrize("spacing", [None, ["0", "0"], ["0.5"], ["0.5", "-0.5"]], ids=["none", "0", "one", "negative"])
@pytest.mark.parametrize("where", ["series", "slice"])
def test_slices_that_do_not_say_how_large_their_pixels_are_are_refused(
    spacing: list[str] | None, where: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """ITK takes 1 mm for them, and gives no word."""
    write_dicom(make_scan(Geometry((20, 20, 12), (0.5, 0.5, 0.8))), tmp_path, ImagerPixelSpacing=["0.5", "0.5"])
    for path in tmp_path.iterdir():
        _changed(path, lambda data: data.__delattr__("PixelSpacing"))
        if spacing is not None:
            _changed(path, lambda data: setattr(data, "PixelSpacing", spacing))
    with pytest.raises(VesselSegError, match="does not say how large its pixels are"):
        read_volume(tmp_path if where == "series" else min(tmp_path.iterdir()))


@pytest.mark.parametrize("where", ["series", "slice"])
@pytest.mark.parametrize(("tag", "what"), [("Orientation", "how"), ("Position", "where")])
def test_slices_that_do_not_say_how_they_lie_are_refused(
    tag: str, what: str, where: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """ITK takes axial ones for them, or all at 0, and gives no word."""
    write_dicom(make_scan(OBLIQUE), tmp_path)
    for path in tmp_path.iterdir():
        _changed(path, lambda data: data.__delattr__(f"Image{tag}Patient"))
    with pytest.raises(VesselSegError, match=f"does not say {what} its slices lie"):
        read_volume(tmp_path if where == "series" else min(tmp_path.iterdir()))


def test_enhanced_objects_of_one_slice_each_are_a_series(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(OBLIQUE)
    for k in range(OBLIQUE.size[2]):
        write_enhanced_dicom(tmp_path / f"{k}.dcm", scan, [k])
    again = read_volume(tmp_path)
    assert again.geometry.same_grid(OBLIQUE)
    np.testing.assert_array_equal(again.array, np.floor(scan.array))


def test_rounded_positions_do_not_add_up(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_enhanced_dicom(tmp_path / "enhanced.dcm", make_scan(Geometry((12, 10, 40), (0.5, 0.5, 0.625))))
    heights = [round(0.625 * k, 2) for k in range(40)]

    def rounded(data: Any) -> None:
        for item, height in zip(data.PerFrameFunctionalGroupsSequence, heights):
            item.PlanePositionSequence[0].ImagePositionPatient = ["0", "0", f"{height:.2f}"]

    _changed(tmp_path / "enhanced.dcm", rounded)
    last = (read_volume(tmp_path / "enhanced.dcm").geometry.ijk_to_lps() @ [0, 0, 39, 1])[2]
    assert last == pytest.approx(heights[-1], abs=0.01)


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _without_pixels(path: Path) -> None:
    def change(data: Any) -> None:
        del data.PixelData

    _changed(path, change)


@pytest.mark.parametrize(
    "damage",
    [lambda path: _cut(path, -300), lambda path: _cut(path, 200), lambda path: _cut(path, 0), _without_pixels],
    ids=["pixels cut", "header cut", "empty", "no pixels"],
)
@pytest.mark.parametrize("number", [0, 7, 19])
def test_a_damaged_slice_is_named(
    number: int, damage: Callable[[Path], None], make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    write_dicom(make_scan(OBLIQUE), tmp_path)
    path = sorted(tmp_path.iterdir())[number]
    damage(path)
    with pytest.raises(VesselSegError, match=rf"{path.name} cannot be read, and may be a slice"):
        read_volume(tmp_path)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("size", [-300, 200, 0])
def test_a_damaged_slice_of_another_series_is_no_hindrance(
    size: int, apart: bool, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """Unless it lies beside the slices of this one and does not tell of which it is."""
    scan = make_scan(OBLIQUE)
    write_dicom(scan, tmp_path, series="1.2.3.4", SeriesDescription="TOF")
    other = tmp_path / "other" if apart else tmp_path
    write_dicom(scan, other, series="1.2.3.56")
    _cut(other / "1.2.3.56_019.dcm", size)
    if apart or size == -300:
        np.testing.assert_array_equal(read_volume(tmp_path).array, np.floor(scan.array))
    else:
        with pytest.raises(VesselSegError, match=r"1.2.3.56_019.dcm cannot be read"):
            read_volume(tmp_path)


def test_what_is_no_slice_may_lie_beside_a_series(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(OBLIQUE)
    write_dicom(scan, tmp_path)
    (tmp_path / "notes.txt").write_text("the patient moved")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "done").touch()
    for name, kind in (("report", "1.2.840.10008.5.1.4.1.1.88.11"), ("state", "1.2.840.10008.5.1.4.1.1.11.1")):
        path = tmp_path / name
        path.write_bytes(next(tmp_path.glob("*.dcm")).read_bytes())
        _without_pixels(path)

        def other(data: Any, kind: str = kind) -> None:
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind

        _changed(path, other)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM cut")
    np.testing.assert_array_equal(read_volume(tmp_path).array, np.floor(scan.array))
