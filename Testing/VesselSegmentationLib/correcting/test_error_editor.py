from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compared_labels import SHAPE, add_labelmap, add_segmentation, paint
from edited_vessels import MM, TRUTH, WAS, assert_live, at, voxels
from vesselseg.errors import VesselSegError
from vesselseg.review.error_kinds import ErrorKind
from VesselSegmentationLib.correcting.edit_tools import CorrectError, ToolSettings
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED, read_marks
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.volume_nodes import volume_from_node


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
    assert batch.text.startswith("0 false positives to remove, 1 false negative to add")
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


def test_what_the_reader_has_rejected_is_left_out_of_a_batch(scan, vessels, logic, review):
    component = next(c for c in logic.errors.components() if c.kind == ErrorKind.FALSE_POSITIVE)
    logic.errors.decide(component.component_id, REJECTED, "A")
    batch = logic.errors.preview_batch()
    assert component not in batch.components
    assert batch.text.startswith("0 false positives to remove, 2 false negatives to add")
    assert batch.text.endswith("; left out: 1 rejected")
    logic.errors.commit_batch(batch, "B")
    np.testing.assert_array_equal(voxels(vessels, scan), WAS | TRUTH)
    assert read_marks(review.error_map.node)[component.component_id].decision == REJECTED
    nothing = logic.errors.preview_batch(kind=ErrorKind.FALSE_POSITIVE)
    assert (nothing.components, nothing.left_out) == ((), "1 rejected")
    paint(*vessels, scan, [(2, 3, 2)], 1)  # another error than was looked at
    assert logic.errors.preview_batch(kind=ErrorKind.FALSE_POSITIVE).left_out == ""


@pytest.fixture
def vein(scan, logic):
    """The vessel that both labels have, named as a vein: it is missing now. Returns the ID of its segment."""
    logic.arteries.move(logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True), "veins left")
    return logic.arteries.segment_of("veins left")


def missing(logic, voxels):
    return next(c for c in logic.errors.components() if c.kind == ErrorKind.FALSE_NEGATIVE and c.voxels == voxels)


def test_what_is_accepted_as_missing_is_taken_from_the_vein_that_has_it(scan, vessels, logic, review, vein):
    was = logic.target.label_of(vein)
    logic.errors.decide(missing(logic, was.sum()).component_id, ACCEPTED, "A")
    assert not logic.target.label_of(vein).any()
    np.testing.assert_array_equal(voxels(vessels, scan), WAS)
    assert_live(review, vessels, scan)
    logic.undo()
    np.testing.assert_array_equal(logic.target.label_of(vein), was)
    np.testing.assert_array_equal(voxels(vessels, scan), WAS & ~was)


def test_what_was_named_as_a_vein_is_left_out_of_a_batch(scan, vessels, logic, vein):
    was = logic.target.label_of(vein)
    rejected = missing(logic, 16)
    logic.errors.decide(rejected.component_id, REJECTED, "A")
    batch = logic.errors.preview_batch()
    assert batch.text.startswith("1 false positive to remove, 1 false negative to add")
    assert batch.text.endswith("; left out: 1 rejected, 1 in veins")
    logic.errors.commit_batch(batch, "A")
    np.testing.assert_array_equal(logic.target.label_of(vein), was)
    assert not (voxels(vessels, scan) & was).any()


def test_of_a_batch_too_no_voxel_stays_in_a_vein(scan, vessels, logic, vein):
    most = [(k, j, i) for k in range(4, 12) for j in range(8, 11) for i in range(8, 11)]
    paint(vessels[0], vein, scan, most, 0)  # less than half of the error is named as a vein now
    logic.errors.commit_batch(logic.errors.preview_batch(), "A")
    np.testing.assert_array_equal(voxels(vessels, scan), TRUTH)
    assert not logic.target.label_of(vein).any()


def test_comparison_of_another_label_is_not_corrected(scene, scan, vessels, logic, review, truth):
    other = add_segmentation(scene, scan, WAS, "Other")
    review.start(LabelSource(*other), truth, volume_node=scan)
    with pytest.raises(VesselSegError, match="not the one that is edited"):
        logic.errors.preview_batch()
    review.stop()
    with pytest.raises(VesselSegError, match="nothing is compared"):
        logic.errors.components()


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
    moved = MM.copy()
    moved[0, 3] = 4 * moved[0, 0]  # by whole voxels: the label can be edited on it
    logic.start(vessels[0], add_scan(shape, moved), review=review)
    assert not logic.errors.applies
    for decision in (ACCEPTED, REJECTED):
        with pytest.raises(VesselSegError, match="another scan"):
            logic.errors.decide(component.component_id, decision, "A")
    np.testing.assert_array_equal(voxels(vessels, scan), WAS)
    logic.start(vessels[0], scan, review=review)
    assert logic.errors.applies
