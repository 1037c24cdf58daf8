from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from inputs import BAD_INPUTS, make_bad_files, rotation, write_dicom
from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_io import find_dicom_series
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.volume import Volume


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_write_and_read_keep_voxels_and_geometry(
    suffix: str, awkward_geometry: Geometry, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan(awkward_geometry)
    path = tmp_path / f"a scan, é{suffix}"
    write_volume(scan, path)
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, scan.array)
    assert again.geometry.same_grid(scan.geometry)
    # An independent reader finds the same place for the last voxel.
    last = sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint((39, 35, 27))
    np.testing.assert_allclose(last, (scan.geometry.ijk_to_lps() @ [39, 35, 27, 1])[:3], atol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_dicom_folder(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    # DICOM has right-handed axes only.
    geometry = Geometry((30, 26, 12), (0.5, 0.6, 0.8), (-20.0, 15.0, 7.0), tuple(rotation(10, 4, -6).ravel()))
    scan = make_scan(geometry)
    write_dicom(scan, tmp_path / "study" / "series 1")
    again = read_volume(tmp_path / "study")
    assert again.geometry.same_grid(geometry)
    np.testing.assert_array_equal(again.array, np.floor(scan.array))


def test_dicom_takes_the_largest_series_and_says_so(
    make_scan: Callable[..., Volume], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom(make_scan(Geometry((20, 20, 5), (1, 1, 1))), tmp_path, series="1.2.3.4")
    write_dicom(make_scan(Geometry((20, 20, 9), (1, 1, 1))), tmp_path, series="1.2.3.5")
    assert read_volume(tmp_path).geometry.size == (20, 20, 9)
    assert "2 DICOM series" in caplog.text
    assert "none of them is named as a TOF angiogram" in caplog.text
    assert "MR, 5 slices" in caplog.text


def test_dicom_takes_the_tof_angiogram_of_a_study(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    for index, (description, slices, image_type) in enumerate(
        [
            ("T1 MPRAGE", 40, "ORIGINAL"),
            ("TOF_3D_multi-slab", 20, "ORIGINAL"),
            ("3D TOF Compressed SENSE", 19, "ORIGINAL"),
            ("TOF_3D_multi-slab MIP", 30, "DERIVED\\SECONDARY\\MIP"),
            ("localizer", 3, "ORIGINAL"),
        ]
    ):
        scan = make_scan(Geometry((20, 18, slices), (1, 1, 1)))
        tags = {"SeriesDescription": description, "ImageType": image_type}
        write_dicom(scan, tmp_path / str(index), series=f"1.2.3.{index}", **tags)
    assert [(each.description, each.is_tof, each.is_scan) for each in find_dicom_series(tmp_path)] == [
        ("TOF_3D_multi-slab", True, True),
        ("3D TOF Compressed SENSE", True, True),
        ("T1 MPRAGE", False, True),
        ("TOF_3D_multi-slab MIP", False, False),
        ("localizer", False, False),
    ]
    assert find_dicom_series(tmp_path)[0].text == "TOF_3D_multi-slab: MR, 20 slices of 20 x 18"
    assert read_volume(tmp_path).geometry.size == (20, 18, 20)


def test_a_dicom_series_spread_over_folders_is_one(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan(Geometry((20, 20, 10), (1, 1, 1)))
    write_dicom(scan, tmp_path / "b", leave_out=(5, 6, 7, 8, 9))
    write_dicom(scan, tmp_path / "a", leave_out=(0, 1, 2, 3, 4))
    again = read_volume(tmp_path)
    assert again.geometry.same_grid(scan.geometry)
    np.testing.assert_array_equal(again.array, np.floor(scan.array))


def test_dicom_with_a_missing_slice_is_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_dicom(make_scan(Geometry((20, 20, 9), (1, 1, 1))), tmp_path, leave_out=(4,))
    with pytest.raises(VesselSegError, match="not evenly spaced"):
        read_volume(tmp_path)


def hide_image(path: Path) -> None:
    """Hide an HDF5 image among the voxels of a file: such an image may take its own from any other file."""
    sitk.WriteImage(sitk.Image([5, 5, 5], sitk.sitkUInt8), str(path.parent / "hidden.h5"))
    hidden = (path.parent / "hidden.h5").read_bytes()
    (path.parent / "hidden.h5").unlink()
    content = bytearray(path.read_bytes())
    start = 2048  # a place at which HDF5 is looked for
    content[start : start + len(hidden)] = hidden
    path.write_bytes(content)
    assert sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "HDF5ImageIO"


@pytest.mark.parametrize("name", ["scan.nii", "scan.nrrd", "scan.mha", "scan.MHA", "scan.dcm"])
def test_an_image_that_is_hidden_in_another_is_not_read(
    name: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    if name == "scan.dcm":
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(2000))  # ITK would see it in a whole one
    else:
        write_volume(make_scan(), tmp_path / name, compress=False)
    hide_image(tmp_path / name)
    with pytest.raises(VesselSegError, match="cannot be read as an image"):
        read_volume(tmp_path / name)


def test_formats_that_are_not_promised_are_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    sitk.WriteImage(make_scan().to_sitk(), str(tmp_path / "scan.h5"))
    with pytest.raises(VesselSegError, match="it must be NIfTI-1, NRRD, MHA or a folder of DICOM files"):
        read_volume(tmp_path / "scan.h5")


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_named(name: str, tmp_path: Path) -> None:
    path = make_bad_files(tmp_path)[name]
    with pytest.raises(VesselSegError, match=BAD_INPUTS[name]) as raised:
        read_volume(path)
    assert raised.value.advice
    assert "\n" not in str(raised.value)


def write_nifti(path: Path, array: np.ndarray, *, sform: np.ndarray | None = None) -> None:
    """Write voxels of 0.5 mm, and into the header, if asked for, an sform that contradicts the qform."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([0.5, 0.5, 0.5, 1])), path)
    if sform is not None:
        content = path.read_bytes()
        header = nibabel.Nifti1Header(content[:348])
        header.set_sform(sform, code=1)
        header["qform_code"] = 1
        path.write_bytes(header.binaryblock + content[348:])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_seen_in_nifti(suffix: str, value: float, tmp_path: Path) -> None:
    """ITK turns them into 0 without a word."""
    array = np.ones((6, 8, 10), np.float32)
    array[2, 3, 4:6] = value
    write_nifti(tmp_path / f"scan{suffix}", array)
    with pytest.raises(VesselSegError, match=r"2 voxels of .* are not numbers"):
        read_volume(tmp_path / f"scan{suffix}")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused_in_every_format(
    suffix: str, value: float, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan()
    scan.array[:] = np.round(scan.array)
    scan.array[2, 3, 4:6] = value
    write_volume(scan, tmp_path / f"scan{suffix}")
    for read in (read_volume, read_label):
        with pytest.raises(VesselSegError, match=r"2 voxels of .* are not numbers"):
            read(tmp_path / f"scan{suffix}")


@pytest.mark.parametrize("kind", ["scan", "cut out", "probability"])
def test_what_is_no_label_is_not_taken_for_one(kind: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    array = np.round(scan.array)
    if kind == "cut out":  # as brains are, with zeros around them
        array[:, :20] = array[..., :20] = 0
    elif kind == "probability":
        z, y, x = np.indices(array.shape)
        array = np.round(255 * np.exp(-((x - 24) ** 2 + (y - 20) ** 2 + (z - 12) ** 2) / 60))
    write_volume(scan.with_array(array.astype(np.uint8)), tmp_path / "label.nii.gz")
    with pytest.raises(VesselSegError, match=r"label.nii.gz is not a label: most of its voxels differ"):
        read_label(tmp_path / "label.nii.gz")


@pytest.mark.parametrize("kind", ["rim", "neighbours"])
def test_thin_labels_that_touch_are_labels(kind: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    array = np.zeros(scan.array.shape, np.uint8)
    if kind == "rim":  # unsure voxels around a vessel one voxel wide
        array[10, 19:22, 5:40] = array[9:12, 20, 5:40] = 255
        array[10, 20, 5:40:2] = 1
    else:
        array[10, :, 20], array[10, :, 21] = 100, 200
    write_volume(scan.with_array(array), tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(read_label(tmp_path / "label.nii.gz").array, array != 0)


def test_many_structures_are_labels(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    z, y, x = (index // 4 for index in np.indices(scan.array.shape))
    parcels = (z * 11 + y * 12 + x).astype(np.int16)
    parcels[scan.array < 60] = 0
    write_volume(scan.with_array(parcels), tmp_path / "parcels.nii.gz")
    assert parcels.max() > 150
    np.testing.assert_array_equal(read_label(tmp_path / "parcels.nii.gz").array, parcels != 0)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_what_was_converted_from_nifti_is_read(make_scan: Callable[..., Volume], tmp_path: Path, suffix: str) -> None:
    """ITK copies the entries of a NIfTI header into files of other formats."""
    scan = make_scan()
    write_volume(scan, tmp_path / "scan.nii.gz")
    converted = sitk.ReadImage(str(tmp_path / "scan.nii.gz"))
    sitk.WriteImage(converted[4:20, 3:30, 2:20], str(tmp_path / f"scan{suffix}"), useCompression=True)
    found = read_volume(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(found.array, scan.array[2:20, 3:30, 4:20])


@pytest.mark.parametrize(("place", "codes"), [(80, (1, 0)), (80, (0, 0)), (256, (1, 0)), (268, (1, 1))])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_header_that_holds_no_numbers_is_refused(
    place: int, codes: tuple[int, int], value: float, tmp_path: Path
) -> None:
    """ITK puts others in their place: sizes of 1 mm, an origin at 0."""
    write_nifti(tmp_path / "scan.nii", np.ones((6, 8, 10), np.float32))
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    content[place : place + 4] = np.float32(value).tobytes()
    content[252:256] = np.array(codes, np.int16).tobytes()
    (tmp_path / "scan.nii").write_bytes(content)
    with pytest.raises(VesselSegError, match=r"not made of numbers|cannot be read"):
        read_volume(tmp_path / "scan.nii")


def test_a_packed_scan_with_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    """ITK does not look at it."""
    scan = Volume(np.random.default_rng(0).normal(size=(90, 100, 110)), Geometry((110, 100, 90), (1, 1, 1), (0, 0, 0)))
    write_volume(scan, tmp_path / "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "scan.nii.gz").write_bytes(content)
    sitk.ReadImage(str(tmp_path / "scan.nii.gz"))
    with pytest.raises(VesselSegError, match="is not complete"):
        read_volume(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("damage", ["flipped", "wrong sum", "broken off", "too short", "unknown size"])
def test_packed_voxels_of_mha_that_are_damaged_are_refused(
    damage: str, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    """ITK takes whatever comes out of them."""
    write_volume(make_scan(), tmp_path / "scan.mha")
    content = (tmp_path / "scan.mha").read_bytes()
    mark = b"ElementDataFile = LOCAL\n"
    header, packed = content[: content.index(mark)], bytearray(content[content.index(mark) + len(mark) :])
    size = f"CompressedDataSize = {len(packed)}\n".encode()
    assert size in header
    if damage == "flipped":
        packed[len(packed) // 2] ^= 4
    elif damage == "wrong sum":
        packed[-1] ^= 1
    elif damage == "broken off":
        packed = packed[: len(packed) // 2]
    elif damage == "too short":
        packed = bytearray(zlib.compress(zlib.decompress(packed)[:-8]))
    new_size = b"" if damage == "unknown size" else f"CompressedDataSize = {len(packed)}\n".encode()
    (tmp_path / "scan.mha").write_bytes(header.replace(size, new_size) + mark + packed)
    with pytest.raises(VesselSegError, match="cannot be read as an image"):
        read_volume(tmp_path / "scan.mha")


def test_the_same_probability_is_the_same_file(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_volume(scan, tmp_path / folder / f"{folder}.nii.gz")
        assert [each.name for each in (tmp_path / folder).iterdir()] == [f"{folder}.nii.gz"]
    files = [(tmp_path / folder / f"{folder}.nii.gz").read_bytes() for folder in ("first", "second")]
    assert files[0] == files[1]
    assert files[0][3] == 0  # holds no name of a file
    assert files[0][4:8] == bytes(4)  # and no time
    assert len(files[0]) < scan.array.nbytes
    sitk.WriteImage(scan.to_sitk(), str(tmp_path / "itk.nii"))
    assert gzip.decompress(files[0]) == (tmp_path / "itk.nii").read_bytes()


def test_the_other_order_of_bytes_and_other_text_in_nifti(tmp_path: Path) -> None:
    import nibabel

    array = np.arange(6 * 8 * 10, dtype=">f4").reshape(6, 8, 10)
    image = nibabel.Nifti1Image(array.T, np.diag([0.5, 0.5, 0.5, 1]), dtype=">f4")
    image.header["descrip"] = "Gefäße".encode("latin-1")
    for name in ("scan.nii.gz", "pair.hdr"):
        kind = nibabel.Nifti1Pair if name.endswith("hdr") else nibabel.Nifti1Image
        nibabel.save(kind(array.T, image.affine, image.header.as_byteswapped(">")), tmp_path / name)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, array)
    assert nibabel.load(tmp_path / "scan.nii.gz").dataobj.dtype == ">f4"
    array[1, 2, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(array.T, image.affine, image.header.as_byteswapped(">")), tmp_path / "nan.nii")
    with pytest.raises(VesselSegError, match=r"1 voxel of .* is not a number; replace it"):
        read_volume(tmp_path / "nan.nii")


@pytest.mark.parametrize(
    ("scale", "words"), [(1.0, "two sizes of its voxels"), (np.nan, "not made of numbers|cannot be read")]
)
def test_a_header_that_contradicts_itself_is_refused(scale: float, words: str, tmp_path: Path) -> None:
    write_nifti(tmp_path / "scan.nii", np.ones((6, 8, 10), np.float32), sform=np.diag([1.0, scale, 1.0, 1.0]))
    with pytest.raises(VesselSegError, match=words):
        read_volume(tmp_path / "scan.nii")


def test_two_positions_in_a_header_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    moved = np.diag([0.5, 0.5, 0.5, 1.0])
    moved[:3, 3] = 20
    write_nifti(tmp_path / "scan.nii", np.ones((6, 8, 10), np.float32), sform=moved)
    geometry = read_volume(tmp_path / "scan.nii").geometry
    used = sitk.ReadImage(str(tmp_path / "scan.nii"))
    assert geometry.same_grid(Geometry.from_sitk(used))
    assert "two positions" in caplog.text


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_axes_that_are_not_at_right_angles_are_refused(
    make_scan: Callable[..., Volume], tmp_path: Path, suffix: str
) -> None:
    """A label would be written to another grid: ITK reads shear in most formats, and writes it in few."""
    axes = rotation(10, 4, -6)
    path = tmp_path / f"scan{suffix}"

    def write(axes: np.ndarray) -> None:
        scan = make_scan(Geometry((20, 18, 9), (0.5, 0.5, 0.6), direction=tuple(axes.ravel())))
        write_volume(scan, path, overwrite=True)

    write(np.round(axes, 4))  # as some programs write them
    assert read_volume(path).geometry.size == (20, 18, 9)
    shear = np.array([[1, 0.02, 0], [0, 1, 0], [0, 0, 1]])
    sheared = axes @ shear / np.linalg.norm(shear, axis=0)
    if suffix == ".nii":
        import nibabel

        affine = np.eye(4)
        affine[:3, :3] = sheared * (0.5, 0.5, 0.6)
        nibabel.save(nibabel.Nifti1Image(np.ones((20, 18, 9), np.float32), affine), path)
    else:
        write(sheared)
    with pytest.raises(VesselSegError, match=r"not at right angles.*Crop Volume"):
        read_volume(path)


def test_an_unpacked_file_may_be_called_packed(tmp_path: Path) -> None:
    array = np.arange(6 * 8 * 10, dtype=np.float32).reshape(6, 8, 10)
    write_nifti(tmp_path / "scan.nii", array)
    (tmp_path / "scan.nii").rename(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").array, array)
    # What ITK passes over is seen in it all the same.
    array[2, 3, 4] = np.nan
    write_nifti(tmp_path / "scan.nii", array)
    (tmp_path / "scan.nii").rename(tmp_path / "scan.nii.gz")
    with pytest.raises(VesselSegError, match=r"1 voxel of .* is not a number; replace it"):
        read_volume(tmp_path / "scan.nii.gz")


def test_a_series_of_one_is_a_scan(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    sitk.WriteImage(sitk.JoinSeries([scan.to_sitk()]), str(tmp_path / "one.nii.gz"))
    np.testing.assert_array_equal(read_volume(tmp_path / "one.nii.gz").array, scan.array)


def test_label_must_hold_whole_numbers(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    scan = make_scan()
    write_volume(scan.with_array(scan.array / 255), tmp_path / "probability.nii.gz")
    with pytest.raises(VesselSegError, match="whole numbers"):
        read_label(tmp_path / "probability.nii.gz")
    write_volume(scan.with_array(7 * (scan.array > 200).astype(np.float32)), tmp_path / "label.nii.gz")
    label = read_label(tmp_path / "label.nii.gz")
    assert label.array.dtype == np.uint8
    np.testing.assert_array_equal(label.array, scan.array > 200)


@pytest.mark.parametrize("name", ["a\udcff.nii", "é" * 125 + ".nii"], ids=["not-UTF-8", "long"])
def test_names_that_itk_does_not_take_are_written(name: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_volume(make_scan(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".NII", ".NII.GZ", ".NRRD", ".MHA", ".Nii", ".nii.GZ", ".Mha"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_endings_in_capitals_are_written_and_read(
    suffix: str, kind: type, make_scan: Callable[..., Volume], tmp_path: Path
) -> None:
    scan = make_scan()
    scan = scan.with_array(scan.array.astype(kind))
    path = tmp_path / f"vessels{suffix}"
    write_volume(scan, path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes()[:2] == b"\x1f\x8b" or not suffix.lower().endswith(".gz")
    again = read_volume(path)
    np.testing.assert_array_equal(again.array, scan.array)
    assert again.geometry.same_grid(scan.geometry)


@pytest.mark.parametrize("name", ["x" * 300 + ".nii", "a\0b.nii"], ids=["too-long", "NUL"])
def test_names_that_no_file_can_have_are_refused(name: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="cannot be written"):
        write_volume(make_scan(), tmp_path / name)
    with pytest.raises(VesselSegError, match="cannot be read"):
        read_volume(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_for_writing_is_not_told_as_a_full_disk(tmp_path: Path) -> None:
    size = (100_000, 100_000, 100_000)
    with pytest.raises(MemoryError):
        write_volume(Volume(np.broadcast_to(np.float32(0), size), Geometry(size)), tmp_path / "scan.nii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.jpg", "out", ".nii.gz"])
def test_unknown_endings_are_refused(name: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="ending"):
        write_volume(make_scan(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_voxels_of_nifti_are_those_that_itk_reads(tmp_path: Path, dtype: str, order: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.uniform(0 if dtype[0] == "u" else -120, 120, (4, 5, 3)).astype(order + dtype)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(values.dtype)
    image = nibabel.Nifti1Image(values, np.diag([-0.5, -0.4, 0.7, 1]), header)
    stored = bytearray(image.to_bytes())
    for slope, intercept in [(0, 0), (1, 0), (0, 5), (2.5, -7), (1, 3), (-0.1, 0), (np.nan, 0)]:
        stored[112:120] = np.array([slope, intercept], order + "f4").tobytes()  # scl_slope, scl_inter
        for name, data in (("scan.nii", stored), ("scan.nii.gz", gzip.compress(stored))):
            path = tmp_path / name
            path.write_bytes(data)
            expected = sitk.ReadImage(str(path))
            volume = read_volume(path)
            assert volume.array.dtype == np.float32
            np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected).astype(np.float32))
            assert volume.geometry == Geometry.from_sitk(expected)
