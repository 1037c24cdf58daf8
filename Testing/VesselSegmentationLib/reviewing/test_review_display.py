"""What is shown and hidden while labels are compared: never the error map and what it compares on top of each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slicer

from compared_labels import add_labelmap, add_segmentation, follow, paint, two_labels
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS, MAP
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

FOUND, TRUTH = two_labels()


def seen(source, segment_id=""):
    return bool(source.node.GetDisplayNode().GetSegmentVisibility(segment_id or source.segment_id))


@pytest.fixture
def other(scene, scan):
    """Another reference."""
    return LabelSource(*add_segmentation(scene, scan, np.roll(TRUTH, 1, axis=2), "Other"))


def displays(scene):
    """Which segmentation nodes there are, and which of their segments are seen."""
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
    ]
    return {
        node.GetID(): (
            node.GetDisplayNode().GetVisibility(),
            [node.GetDisplayNode().GetSegmentVisibility(each) for each in LabelSource(node).segment_ids()],
        )
        for node in nodes
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["itself", "nothing", "elsewhere", "palette"])
def test_refused_comparison_leaves_the_one_before_as_it_was(scene, scan, sources, logic, other, wrong):
    node = logic.start(*sources)
    logic.show_map(True)
    assert logic.wait()
    geometry = dataclasses.replace(volume_from_node(scan).geometry, origin=(5000.0, 0.0, 0.0))
    away = add_labelmap(scene, TRUTH, geometry, "another patient")
    before, error_map, measured = displays(scene), logic.error_map, dict(logic.metrics)
    reference = {"itself": sources[0], "nothing": LabelSource(None), "elsewhere": LabelSource(away)}.get(wrong, other)
    with pytest.raises(VesselSegError):
        logic.start(sources[0], reference, palette="pink" if wrong == "palette" else None)
    assert displays(scene) == before
    assert (logic.error_map, logic.error_map.node, logic.metrics) == (error_map, node, measured)
    assert logic.metrics_current
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    assert MAP in follow(logic)
    logic.show_map(False)
    assert sources[0].node.GetDisplayNode().GetSegmentVisibility(sources[0].segment_id)


@pytest.mark.parametrize("shown", [True, False])
def test_another_reference_takes_the_place_of_the_one_before(scene, scan, sources, logic, other, shown):
    first = logic.start(*sources)
    logic.show_map(shown)
    second = logic.start(sources[0], other)
    assert not first.GetDisplayNode().GetVisibility()
    assert second.GetDisplayNode().GetVisibility()
    assert [seen(each) for each in (*sources, other)] == [True, True, True]
    logic.show_map(True)
    assert [seen(each) for each in (*sources, other)] == [False, True, False]
    again = logic.start(*sources)
    logic.show_map(True)
    assert again is first
    assert [node.GetDisplayNode().GetVisibility() for node in (first, second)] == [True, False]
    assert [seen(each) for each in (*sources, other)] == [False, False, True]
    logic.show_map(False)
    assert [seen(each) for each in (*sources, other)] == [True, True, True]
    paint(other.node, other.segment_id, scan, [(0, 0, 0)], 1)
    assert follow(logic) == {COMPONENTS}  # of the first list; the other reference is not followed any more


def test_map_that_takes_the_place_of_a_shown_one_is_shown(sources, logic, other):
    first = logic.start(*sources)
    logic.start(sources[0], other)
    logic.start(*sources)
    assert first.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("removed", ["reference", "segment", "map", "scan"])
def test_vessels_are_shown_again_when_the_comparison_ends_by_itself(scene, scan, sources, logic, removed):
    (found, truth), display_node = sources, sources[0].node.GetDisplayNode()
    node = logic.start(*sources)
    follow(logic)
    logic.show_map(True)
    assert not display_node.GetSegmentVisibility(found.segment_id)
    if removed == "segment":
        truth.node.GetSegmentation().RemoveSegment(truth.segment_id)
    else:
        scene.RemoveNode({"reference": truth.node, "map": node, "scan": scan}[removed])
    with pytest.raises(VesselSegError, match=r"removed|no segment"):
        logic.poll()
    assert display_node.GetSegmentVisibility(found.segment_id)
    assert removed == "map" or not node.GetDisplayNode().GetVisibility()


def test_vessels_can_be_shown_again_before_it_is_noticed_that_the_map_was_removed(scene, sources, logic):
    node = logic.start(*sources)
    logic.show_map(True)
    scene.RemoveNode(node)
    logic.show_map(False)
    assert sources[0].node.GetDisplayNode().GetSegmentVisibility(sources[0].segment_id)


@pytest.fixture
def views(scene):
    """Three slice views."""
    nodes = [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(3)]
    for node, name in zip(nodes, ("Red", "Green", "Yellow")):
        node.SetLayoutName(name)
    return nodes


def test_label_volume_gives_the_slices_to_the_map_and_gets_them_back(scene, scan, sources, logic, views):
    geometry = volume_from_node(scan).geometry
    truth, another = (add_labelmap(scene, TRUTH, geometry, name) for name in ("truth", "another"))
    for view, node in zip(views, (truth, truth, another)):
        view.SetLabelVolumeID(node.GetID())
    logic.start(sources[0], LabelSource(truth))
    logic.show_map(True)
    logic.show_map(True)
    assert [view.GetLabelVolumeID() for view in views] == [None, None, another.GetID()]
    views[1].SetLabelVolumeID(another.GetID())  # the reader wants to see that now
    logic.show_map(False)
    assert [view.GetLabelVolumeID() for view in views] == [node.GetID() for node in (truth, another, another)]
    views[0].SetLabelVolumeID(None)
    logic.show_map(False)
    assert views[0].GetLabelVolumeID() is None  # taken away by the reader, it stays away


def test_undo_does_not_forget_what_the_map_has_hidden(scan, sources, logic):
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(sources[0].node.GetSegmentation())
    history.SaveState()
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    logic.start(*sources)
    follow(logic)
    logic.show_map(True)
    history.RestorePreviousState()
    assert MAP in follow(logic)
    assert not seen(sources[0])
    logic.show_map(False)
    assert seen(sources[0])


@pytest.mark.parametrize("shown", [True, False])
def test_segment_that_comes_while_the_map_is_shown_does_not_lie_on_it(scene, scan, sources, logic, shown):
    every = LabelSource(add_segmentation(scene, scan, np.roll(TRUTH, 1, axis=2), "Other", role="manual")[0])
    logic.start(sources[0], every)
    follow(logic)
    logic.show_map(shown)
    new = every.node.GetSegmentation().AddEmptySegment("new")
    follow(logic)
    assert seen(every, new) != shown
    every.node.GetDisplayNode().SetSegmentVisibility(new, True)  # by the reader
    paint(every.node, new, scan, [(0, 0, 0)], 1)
    assert MAP in follow(logic)
    assert seen(every, new)
    logic.show_map(False)
    assert seen(every, new)


def test_maps_of_a_saved_comparison_are_put_away(scene, scan, sources, logic, other):
    labelmap = LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))
    layer = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    layer.SetLabelVolumeID(labelmap.node.GetID())
    nodes = [logic.start(sources[0], sources[1])]
    logic.show_map(True)
    assert logic.put_maps_away() is None  # it is followed
    logic.stop()
    nodes.append(logic.start(other, labelmap))
    logic.show_map(True)
    logic.stop()
    assert layer.GetLabelVolumeID() is None
    scene.RemoveNode(sources[1].node)
    assert logic.put_maps_away() in nodes
    assert [node.GetDisplayNode().GetVisibility() for node in nodes] == [0, 0]
    assert seen(sources[0])
    assert seen(other)
    assert layer.GetLabelVolumeID() == labelmap.node.GetID()
    assert logic.put_maps_away() is None
