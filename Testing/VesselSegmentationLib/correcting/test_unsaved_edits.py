from __future__ import annotations

import functools

import numpy as np
import pytest

from compared_labels import SHAPE, add_segmentation, paint
from edited_vessels import TRUTH, WAS, at, voxels
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting import edit_target
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_log import read_log
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.recovery import find_recoverable, restore
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


def test_unsaved_edits_and_autosave(scene, scan, vessels, tmp_path):
    logic = EditLogic(scene, autosave_folder=tmp_path)
    logic.start(vessels[0])
    assert not logic.unsaved_edits
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    assert logic.unsaved_edits
    logic.undo()
    assert not logic.unsaved_edits
    logic.redo()
    logic.save_against_crash()
    assert list(tmp_path.rglob("*.seg.nrrd"))
    logic.mark_saved()
    assert not logic.unsaved_edits
    assert not list(tmp_path.rglob("*.seg.nrrd"))
    paint(*vessels, scan, [(0, 0, 0)], 1)
    assert logic.unsaved_edits
    logic.save_against_crash()
    logic.stop(keep_autosave=True)
    assert len(find_recoverable(tmp_path)) == 1


def test_undo_brings_back_what_was_saved_before_a_threshold_was_moved(scene, vessels, probability, logic):
    segmentation = SegmentationLogic(scene)
    segmentation.apply_threshold(probability, vessels[0], 0.2)
    logic.poll()
    logic.mark_saved()
    segmentation.apply_threshold(probability, vessels[0], 0.95)
    logic.poll()
    assert logic.unsaved_edits
    logic.undo()
    assert not logic.unsaved_edits


@pytest.mark.parametrize("saved", ["never", "before", "in between"])
def test_edits_that_the_history_had_to_drop_are_not_saved(scene, scan, vessels, monkeypatch, saved):
    monkeypatch.setattr(edit_target, "EditHistory", functools.partial(EditHistory, max_steps=20))
    logic = EditLogic(scene)
    logic.start(vessels[0])
    for number in range(25):
        if saved == "before" and number == 1:
            logic.mark_saved()
        paint(*vessels, scan, [(0, 0, number)], 1)
        logic.poll()
        if saved == "in between" and number == 9:
            logic.mark_saved()
    while logic.can_undo:
        logic.undo()
        if len(logic.target.history.steps) == 5:
            assert logic.unsaved_edits == (saved != "in between")
    assert logic.unsaved_edits
    known = saved == "in between"  # what was dropped is in what was saved
    assert logic.only_voxels == logic.changed_only([]) == known
    logic.stop()


def test_what_is_left_with_unsaved_edits_keeps_them_and_its_copy(scene, scan, vessels, tmp_path):
    logic = EditLogic(scene, autosave_folder=tmp_path)
    other = add_segmentation(scene, scan, TRUTH, "Other")

    def copies():
        return list(tmp_path.rglob("*.seg.nrrd"))

    logic.start(vessels[0])
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    logic.start(other[0])
    assert len(copies()) == 1  # be it ever so soon after the edit
    assert find_recoverable(tmp_path) == []  # it is not lost
    assert not logic.unsaved_edits
    assert logic.unsaved_nodes == [vessels[0]]
    shifted = volume_from_node(scan).geometry.ijk_to_ras()
    shifted[0, 3] += 0.3
    elsewhere = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "elsewhere")
    set_node_volume(elsewhere, Volume(WAS, Geometry.from_ijk_to_ras(shifted, SHAPE[::-1])))
    with pytest.raises(VesselSegError, match="do not coincide"):
        logic.start(vessels[0], elsewhere)
    assert logic.unsaved_nodes == [vessels[0]]
    logic.start(vessels[0])
    assert logic.unsaved_edits
    assert logic.unsaved_nodes == [vessels[0]]
    assert not logic.only_voxels  # nobody knows any more
    logic.commit(logic.preview_remove_piece(at(scan, 10, 9, 9)))
    logic.start(other[0])
    assert len(copies()) == 1  # the old one is not left beside it
    logic.mark_saved(vessels[0])
    assert logic.unsaved_nodes == []
    assert copies() == []
    logic.start(vessels[0])
    assert not logic.unsaved_edits
    logic.stop()


def test_unsaved_edits_are_kept_or_lost_together(scene, scan, vessels, tmp_path):
    logic = EditLogic(scene, autosave_folder=tmp_path)
    other = add_segmentation(scene, scan, TRUTH, "Other")
    for keep, expected in ((False, []), (True, [("Other", 1), ("Vessels", 1)])):
        logic.start(vessels[0])
        logic.commit(logic.preview_remove_piece(at(scan, 10 if keep else 2, 9 if keep else 2, 9 if keep else 4)))
        logic.start(other[0])
        logic.commit(logic.preview_remove_piece(at(scan, 18, 10, 20) if keep else at(scan, 5, 20, 5)))
        assert logic.unsaved_nodes == [other[0], vessels[0]]
        logic.stop(keep_autosave=keep)
        assert logic.unsaved_nodes == []
        assert sorted((each.segmentation, each.edits) for each in find_recoverable(tmp_path)) == expected


def test_the_copy_of_what_was_left_holds_what_others_have_done_since(scene, scan, vessels, tmp_path):
    logic = EditLogic(scene, autosave_folder=tmp_path)
    logic.start(vessels[0])
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    logic.leave()
    paint(*vessels, scan, [(0, 0, 0)], 1)
    logic.stop(keep_autosave=True)
    (found,) = find_recoverable(tmp_path)
    back = restore(scene, found)
    np.testing.assert_array_equal(voxels((back, segment_with_role(back)), scan), voxels(vessels, scan))
    assert voxels(vessels, scan)[0, 0, 0] == 1
    assert [entry["tool"] for entry in read_log(back)] == ["remove piece"]


def test_edits_that_cannot_be_kept_are_said_and_not_forgotten(scene, scan, vessels, tmp_path, monkeypatch):
    from VesselSegmentationLib.correcting import autosave

    def fail(*args, **options):
        raise OSError("disk full")

    logic = EditLogic(scene, autosave_folder=tmp_path)
    logic.start(vessels[0])
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    monkeypatch.setattr(autosave, "write_seg_nrrd", fail)
    with pytest.raises(VesselSegError, match="disk full"):
        logic.leave()
    assert logic.target is None
    assert logic.unsaved_nodes == [vessels[0]]
    monkeypatch.undo()
    logic.start(vessels[0])
    logic.save_against_crash()
    assert list(tmp_path.rglob("*.seg.nrrd"))
    logic.stop()


def test_whether_the_voxels_are_all_that_was_done(scan, vessels, logic):
    assert logic.only_voxels
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    assert logic.only_voxels
    logic.arteries.move(logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True), "basilar")
    assert not logic.only_voxels
    logic.undo()
    assert logic.only_voxels


def test_what_was_changed_is_known_by_segments(scene, scan, vessels, logic):
    node, segment_id = vessels
    other = set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH), name="Other", role="other")
    logic.poll()
    assert not logic.changed_only([segment_id])
    assert logic.changed_only([segment_id, other])
