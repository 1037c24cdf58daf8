from __future__ import annotations

import dataclasses
from datetime import datetime

import numpy as np
import pytest
import slicer
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

from compared_labels import SHAPE, add_segmentation, paint, two_labels
from vesselseg.errors import VesselSegError
from vesselseg.review.error_kinds import ErrorKind
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REJECTED, REVIEWED, read_marks
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segment_voxels import segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

FOUND, TRUTH = two_labels()


@pytest.fixture
def found(scene, scan):
    return LabelSource(*add_segmentation(scene, scan, FOUND, "Vessels"))


@pytest.fixture
def error_map(scene, scan, found):
    truth = LabelSource(*add_segmentation(scene, scan, TRUTH, "Truth"))
    return ErrorMapNode(scene, scan, found, truth)


@pytest.fixture
def navigator(scene, error_map):
    navigator = ErrorNavigator(scene, error_map)
    navigator.list_all()
    return navigator


@pytest.fixture
def views(scene):
    """Slice views, a crosshair and a 3D camera, as an application has them."""
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slices = []
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal")):
        node = scene.CreateNodeByClass("vtkMRMLSliceNode")
        node.UnRegister(None)
        node.SetLayoutName(name)
        slices.append(scene.AddNode(node))
        node.SetOrientation(orientation)
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetPosition(0, 500, 0)
    camera.SetFocalPoint(0, 0, 0)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    return slices, camera, scene.AddNode(crosshair)


def test_what_matters_most_comes_first(navigator):
    kinds = [(component.kind, component.voxels) for component in navigator.shown()]
    assert kinds == [(ErrorKind.FALSE_NEGATIVE, 16), (ErrorKind.FALSE_POSITIVE, 6), (ErrorKind.FALSE_NEGATIVE, 1)]


def test_all_views_go_to_the_chosen_component(scene, scan, add_transform, navigator, views):
    slices, camera, crosshair = views
    matrix = np.eye(4)
    matrix[:3, 3] = (100.0, -50.0, 25.0)
    scan.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    component = navigator.choose(navigator.shown()[0].component_id)
    place = np.asarray(component.centre_ras) + matrix[:3, 3]
    np.testing.assert_allclose(navigator.position_of(component), place)
    np.testing.assert_allclose(crosshair.GetCrosshairRAS(), place)
    np.testing.assert_allclose(camera.GetFocalPoint(), place)
    np.testing.assert_allclose(np.subtract(camera.GetPosition(), place), (0, 500, 0))  # same side, same distance
    axial, coronal = slices
    assert axial.GetSliceOffset() == pytest.approx(place[2])
    assert coronal.GetSliceOffset() == pytest.approx(place[1])


def test_chosen_component_is_marked_and_blinks(scene, navigator, error_map):
    component = navigator.choose(navigator.shown()[0].component_id)
    mask, geometry = navigator.voxels_of(component)
    assert np.count_nonzero(mask) == component.voxels
    assert geometry.shape == mask.shape
    node = navigator.highlight.node
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    bounds = np.zeros(6)
    node.GetSegmentation().GetSegment("Highlight").GetBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    assert np.all(low < component.centre_ras)
    assert np.all(np.asarray(component.centre_ras) < high)
    assert navigator.highlight.shown
    navigator.highlight.set_visible(False)
    assert not navigator.highlight.shown
    navigator.highlight.set_visible(True)
    assert navigator.highlight.shown
    count = scene.GetNumberOfNodes()
    navigator.next()
    assert scene.GetNumberOfNodes() == count
    navigator.close()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 3
    navigator.highlight.set_visible(True)  # nothing to blink: nothing happens
    assert not navigator.highlight.shown


@pytest.mark.parametrize("visible", [True, False])
def test_mark_follows_an_edit_of_the_chosen_component(scan, found, error_map, navigator, visible):
    def marked():
        return int(segment_voxels(navigator.highlight.node, "Highlight")[0].sum())

    component = navigator.choose(navigator.shown()[0].component_id)
    before = marked()
    navigator.highlight.set_visible(visible)  # it blinks
    paint(found.node, found.segment_id, scan, [(18, y, 20) for y in range(12, 20)], 1)  # the first voxel stays
    navigator.list_changes(error_map.update())
    assert navigator.current.component_id == component.component_id
    assert navigator.highlight.shown == visible
    navigator.highlight.set_visible(True)
    assert (before, marked()) == (3 * 3 * (16 + 2), 3 * 3 * (8 + 2))


def test_what_is_left_of_an_edited_component_is_marked_before_the_list_knows(scan, found, error_map, navigator):
    component = navigator.shown()[0]
    paint(found.node, found.segment_id, scan, [(18, y, 20) for y in range(9, 14)], 1)  # its middle
    error_map.update()
    mask, _geometry = navigator.voxels_of(component)
    np.testing.assert_array_equal(np.flatnonzero(mask), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15])


def test_pieces_in_the_same_box_are_told_apart(scene, scan, found, error_map, navigator):
    # A hook of the same kind around the longest piece, nearer than its box but not touching it.
    paint(found.node, found.segment_id, scan, [(16, y, 24) for y in range(4, 20)] + [(18, 2, 20), (18, 21, 24)], 1)
    error_map.update()
    navigator.list_all()
    for component in navigator.components:
        assert np.count_nonzero(navigator.voxels_of(component)[0]) == component.voxels


def test_next_and_previous_go_round(navigator):
    ids = [component.component_id for component in navigator.shown()]
    assert [navigator.next().component_id for _ in range(4)] == [*ids, ids[0]]
    assert navigator.previous().component_id == ids[-1]
    assert navigator.current.component_id == ids[-1]


def test_next_goes_on_where_the_chosen_one_was_corrected(scan, found, error_map, navigator):
    ids = [component.component_id for component in navigator.shown()]
    navigator.choose(ids[1])
    paint(found.node, found.segment_id, scan, [(2, 2, x) for x in range(2, 8)], 0)
    navigator.list_changes(error_map.update())
    assert navigator.current is None
    assert not navigator.highlight.shown
    assert navigator.next().component_id == ids[2]


def test_nothing_to_walk_through(scene, scan, found):
    same = LabelSource(*add_segmentation(scene, scan, FOUND, "Same"))
    navigator = ErrorNavigator(scene, ErrorMapNode(scene, scan, found, same))
    navigator.list_all()
    assert navigator.shown() == []
    assert navigator.next() is None
    assert navigator.previous() is None
    with pytest.raises(VesselSegError, match="no component"):
        navigator.choose("FP-1-2-3")


def test_rims_can_be_hidden(scene, scan, add_scan):
    truth = np.zeros(SHAPE, np.uint8)
    truth[4:16, 8:12, 8:12] = 1
    found = truth.copy()
    found[4:16, 12, 8:12] = 1
    sources = [LabelSource(*add_segmentation(scene, scan, each, name)) for each, name in ((found, "A"), (truth, "B"))]
    navigator = ErrorNavigator(scene, ErrorMapNode(scene, scan, *sources))
    navigator.list_all()
    assert navigator.shown() == []
    navigator.hide_boundary = False
    assert [component.is_boundary for component in navigator.shown()] == [True]


def test_list_follows_edits_as_if_made_anew(scan, found, error_map, navigator):
    paint(found.node, found.segment_id, scan, [(18, 10, 20), (10, 2, 2), (11, 3, 3)], 1)
    navigator.list_changes(error_map.update())
    followed = list(navigator.components)
    navigator.list_all()
    assert followed == navigator.components


def test_mean_probability(scan, navigator):
    probability = volume_from_node(scan).with_array(np.where(FOUND, 0.75, 0.25).astype(np.float32))
    navigator.list_all(probability)
    means = {component.kind: component.mean_probability for component in navigator.components}
    assert means[ErrorKind.FALSE_POSITIVE] == pytest.approx(0.75)
    assert means[ErrorKind.FALSE_NEGATIVE] == pytest.approx(0.25)


def test_nearest_named_segment(scene, scan, found, navigator, add_transform):
    assert navigator.nearest_segment(navigator.components[0]) is None
    for name, voxel in (("A1", (18, 10, 23)), ("M1", (2, 2, 10))):
        label = np.zeros(SHAPE, np.uint8)
        label[voxel] = 1
        set_segment_label(found.node, scan, volume_from_node(scan).with_array(label), name=name, role=name)
    set_segment_label(
        found.node, scan, volume_from_node(scan).with_array(np.zeros(SHAPE, np.uint8)), name="-", role="-"
    )
    long_one, extra, _single = navigator.shown()
    name, distance = navigator.nearest_segment(long_one)
    assert (name, navigator.nearest_segment(extra)[0]) == ("A1", "M1")
    assert distance == pytest.approx(3 * volume_from_node(scan).geometry.spacing[0], abs=1.0)
    paint(found.node, found.segment_id, scan, [(0, 0, 0)], 1)  # an edit of the compared segment changes no name
    assert navigator.nearest_segment(long_one) == (name, distance)


def test_a_long_error_is_named_after_the_segment_that_it_touches(scene, scan, found, navigator):
    long_one = navigator.shown()[0]  # from 4 to 19 along j; its middle is at 11 or 12
    for name, voxel in (("beside its middle", (18, 12, 25)), ("at its end", (18, 20, 20)), ("farther", (18, 21, 20))):
        label = np.zeros(SHAPE, np.uint8)
        label[voxel] = 1
        set_segment_label(found.node, scan, volume_from_node(scan).with_array(label), name=name, role=name)
    name, distance = navigator.nearest_segment(long_one)
    assert name == "at its end"
    assert distance == pytest.approx(volume_from_node(scan).geometry.spacing[1])
    # Of two that it touches, the one that it runs along.
    label = np.zeros(SHAPE, np.uint8)
    label[19, 4:19, 20] = 1
    set_segment_label(found.node, scan, volume_from_node(scan).with_array(label), name="along it", role="along it")
    assert navigator.nearest_segment(long_one)[0] == "along it"


def test_a_gap_of_two_slices_is_shown_with_the_rims_hidden(scene, scan):
    truth = np.zeros(SHAPE, np.uint8)
    truth[2:18, 8:13, 8:13] = 1
    found = truth.copy()
    found[9:11] = 0
    sources = [LabelSource(*add_segmentation(scene, scan, each, name)) for each, name in ((found, "A"), (truth, "B"))]
    navigator = ErrorNavigator(scene, ErrorMapNode(scene, scan, *sources))
    navigator.list_all()
    assert navigator.hide_boundary
    assert [component.voxels for component in navigator.shown()] == [50]


def test_marks_tell_who_said_what_and_when(navigator):
    first, second, third = navigator.shown()
    mark = navigator.mark(first.component_id, ACCEPTED, ' Dr. A & "B" <ä> ')
    assert (mark.decision, mark.reader) == (ACCEPTED, 'Dr. A & "B" <ä>')
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(mark.time)).total_seconds()) < 10
    navigator.mark(second.component_id, REVIEWED, "")
    assert navigator.mark_of(first) == mark
    assert navigator.mark_of(third) is None
    navigator.hide_marked = True
    assert navigator.shown() == [third]
    assert navigator.mark(first.component_id, REJECTED, "B").decision == REJECTED
    assert [each.component_id for each in navigator.marks()] == [second.component_id, first.component_id]
    navigator.unmark(first.component_id)
    assert navigator.mark_of(first) is None
    with pytest.raises(ValueError, match="decision"):
        navigator.mark(second.component_id, "perhaps", "")


def test_marks_hold_after_edits_elsewhere_but_not_of_what_was_edited(scan, found, error_map, navigator):
    long_one, extra, _single = navigator.shown()
    for component in (long_one, extra):
        navigator.mark(component.component_id, REVIEWED, "A")
    paint(found.node, found.segment_id, scan, [(18, 19, 20)], 1)  # the far end: the first voxel stays the same
    navigator.list_changes(error_map.update())
    (edited,) = [each for each in navigator.components if each.component_id == long_one.component_id]
    assert navigator.mark_of(edited) is None
    assert navigator.mark_of(extra).decision == REVIEWED
    paint(found.node, found.segment_id, scan, [(18, 19, 20)], 0)
    navigator.list_changes(error_map.update())
    assert navigator.mark_of(long_one).decision == REVIEWED


@pytest.mark.parametrize("bundle", [False, True])
def test_marks_survive_saving_and_loading(make_scene, scene, scan, error_map, navigator, tmp_path, bundle):
    component = navigator.shown()[0]
    mark = navigator.mark(component.component_id, ACCEPTED, 'Dr. A; "B": <ä>&, 100%')
    loaded = make_scene()
    if bundle:
        for node in (scan, error_map.node, *(source.node for source in error_map.sources)):
            node.AddDefaultStorageNode()
        assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
        assert loaded.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    else:
        assert scene.Commit(str(tmp_path / "scene.mrml"))
        loaded.SetURL(str(tmp_path / "scene.mrml"))
        loaded.Connect()
    marks = read_marks(loaded.GetFirstNodeByName(error_map.node.GetName()))
    assert marks == {component.component_id: mark}
    assert marks[component.component_id].is_of(component)
    assert not marks[component.component_id].is_of(dataclasses.replace(component, voxels=3))


def test_damaged_marks_are_reported(error_map, navigator):
    error_map.node.SetAttribute("vesselseg.marks", '[{"component_id": 3}]')
    with pytest.raises(VesselSegError, match="marks"):
        navigator.marks()


@pytest.fixture
def warp(scene):
    """A warping transform that moves the middle of a cube of landmarks."""
    spline, source, target = vtkThinPlateSplineTransform(), vtkPoints(), vtkPoints()
    corners = [(x, y, z) for x in (-60, 60) for y in (-60, 60) for z in (-20, 120)]
    for place, moved in [((0, -30, 90), (8, -35, 84)), *zip(corners, corners)]:
        source.InsertNextPoint(place)
        target.InsertNextPoint(moved)
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    node.SetAndObserveTransformToParent(spline)
    return node


def test_all_views_go_to_the_place_to_which_a_component_is_warped(scan, error_map, found, navigator, views, warp):
    slices, _camera, crosshair = views
    for node in (scan, *(source.node for source in error_map.sources)):
        node.SetAndObserveTransformNodeID(warp.GetID())
    component = navigator.next()
    place = np.asarray(warp.GetTransformToParent().TransformPoint(component.centre_ras))
    assert np.linalg.norm(place - component.centre_ras) > 0.5
    np.testing.assert_allclose(navigator.position_of(component), place)
    np.testing.assert_allclose(crosshair.GetCrosshairRAS(), place)
    assert slices[0].GetSliceOffset() == pytest.approx(place[2])
    assert navigator.highlight.node.GetParentTransformNode() is warp
    paint(found.node, found.segment_id, scan, [(18, 19, 20)], 1)
    navigator.list_changes(error_map.update())
    assert navigator.current.component_id == component.component_id
    assert navigator.next() is not None


def test_what_cannot_be_shown_is_not_chosen(navigator, monkeypatch):
    def nowhere(component):
        raise VesselSegError("it lies nowhere", "look elsewhere")

    first, second, _third = navigator.shown()
    navigator.choose(first.component_id)
    monkeypatch.setattr(navigator, "position_of", nowhere)
    with pytest.raises(VesselSegError, match="nowhere"):
        navigator.choose(second.component_id)
    assert navigator.current.component_id == first.component_id
