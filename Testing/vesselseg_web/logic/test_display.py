"""How scan, vessels and errors are shown: from switches and sliders to the scene."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from vesselseg.geometry import Geometry
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.volume import Volume
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.display_logic import DisplayLogic
from vesselseg_web.logic.layers import kind_layer_name, layer_state
from vesselseg_web.viewing.scan_rendering import reduce_for_rendering
from VesselSegmentationLib.reviewing.error_map_display import kind_display
from VesselSegmentationLib.scene.scan_display import PROJECTION, VESSELS, shown_style, slab_thickness, vessel_window
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label, surface_shown


@pytest.fixture
def display(page, case, views):
    return DisplayLogic(page, case, views)


@pytest.fixture
def compare(page, case, display):
    return CompareLogic(page, case, display.comparison_changed)


@pytest.fixture
def shown(case, scan, label, display, compare):
    """A scan with vessels and a reference."""
    case.load_scan(scan, "TOF")
    node = case.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "vessels")
    found = label.with_array(label.array.copy())
    found.array[:4] = 0
    found.array[6:, 2:4, 2:4] = 1
    set_segment_label(node, case.scan, found)
    case.take_vessels(node)
    case.add_reference(label, "truth")
    display.page.state.flush()
    return display


def flush(logic):
    """Take what the browser has changed."""
    logic.page.state.flush()


def window_of(case):
    node = case.scan.GetDisplayNode()
    return node.GetWindowLevelMin(), node.GetWindowLevelMax()


def test_nothing_to_show(display):
    assert display.data.why_not == "Load a scan first."
    display.poll()
    display.reset_window()
    display.toggle_vessels()
    assert not display.vessels.data.there


def test_window_follows_the_slider_and_the_slider_the_views(shown, case):
    assert shown.data.why_not == ""
    assert shown.data.window == pytest.approx(window_of(case))
    automatic = shown.data.window
    shown.data.window = [40.0, 120.0]
    flush(shown)
    assert window_of(case) == pytest.approx((40, 120))
    case.scan.GetDisplayNode().SetWindowLevel(50, 100)  # as a drag in a view does
    shown.poll()
    flush(shown)
    assert shown.data.window == pytest.approx([75, 125])
    assert window_of(case) == pytest.approx((75, 125))
    shown.reset_window()
    assert shown.data.window == pytest.approx(automatic)


def test_window_is_never_empty(shown, case):
    shown.data.window = [100.0, 100.0]
    flush(shown)
    low, high = window_of(case)
    assert high > low


def test_slider_of_a_scan_with_few_intensities_is_fine(case, display, scan):
    case.load_scan(scan.with_array(scan.array / 1000), "TOF")
    assert 0 < display.data.step <= 0.001


def test_slab(shown, case):
    case.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    shown.data.slab = 5.0
    flush(shown)
    assert slab_thickness(case.scene) == 5
    shown.data.slab = 0.0
    flush(shown)
    assert slab_thickness(case.scene) == 0


def rendered_nodes(case):
    count = case.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [case.scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
    return {shown_style(node): node for node in nodes if shown_style(node)}


def test_scan_in_3d(shown, case, views):
    assert not rendered_nodes(case)
    for style in (PROJECTION, VESSELS):
        shown.data.rendering = style
        flush(shown)
        ((found, node),) = rendered_nodes(case).items()
        assert found == style
        assert views.limited
        # It is neither a scan that could be chosen nor saved.
        assert node is not case.scan
        assert node.GetHideFromEditors()
        assert not node.GetSaveWithScene()
    shown.data.rendering = ""
    flush(shown)
    assert not rendered_nodes(case)
    assert not views.limited
    assert case.scene.GetNumberOfNodesByClass("vtkMRMLVolumeRenderingDisplayNode") == 0
    assert case.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_graphics_cards_draw_the_scan_itself(page, case, views, scan):
    views.software = False
    display = DisplayLogic(page, case, views)
    case.load_scan(scan, "TOF")
    display.data.rendering = VESSELS
    flush(display)
    assert shown_style(case.scan) == VESSELS
    display.data.rendering = ""
    flush(display)
    assert shown_style(case.scan) is None
    assert case.scene.IsNodePresent(case.scan)


def test_another_scan_begins_with_everything_off(shown, case, scan):
    shown.data.rendering, shown.data.slab, shown.data.outlined = PROJECTION, 5.0, True
    flush(shown)
    case.load_scan(scan, "another")
    flush(shown)
    assert (shown.data.rendering, shown.data.slab, shown.data.outlined) == ("", 0.0, False)
    assert not rendered_nodes(case)
    assert not shown.vessels.data.there


def test_scan_without_contrast_is_one_clear_line(case, display, scan):
    case.load_scan(scan.with_array(np.full(scan.array.shape, 7.0, np.float32)), "flat")
    display.data.rendering = VESSELS
    flush(display)
    assert "same value everywhere" in display.page.data.error
    assert not rendered_nodes(case)


def test_vessels_in_slices_and_in_3d(shown, case):
    data, node = shown.vessels.data, case.vessels
    display_node = node.GetDisplayNode()
    assert data.there
    assert data.slices
    data.three_d, data.three_d_opacity, data.slices_opacity = True, 30.0, 40.0
    flush(shown)
    assert surface_shown(node)
    assert display_node.GetOpacity3D() == pytest.approx(0.3)
    assert display_node.GetOpacity2DFill() == pytest.approx(0.4)
    data.slices = False
    flush(shown)
    assert display_node.GetVisibility()
    assert not display_node.GetVisibility2DFill()
    assert not display_node.GetVisibility2DOutline()
    data.slices, data.three_d = True, False
    flush(shown)
    assert display_node.GetVisibility2DFill()
    assert not surface_shown(node)


def test_toggled_vessels_come_back_as_they_were(shown, case):
    data = shown.vessels.data
    data.three_d, data.slices = True, False
    flush(shown)
    shown.toggle_vessels()
    assert not case.vessels.GetDisplayNode().GetVisibility()
    assert (data.slices, data.three_d) == (False, False)
    flush(shown)
    shown.toggle_vessels()
    flush(shown)
    assert (data.slices, data.three_d) == (False, True)
    assert surface_shown(case.vessels)


@pytest.mark.parametrize("order", [("three_d", "slices"), ("slices", "three_d")])
def test_vessels_that_were_switched_off_one_by_one_come_back(shown, case, order):
    data = shown.vessels.data
    for name in order:
        setattr(data, name, False)
        flush(shown)
    shown.toggle_vessels()
    flush(shown)
    assert (data.slices, data.three_d) == (True, True)
    display_node = case.vessels.GetDisplayNode()
    assert display_node.GetVisibility()
    assert display_node.GetVisibility2DOutline()
    assert surface_shown(case.vessels)
    shown.toggle_vessels()
    flush(shown)
    assert (data.slices, data.three_d) == (False, False)


def test_outlines(shown, case):
    shown.data.outlined = True
    flush(shown)
    display_node = case.vessels.GetDisplayNode()
    assert display_node.GetVisibility2DOutline()
    assert not display_node.GetVisibility2DFill()
    shown.data.outlined = False
    flush(shown)
    assert display_node.GetVisibility2DFill()


def test_only_the_chosen_reference_is_shown(shown, case, label, compare):
    first = case.references["truth"].GetDisplayNode()
    assert not first.GetVisibility()
    shown.reference.data.slices = True
    flush(shown)
    assert first.GetVisibility()
    assert first.GetVisibility2DFill()
    case.add_reference(label, "another")
    flush(shown)
    assert compare.data.reference == "another"
    assert not first.GetVisibility()
    assert not shown.reference.data.slices


def test_kinds_of_errors(shown, case, compare):
    state = {kind: layer_state(shown.state, kind_layer_name(kind)).data for kind in ErrorKind}
    assert not any(each.there for each in state.values())
    compare.start()
    flush(shown)
    node = case.review.error_map.node
    for kind, each in state.items():
        assert each.there
        display = kind_display(node, kind)
        assert (each.slices, each.three_d) == (display["slices"][0], display["three_d"][0])
        assert each.three_d_opacity == pytest.approx(100 * display["three_d"][1])
    changed = state[ErrorKind.TRUE_POSITIVE]
    changed.three_d, changed.slices_opacity = False, 20.0
    flush(shown)
    display = kind_display(node, ErrorKind.TRUE_POSITIVE)
    assert not display["three_d"][0]
    assert display["slices"] == (True, pytest.approx(0.2))
    assert kind_display(node, ErrorKind.FALSE_POSITIVE)["three_d"][0]
    shown.data.outlined = True
    flush(shown)
    assert not node.GetDisplayNode().GetVisibility2DFill()
    compare.stop()
    assert not any(each.there for each in state.values())


def test_vessels_are_not_toggled_behind_the_error_map(shown, case, compare):
    compare.start()
    flush(shown)
    shown.toggle_vessels()
    assert "error map" in shown.page.data.status
    assert case.vessels.GetDisplayNode().GetVisibility()
    compare.toggle_map()
    flush(shown)
    assert not case.review.error_map.node.GetDisplayNode().GetVisibility()
    shown.toggle_vessels()
    assert not case.vessels.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, 1, 0)])
def test_reduced_copies_keep_what_is_bright_where_it_is(direction):
    array = np.random.default_rng(0).uniform(0, 50, (33, 40, 50)).astype(np.float32)
    array[10:20, 17, 21] = 400  # a vessel as thin as a voxel
    geometry = Geometry((50, 40, 33), (0.5, 0.6, 0.7), (3.0, -2.0, 9.0), tuple(float(d) for d in direction))
    reduced, window = reduce_for_rendering(Volume(array, geometry), voxels=10_000)
    assert reduced.array.dtype == np.uint8
    assert reduced.array.size < 15_000
    assert (window.tissue, window.full) == (0, 255)
    assert 0 < window.faint < 255
    bright = np.argwhere(reduced.array == 255)[:, ::-1]
    places = (reduced.geometry.ijk_to_ras() @ np.c_[bright, np.ones(len(bright))].T)[:3].T
    vessel = geometry.ijk_to_ras() @ np.array([21, 17, 14.5, 1])
    # Every block that the vessel runs through, not farther away than its corners.
    assert np.abs(places.mean(axis=0) - vessel[:3]).max() < 1.5
    assert len(bright) >= 3


def test_small_scans_are_not_reduced(scan):
    reduced, window = reduce_for_rendering(scan)
    assert reduced.geometry.same_grid(scan.geometry)
    full = vessel_window(scan)
    assert np.all((reduced.array == 255) == (scan.array >= full.full))
    assert window.faint == pytest.approx(255 * (full.faint - full.tissue) / (full.full - full.tissue))


def test_ray_caster_for_cpus(shown, case):
    shown.data.rendering = PROJECTION
    flush(shown)
    (node,) = rendered_nodes(case).values()
    assert node.GetNthDisplayNode(node.GetNumberOfDisplayNodes() - 1).IsA(
        slicer.vtkMRMLCPURayCastVolumeRenderingDisplayNode.__name__
    )
