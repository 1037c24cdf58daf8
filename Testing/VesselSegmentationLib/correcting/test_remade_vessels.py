"""Vessels that are made anew, by a run or by another threshold, once a reader has named some of them."""

from __future__ import annotations

import numpy as np
import pytest

from compared_labels import paint
from edited_vessels import TRUTH, WAS, at
from VesselSegmentationLib.correcting.edit_steps import read_run_tags
from VesselSegmentationLib.correcting.edit_tools import NameVessel, ToolSettings
from VesselSegmentationLib.correcting.original import AUTOMATIC, original_kind, original_label
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role
from VesselSegmentationLib.scene.vessel_label import changed_since_written, keep_vessels, set_vessel_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

#: Voxels of the vessel that both labels have, and of the piece that the truth lacks.
INSIDE, PIECE = (10, 9, 9), (2, 2, 4)
#: Makes the truth out of the probability, and the piece as well.
LOWER = 0.2


def name(logic, scan, voxel, key):
    tool, settings, click = NameVessel(logic), ToolSettings(vessel=key), [at(scan, *voxel)]
    tool.commit(tool.preview(click, settings), click, settings)


@pytest.fixture
def named(scan, logic):
    """An artery and a vein taken out of the vessels; returns their labels."""
    name(logic, scan, INSIDE, "MCA left")
    name(logic, scan, PIECE, "veins right")
    return tuple(logic.target.label_of(logic.arteries.segment_of(key)) for key in ("MCA left", "veins right"))


def everything(logic):
    segmentation = logic.target.node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return {each: (logic.target.label_of(each).tobytes(), read_run_tags(segmentation.GetSegment(each))) for each in ids}


@pytest.fixture
def anew(scene, scan, vessels, probability):
    """Makes the vessels anew with a lower threshold, or as a run does that finds the same."""

    def make(how):
        if how == "threshold":
            SegmentationLogic(scene).apply_threshold(probability, vessels[0], LOWER)
        else:
            set_vessel_label(vessels[0], scan, volume_from_node(scan).with_array(WAS | TRUTH))

    return make


@pytest.mark.parametrize("how", ["threshold", "run"])
def test_named_vessels_stay_and_are_left_out(vessels, logic, named, anew, how):
    mca, vein = named
    before = everything(logic)
    anew(how)
    logic.poll()
    np.testing.assert_array_equal(logic.target.label(), (WAS | TRUTH) & ~mca & ~vein)
    for key, label in zip(("MCA left", "veins right"), named):
        np.testing.assert_array_equal(logic.target.label_of(logic.arteries.segment_of(key)), label)
    np.testing.assert_array_equal(logic.arteries.whole_label().array, TRUTH)
    after = everything(logic)
    logic.undo()
    assert everything(logic) == before
    logic.redo()
    assert everything(logic) == after


def test_only_edits_that_would_be_replaced_are_asked_about(scan, vessels, logic, named, anew):
    node = vessels[0]
    assert not changed_since_written(node)  # names alone are kept
    anew("threshold")
    logic.poll()
    assert not changed_since_written(node)
    logic.commit(logic.preview_remove_piece(at(scan, 18, 8, 20)))
    assert changed_since_written(node)
    logic.undo()
    assert not changed_since_written(node)
    name(logic, scan, INSIDE, "unnamed")
    assert not changed_since_written(node)
    logic.undo()
    artery = logic.arteries.segment_of("MCA left")
    logic.commit(logic.preview_remove_piece(at(scan, *INSIDE), segment_id=artery), segment_id=artery)
    assert changed_since_written(node)  # what was removed would be found again
    anew("threshold")
    logic.poll()
    assert not changed_since_written(node)
    while logic.can_undo:
        logic.undo()
    assert not changed_since_written(node)


def test_the_automatic_result_is_what_was_found_named_or_not(scan, vessels, logic, named, anew):
    anew("threshold")
    logic.poll()
    logic.commit(logic.preview_remove_piece(at(scan, 18, 8, 20)))
    np.testing.assert_array_equal(original_label(vessels[0], scan).array, WAS | TRUTH)
    assert original_kind(vessels[0]) == AUTOMATIC


def test_edited_vessels_that_a_run_keeps_hold_their_arteries_until_it_is_undone(scan, vessels, logic, named):
    node, kept = vessels
    mca, vein = named
    paint(node, kept, scan, [(0, 0, 0)], 1)
    logic.poll()
    before = everything(logic)
    keep_vessels(node)
    new = set_vessel_label(node, scan, volume_from_node(scan).with_array(WAS | TRUTH))
    logic.poll()
    edited = WAS & ~vein
    edited[0, 0, 0] = 1
    np.testing.assert_array_equal(logic.target.label_of(kept), edited)
    np.testing.assert_array_equal(logic.arteries.whole_label().array, edited)
    np.testing.assert_array_equal(logic.target.label_of(new), (WAS | TRUTH) & ~mca & ~vein)
    assert segment_with_role(node) == new
    logic.undo()
    assert everything(logic) == before
    assert segment_with_role(node) == kept


def test_a_label_from_elsewhere_gets_its_arteries_back_when_a_run_finds_others(scan, vessels, logic):
    node, segment_id = vessels
    keep_vessels(node)  # without a role it is as one that was imported
    logic.start(node)
    name(logic, scan, INSIDE, "MCA left")
    artery = logic.target.label_of(logic.arteries.segment_of("MCA left"))
    new = set_vessel_label(node, scan, volume_from_node(scan).with_array(TRUTH))
    np.testing.assert_array_equal(logic.target.label_of(segment_id), WAS)
    np.testing.assert_array_equal(logic.target.label_of(new), TRUTH & ~artery)
