"""What comes back after a crash beside the segments, and to which scan."""

from __future__ import annotations

import shutil
import zlib

import numpy as np
import pytest

from edited_vessels import MM, TRUTH, WAS, at
from VesselSegmentationLib.correcting.autosave import FOLDER_NAME
from VesselSegmentationLib.correcting.edit_log import START_ATTRIBUTE, read_log
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.original import AUTOMATIC, FOUND, kept_original, original_kind, original_label
from VesselSegmentationLib.correcting.recovery import discard, find_recoverable, restore, scan_for
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node


@pytest.fixture
def saving(scene, vessels, probability, tmp_path):
    """A session that saves against crashes."""
    logic = EditLogic(scene, reader="Dr. Reader", autosave_folder=tmp_path)
    logic.start(vessels[0])
    yield logic
    logic.stop()


def crashed(logic, folder):
    """What a crash would leave now; the session goes on."""
    logic.save_against_crash()
    copy = folder / "crashed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / FOLDER_NAME, copy / FOLDER_NAME, ignore=shutil.ignore_patterns("lock"))
    (found,) = find_recoverable(copy)
    return found


@pytest.fixture
def elsewhere(make_scene, scan):
    """3D Slicer started anew, with the scan."""

    def make(name="TOF"):
        scene = make_scene()
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        set_node_volume(node, volume_from_node(scan))
        return scene, node

    return make


def test_the_automatic_result_comes_back_with_the_log(scan, vessels, saving, elsewhere, tmp_path):
    saving.commit(saving.preview_remove_piece(at(scan, 2, 2, 4)))
    found = crashed(saving, tmp_path)
    assert found.path.with_name("original.nrrd").is_file()
    scene, volume = elsewhere()
    node = restore(scene, found)
    assert original_kind(node) == AUTOMATIC
    np.testing.assert_array_equal(original_label(node, volume).array, WAS)
    assert not kept_original(node)[0].GetDisplayNode().GetVisibility()
    assert read_log(node) == saving.log.entries != []
    assert node.GetAttribute(START_ATTRIBUTE) == vessels[0].GetAttribute(START_ATTRIBUTE)
    again = EditLogic(scene, autosave_folder=tmp_path / "again")
    again.start(node)
    again.commit(again.preview_remove_piece(at(volume, 10, 9, 9)))
    assert original_kind(node) == AUTOMATIC  # not what was found after the crash
    np.testing.assert_array_equal(original_label(node, volume).array, WAS)
    # And once more after a second crash.
    twice = restore(*elsewhere()[:1], crashed(again, tmp_path / "again"))
    assert original_kind(twice) == AUTOMATIC
    again.stop()
    discard(found)
    assert not found.path.parent.exists()


def test_the_automatic_result_is_written_once_and_anew_when_there_is_another(
    scan, vessels, saving, elsewhere, tmp_path
):
    saving.commit(saving.preview_remove_piece(at(scan, 2, 2, 4)))
    path = crashed(saving, tmp_path).path.parents[3] / FOLDER_NAME
    (original,) = path.rglob("original.nrrd")
    written = original.stat().st_mtime_ns
    saving.undo()
    crashed(saving, tmp_path)
    assert original.stat().st_mtime_ns == written
    original.unlink()  # by a cleaner of temporary files
    saving.redo()
    crashed(saving, tmp_path)
    assert original.is_file()
    set_segment_label(vessels[0], scan, volume_from_node(scan).with_array(TRUTH))
    saving.commit(saving.preview_remove_piece(at(scan, 10, 9, 9)))
    scene, volume = elsewhere()
    node = restore(scene, crashed(saving, tmp_path))
    np.testing.assert_array_equal(original_label(node, volume).array, TRUTH)


@pytest.mark.parametrize("label", ["from elsewhere", "empty"])
def test_what_was_found_comes_back_as_such(scene, scan, vessels, saving, elsewhere, tmp_path, label):
    node, segment_id = vessels
    was = WAS if label == "from elsewhere" else np.zeros_like(WAS)
    set_segment_label(node, scan, volume_from_node(scan).with_array(was))
    node.GetSegmentation().GetSegment(segment_id).RemoveTag("vesselseg.written")
    saving.start(node)
    saving.commit(saving.preview_threshold_brush(at(scan, 5, 20, 5), 0.2, radius_mm=2.0))
    scene, volume = elsewhere()
    back = restore(scene, crashed(saving, tmp_path))
    assert original_kind(back) == FOUND
    np.testing.assert_array_equal(original_label(back, volume).array, was)


def test_a_damaged_original_does_not_keep_the_edits_back(scan, saving, elsewhere, tmp_path, caplog):
    saving.commit(saving.preview_remove_piece(at(scan, 2, 2, 4)))
    found = crashed(saving, tmp_path)
    found.path.with_name("original.nrrd").write_bytes(zlib.compress(b"nothing"))
    node = restore(elsewhere()[0], found)
    assert kept_original(node) is None
    assert read_log(node) != []
    assert "before the first edit is lost" in caplog.text


def test_the_scan_is_found_where_it_lies_whatever_it_is_called(scan, saving, elsewhere, add_scan, tmp_path):
    saving.commit(saving.preview_remove_piece(at(scan, 2, 2, 4)))
    found = crashed(saving, tmp_path)
    scene, volume = elsewhere("5: TOF")
    assert scan_for(scene, found) is volume
    assert restore(scene, found).GetNodeReference("referenceImageGeometryRef") is volume
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "smoothed")
    set_node_volume(other, volume_from_node(volume))
    assert scan_for(scene, found) is None  # it could be either
    other.SetName("TOF")
    assert scan_for(scene, found) is other
    moved = MM.copy()
    moved[0, 3] = 100.0
    elsewhere_too = add_scan(WAS.shape, moved)
    set_node_volume(other, volume_from_node(elsewhere_too))
    assert scan_for(scene, found) is volume  # the name alone is not enough
