from __future__ import annotations

import numpy as np
import pytest

from compared_labels import add_segmentation, paint
from edited_vessels import TRUTH, WAS, at
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.original import AUTOMATIC, FOUND, kept_original, original_kind, original_label
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node


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


@pytest.mark.parametrize("first", ["the vessels", "a named artery", "a name for more"])
def test_original_holds_the_named_arteries(scene, scan, first):
    """As a file has them that was signed before: each is a segment, and all together are the label."""
    node, segment_id = add_segmentation(scene, scan, WAS, "Imported")
    logic = EditLogic(scene)
    logic.start(node)
    logic.arteries.move(logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True), "basilar")
    logic.stop()
    node.GetSegmentation().GetSegment(segment_id).RemoveTag("vesselseg.written")
    scene.RemoveNode(kept_original(node)[0])
    logic.start(node)
    artery = logic.arteries.segment_of("basilar")
    if first == "the vessels":
        logic.commit(logic.preview_remove_piece(at(scan, 2, 2, 4)))
    elif first == "a named artery":
        logic.commit(logic.preview_remove_piece(at(scan, 10, 9, 9), segment_id=artery), segment_id=artery)
    else:
        logic.arteries.move(logic.arteries.preview(at(scan, 2, 2, 4), whole_piece=True), "MCA left")
    assert original_kind(node) == FOUND
    np.testing.assert_array_equal(original_label(node, scan).array, WAS)
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
