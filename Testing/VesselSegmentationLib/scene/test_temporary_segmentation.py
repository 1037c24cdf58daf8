import numpy as np
import pytest
import slicer

from subject_hierarchy import SubjectHierarchy
from VesselSegmentationLib.scene.temporary_segmentation import TemporarySegment, TemporarySegmentation


@pytest.fixture
def segmentation(scene):
    return TemporarySegmentation(scene, "Temporary", lambda display_node: display_node.SetVisibility2DFill(False))


@pytest.fixture
def scan(add_scan, add_transform):
    scan = add_scan()
    scan.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.0, 1.0])).GetID())
    return scan


def cube(name="cube", size=4):
    return TemporarySegment(name, (1.0, 0.5, 0.0), np.ones((size, size, size), bool), np.eye(4))


def test_it_is_hidden_and_not_saved_and_looks_as_told(scan, segmentation):
    segmentation.show([cube(), cube("other")], scan)
    node, display_node = segmentation.node, segmentation.node.GetDisplayNode()
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    assert not display_node.GetSaveWithScene()
    assert not display_node.GetVisibility2DFill()
    assert node.GetParentTransformNode() is scan.GetParentTransformNode()
    assert [node.GetSegmentation().GetNthSegmentID(index) for index in range(2)] == ["cube", "other"]
    assert node.GetSegmentation().GetSegment("cube").GetColor() == (1.0, 0.5, 0.0)


@pytest.mark.parametrize("three_d", [True, False])
def test_hidden_and_shown_again_it_is_the_same(scene, scan, segmentation, three_d):
    count = scene.GetNumberOfNodes()
    segmentation.show([cube()], scan, three_d=three_d)
    for _ in range(2):
        assert segmentation.shown
        node = segmentation.node
        assert node.GetSegmentation().ContainsRepresentation("Closed surface") == three_d
        assert node.GetDisplayNode().GetVisibility3D() == three_d
        assert node.GetParentTransformNode() is scan.GetParentTransformNode()
        segmentation.set_visible(False)
        assert not segmentation.shown
        assert segmentation.has_content
        assert scene.GetNumberOfNodes() == count
        segmentation.set_visible(True)
    segmentation.remove()
    segmentation.set_visible(True)  # nothing is left to be shown
    assert not segmentation.shown
    assert scene.GetNumberOfNodes() == count


def test_new_segments_take_the_place_of_the_former_ones(scene, scan, segmentation):
    segmentation.show([cube()], scan)
    count = scene.GetNumberOfNodes()
    segmentation.show([cube("other")], scan)
    assert segmentation.node.GetSegmentation().GetNthSegmentID(0) == "other"
    assert scene.GetNumberOfNodes() == count


def test_it_does_not_come_back_into_a_closed_scene(scene, scan, segmentation):
    segmentation.show([cube()], scan)
    segmentation.set_visible(False)
    scene.Clear(False)
    segmentation.set_visible(True)
    assert not segmentation.shown
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_the_log_of_3d_slicer_would_tell_of_changes_of_hidden_segmentations():
    scene = slicer.vtkMRMLScene()
    hierarchy = SubjectHierarchy(scene)
    node = slicer.vtkMRMLSegmentationNode()
    node.SetHideFromEditors(True)
    node.SetName("hidden")
    scene.AddNode(node)
    node.GetSegmentation().AddEmptySegment("one")
    assert "hidden: segment added" in hierarchy.errors
