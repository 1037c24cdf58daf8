"""A label that was signed is signed again: the log only grows, and the automatic result stays what it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compared_labels import SHAPE, add_segmentation, paint
from edited_vessels import TRUTH, WAS, at
from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_label, read_volume, write_volume
from VesselSegmentationLib.correcting.edit_log import read_log
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.saving import edit_export
from VesselSegmentationLib.saving.edit_export import export_signed
from VesselSegmentationLib.saving.signed_record import files_of_another
from VesselSegmentationLib.scene.run_record import record_summary
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label, vessel_segment
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

PIECES = {"first": (2, 2, 4), "second": (10, 9, 9)}
RUN = {"model": "tof", "device": "cpu", "device_name": "CPU", "precision": "float32", "seconds": 1.0}


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE)


def begin(scene, node, scan, reader):
    logic = EditLogic(scene, reader=reader)
    logic.start(node, scan, segment_id=vessel_segment(node))
    return logic


def sign(logic, path, **options):
    return export_signed(logic.target, [path], reader=logic.reader, overwrite=True, **options)


def document(folder, name="case"):
    return json.loads((folder / f"{name}_edits.json").read_text(encoding="utf-8"))


@pytest.fixture
def signed(scene, scan, tmp_path):
    """Signs what the first reader corrected: named a vessel, removed a piece."""

    def make(name):
        write_volume(volume_from_node(scan), tmp_path / "scan.nrrd")
        node, _ = add_segmentation(scene, scan, WAS, "Vessels")
        record_summary(node, RUN)
        logic = begin(scene, node, scan, "first")
        logic.arteries.move(logic.arteries.preview(at(scan, 10, 9, 9)), "basilar")
        logic.commit(logic.preview_remove_piece(at(scan, *PIECES["first"])))
        sign(logic, tmp_path / name)
        logic.stop()
        return tmp_path / name

    return make


@pytest.fixture
def read_again(make_scene, tmp_path):
    """Loads scan and label into another scene, as another day."""

    def read(path, *, storage=True):
        scene = make_scene()
        scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
        set_node_volume(scan, read_volume(tmp_path / "scan.nrrd"))
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "case")
        if not storage:  # as from a label volume
            segment_id = set_segment_label(node, scan, read_label(path), role="imported")
            node.GetSegmentation().GetSegment(segment_id).RemoveTag("vesselseg.written")
            return scene, node, scan
        storage_node = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage_node.SetFileName(str(path))
        assert storage_node.ReadData(node)
        node.SetAndObserveStorageNodeID(storage_node.GetID())
        return scene, node, scan

    return read


def remove_second(logic, scan):
    segment_id = logic.arteries.segment_at(at(scan, *PIECES["second"]))
    logic.commit(logic.preview_remove_piece(at(scan, *PIECES["second"]), segment_id=segment_id), segment_id=segment_id)


@pytest.mark.parametrize(
    ("name", "storage", "written"),
    [
        ("case.seg.nrrd", True, "case"),
        ("case.seg.nrrd", True, "other"),
        ("case.nii.gz", True, "case"),
        ("case.nii.gz", False, "case"),
    ],
)
def test_the_second_reader_goes_on_with_log_and_automatic_result(signed, read_again, tmp_path, name, storage, written):
    path = signed(name)
    first = document(tmp_path)
    scene, node, scan = read_again(path, storage=storage)
    logic = begin(scene, node, scan, "second")
    remove_second(logic, scan)
    assert files_of_another(logic.target, path) == []
    output = sign(logic, path.with_name(path.name.replace("case", written)))
    second = document(tmp_path, written)
    assert second["edits"][:2] == first["edits"]
    assert [entry["reader"] for entry in second["edits"]] == ["first", "first", "second"]
    assert [entry["number"] for entry in second["edits"]] == [1, 2, 3]
    assert second["signatures"][:1] == first["signatures"]
    assert [(each["reader"], each["edits"]) for each in second["signatures"]] == [("first", 2), ("second", 3)]
    assert second["before_edits"] == "automatic"
    assert second["automatic_run"] == first["automatic_run"] != None  # noqa: E711
    np.testing.assert_array_equal(read_label(output.automatic).array, WAS)
    assert logic.log.entries == second["edits"]
    # And once more in the same session.
    logic.undo()
    output = sign(logic, output.files[0])
    third = document(tmp_path, written)
    assert third["edits"][:3] == second["edits"]
    assert [entry["event"] for entry in third["edits"]] == ["done"] * 3 + ["undone"]
    assert third["signatures"][:2] == second["signatures"]
    assert third["label_after"] == first["label_after"]
    np.testing.assert_array_equal(read_label(output.automatic).array, WAS)
    logic.stop()


def test_a_label_signed_again_without_edits_keeps_its_record(signed, read_again, tmp_path):
    path = signed("case.seg.nrrd")
    first, automatic = document(tmp_path), (tmp_path / "case_automatic.nii.gz").read_bytes()
    scene, node, scan = read_again(path)
    logic = begin(scene, node, scan, "second")
    sign(logic, path)
    second = document(tmp_path)
    assert second["edits"] == first["edits"] == read_log(node)
    assert [each["reader"] for each in second["signatures"]] == ["first", "second"]
    assert (tmp_path / "case_automatic.nii.gz").read_bytes() == automatic
    logic.stop()


def test_the_record_of_another_label_is_told_apart(signed, read_again, tmp_path):
    path = signed("case.seg.nrrd")
    scene, node, scan = read_again(path)
    paint(node, vessel_segment(node), scan, [(0, 0, 0)], 1)  # by something that keeps no log
    logic = begin(scene, node, scan, "second")
    remove_second(logic, scan)
    names = [each.name for each in files_of_another(logic.target, path)]
    assert names == ["case_edits.json", "case_automatic.nii.gz"]
    with pytest.raises(VesselSegError, match="exists already"):
        export_signed(logic.target, [path], reader="second")
    sign(logic, path)
    assert [entry["reader"] for entry in document(tmp_path)["edits"]] == ["second"]
    logic.stop()


@pytest.mark.parametrize("damage", ["log", "automatic result"])
def test_a_record_that_cannot_be_read_is_not_replaced_unasked(signed, read_again, tmp_path, damage):
    path = signed("case.seg.nrrd")
    (tmp_path / ("case_edits.json" if damage == "log" else "case_automatic.nii.gz")).write_text("{}")
    scene, node, scan = read_again(path)
    logic = begin(scene, node, scan, "second")
    names = [each.name for each in files_of_another(logic.target, path)]
    assert names == ["case_edits.json", "case_automatic.nii.gz"]
    logic.stop()


def test_two_automatic_results_are_told_apart(scene, scan, tmp_path):
    node, _ = add_segmentation(scene, scan, WAS, "Vessels")
    logic = begin(scene, node, scan, "first")
    logic.commit(logic.preview_remove_piece(at(scan, *PIECES["first"])))
    path = tmp_path / "case.nii.gz"
    sign(logic, path)
    assert files_of_another(logic.target, path) == []
    set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH))  # as a model that is run again
    logic.commit(logic.preview_remove_piece(at(scan, *PIECES["second"])))
    assert [each.name for each in files_of_another(logic.target, path)] == ["case_automatic.nii.gz"]
    logic.stop()


@pytest.mark.parametrize("disk", ["fine", "full"])
def test_an_automatic_result_of_another_label_does_not_stay(scene, scan, tmp_path, monkeypatch, disk):
    """Beside a label without edits it would be taken for that of this one; where nothing is written it stays."""
    stale, path = tmp_path / "case_automatic.nii.gz", tmp_path / "case.nii.gz"
    stale.write_text("of another")
    node, _ = add_segmentation(scene, scan, WAS, "Vessels")
    logic = begin(scene, node, scan, "first")
    with pytest.raises(VesselSegError, match="exists already"):
        export_signed(logic.target, [path], reader="first")
    assert files_of_another(logic.target, path) == [stale]
    if disk == "full":

        def fail(*args):
            raise VesselSegError("disk full", "")

        monkeypatch.setattr(edit_export, "write_image", fail)
        with pytest.raises(VesselSegError, match="disk full"):
            sign(logic, path)
        assert stale.read_text() == "of another"
    else:
        assert sign(logic, path).automatic is None
        assert sorted(each.name for each in tmp_path.iterdir()) == ["case.nii.gz", "case_edits.json"]
    logic.stop()
