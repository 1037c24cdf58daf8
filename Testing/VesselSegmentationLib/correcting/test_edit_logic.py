from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_segmentation, paint
from edited_vessels import MM, TRUTH, WAS, assert_live, at, voxels
from editing_shortcuts import grown_from, traced_through
from vesselseg.editing import edit_of
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_log import export_log, read_log
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.original import AUTOMATIC, kept_original, original_kind, original_label
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_probability
from VesselSegmentationLib.scene.segmentation_nodes import segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


def test_every_tool_and_every_undo_is_followed(scan, vessels, logic, review):
    states = [voxels(vessels, scan)]

    def edits():
        yield lambda: logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
        yield lambda: logic.commit(traced_through(logic, [at(scan, 18, 4, 20), at(scan, 18, 19, 20)], radius_mm=0.3))
        yield lambda: logic.undo()
        yield lambda: logic.commit(grown_from(logic, at(scan, 18, 10, 20), threshold=0.2))
        yield lambda: logic.commit(logic.preview_threshold_brush(at(scan, 5, 20, 5), 0.2, radius_mm=2.0))
        yield lambda: logic.commit(logic.preview_remove_branch(at(scan, 10, 9, 9)))
        yield lambda: paint(*vessels, scan, [(0, 0, 0)], 1)

    done = []
    for edit in edits():
        step = edit()
        logic.poll()
        assert_live(review, vessels, scan)
        label = voxels(vessels, scan)
        assert logic.target.metrics()["dice"] == pytest.approx(review.metrics[WHOLE_VOLUME]["dice"])
        np.testing.assert_array_equal(logic.target.label(), label)
        done.append(step)
        if len(done) == 3:
            states.pop()
        else:
            states.append(label)
    np.testing.assert_array_equal(states[1] * TRUTH, states[1])
    assert states[3][5, 20, 5] == 1 or states[4][5, 20, 5] == 1
    for state in states[-2::-1]:
        logic.undo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
        assert_live(review, vessels, scan)
    assert not logic.can_undo
    for state in states[1:]:
        logic.redo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
        assert_live(review, vessels, scan)
    assert not logic.can_redo


def test_log_says_who_what_and_how_much(scene, scan, vessels, logic, tmp_path):
    before = logic.target.metrics()
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    logic.undo()
    paint(*vessels, scan, [(0, 0, 0)], 1)
    editor = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.SetAndObserveSegmentationNode(vessels[0])
    editor.SetActiveEffectName("Paint")
    logic.poll()
    removed, undone, painted = logic.log.entries
    assert (removed["event"], removed["tool"], removed["reader"]) == ("done", "remove piece", "Dr. Reader")
    assert removed["segments"] == {"Vessels": {"added": 0, "removed": 6}}
    assert removed["metrics_before"]["dice"] == pytest.approx(before["dice"], abs=1e-6)
    assert removed["metrics_after"]["precision"] == 1.0
    assert removed["measures"]["volume_mm3"] > 0
    assert (undone["event"], undone["segments"]["Vessels"]) == ("undone", {"added": 6, "removed": 0})
    assert painted["tool"] == "Segment Editor: Paint"
    assert painted["segments"] == {"Vessels": {"added": 1, "removed": 0}}
    assert read_log(vessels[0]) == logic.log.entries
    export_log(vessels[0], scan, tmp_path / "log.json")
    document = json.loads((tmp_path / "log.json").read_text(encoding="utf-8"))
    assert document["scan"] == "TOF"
    assert document["edits"] == logic.log.entries
    with pytest.raises(VesselSegError, match="exists already"):
        export_log(vessels[0], scan, tmp_path / "log.json")


def test_log_original_and_marks_are_saved_with_the_scene(scene, make_scene, scan, vessels, logic, tmp_path):
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    logic.stop()
    for saved in (scan, vessels[0], kept_original(vessels[0])[0]):
        saved.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    loaded = make_scene()
    assert loaded.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    node = loaded.GetFirstNodeByName(vessels[0].GetName())
    volume = loaded.GetFirstNodeByName("TOF")
    assert [entry["tool"] for entry in read_log(node)] == ["remove piece"]
    np.testing.assert_array_equal(original_label(node, volume).array, WAS)
    assert original_kind(node) == AUTOMATIC
    again = EditLogic(loaded)
    again.start(node)
    again.commit(again.preview_remove_piece(at(volume, 10, 9, 9)))
    again.stop()
    assert len(read_log(node)) == 2
    np.testing.assert_array_equal(original_label(node, volume).array, WAS)


def test_the_probability_of_a_new_run_takes_the_place_of_one_that_was_removed(scene, scan, vessels, probability, logic):
    assert logic.probability() is not None
    values = volume_from_node(probability)
    scene.RemoveNode(probability)
    assert logic.probability() is None
    again = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    set_node_volume(again, values)
    record_probability(vessels[0], again)
    np.testing.assert_array_equal(logic.probability().array, values.array)
    assert not grown_from(logic, at(scan, 18, 10, 20), threshold=0.2).is_empty


def test_a_segment_that_is_deleted_comes_back(scan, vessels, logic):
    node, segment_id = vessels
    node.GetSegmentation().RemoveSegment(segment_id)
    logic.poll()
    assert logic.can_undo
    logic.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), WAS)


def test_transforms_and_clicks(scene, scan, vessels, logic, add_transform):
    matrix = np.array([[0.0, -1, 0, 5], [1, 0, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])
    transform = add_transform(matrix).GetID()
    scan.SetAndObserveTransformNodeID(transform)
    vessels[0].SetAndObserveTransformNodeID(transform)
    place = (matrix @ np.append(at(scan, 2, 2, 4), 1.0))[:3]
    np.testing.assert_allclose(logic.target.voxel_of(place), (2, 2, 4), atol=1e-6)
    logic.commit(logic.preview_remove_piece(tuple(place)))
    assert not voxels(vessels, scan)[2].any()


def test_the_label_of_a_threshold_that_is_moved_to_and_fro(scene, scan, vessels, probability, logic, review):
    logic.target.label()
    for threshold in (0.2, 0.5, 0.2, 0.95, 0.5):
        SegmentationLogic(scene).apply_threshold(probability, vessels[0], threshold)
        logic.poll()
        np.testing.assert_array_equal(logic.target.label(), voxels(vessels, scan))
        assert_live(review, vessels, scan)
        assert logic.target.metrics()["dice"] == pytest.approx(review.metrics[WHOLE_VOLUME]["dice"])
    assert len(logic.target.history.steps) == 1


def test_the_log_of_a_threshold_that_is_moved_to_and_fro(scene, scan, vessels, probability, logic):
    for threshold in (0.2, 0.5, 0.2):
        SegmentationLogic(scene).apply_threshold(probability, vessels[0], threshold)
        logic.poll()
    logic.undo()
    logic.redo()
    more = int((TRUTH & ~WAS).sum())
    counts = [(entry["event"], entry["segments"]["Vessels"]) for entry in logic.log.entries]
    add, take = {"added": more, "removed": 0}, {"added": 0, "removed": more}
    assert counts == [("done", add), ("done", take), ("done", add), ("undone", take), ("redone", add)]
    dice = [entry[key]["dice"] for entry in logic.log.entries for key in ("metrics_before", "metrics_after")]
    assert dice[0] == dice[3] == dice[4] == dice[7] < dice[1] == dice[2] == dice[5]


def test_segments_of_one_name_are_told_apart_in_the_log(scan, vessels, logic):
    node, segment_id = vessels
    other = node.GetSegmentation().AddEmptySegment("other", "Vessels")
    logic.poll()
    voxel, nothing = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    voxel[2, 2, 4] = True
    take, give = (edit_of(*both, tool="move", description="") for both in ((nothing, voxel), (voxel, nothing)))
    logic.target.commit({segment_id: take, other: give}, take)
    entry = logic.log.entries[-1]
    assert entry["segments"] == {
        f"Vessels ({segment_id})": {"added": 0, "removed": 1}, "Vessels (other)": {"added": 1, "removed": 0}
    }  # fmt: skip


def test_a_scan_that_is_moved_without_a_transform(scan, vessels, logic):
    logic.target.label()
    scan.SetOrigin(6.0, 0.0, 0.0)  # ten voxels
    np.testing.assert_array_equal(logic.target.label(), voxels(vessels, scan))
    assert logic.target.label().sum() < WAS.sum()
    scan.SetOrigin(6.1, 0.0, 0.0)
    with pytest.raises(VesselSegError, match="do not coincide"):
        logic.target.label()
    scan.SetOrigin(0.0, 0.0, 0.0)
    np.testing.assert_array_equal(logic.target.label(), WAS)


def test_a_reference_that_is_gone_is_no_reason_to_lose_an_edit(scene, scan, vessels):
    reference = add_segmentation(scene, scan, TRUTH, "Truth")
    logic = EditLogic(scene)
    logic.start(vessels[0])
    logic.measure_against(LabelSource(*reference))
    edit = logic.preview_remove_piece(at(scan, 2, 2, 4))
    reference[0].GetSegmentation().RemoveSegment(reference[1])
    assert logic.commit(edit) is not None
    (entry,) = logic.log.entries
    assert entry["metrics_before"]["dice"] > 0.8
    assert entry["metrics_after"] is None
    logic.stop()


def test_a_reference_that_is_moved_is_measured_where_it_is(scene, scan, vessels, add_transform):
    reference = add_segmentation(scene, scan, TRUTH, "Truth")
    logic = EditLogic(scene)
    logic.start(vessels[0])
    logic.measure_against(LabelSource(*reference))
    matrix = np.eye(4)
    matrix[:3, 3] = 6.0
    reference[0].SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    moved = segment_label(*reference, scan).array
    dice = 2 * int((moved & WAS).sum()) / int(moved.sum() + WAS.sum())
    assert logic.target.metrics()["dice"] == pytest.approx(dice)
    logic.stop()


def test_a_step_under_a_warping_transform_is_logged(scene, scan, vessels, logic):
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    warp.SetAndObserveTransformToParent(slicer.vtkOrientedBSplineTransform())
    scan.SetAndObserveTransformNodeID(warp.GetID())
    paint(*vessels, scan, [(0, 0, 0)], 1)
    logic.poll()
    assert [entry["event"] for entry in read_log(vessels[0])] == ["done"]


def test_nobody_sees_a_larger_image_without_its_voxels(scan, vessels, logic):
    """3D views make surfaces as soon as they hear of a change: they would read beyond the voxels."""
    image = vessels[0].GetSegmentation().GetSegment(vessels[1]).GetRepresentation("Binary labelmap")
    seen = []

    def compare(caller, event):
        seen.append(image.GetNumberOfPoints() <= image.GetPointData().GetScalars().GetNumberOfTuples())

    before = image.GetNumberOfPoints()
    image.AddObserver("ModifiedEvent", compare)
    logic.commit(traced_through(logic, [at(scan, 18, 4, 20), at(scan, 18, 19, 20)], radius_mm=0.3))
    assert image.GetNumberOfPoints() > before
    assert seen
    assert all(seen)


def test_segments_that_cannot_be_edited_are_refused(scene, scan, add_scan, vessels):
    logic = EditLogic(scene)
    with pytest.raises(VesselSegError, match="no segmentation"):
        logic.start(None)
    with pytest.raises(VesselSegError, match="nothing is edited"):
        logic.undo()
    shifted = MM.copy()
    shifted[0, 3] = 0.3
    with pytest.raises(VesselSegError, match="do not coincide"):
        logic.start(vessels[0], add_scan(SHAPE, shifted))
    assert logic.target is None
    logic.start(vessels[0])
    with pytest.raises(VesselSegError, match="probability of this segmentation is not in the scene"):
        grown_from(logic, at(scan, 10, 9, 9))
    old = logic.preview_remove_piece(at(scan, 10, 9, 9))
    logic.commit(old)
    with pytest.raises(VesselSegError, match="has changed since"):
        logic.commit(old)
    logic.stop()


def test_closing_the_scene_is_no_edit(scene, scan, vessels, logic):
    scene.Clear(1)
    logic.poll()
    assert not logic.unsaved_edits
    logic.stop()


def test_preview_shows_and_is_not_saved(scene, scan, vessels, logic):
    edit = logic.preview_remove_piece(at(scan, 2, 2, 4))
    logic.show_preview(edit)
    node = logic.preview.node
    assert not node.GetSaveWithScene()
    assert [node.GetSegmentation().GetNthSegment(0).GetName()] == ["To remove"]
    assert segment_label(node, node.GetSegmentation().GetNthSegmentID(0), scan).array.sum() == 6
    logic.commit(edit)
    assert not logic.preview.shown
    assert scene.GetNodeByID(node.GetID() or "") is None
