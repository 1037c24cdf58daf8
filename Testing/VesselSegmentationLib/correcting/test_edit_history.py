from __future__ import annotations

import numpy as np
import pytest
import slicer
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

from compared_labels import SHAPE, paint
from edited_vessels import WAS, ball, paint_into, use_tool, voxels
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_history import DONE, REDONE, UNDONE, EditHistory
from VesselSegmentationLib.correcting.edited_voxels import SegmentVoxels, read_voxels, replace_voxels, same_voxels
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE)


def test_strokes_and_tools_are_undone_and_redone_in_their_order(scan, vessels, history):
    states = [voxels(vessels, scan)]
    actions = [
        lambda: paint(*vessels, scan, ball((10, 18, 20)), 1),
        lambda: use_tool(history, vessels, add=[(0, 0, 0), (19, 23, 27)]),
        lambda: paint(*vessels, scan, ball((10, 9, 9)), 0),
        lambda: paint(*vessels, scan, ball((4, 9, 9)), 0),
        lambda: use_tool(history, vessels, remove=[(2, 2, x) for x in range(2, 8)]),
        lambda: paint(*vessels, scan, [(1, 1, 1)], 1),
        lambda: paint(*vessels, scan, [(1, 1, 2)], 1),
    ]
    for action in actions:
        action()
        states.append(voxels(vessels, scan))
    assert len(history.steps) == len(actions)
    for state in states[-2::-1]:
        history.undo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
    with pytest.raises(VesselSegError, match="nothing to undo"):
        history.undo()
    for state in states[1:]:
        history.redo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
    with pytest.raises(VesselSegError, match="nothing to redo"):
        history.redo()
    history.undo()
    paint(*vessels, scan, [(0, 5, 5)], 1)
    assert history.undone_steps == []
    assert history.steps[-1].tool == "other editor"


def test_a_hundred_random_steps(scan, vessels, history):
    generator = np.random.default_rng(1)
    states = [voxels(vessels, scan)]
    for index in range(60):
        centre = [int(generator.integers(0, n)) for n in SHAPE]
        now = states[-1]
        places = ball(centre, 3.0)
        add = [p for p in places if not now[p]]
        remove = [p for p in places if now[p]]
        kind = index % 4
        if kind == 0 and add:
            paint(*vessels, scan, add, 1)
        elif kind == 1 and remove:
            paint(*vessels, scan, remove, 0)
        elif add or remove:
            use_tool(history, vessels, add=add, remove=remove)
        history.settle()
        if not np.array_equal(states[-1], voxels(vessels, scan)):
            states.append(voxels(vessels, scan))
    assert len(history.steps) == len(states) - 1 >= 50
    for state in states[-2::-1]:
        history.undo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
    for state in states[1:]:
        history.redo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)


def test_memory_is_bounded_and_twenty_steps_are_kept(scan, vessels):
    history = EditHistory(vessels[0], max_steps=30, max_bytes=100)
    for index in range(50):
        use_tool(history, vessels, add=[(0, index % 24, index // 24)])
    assert len(history.steps) == 20
    assert history.nbytes < 100_000
    before = voxels(vessels, scan)
    for _ in range(20):
        history.undo()
    assert before.sum() - voxels(vessels, scan).sum() == 20
    history.close()
    long = EditHistory(vessels[0], max_steps=30)
    for index in range(50):
        use_tool(long, vessels, add=[(19, index % 24, index // 24)])
    assert len(long.steps) == 30
    long.close()
    with pytest.raises(ValueError, match="at least 20"):
        EditHistory(vessels[0], max_steps=5)


def test_what_slicer_does_in_one_go_is_one_step(scan, vessels, history):
    """The mode 'set' of the effects takes voxels away and then adds others; overwriting takes them from others."""
    before = voxels(vessels, scan)
    paint(*vessels, scan, [(2, 2, x) for x in range(2, 8)], 0)
    paint(*vessels, scan, [(0, 0, 0)], 1)
    assert len(history.steps) == 1
    after = voxels(vessels, scan)
    other = vessels[0].GetSegmentation().AddEmptySegment("other", "other")
    history.settle()
    assert history.steps[-1].counts() == {"other": (0, 0)}
    paint_into(vessels[0], other, scan, [(4, 8, 8)])
    paint(*vessels, scan, [(4, 8, 8)], 0)
    history.settle()
    assert len(history.steps) == 3
    assert history.steps[-1].counts() == {"other": (1, 0), vessels[1]: (0, 1)}
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), after)
    history.undo()
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert vessels[0].GetSegmentation().GetNumberOfSegments() == 1


def test_slicers_own_history_restoring_a_state_is_a_step(scan, vessels, history):
    before = voxels(vessels, scan)
    slicers = slicer.vtkSegmentationHistory()
    slicers.SetSegmentation(vessels[0].GetSegmentation())
    slicers.SaveState()
    paint(*vessels, scan, [(0, 0, 0)], 1)
    painted = voxels(vessels, scan)
    assert slicers.RestorePreviousState()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert len(history.steps) == 2
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), painted)


def test_another_grid_is_undone_as_well(scan, vessels, history):
    node, segment_id = vessels
    before = read_voxels(node, segment_id)
    shifted = before.matrix.copy()
    shifted[:3, 3] += before.matrix[:3, 0] * 0.4
    image = oriented_image(before.mask, shifted, before.first[::-1])
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, segment_id)
    assert len(history.steps) == 1
    history.undo()
    after = read_voxels(node, segment_id)
    assert after.first == before.first
    np.testing.assert_allclose(after.matrix, before.matrix)
    np.testing.assert_array_equal(after.mask, before.mask)
    history.redo()
    np.testing.assert_allclose(read_voxels(node, segment_id).matrix, shifted)


@pytest.mark.parametrize("surfaces", [False, True])
@pytest.mark.parametrize("turn", [np.eye(3), np.diag([-1.0, 1.0, 1.0]), [[0.8, -0.7, 0], [0.6, 0.9, 0], [0, 0, 1.2]]])
def test_steps_go_where_a_hardened_transform_moves_the_segments(scan, vessels, history, add_transform, surfaces, turn):
    node = vessels[0]
    states = [voxels(vessels, scan)]
    use_tool(history, vessels, add=[(0, 0, 0), (19, 23, 27)])
    states.append(voxels(vessels, scan))
    paint(*vessels, scan, ball((10, 9, 9)), 0)
    history.settle()
    states.append(voxels(vessels, scan))
    node.GetSegmentation().AddEmptySegment("empty")
    history.settle()
    if surfaces:
        set_surface_shown(node, True)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (1.3, -7.0, 12.5)
    for each in (scan, node):
        each.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    history.undo()
    for each in (scan, node):
        assert each.HardenTransform()
    np.testing.assert_array_equal(voxels(vessels, scan), states[2])
    assert len(history.steps) == 2
    for state in (states[1], states[0]):
        history.undo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)
    assert not history.steps
    for state in states[1:]:
        history.redo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)


def test_a_hardened_warp_is_a_step(scene, scan, vessels, history):
    node = vessels[0]
    before = read_voxels(*vessels)
    warp = vtkThinPlateSplineTransform()
    places, moved = vtkPoints(), vtkPoints()
    for place in ((0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10), (10, 10, 10)):
        places.InsertNextPoint(place)
        moved.InsertNextPoint(place[0] + 0.3 * place[1], *place[1:])
    warp.SetSourceLandmarks(places)
    warp.SetTargetLandmarks(moved)
    warp.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(warp)
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert node.HardenTransform()
    assert len(history.steps) == 1
    assert not same_voxels(read_voxels(*vessels), before)
    history.undo()
    assert same_voxels(read_voxels(*vessels), before)


def test_a_step_that_fails_changes_nothing(scan, vessels, history):
    before = voxels(vessels, scan)
    node, segment_id = vessels

    def fail():
        with history.step("grow", ""):
            replace_voxels(node, segment_id, SegmentVoxels(np.ones((1, 1, 1), bool), (0, 0, 0), np.eye(4)))
            raise VesselSegError("no", "")

    with pytest.raises(VesselSegError, match="no"):
        fail()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert history.steps == []


def test_listeners_hear_of_every_step(scan, vessels, history):
    heard = []
    history.listeners.append(lambda step, what: heard.append((step.number, what)))
    use_tool(history, vessels, add=[(0, 0, 0)])
    history.undo()
    history.redo()
    assert heard == [(1, DONE), (1, UNDONE), (1, REDONE)]


def test_emptied_segment_comes_back(scan, vessels, history):
    before = voxels(vessels, scan)
    paint(*vessels, scan, [tuple(p) for p in np.argwhere(WAS)], 0)
    assert not voxels(vessels, scan).any()
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    history.redo()
    assert not voxels(vessels, scan).any()


def test_closed_history_lets_go(scan, vessels, history):
    history.close()
    paint(*vessels, scan, [(0, 0, 0)], 1)
    assert history.steps == []


def test_surface_follows_when_it_is_shown(scan, vessels, history):
    node, segment_id = vessels
    set_surface_shown(node, True)
    before = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface").GetNumberOfPolys()
    use_tool(history, vessels, add=[(0, 0, 0), (19, 23, 27)])
    after = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface").GetNumberOfPolys()
    assert after > before
    history.undo()
    surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation("Closed surface")
    assert surface.GetNumberOfPolys() == before
