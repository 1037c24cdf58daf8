from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_segmentation
from edited_vessels import TRUTH, WAS, at
from editing_shortcuts import traced_through
from inputs import AWKWARD_GRIDS, write_dicom
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.saving import edit_export
from VesselSegmentationLib.saving.dicom_seg import find_source_files
from VesselSegmentationLib.saving.edit_export import export_signed
from VesselSegmentationLib.saving.surfaces import label_surface
from VesselSegmentationLib.scene.run_record import record_summary
from VesselSegmentationLib.scene.segmentation_nodes import segment_label, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node, volume_geometry


@pytest.fixture
def scan(add_scan, ijk_to_ras):
    return add_scan(SHAPE, ijk_to_ras)


@pytest.fixture
def logic(scene, scan):
    logic = start(scene, scan)
    yield logic
    logic.stop()


def start(scene, scan):
    node, _ = add_segmentation(scene, scan, WAS, "Vessels")
    logic = EditLogic(scene, reader="Dr. Reader")
    logic.start(node)
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    return logic


def corrected():
    label = WAS.copy()
    label[2, 2, 2:8] = 0
    return label


def signed(logic, *paths, **options):
    return export_signed(logic.target, paths, reader="Dr. Reader", **options)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_label_log_and_automatic_result(scan, logic, tmp_path, suffix):
    output = signed(logic, tmp_path / f"case{suffix}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [f"case{suffix}", "case_edits.json", f"case_automatic{suffix}"]
    )
    for path, expected in ((output.files[0], corrected()), (output.automatic, WAS)):
        label = read_label(path)
        np.testing.assert_array_equal(label.array, expected)
        assert label.geometry.same_grid(volume_geometry(scan))
    document = json.loads(output.log.read_text(encoding="utf-8"))
    assert document["signed_by"] == "Dr. Reader"
    assert [entry["tool"] for entry in document["edits"]] == ["remove piece"]
    assert document["before_edits"] == "automatic"


def test_nothing_is_replaced_unasked_and_nothing_is_left_half(logic, tmp_path, monkeypatch):
    (tmp_path / "case_edits.json").write_text("mine")
    with pytest.raises(VesselSegError, match="exists already"):
        signed(logic, tmp_path / "case.nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["case_edits.json"]
    signed(logic, tmp_path / "case.nii.gz", overwrite=True)
    assert (tmp_path / "case_edits.json").read_text(encoding="utf-8") != "mine"

    def fail(*args, **options):
        raise VesselSegError("disk full", "")

    monkeypatch.setattr(edit_export, "write_surface", fail)
    with pytest.raises(VesselSegError, match="disk full"):
        signed(logic, tmp_path / "other.nii.gz", tmp_path / "other.stl")
    assert not list(tmp_path.glob("*other*"))
    assert not list(tmp_path.glob(".vesselseg*"))
    with pytest.raises(VesselSegError, match="ending"):
        signed(logic, tmp_path / "case.txt")
    with pytest.raises(VesselSegError, match="no file"):
        signed(logic)


def test_seg_nrrd_holds_arteries_as_segments_and_nifti_all_of_them(scene, scan, logic, tmp_path):
    edit = logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True)
    logic.arteries.move(edit, "basilar")
    output = signed(logic, tmp_path / "case.nii.gz", tmp_path / "case.seg.nrrd")
    np.testing.assert_array_equal(read_label(output.files[0]).array, corrected())
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(output.files[1]))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment_id = segmentation.GetNthSegmentID(index)
        found[segmentation.GetSegment(segment_id).GetName()] = segment_label(node, segment_id, scan).array
    assert set(found) == {"Vessels", "Basilar artery"}
    np.testing.assert_array_equal(found["Vessels"] + found["Basilar artery"], corrected())


@pytest.mark.parametrize("coordinates", ["LPS", "RAS"])
@pytest.mark.parametrize("suffix", [".stl", ".obj", ".ply"])
def test_surfaces_lie_where_the_voxels_are(scan, logic, tmp_path, suffix, coordinates):
    output = signed(logic, tmp_path / f"case{suffix}", coordinates=coordinates)
    node, storage = slicer.vtkMRMLModelNode(), slicer.vtkMRMLModelStorageNode()
    storage.SetFileName(str(output.files[0]))
    assert storage.ReadData(node)  # knows the coordinates from the file
    points = np.argwhere(corrected())[:, ::-1]
    corners = np.concatenate([points + step for step in np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T])
    matrix = volume_geometry(scan).ijk_to_ras()
    places = corners @ matrix[:3, :3].T + matrix[:3, 3]
    bounds = np.array(node.GetPolyData().GetBounds()).reshape(3, 2)
    spacing = max(volume_geometry(scan).spacing)
    np.testing.assert_allclose(bounds[:, 0], places.min(axis=0), atol=spacing)
    np.testing.assert_allclose(bounds[:, 1], places.max(axis=0), atol=spacing)
    assert storage.GetCoordinateSystemAsString(storage.GetCoordinateSystem()) == coordinates
    assert output.automatic.name == "case_automatic.nii.gz"


def test_surface_faces_outwards_on_every_grid(scan):
    volume = Volume(corrected(), volume_geometry(scan))
    from vtkmodules.vtkFiltersCore import vtkMassProperties

    surface = label_surface(volume)
    mass = vtkMassProperties()
    mass.SetInputData(surface)
    expected = corrected().sum() * volume.geometry.voxel_volume
    assert mass.GetVolume() == pytest.approx(expected, rel=0.25)
    with pytest.raises(VesselSegError, match="empty label"):
        label_surface(volume.with_array(np.zeros(SHAPE, np.uint8)))


def dicom_scan(scene, folder, direction, spacing):
    """A scan as it comes from DICOM, loaded as 3D Slicer does: with the images' UIDs in an attribute."""
    from pydicom import dcmread, dcmwrite

    geometry = Geometry(SHAPE[::-1], spacing, (-31.5, 12.25, -80.0), tuple(direction.ravel()))
    array = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.float32)
    write_dicom(Volume(array, geometry), folder)
    uids = []
    for path in sorted(folder.iterdir()):
        image = dcmread(path)
        image.FrameOfReferenceUID = "1.2.826.0.2"
        image.PatientName, image.PatientID = "Test^Person", "17"
        image.StudyDate, image.StudyTime, image.SeriesNumber = "20200101", "120000", 3
        uids.append(str(image.SOPInstanceUID))
        dcmwrite(path, image)
    loaded = read_volume(folder)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(node, loaded)
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node, loaded


@pytest.mark.parametrize("grid", list(AWKWARD_GRIDS))
def test_dicom_segmentation_refers_to_its_images(scene, tmp_path, grid):
    highdicom = pytest.importorskip("highdicom")
    scan, loaded = dicom_scan(scene, tmp_path / "images", *AWKWARD_GRIDS[grid])
    logic = start(scene, scan)
    record_summary(
        logic.target.node,
        {"model": "tof", "device": "cpu", "device_name": "CPU", "precision": "float32", "seconds": 1.0},
    )
    edit = logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True)
    logic.arteries.move(edit, "MCA left")
    logic.commit(traced_through(logic, [at(scan, 18, 4, 20), at(scan, 18, 10, 20)], radius_mm=0.3))
    output = signed(logic, tmp_path / "case.dcm", dicom_folder=tmp_path / "images")
    item = highdicom.seg.segread(output.files[0])
    assert (item.PatientID, item.PatientName, item.StudyInstanceUID) == ("17", "Test^Person", "1.2.826.0.1")
    assert str(item.ContentCreatorName).rstrip("^") == "Dr. Reader"
    names = [item.get_segment_description(number).segment_label for number in item.segment_numbers]
    assert names == ["Vessels", "Left middle cerebral artery"]
    artery = item.get_segment_description(2)
    assert artery.segmented_property_type.meaning == "Artery"
    assert artery.anatomic_regions[0].meaning == "Middle Cerebral Artery"
    assert artery.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    assert artery.algorithm_type == highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC
    # Where the voxels lie, as highdicom says: compared in mm, without our own readers.
    volume = item.get_volume(combine_segments=False)
    to_lps = np.asarray(volume.affine)
    expected = {name: logic.target.label_of(segment_id) for name, segment_id in zip(names, _ids(logic))}
    for index, name in enumerate(names):
        indices = np.argwhere(np.asarray(volume.array)[..., index])
        places = indices @ to_lps[:3, :3].T + to_lps[:3, 3]
        ijk = np.argwhere(expected[name])[:, ::-1]
        there = ijk @ loaded.geometry.ijk_to_lps()[:3, :3].T + loaded.geometry.ijk_to_lps()[:3, 3]
        order, other = np.lexsort(np.round(places, 2).T), np.lexsort(np.round(there, 2).T)
        np.testing.assert_allclose(places[order], there[other], atol=1e-2)
    referred = {str(uid) for *_rest, uid in item.get_source_image_uids()}
    uids = set(scan.GetAttribute("DICOM.instanceUIDs").split())
    assert referred
    assert referred <= uids
    logic.stop()


@pytest.mark.parametrize("grid", list(AWKWARD_GRIDS))
def test_dicom_segmentation_is_read_by_dcmqi(scene, tmp_path, grid):
    """3D Slicer opens DICOM segmentations through its converter."""
    # pip puts it beside Python, which need not be on the path.
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    segimage2itkimage = shutil.which("segimage2itkimage", path=beside)
    if segimage2itkimage is None:
        pytest.skip("needs dcmqi's segimage2itkimage (pip install dcmqi)")
    scan, loaded = dicom_scan(scene, tmp_path / "images", *AWKWARD_GRIDS[grid])
    logic = start(scene, scan)
    for key, voxel in (("MCA left", (10, 9, 9)), ("veins right", (18, 4, 20))):
        logic.commit(traced_through(logic, [at(scan, 18, 4, 20), at(scan, 18, 10, 20)], radius_mm=0.6))
        logic.arteries.move(logic.arteries.preview(at(scan, *voxel), whole_piece=True), key)
    logic.commit(traced_through(logic, [at(scan, 2, 3, 4), at(scan, 2, 18, 20)], radius_mm=0.6))
    signed(logic, tmp_path / "case.dcm", dicom_folder=tmp_path / "images")
    read = tmp_path / "read"
    read.mkdir()
    command = [segimage2itkimage, "--inputDICOM", str(tmp_path / "case.dcm"), "--outputDirectory", str(read)]
    subprocess.run([*command, "--outputType", "nrrd"], check=True, capture_output=True)
    described = json.loads((read / "meta.json").read_text(encoding="utf-8"))["segmentAttributes"]
    for number, (entry, segment_id) in enumerate(zip((each for group in described for each in group), _ids(logic)), 1):
        label, expected = read_label(read / f"{number}.nrrd"), logic.target.label_of(segment_id)
        places = [
            np.argwhere(array)[:, ::-1] @ geometry.ijk_to_lps()[:3, :3].T + geometry.ijk_to_lps()[:3, 3]
            for array, geometry in ((label.array, label.geometry), (expected, loaded.geometry))
        ]
        found, there = (each[np.lexsort(np.round(each, 2).T)] for each in places)
        np.testing.assert_allclose(found, there, atol=1e-2)
        segment = logic.target.node.GetSegmentation().GetSegment(segment_id)
        assert entry["SegmentLabel"] == segment.GetName()
        np.testing.assert_allclose(entry["recommendedDisplayRGBValue"], np.multiply(segment.GetColor(), 255), atol=1.0)
    veins = described[-1][-1]
    assert veins["SegmentedPropertyCategoryCodeSequence"]["CodeMeaning"] == "Anatomical Structure"
    assert veins["SegmentedPropertyTypeModifierCodeSequence"]["CodeMeaning"] == "Right"
    logic.stop()


def _ids(logic):
    return [logic.target.segment_id, *logic.arteries.segments().values()]


def test_dicom_images_are_found_by_uid_or_grid_or_not_at_all(scene, add_scan, tmp_path):
    scan, _ = dicom_scan(scene, tmp_path / "images", *AWKWARD_GRIDS["oblique"])
    (tmp_path / "images" / "notes.txt").write_text("no image")
    by_uid = find_source_files(scan, folder=tmp_path)
    assert len(by_uid) == SHAPE[0]
    files = {uid: str(path) for uid, path in zip(scan.GetAttribute("DICOM.instanceUIDs").split(), by_uid)}
    assert find_source_files(scan, file_of=lambda uid: files[uid]) == by_uid
    scan.RemoveAttribute("DICOM.instanceUIDs")
    assert set(find_source_files(scan, folder=tmp_path)) == set(by_uid)
    with pytest.raises(VesselSegError, match="not known"):
        find_source_files(scan)
    with pytest.raises(VesselSegError, match="not known"):
        find_source_files(add_scan(SHAPE), folder=tmp_path)


def test_dicom_needs_the_images_of_this_scan(scene, scan, logic, tmp_path):
    with pytest.raises(VesselSegError, match="not known"):
        signed(logic, tmp_path / "case.dcm")
    assert list(tmp_path.iterdir()) == []


def test_dicom_without_highdicom_is_said(scene, tmp_path, monkeypatch):
    from VesselSegmentationLib.saving import dicom_seg

    scan, _ = dicom_scan(scene, tmp_path / "images", *AWKWARD_GRIDS["axial"])
    logic = start(scene, scan)
    monkeypatch.setattr(dicom_seg.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VesselSegError, match="need the package highdicom"):
        signed(logic, tmp_path / "case.dcm", dicom_folder=tmp_path / "images")
    assert not (tmp_path / "case_edits.json").exists()
    logic.stop()


def test_a_segment_beside_the_vessels_is_written_without_their_arteries(scene, scan, logic, tmp_path):
    node = logic.target.node
    logic.arteries.move(logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True), "basilar")
    by_hand = set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH), name="By hand", role="manual")
    logic.start(node, scan, segment_id=by_hand)
    output = signed(logic, tmp_path / "case.nii.gz", tmp_path / "case.seg.nrrd")
    np.testing.assert_array_equal(read_label(output.files[0]).array, TRUTH)
    written = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(output.files[1]))
    assert storage.ReadData(written)
    assert list(written.GetSegmentation().GetSegmentIDs()) == [by_hand]
    assert [each.name for each in edit_export._dicom_segments(logic.target)] == ["By hand"]
