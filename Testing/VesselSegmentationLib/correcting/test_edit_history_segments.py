from __future__ import annotations

import numpy as np
import pytest
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from compared_labels import SHAPE
from edited_vessels import paint_into, use_tool, voxels
from VesselSegmentationLib.scene.segmentation_nodes import (
    segment_label,
    set_segment_label,
    set_surface_shown,
)
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.scene.volume_nodes import volume_from_node


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE)


def test_segments_that_come_and_go(scan, vessels, history):
    node, segment_id = vessels
    segmentation = node.GetSegmentation()
    before = voxels(vessels, scan)
    name, colour = segmentation.GetSegment(segment_id).GetName(), segmentation.GetSegment(segment_id).GetColor()
    segmentation.AddEmptySegment("second", "second")
    history.settle()
    segmentation.RemoveSegment(segment_id)
    assert [step.counts() for step in history.steps][-1] == {segment_id: (0, int(before.sum()))}
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert segmentation.GetSegment(segment_id).GetName() == name
    assert segmentation.GetSegment(segment_id).GetColor() == colour
    assert not changed_since_written(node)
    history.undo()
    assert segmentation.GetSegment("second") is None
    history.redo()
    assert segmentation.GetSegment("second").GetName() == "second"
    history.redo()
    assert segmentation.GetSegment(segment_id) is None


def test_names_colours_surfaces_and_layers_are_no_steps(scan, vessels, history):
    node, segment_id = vessels
    segment = node.GetSegmentation().GetSegment(segment_id)
    segment.SetName("Arteries")
    segment.SetColor(0, 1, 0)
    set_surface_shown(node, True)
    set_surface_shown(node, False)
    node.GetSegmentation().SeparateSegmentLabelmap(segment_id)
    history.settle()
    assert history.steps == []
    node.GetSegmentation().AddEmptySegment("second", "second")
    history.settle()
    paint_into(node, "second", scan, [(0, 0, 0), (1, 1, 1)])
    history.settle()
    count = len(history.steps)
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    history.settle()
    assert len(history.steps) == count


def test_a_tool_on_a_shared_layer_leaves_the_others_alone(scan, vessels, history):
    node, _segment_id = vessels
    node.GetSegmentation().AddEmptySegment("second", "second")
    paint_into(node, "second", scan, [(0, 0, 0), (1, 1, 1)])
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    second = segment_label(node, "second", scan).array.copy()
    before = voxels(vessels, scan)
    use_tool(history, vessels, add=[(0, 0, 0), (0, 0, 1)])
    np.testing.assert_array_equal(segment_label(node, "second", scan).array, second)
    assert voxels(vessels, scan).sum() == before.sum() + 2
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    np.testing.assert_array_equal(segment_label(node, "second", scan).array, second)


@pytest.mark.parametrize("gone", [("B",), ("A", "B"), ("B", "A")])
def test_a_segment_comes_back_where_it_was_and_as_it_was_shown(vessels, history, gone):
    node, _ = vessels
    segmentation, display_node = node.GetSegmentation(), node.GetDisplayNode()
    for name in "ABC":
        segmentation.AddEmptySegment(name, name)
    segmentation.SetSegmentIndex("A", 0)  # no event tells of voxels
    history.settle()
    order = list(segmentation.GetSegmentIDs())
    display_node.SetSegmentVisibility("B", False)
    display_node.SetSegmentVisibility2DFill("B", False)
    for name, value in (("3D", 0.25), ("2DFill", 0.5), ("2DOutline", 0.75)):
        getattr(display_node, f"SetSegmentOpacity{name}")("B", value)
    for segment_id in gone:
        segmentation.RemoveSegment(segment_id)
    history.undo()
    assert list(segmentation.GetSegmentIDs()) == order
    assert not display_node.GetSegmentVisibility("B")
    assert not display_node.GetSegmentVisibility2DFill("B")
    assert display_node.GetSegmentVisibility2DOutline("B")
    opacities = [getattr(display_node, f"GetSegmentOpacity{name}")("B") for name in ("3D", "2DFill", "2DOutline")]
    assert opacities == [0.25, 0.5, 0.75]


def test_a_segment_that_is_added_again_is_shown_as_before_it_was_undone(vessels, history):
    node, _ = vessels
    segmentation, display_node = node.GetSegmentation(), node.GetDisplayNode()
    segmentation.AddEmptySegment("B", "B")
    history.settle()
    display_node.SetSegmentOpacity3D("B", 0.25)
    history.undo()
    history.redo()
    assert display_node.GetSegmentOpacity3D("B") == 0.25


@pytest.mark.parametrize("values", [(1, 1, 1), (1, 2, 3), (3, 2, 1), (2, 1, 1), (1, 1, 2)])
def test_saving_is_no_step(scan, vessels, history, tmp_path, values):
    """3D Slicer brings segments that do not overlap into one layer when it writes them, one by one."""
    node, segment_id = vessels
    segmentation = node.GetSegmentation()
    free = np.argwhere(voxels(vessels, scan) == 0)
    names = {"BA": free[:16], "ICA": free[20:52]}
    for name, places in names.items():
        label = np.zeros(SHAPE, np.uint8)
        label[tuple(places.T)] = 1
        set_segment_label(node, scan, volume_from_node(scan).with_array(label), role=name, name=name)
    ids = [segment_id, *(segmentation.GetSegmentIdBySegmentName(name) for name in names)]
    for each, value in zip(ids, values):
        segmentation.SeparateSegmentLabelmap(each)
        segment = segmentation.GetSegment(each)
        image = segment.GetRepresentation("Binary labelmap")
        changed = slicer.vtkOrientedImageData()
        changed.DeepCopy(image)
        array = vtk_to_numpy(changed.GetPointData().GetScalars())
        array[:] = np.where(array != 0, value, 0)
        segment.AddRepresentation("Binary labelmap", changed)
        segment.SetLabelValue(value)
    history.settle()
    use_tool(history, vessels, add=[tuple(free[60])])
    use_tool(history, vessels, add=[tuple(free[61])])
    history.undo()
    steps, labels = list(history.steps), [segment_label(node, each, scan).array for each in ids]
    node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    storage.SetFileName(str(tmp_path / "vessels.seg.nrrd"))
    assert storage.WriteData(node)
    history.settle()
    assert history.steps == steps
    history.redo()
    history.undo()
    for each, before in zip(ids, labels):
        np.testing.assert_array_equal(segment_label(node, each, scan).array, before)
