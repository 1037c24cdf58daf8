from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from inputs import BAD_INPUTS, make_bad_files, rotation, write_dicom
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


def test_dicom_with_a_missing_slice_is_refused(make_scan: Callable[..., Volume], tmp_path: Path) -> None:
    write_dicom(make_scan(Geometry((20, 20, 9), (1, 1, 1))), tmp_path, leave_out=(4,))
    with pytest.raises(VesselSegError, match="not evenly spaced"):
        read_volume(tmp_path)


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
