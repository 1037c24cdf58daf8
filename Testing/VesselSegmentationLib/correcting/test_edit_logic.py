from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_labelmap, add_segmentation, paint, two_labels
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.metrics import evaluate
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.autosave import find_recoverable, restore
from VesselSegmentationLib.correcting.edit_log import export_log, read_log
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.edit_tools import CorrectError, ToolSettings
from VesselSegmentationLib.correcting.original import AUTOMATIC, FOUND, kept_original, original_kind, original_label
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED, read_marks
from VesselSegmentationLib.reviewing.review_logic import WHOLE_VOLUME, ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_probability, record_threshold
from VesselSegmentationLib.scene.segmentation_nodes import segment_label, segment_with_role, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

WAS, TRUTH = two_labels()
_MM = np.diag([0.6, 0.6, 0.6, 1.0])


@pytest.fixture
def scan(add_scan):
    """A scan in which the vessels of the truth are bright."""
    node = add_scan(SHAPE, _MM)
    noise = np.random.default_rng(0).normal(20, 2, SHAPE)
    set_node_volume(node, volume_from_node(node).with_array((noise + 100 * TRUTH).astype(np.float32)))
    return node


@pytest.fixture
def vessels(scene, scan):
    return add_segmentation(scene, scan, WAS, "Vessels")


@pytest.fixture
def truth(scene, scan):
    return LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))


@pytest.fixture
def probability(scene, scan, vessels):
    """What the network saw: surely what it found, less surely what it missed."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    values = np.where(WAS, 0.9, np.where(TRUTH, 0.3, 0.001)).astype(np.float32)
    set_node_volume(node, volume_from_node(scan).with_array(values))
    record_probability(vessels[0], node)
    record_threshold(vessels[0], 0.5, 0.0)
    return node


@pytest.fixture
def review(scene, scan, vessels, truth):
    review = ReviewLogic(scene)
    review.start(LabelSource(*vessels), truth, volume_node=scan)
    follow(review)
    yield review
    review.stop()


@pytest.fixture
def logic(scene, vessels, probability, review):
    logic = EditLogic(scene, reader="Dr. Reader")
    logic.start(vessels[0], review=review)
    yield logic
    logic.stop()


def follow(review):
    for _ in range(20):
        if not review.poll():
            break


def at(scan, k, j, i):
    """Return the place of a voxel in mm, RAS of the world."""
    return tuple((volume_from_node(scan).geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])


def voxels(vessels, scan):
    return segment_label(*vessels, scan).array


def assert_live(review, vessels, scan):
    """The map, the list and the numbers are those of the labels as they are."""
    follow(review)
    label = voxels(vessels, scan)
    np.testing.assert_array_equal(
        review.error_map.errors.array, np.where(label & TRUTH, 1, np.where(label, 2, np.where(TRUTH, 3, 0)))
    )
    expected = evaluate(volume_from_node(scan).with_array(label), volume_from_node(scan).with_array(TRUTH))
    assert review.metrics[WHOLE_VOLUME]["dice"] == pytest.approx(expected["dice"])
    sizes = sum(component.voxels for component in review.navigator.components)
    assert sizes == int((label != TRUTH).sum())


def test_every_tool_and_every_undo_is_followed(scan, vessels, logic, review):
    states = [voxels(vessels, scan)]

    def edits():
        yield lambda: logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
        yield lambda: logic.commit(logic.preview_trace([at(scan, 18, 4, 20), at(scan, 18, 19, 20)], radius_mm=0.3))
        yield lambda: logic.undo()
        yield lambda: logic.commit(logic.preview_grow(at(scan, 18, 10, 20), threshold=0.2))
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


def test_accepted_error_is_corrected_and_marked_and_both_are_undone(scan, vessels, logic, review):
    before = voxels(vessels, scan)
    false_negative = next(c for c in logic.errors.components() if c.kind == ErrorKind.FALSE_NEGATIVE)
    false_positive = next(c for c in logic.errors.components() if c.kind == ErrorKind.FALSE_POSITIVE)
    logic.errors.decide(false_negative.component_id, ACCEPTED, "A")
    logic.errors.decide(false_positive.component_id, ACCEPTED, "B")
    assert_live(review, vessels, scan)
    map_node = review.error_map.node
    assert [(mark.decision, mark.reader) for mark in read_marks(map_node).values()] == [
        (ACCEPTED, "A"),
        (ACCEPTED, "B"),
    ]
    after = before.copy()
    after[18, 4:20, 20] = 1
    after[2, 2, 2:8] = 0
    np.testing.assert_array_equal(voxels(vessels, scan), after)
    logic.undo()
    assert list(read_marks(map_node)) == [false_negative.component_id]
    logic.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert read_marks(map_node) == {}
    logic.redo()
    assert read_marks(map_node)[false_negative.component_id].reader == "A"
    assert_live(review, vessels, scan)
    with pytest.raises(VesselSegError, match="any more"):
        logic.errors.decide(false_negative.component_id, ACCEPTED, "A")


def test_rejected_error_leaves_the_label_and_is_a_step(scan, vessels, logic, review):
    before = voxels(vessels, scan)
    component = logic.errors.components()[0]
    step = logic.errors.decide(component.component_id, REJECTED, "A")
    assert step.tool == "mark rejected"
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert read_marks(review.error_map.node)[component.component_id].decision == REJECTED
    logic.undo()
    assert read_marks(review.error_map.node) == {}


def test_error_at_a_click(scan, vessels, logic, review):
    logic.errors.correct_at(at(scan, 18, 12, 20), "A")
    assert voxels(vessels, scan)[18, 4:20, 20].all()
    assert [mark.decision for mark in read_marks(review.error_map.node).values()] == [ACCEPTED]
    with pytest.raises(VesselSegError, match="no error"):
        logic.errors.correct_at(at(scan, 10, 1, 27), "A")


def test_many_errors_at_once(scene, scan, vessels, logic, review, truth):
    before = voxels(vessels, scan)
    batch = logic.errors.preview_batch(below_mm3=1.0)
    assert batch.text.startswith("0 false positives to remove, 1 false negatives to add")
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    with pytest.raises(VesselSegError, match="no brain mask"):
        logic.errors.preview_batch(outside_brain=True)
    inside = np.zeros(SHAPE, np.uint8)
    inside[4:] = 1
    brain = add_labelmap(scene, inside, volume_from_node(scan).geometry, "brain")
    review.start(LabelSource(*vessels), truth, volume_node=scan, brain_mask_node=brain)
    batch = logic.errors.preview_batch(outside_brain=True, kind=ErrorKind.FALSE_POSITIVE)
    assert [component.kind for component in batch.components] == [ErrorKind.FALSE_POSITIVE]
    empty = logic.errors.preview_batch(below_mm3=0.0)
    assert empty.edit.is_empty
    with pytest.raises(VesselSegError, match="no such errors"):
        logic.errors.commit_batch(empty, "A")
    everything = logic.errors.preview_batch()
    logic.show_preview(everything.edit)
    assert logic.preview.shown
    logic.errors.commit_batch(everything, "A")
    np.testing.assert_array_equal(voxels(vessels, scan), TRUTH)
    assert len(read_marks(review.error_map.node)) == 3
    assert_live(review, vessels, scan)
    logic.undo()
    assert not logic.preview.shown
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert read_marks(review.error_map.node) == {}
    assert_live(review, vessels, scan)


def test_comparison_of_another_label_is_not_corrected(scene, scan, vessels, logic, review, truth):
    other = add_segmentation(scene, scan, WAS, "Other")
    review.start(LabelSource(*other), truth, volume_node=scan)
    with pytest.raises(VesselSegError, match="not the one that is edited"):
        logic.errors.preview_batch()
    review.stop()
    with pytest.raises(VesselSegError, match="nothing is compared"):
        logic.errors.components()


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


def test_original_is_kept_once_and_anew_after_a_new_result(scan, vessels, logic):
    node, _ = vessels
    assert kept_original(node) is None
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    logic.commit(logic.preview_remove_piece(at(scan, 10, 9, 9)))
    np.testing.assert_array_equal(original_label(node, scan).array, WAS)
    assert not kept_original(node)[0].GetDisplayNode().GetVisibility()
    set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH))
    logic.poll()
    np.testing.assert_array_equal(original_label(node, scan).array, WAS)
    logic.commit(logic.preview_remove_piece(at(scan, 10, 9, 9)))
    np.testing.assert_array_equal(original_label(node, scan).array, TRUTH)


def test_original_of_a_segment_that_was_edited_before(scene, scan, vessels, probability):
    paint(*vessels, scan, [(0, 0, 0)], 1)
    logic = EditLogic(scene)
    logic.start(vessels[0])
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    assert original_kind(vessels[0]) == AUTOMATIC  # made again from the probability
    np.testing.assert_array_equal(original_label(vessels[0], scan).array, WAS)
    logic.stop()


def test_original_of_a_label_from_elsewhere(scene, scan):
    vessels = add_segmentation(scene, scan, WAS, "Imported")
    vessels[0].GetSegmentation().GetSegment(vessels[1]).RemoveTag("vesselseg.written")
    logic = EditLogic(scene)
    logic.start(vessels[0])
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    assert original_kind(vessels[0]) == FOUND
    np.testing.assert_array_equal(original_label(vessels[0], scan).array, WAS)
    logic.stop()


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


def test_the_probability_of_a_new_run_takes_the_place_of_one_that_was_removed(scene, scan, vessels, probability, logic):
    assert logic.probability() is not None
    values = volume_from_node(probability)
    scene.RemoveNode(probability)
    assert logic.probability() is None
    again = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    set_node_volume(again, values)
    record_probability(vessels[0], again)
    np.testing.assert_array_equal(logic.probability().array, values.array)
    assert not logic.preview_grow(at(scan, 18, 10, 20), threshold=0.2).is_empty


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
    logic.start(vessels[0], reference=LabelSource(*reference))
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
    logic.start(vessels[0], reference=LabelSource(*reference))
    matrix = np.eye(4)
    matrix[:3, 3] = 6.0
    reference[0].SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    moved = segment_label(*reference, scan).array
    dice = 2 * int((moved & WAS).sum()) / int(moved.sum() + WAS.sum())
    assert logic.target.metrics()["dice"] == pytest.approx(dice)
    logic.stop()


def test_the_original_goes_where_the_scan_goes(scan, vessels, logic, add_transform):
    logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    matrix = np.eye(4)
    matrix[:3, 3] = 5.0, 7.0, 9.0
    for node in (scan, vessels[0]):
        node.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    np.testing.assert_array_equal(original_label(vessels[0], scan).array, WAS)


@pytest.mark.parametrize("also_the_copy", [False, True])
def test_the_original_lies_where_the_scan_does_when_its_transform_was_hardened(
    scan, vessels, logic, add_transform, also_the_copy
):
    matrix = np.eye(4)
    matrix[:3, 3] = 4 * 0.6, 0, 0  # whole voxels: the grids coincide as well as before
    transform = add_transform(matrix)
    for node in (scan, vessels[0]):
        node.SetAndObserveTransformNodeID(transform.GetID())
    place = tuple(np.add(at(scan, 2, 2, 4), matrix[:3, 3]))
    logic.commit(logic.preview_remove_piece(place))
    copy = kept_original(vessels[0])[0]
    for node in (scan, vessels[0], copy) if also_the_copy else (scan, vessels[0]):
        assert node.HardenTransform()
    np.testing.assert_array_equal(original_label(vessels[0], scan).array, WAS)


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
    logic.commit(logic.preview_trace([at(scan, 18, 4, 20), at(scan, 18, 19, 20)], radius_mm=0.3))
    assert image.GetNumberOfPoints() > before
    assert seen
    assert all(seen)


def test_what_was_changed_is_known_by_segments(scene, scan, vessels, logic):
    node, segment_id = vessels
    other = set_segment_label(node, scan, volume_from_node(scan).with_array(TRUTH), name="Other", role="other")
    logic.poll()
    assert not logic.changed_only([segment_id])
    assert logic.changed_only([segment_id, other])


def test_segments_that_cannot_be_edited_are_refused(scene, scan, add_scan, vessels):
    logic = EditLogic(scene)
    with pytest.raises(VesselSegError, match="no segmentation"):
        logic.start(None)
    with pytest.raises(VesselSegError, match="nothing is edited"):
        logic.undo()
    shifted = _MM.copy()
    shifted[0, 3] = 0.3
    with pytest.raises(VesselSegError, match="do not coincide"):
        logic.start(vessels[0], add_scan(SHAPE, shifted))
    assert logic.target is None
    logic.start(vessels[0])
    with pytest.raises(VesselSegError, match="probability of this segmentation is not in the scene"):
        logic.preview_grow(at(scan, 10, 9, 9))
    old = logic.preview_remove_piece(at(scan, 10, 9, 9))
    logic.commit(old)
    with pytest.raises(VesselSegError, match="has changed since"):
        logic.commit(old)
    logic.stop()


def test_closing_the_scene_is_no_edit(scene, scan, vessels, logic):
    scene.Clear(1)
    logic.poll()
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


def test_only_the_error_that_was_shown_is_corrected(scan, vessels, logic, review):
    paint(*vessels, scan, [(2, 5, 5)], 1)  # beside the piece that is too much, 1.5 mm away
    place = at(scan, 2, 2, 5)
    tool = CorrectError(logic)
    edit = tool.preview([place], ToolSettings())
    (shown,) = [each for each in logic.errors.components() if each.voxels == edit.voxels_removed]
    logic.errors.decide(shown.component_id, ACCEPTED, "A")
    now = voxels(vessels, scan)
    with pytest.raises(VesselSegError, match="has changed since"):
        tool.commit(edit, [place], ToolSettings())
    np.testing.assert_array_equal(voxels(vessels, scan), now)
    assert list(read_marks(review.error_map.node)) == [shown.component_id]
    logic.undo()
    paint(*vessels, scan, [(2, 3, 2), (2, 3, 3)], 1)  # it has grown: the voxels that were shown are all there
    with pytest.raises(VesselSegError, match="another one than was shown"):
        tool.commit(edit, [place], ToolSettings())
    assert tool.commit(tool.preview([place], ToolSettings()), [place], ToolSettings()) is not None


def test_nothing_is_marked_as_corrected_that_was_not(logic, review):
    component = logic.errors.components()[0]
    batch = logic.errors.preview_batch()
    nothing = np.zeros(batch.edit.added.shape, bool)
    with pytest.raises(VesselSegError, match="as it is"):
        logic.errors.commit_batch(replace(batch, edit=replace(batch.edit, added=nothing, removed=nothing)), "A")
    assert read_marks(review.error_map.node) == {}
    assert component in logic.errors.components()


@pytest.mark.parametrize("shape", [SHAPE, (20, 24, 24)])
def test_errors_of_another_scan_are_not_corrected(scan, add_scan, vessels, logic, review, shape):
    component = logic.errors.components()[0]
    assert logic.errors.applies
    moved = _MM.copy()
    moved[0, 3] = 4 * moved[0, 0]  # by whole voxels: the label can be edited on it
    logic.start(vessels[0], add_scan(shape, moved), review=review)
    assert not logic.errors.applies
    for decision in (ACCEPTED, REJECTED):
        with pytest.raises(VesselSegError, match="another scan"):
            logic.errors.decide(component.component_id, decision, "A")
    np.testing.assert_array_equal(voxels(vessels, scan), WAS)
    logic.start(vessels[0], scan, review=review)
    assert logic.errors.applies
