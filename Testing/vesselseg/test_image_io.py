from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import atomic_output, check_output, read_label, read_volume, write_volume
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


def write_dicom(volume: Volume, folder: Path, *, leave_out: tuple[int, ...] = (), series: str = "1.2.826.0.1.1") -> None:
    """Write a series slice by slice, positions and orientation in the tags, with pydicom: not with our reader's library."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    geometry = volume.geometry
    for k in range(geometry.size[2]):
        if k in leave_out:
            continue
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"{series}.{k + 1}"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = series, "1.2.826.0.1", "MR"
        data.Rows, data.Columns = geometry.size[1], geometry.size[0]
        data.PixelSpacing = [f"{geometry.spacing[1]:.6g}", f"{geometry.spacing[0]:.6g}"]
        data.SliceThickness = f"{geometry.spacing[2]:.6g}"
        data.ImagePositionPatient = [f"{v:.8g}" for v in (geometry.ijk_to_lps() @ [0, 0, k, 1])[:3]]
        data.ImageOrientationPatient = [f"{v:.10g}" for v in geometry.axes[:, :2].T.ravel()]
        data.InstanceNumber = k + 1
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = volume.array[k].astype(np.uint16).tobytes()
        data.save_as(folder / f"{series}_{k:03d}.dcm", enforce_file_format=True)


def test_dicom_folder(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    # DICOM has right-handed axes only.
    from conftest import rotation

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


def test_dicom_with_a_missing_slice_is_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_dicom(make_scan(Geometry((20, 20, 9), (1, 1, 1))), tmp_path, leave_out=(4,))
    with pytest.raises(VesselSegError, match="not evenly spaced"):
        read_volume(tmp_path)


def make_bad_files(folder: Path) -> dict[str, Path]:
    """Write the broken inputs that a user may give; name -> path."""
    array = np.random.default_rng(0).integers(0, 200, (6, 8, 10)).astype(np.float32)
    bad = {name: folder / f"{name.replace(' ', '_')}.nii.gz" for name in ("text", "empty", "2D", "4D", "truncated", "cut header")}
    bad["text"].write_text("this is no image")
    bad["empty"].touch()
    sitk.WriteImage(sitk.GetImageFromArray(array[0]), str(bad["2D"]))
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(array)] * 3), str(bad["4D"]))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["truncated"]))
    bad["truncated"].write_bytes(bad["truncated"].read_bytes()[:400])
    bad["cut header"].write_bytes(bad["truncated"].read_bytes()[:100])
    bad["plain truncated"] = folder / "plain.nii"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["plain truncated"]))
    bad["plain truncated"].write_bytes(bad["plain truncated"].read_bytes()[:1000])
    bad["truncated MHA"] = folder / "cut.mha"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(bad["truncated MHA"]))
    bad["truncated MHA"].write_bytes(bad["truncated MHA"].read_bytes()[:1000])
    bad["RGB"] = folder / "rgb.nrrd"
    colours = np.zeros((6, 8, 10, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(bad["RGB"]))
    bad["missing"] = folder / "missing.nii.gz"
    bad["no DICOM"] = folder / "folder"
    bad["no DICOM"].mkdir()
    (bad["no DICOM"] / "notes.txt").write_text("nothing here")
    return bad


BAD_INPUTS = {
    "text": "cannot be read as an image",
    "empty": "is empty",
    "2D": "2-dimensional",
    "4D": "series of 3 volumes",
    "truncated": "breaks off",
    "plain truncated": "breaks off",
    "cut header": "cannot be read as an image",
    "truncated MHA": "cannot be read as an image",
    "RGB": "3 values a voxel",
    "missing": "there is no file",
    "no DICOM": "no DICOM series",
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_named(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = make_bad_files(tmp_path)[name]
    with pytest.raises(VesselSegError, match=BAD_INPUTS[name]) as raised:
        read_volume(path)
    assert raised.value.advice
    assert "\n" not in str(raised.value)
    # Nothing of ITK's own words reaches the screen.
    assert capfd.readouterr() == ("", "")


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


def test_existing_output_is_kept_unless_asked(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    path = tmp_path / "out.nii.gz"
    path.write_text("precious")
    with pytest.raises(VesselSegError, match="exists already"):
        write_volume(make_scan(), path)
    assert path.read_text() == "precious"
    write_volume(make_scan(), path, overwrite=True)
    assert read_volume(path).geometry.size == (48, 44, 24)


def test_failing_block_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_output(tmp_path / "out.nii.gz") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.jpg", "out", ".nii.gz"])
def test_unknown_endings_are_refused(name: str, make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="ending"):
        write_volume(make_scan(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_check_output_names_a_missing_folder_and_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.nii.gz")
    with pytest.raises(VesselSegError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(VesselSegError, match="cannot be written"):
        check_output(Path("/proc/out.nii.gz"))
