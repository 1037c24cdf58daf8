"""DICOM segmentations of images that are out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inputs import rotation, write_dicom, write_enhanced_dicom
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume
from vesselseg.volume import Volume
from VesselSegmentationLib.saving.dicom_seg import DicomSegment, find_source_files, write_dicom_seg
from VesselSegmentationLib.scene.volume_nodes import set_node_volume

highdicom = pytest.importorskip("highdicom")

GRID = Geometry((18, 16, 20), (0.5, 0.6, 0.8), (-20.0, 15.0, 7.0), tuple(rotation(10, 4, -6).ravel()))
PATIENT = {
    "PatientName": "Test^Person",
    "PatientID": "17",
    "FrameOfReferenceUID": "1.2.826.0.2",
    "StudyDate": "20200101",
    "StudyTime": "120000",
    "SeriesNumber": 3,
}


@pytest.fixture
def label():
    array = np.zeros(GRID.shape, np.uint8)
    array[4:9, 3:6, 5:12] = array[12, 10, 2:9] = 1
    return Volume(array, GRID)


def written(path: Path, label: Volume, sources: Path, *, name: str = "Vessels", reader: str = "R"):
    files = [sources] if sources.is_file() else sorted(sources.iterdir())
    write_dicom_seg(path, [DicomSegment(name, "", (1, 0, 0), label)], files, reader=reader)
    return highdicom.seg.segread(path)


def changed(path: Path, change: Callable[..., None]) -> None:
    from pydicom import dcmread

    data = dcmread(path)
    change(data)
    data.save_as(path)


@pytest.mark.parametrize(
    ("character_set", "patient"),
    [
        (None, "Test^Person"),
        ("ISO_IR 100", "Müller^Zoë"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "王^小东"),
    ],
)
def test_names_in_any_letters(character_set, patient, make_scan, label, tmp_path):
    tags = PATIENT | {"PatientName": patient}
    if character_set is not None:
        tags["SpecificCharacterSet"] = character_set
    write_dicom(make_scan(GRID), tmp_path / "images", **tags)
    item = written(tmp_path / "case.dcm", label, tmp_path / "images", name="Artère 血管", reader="Ωμέγα 山田")
    assert str(item.PatientName) == patient
    assert item.get_segment_description(1).segment_label == "Artère 血管"
    assert str(item.ContentCreatorName) == "Ωμέγα 山田^"
    assert item.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    "change",
    [lambda data: data.__delattr__("SliceThickness"), lambda data: setattr(data, "SliceThickness", None)],
    ids=["missing", "empty"],
)
def test_the_thickness_of_slices_may_be_unknown(change, make_scan, label, tmp_path):
    write_dicom(make_scan(GRID), tmp_path / "images", **PATIENT)
    for path in (tmp_path / "images").iterdir():
        changed(path, change)
    assert written(tmp_path / "case.dcm", label, tmp_path / "images").NumberOfFrames == 6


def _with_broken_elements(data):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    for dataset in (data, item):
        dataset.add_new(0x00189073, "LO", "abcdef")  # a duration, which is to be told as a number of 8 bytes
    data.ReferencedImageSequence = Sequence([item])


def test_broken_elements_that_are_not_needed_are_no_hindrance(scene, make_scan, label, tmp_path):
    write_dicom(
        make_scan(GRID),
        tmp_path / "images",
        **PATIENT | {"PatientName": "Müller^Zoë", "SpecificCharacterSet": "ISO_IR 100"},
    )
    for path in (tmp_path / "images").iterdir():
        changed(path, _with_broken_elements)
        assert path.read_bytes().count(b"\x18\0\x73\x90LO") == 2
        path.write_bytes(path.read_bytes().replace(b"\x18\0\x73\x90LO", b"\x18\0\x73\x90FD"))
    assert written(tmp_path / "case.dcm", label, tmp_path / "images").PatientName == "Müller^Zoë"
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    set_node_volume(node, make_scan(GRID))
    assert len(find_source_files(node, folder=tmp_path / "images")) == 20


def test_a_result_beside_the_scan_is_none_of_its_series(scene, make_scan, label, tmp_path):
    write_dicom(make_scan(GRID), tmp_path / "images", **PATIENT)
    full = label.with_array(np.ones_like(label.array))
    written(tmp_path / "images" / "earlier.dcm", full, tmp_path / "images")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    set_node_volume(node, make_scan(GRID))
    files = find_source_files(node, folder=tmp_path / "images")
    assert len(files) == 20
    assert tmp_path / "images" / "earlier.dcm" not in files


def test_what_is_written_is_read_as_a_label_without_a_word(make_scan, label, tmp_path, caplog):
    write_dicom(make_scan(GRID), tmp_path / "images", **PATIENT)
    full = label.with_array(np.ones_like(label.array))
    (tmp_path / "results").mkdir()
    written(tmp_path / "results" / "case.dcm", full, tmp_path / "images")
    for path in (tmp_path / "results", tmp_path / "results" / "case.dcm"):
        assert read_label(path).geometry.same_grid(GRID, 0.05)
    assert "not MR" not in caplog.text


def test_an_enhanced_object_is_referred_to(make_scan, label, tmp_path):
    path = tmp_path / "enhanced.dcm"
    write_enhanced_dicom(path, make_scan(GRID), np.random.default_rng(3).permutation(20).tolist())
    changed(path, lambda data: [setattr(data, *each) for each in PATIENT.items()])
    item = written(tmp_path / "case.dcm", label, path)
    # Where the voxels lie, as highdicom says: compared in mm, without our own readers.
    volume = item.get_volume(combine_segments=True)
    found = np.argwhere(np.asarray(volume.array)) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    to_lps = GRID.ijk_to_lps()
    there = np.argwhere(label.array)[:, ::-1] @ to_lps[:3, :3].T + to_lps[:3, 3]
    found, there = (each[np.lexsort(np.round(each, 2).T)] for each in (found, there))
    np.testing.assert_allclose(found, there, atol=1e-2)
    assert {str(uid) for *_rest, uid in item.get_source_image_uids()} == {"1.2.826.0.1.7.1"}


def test_several_enhanced_objects_are_refused(make_scan, label, tmp_path):
    for name, frames in (("a", range(10)), ("b", range(10, 20))):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_enhanced_dicom(tmp_path / "images" / f"{name}.dcm", make_scan(GRID), frames)
    with pytest.raises(VesselSegError, match="several enhanced DICOM objects; save the segmentation as NIfTI"):
        written(tmp_path / "case.dcm", label, tmp_path / "images")


def test_series_that_lie_alike_are_not_mistaken_for_each_other(scene, make_scan, tmp_path):
    for number, name in enumerate(("A", "B")):
        tags = {"SeriesDescription": "TOF", "PatientName": name}
        write_dicom(make_scan(GRID), tmp_path / name, series=f"1.2.3.{number}", **tags)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    set_node_volume(node, read_volume(tmp_path / "B"))
    with pytest.raises(
        VesselSegError, match=r"several DICOM series lie where 'scan' does: TOF in .*A, TOF in .*B; give"
    ):
        find_source_files(node, folder=tmp_path)
    assert {path.parent for path in find_source_files(node, folder=tmp_path / "B")} == {tmp_path / "B"}


def test_what_a_panel_can_do_about_unknown_images_is_said(scene, make_scan):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    set_node_volume(node, make_scan(GRID))
    with pytest.raises(VesselSegError, match="load the scan through 3D Slicer's DICOM database"):
        find_source_files(node)
