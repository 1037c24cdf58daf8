"""Which series of a study is taken, and which images of a series."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inputs import write_dicom, write_enhanced_dicom
from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_headers import SeriesKind
from vesselseg.formats.dicom_io import find_dicom_series
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_reference, read_volume
from vesselseg.volume import Volume

MakeScan = Callable[..., Volume]


def _grid(slices: int = 20, **position: tuple[float, ...]) -> Geometry:
    return Geometry((18, 16, slices), (0.5, 0.5, 0.8), **position)  # type: ignore[arg-type]


def _write(make_scan: MakeScan, folder: Path, number: int, slices: int = 20, **tags: object) -> None:
    write_dicom(make_scan(_grid(slices)), folder / str(number), series=f"1.2.3.{number}", **tags)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TOF_3D_multi-slab", SeriesKind.TOF),
        ("Ax 3D Time of Flight", SeriesKind.TOF),
        ("3D INFLOW", SeriesKind.TOF),
        ("s3DI_MC_HR", SeriesKind.TOF),
        ("Circle of Willis", SeriesKind.TOF),
        ("COW_0.5mm", SeriesKind.TOF),
        ("TOF W/O CONTRAST", SeriesKind.TOF),
        ("MRA HEAD WITHOUT CONTRAST", SeriesKind.ANGIOGRAM),
        ("MRA non-contrast", SeriesKind.ANGIOGRAM),
        ("TOF W/O IV CONTRAST", SeriesKind.TOF),
        ("TOF without IV contrast", SeriesKind.TOF),
        ("TOF_WITHOUT_IV_CONTRAST", SeriesKind.TOF),
        ("TOF pre contrast", SeriesKind.TOF),
        ("TOF PC sat", SeriesKind.TOF),
        ("TOF ven sat", SeriesKind.TOF),
        ("TOF venous_saturation", SeriesKind.TOF),
        ("MRA HEAD W/O  CONTRAST", SeriesKind.ANGIOGRAM),
        ("MRA no Gd contrast", SeriesKind.ANGIOGRAM),
        ("MRA noncontrast", SeriesKind.ANGIOGRAM),
        ("MRA W/O AND WITH CONTRAST", SeriesKind.OTHER_ANGIOGRAM),
        ("MRA WO/W CONTRAST", SeriesKind.OTHER_ANGIOGRAM),
        ("MRA pre/post contrast", SeriesKind.OTHER_ANGIOGRAM),
        ("TOF MRV without contrast", SeriesKind.OTHER_ANGIOGRAM),
        ("TOF venous", SeriesKind.OTHER_ANGIOGRAM),
        ("Angio head", SeriesKind.ANGIOGRAM),
        ("2D TOF MRV cor", SeriesKind.OTHER_ANGIOGRAM),
        ("CE-MRA carotids", SeriesKind.OTHER_ANGIOGRAM),
        ("ceMRA", SeriesKind.OTHER_ANGIOGRAM),
        ("MRA with contrast", SeriesKind.OTHER_ANGIOGRAM),
        ("PC angio", SeriesKind.OTHER_ANGIOGRAM),
        ("angio venous", SeriesKind.OTHER_ANGIOGRAM),
        ("TWIST angio", SeriesKind.OTHER_ANGIOGRAM),
        ("T1 MPRAGE", SeriesKind.SCAN),
        ("T2 FLAIR 3DIR", SeriesKind.SCAN),
        ("cowboy", SeriesKind.SCAN),
        ("TOF_3D tMIP tra", SeriesKind.NO_SCAN),
        ("TOF reformatted", SeriesKind.NO_SCAN),
    ],
)
def test_names_tell_kinds(name: str, kind: SeriesKind, make_scan: MakeScan, tmp_path: Path) -> None:
    _write(make_scan, tmp_path, 1, SeriesDescription=name)
    assert find_dicom_series(tmp_path)[0].kind == kind


def test_the_protocol_counts_where_the_description_names_no_angiogram(make_scan: MakeScan, tmp_path: Path) -> None:
    """Some vendors give the protocol of the study to all series in it."""
    for number, (description, protocol) in enumerate(
        [("Ax 3D TOF", "MRA HEAD AND NECK W CONTRAST"), ("axial", "s3DI_MC_HR"), ("T1", "Head")]
    ):
        _write(make_scan, tmp_path, number, 22 - number, SeriesDescription=description, ProtocolName=protocol)
    assert [each.kind for each in find_dicom_series(tmp_path)] == [SeriesKind.TOF, SeriesKind.TOF, SeriesKind.SCAN]


@pytest.mark.parametrize(
    ("keyword", "value", "kind"),
    [("AngioFlag", "Y", SeriesKind.ANGIOGRAM), ("TimeOfFlightContrast", "YES", SeriesKind.TOF)],
)
def test_flags_tell_kinds(keyword: str, value: str, kind: SeriesKind, make_scan: MakeScan, tmp_path: Path) -> None:
    _write(make_scan, tmp_path, 1, SeriesDescription="axial", **{keyword: value})
    assert find_dicom_series(tmp_path)[0].kind == kind


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesDescription": "CE-MRA carotids"},
        {"SeriesDescription": "TOF_3D MRV"},
        {"SeriesDescription": "MRA"},
        {"SeriesDescription": "TOF 3D", "ImageType": "DERIVED\\SECONDARY\\M"},
        {"SeriesDescription": "COR 3D TOF", "ImageType": "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE"},
        {"SeriesDescription": "TOF 3D", "ImageType": "DERIVED\\PRIMARY\\ANGIO\\MAX_IP"},
        {"SeriesDescription": "TOF 3D vessels", "Modality": "SEG"},
        {"SeriesDescription": "TOF 3D", "Modality": "CT"},
    ],
)
def test_larger_series_do_not_displace_the_tof_angiogram(
    tags: dict[str, str], make_scan: MakeScan, tmp_path: Path
) -> None:
    _write(make_scan, tmp_path, 1, 20, SeriesDescription="TOF 3D", ImageType="ORIGINAL\\PRIMARY\\M")
    _write(make_scan, tmp_path, 2, 30, **tags)
    assert [each.slices for each in find_dicom_series(tmp_path)] == [20, 30]


def test_other_scans_are_said(make_scan: MakeScan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _write(make_scan, tmp_path, 1, 20, SeriesDescription="TOF 3D")
    _write(make_scan, tmp_path, 2, 30, SeriesDescription="PC angio")
    _write(make_scan, tmp_path, 3, 3, SeriesDescription="localizer")
    assert read_volume(tmp_path).geometry.size[2] == 20
    assert "if you mean another, give it alone (PC angio: MR, 30 slices of 18 x 16)" in caplog.text


@pytest.mark.parametrize(
    ("larger", "smaller", "said"),
    [
        ("2D TOF MRV", "T1", "its name tells of veins, the neck, contrast agent or phase contrast: if you mean"),
        ("T1", "TOF tMIP", "none of those that are named as a TOF angiogram is a three-dimensional MR scan: if you"),
        ("T1", "T2", "none of them is named as a TOF angiogram: if you mean another"),
    ],
)
def test_a_tof_angiogram_that_is_there_is_not_said_to_be_missing(
    larger: str, smaller: str, said: str, make_scan: MakeScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write(make_scan, tmp_path, 1, 30, SeriesDescription=larger)
    _write(make_scan, tmp_path, 2, 20, SeriesDescription=smaller)
    assert read_volume(tmp_path).geometry.size[2] == 30
    assert said in caplog.text
    assert ("none of them is named" in caplog.text) == (smaller == "T2")


@pytest.mark.parametrize("where", ["folder", "file"])
def test_a_scan_that_is_no_mr_is_said(
    where: str, make_scan: MakeScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dicom(make_scan(_grid()), tmp_path, Modality="CT")
    read_volume(tmp_path if where == "folder" else min(tmp_path.iterdir()))
    assert "is CT, not MR" in caplog.text


@pytest.mark.parametrize("read", [read_label, read_reference])
@pytest.mark.parametrize("where", ["folder", "file"])
def test_a_label_need_not_be_mr(
    where: str,
    read: Callable[[Path], object],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_dicom(Volume(np.ones(_grid().shape, np.uint8), _grid()), tmp_path, Modality="SEG")
    read(tmp_path if where == "folder" else min(tmp_path.iterdir()))
    assert "not MR" not in caplog.text


def test_results_beside_a_scan_are_not_taken(make_scan: MakeScan, tmp_path: Path) -> None:
    _write(make_scan, tmp_path, 1, 20, SeriesDescription="axial")
    _write(make_scan, tmp_path, 2, 40, SeriesDescription="Vessel segmentation", Modality="SEG")
    assert [each.is_scan for each in find_dicom_series(tmp_path)] == [True, False]
    assert read_volume(tmp_path).geometry.size[2] == 20


@pytest.mark.parametrize("first", ["scan", "others"])
@pytest.mark.parametrize("image_type", ["DERIVED\\SECONDARY\\PROJECTION IMAGE", "ORIGINAL\\PRIMARY\\M"])
def test_few_images_that_lie_otherwise_are_left_out_of_a_series(
    image_type: str, first: str, make_scan: MakeScan, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = make_scan(_grid())
    write_dicom(scan, tmp_path / ("a" if first == "scan" else "b"), SeriesDescription="TOF")
    sagittal = _grid(3, direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))
    others = {"SeriesDescription": "TOF", "ImageType": image_type}
    write_dicom(make_scan(sagittal), tmp_path / ("b" if first == "scan" else "a"), **others)
    for path in (tmp_path / ("b" if first == "scan" else "a")).iterdir():
        _renumbered(path, 100)
    assert find_dicom_series(tmp_path)[0].text == "TOF: MR, 20 slices of 18 x 16"
    np.testing.assert_array_equal(read_volume(tmp_path).array, np.floor(scan.array))
    assert "3 images of the DICOM series" in caplog.text


def _renumbered(path: Path, by: int) -> None:
    from pydicom import dcmread

    data = dcmread(path)
    data.InstanceNumber += by
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.99.{data.InstanceNumber}"
    data.save_as(path)


def test_a_series_with_two_stacks_is_refused(make_scan: MakeScan, tmp_path: Path) -> None:
    write_dicom(make_scan(_grid()), tmp_path / "a")
    write_dicom(make_scan(_grid(direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))), tmp_path / "b")
    with pytest.raises(VesselSegError, match="several stacks"):
        read_volume(tmp_path)


@pytest.mark.parametrize("enhanced", [False, True])
def test_a_series_that_is_stored_twice_is_read_once(enhanced: bool, make_scan: MakeScan, tmp_path: Path) -> None:
    scan = make_scan(_grid())
    if enhanced:
        (tmp_path / "a").mkdir()
        write_enhanced_dicom(tmp_path / "a" / "scan.dcm", scan)
    else:
        write_dicom(scan, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert find_dicom_series(tmp_path)[0].slices == 20
    np.testing.assert_array_equal(read_volume(tmp_path).array, np.floor(scan.array))


def test_images_with_one_identifier_are_not_taken_for_copies(make_scan: MakeScan, tmp_path: Path) -> None:
    """Anonymisation may give it to a whole series."""
    scan = make_scan(_grid())
    write_dicom(scan, tmp_path, SOPInstanceUID="1.2.3")
    np.testing.assert_array_equal(read_volume(tmp_path).array, np.floor(scan.array))


@pytest.mark.parametrize(
    ("name", "advice"), [("DICOMDIR", "give the folder"), ("scan.zip", "unpack it"), ("scan.TAR.GZ", "unpack it")]
)
def test_what_only_leads_to_images_is_said_to_do_so(name: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(2000))
    with pytest.raises(VesselSegError, match=advice):
        read_volume(tmp_path / name)
