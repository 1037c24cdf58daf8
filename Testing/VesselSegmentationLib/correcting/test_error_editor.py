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
