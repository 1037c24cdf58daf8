from __future__ import annotations

import time

import numpy as np
import pytest
import slicer

from compared_labels import (
    SHAPE,
    add_labelmap,
    add_segmentation,
    expected_map,
    exported,
    paint,
    two_labels,
)
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.review.error_kinds import PALETTES, ErrorKind, wording_of_two
from VesselSegmentationLib.reviewing.error_map_display import (
    SEGMENT_IDS,
    set_kind_opacity,
    set_kind_visible,
    set_map_shown,
    set_outlined,
    set_palette,
)
from VesselSegmentationLib.reviewing.error_map_nodes import (
    ErrorMapNode,
    find_error_map,
    is_error_map,
    recorded_comparison,
)
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segmentation_nodes import surface_shown
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

FOUND, TRUTH = two_labels()


@pytest.fixture
def error_map(scene, scan, sources):
    return ErrorMapNode(scene, scan, *sources)


def seen_by_slicer(scene, error_map, scan):
    """The map as Slicer's own export of its three segments has it."""
    values = np.zeros(volume_from_node(scan).array.shape, int)
    for kind, segment_id in SEGMENT_IDS.items():
        values[exported(scene, error_map.node, segment_id, scan) != 0] = kind
    return values


def test_segments_are_where_the_labels_agree_and_differ(scene, scan, error_map):
    np.testing.assert_array_equal(seen_by_slicer(scene, error_map, scan), expected_map(FOUND, TRUTH))
    np.testing.assert_array_equal(error_map.errors.array, expected_map(FOUND, TRUTH))
    assert error_map.notes == []
    assert is_error_map(error_map.node)


def test_on_every_kind_of_grid_and_under_transforms(scene, add_scan, add_transform, ijk_to_ras):
    scan = add_scan(SHAPE, ijk_to_ras=ijk_to_ras)
    scan.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, -1.0, 1.0])).GetID())
    found = LabelSource(*add_segmentation(scene, scan, FOUND, "Vessels"))
    truth = LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))
    truth.node.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    error_map = ErrorMapNode(scene, scan, found, truth)
    np.testing.assert_array_equal(seen_by_slicer(scene, error_map, scan), expected_map(FOUND, TRUTH))
    assert error_map.notes == []


def test_legend_counts_and_measures(error_map):
    values = expected_map(FOUND, TRUTH)
    voxel = error_map.errors.geometry.voxel_volume
    for kind, entry in zip(ErrorKind, error_map.legend()):
        assert entry.kind == kind
        assert entry.voxels == np.count_nonzero(values == kind)
        assert entry.volume_mm3 == pytest.approx(entry.voxels * voxel)
        assert error_map.node.GetSegmentation().GetSegment(SEGMENT_IDS[kind]).GetColor() == pytest.approx(entry.colour)


def test_edits_are_followed(scene, scan, sources, error_map):
    found, truth = FOUND.copy(), TRUTH.copy()
    voxels = [(18, 6, 20), (18, 7, 20)]
    paint(sources[0].node, sources[0].segment_id, scan, voxels, 1)
    found[18, 6:8, 20] = 1
    assert error_map.update() == ((20, 6, 18), (20, 7, 18))
    np.testing.assert_array_equal(seen_by_slicer(scene, error_map, scan), expected_map(found, truth))
    paint(sources[1].node, sources[1].segment_id, scan, [(5, 20, 5)], 0)
    truth[5, 20, 5] = 0
    assert error_map.update(segmentation=False) == ((5, 20, 5), (5, 20, 5))
    np.testing.assert_array_equal(seen_by_slicer(scene, error_map, scan), expected_map(found, truth))
    assert [entry.voxels for entry in error_map.legend()] == [
        np.count_nonzero(expected_map(found, truth) == kind) for kind in ErrorKind
    ]
    assert error_map.update() is None


def test_what_may_not_have_changed_is_not_looked_at(scan, sources, error_map):
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    assert error_map.update(segmentation=False) is None
    assert error_map.update(reference=False) == ((0, 0, 0), (0, 0, 0))


def test_segment_that_was_emptied(scene, scan, sources, error_map):
    paint(sources[0].node, sources[0].segment_id, scan, list(zip(*np.nonzero(FOUND))), 0)
    error_map.update()
    np.testing.assert_array_equal(error_map.errors.array, expected_map(np.zeros_like(FOUND), TRUTH))


@pytest.mark.parametrize("empty", ["found", "truth", "both"])
def test_empty_labels(scene, scan, empty):
    found = np.zeros_like(FOUND) if empty != "truth" else FOUND
    truth = np.zeros_like(TRUTH) if empty != "found" else TRUTH
    first = LabelSource(*add_segmentation(scene, scan, found, "Vessels"))
    second = LabelSource(*add_segmentation(scene, scan, truth, "Truth"))
    error_map = ErrorMapNode(scene, scan, first, second)
    np.testing.assert_array_equal(error_map.errors.array, expected_map(found, truth))
    set_map_shown(error_map.node, error_map.sources, True, three_d=True)


def test_label_on_another_grid_is_resampled_and_that_is_said(scene, scan, sources):
    geometry = volume_from_node(scan).geometry
    finer = Geometry(
        tuple(2 * n for n in geometry.size),
        tuple(s / 2 for s in geometry.spacing),
        tuple(np.asarray(geometry.origin) - geometry.axes @ np.asarray(geometry.spacing) / 4),
        geometry.direction,
    )
    node = add_labelmap(scene, TRUTH.repeat(2, 0).repeat(2, 1).repeat(2, 2), finer, "manual")
    error_map = ErrorMapNode(scene, scan, sources[0], LabelSource(node))
    np.testing.assert_array_equal(error_map.errors.array, expected_map(FOUND, TRUTH))
    assert error_map.notes == [
        "the reference 'manual' lies on another grid: it was resampled to that of the scan, which is coarser: "
        "finer detail is not compared"
    ]


def test_labels_of_different_places_are_refused_before_the_scene_is_touched(scene, scan, sources):
    far = volume_from_node(scan).geometry
    far = Geometry(far.size, far.spacing, tuple(np.asarray(far.origin) + 500.0), far.direction)
    node = add_labelmap(scene, TRUTH, far, "another patient")
    count = scene.GetNumberOfNodes()
    with pytest.raises(VesselSegError, match="'another patient' and the scan 'TOF' do not overlap"):
        ErrorMapNode(scene, scan, sources[0], LabelSource(node))
    assert scene.GetNumberOfNodes() == count


def test_what_holds_no_label_is_refused(scene, scan, sources):
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    for wrong, said in (
        (LabelSource(empty), "has no segments"),
        (LabelSource(model), "cannot be the reference"),
        (LabelSource(sources[0].node, "gone"), "no segment 'gone'"),
    ):
        with pytest.raises(VesselSegError, match=said):
            ErrorMapNode(scene, scan, sources[0], wrong)


def test_a_failed_update_leaves_the_map_as_it_was(scene, scan, sources, error_map):
    before = error_map.errors.array.copy()
    sources[1].node.GetSegmentation().RemoveSegment(sources[1].segment_id)
    with pytest.raises(VesselSegError, match="no segment"):
        error_map.update()
    np.testing.assert_array_equal(error_map.errors.array, before)


def test_all_segments_together_where_none_is_chosen(scene, scan, sources):
    node, _ = add_segmentation(scene, scan, TRUTH & (np.arange(SHAPE[0]) < 10)[:, None, None], "lower", "a")
    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label

    upper = TRUTH & (np.arange(SHAPE[0]) >= 10)[:, None, None]
    set_segment_label(node, scan, volume_from_node(scan).with_array(upper.astype(np.uint8)), name="upper", role="b")
    error_map = ErrorMapNode(scene, scan, sources[0], LabelSource(node))
    np.testing.assert_array_equal(error_map.errors.array, expected_map(FOUND, TRUTH))


def test_two_results_without_a_reference(scene, scan, sources):
    error_map = ErrorMapNode(scene, scan, *sources, wording=wording_of_two("reader 1", "reader 2"))
    segmentation = error_map.node.GetSegmentation()
    names = [segmentation.GetSegment(segment_id).GetName() for segment_id in SEGMENT_IDS.values()]
    assert names == ["Agreement", "Only reader 1", "Only reader 2"]
    assert [entry.title for entry in error_map.legend()] == ["agreement", "only reader 1", "only reader 2"]
    assert error_map.node.GetName() == "TOF comparison"


def test_colours_can_be_changed(error_map):
    set_palette(error_map.node, "colour-blind")
    for entry in error_map.legend():
        assert entry.colour == PALETTES["colour-blind"].colour(entry.kind)
    with pytest.raises(VesselSegError, match="palette"):
        set_palette(error_map.node, "pink")


def test_colours_are_those_of_the_legend_where_a_scene_names_unknown_ones(scene, scan, sources, error_map):
    error_map.node.SetAttribute("vesselseg.palette", "of a later version")
    segmentation = error_map.node.GetSegmentation()
    segmentation.GetSegment(SEGMENT_IDS[ErrorKind.FALSE_POSITIVE]).SetColor(0.2, 0.3, 0.4)
    again = ErrorMapNode(scene, scan, *sources, node=error_map.node)
    for entry in again.legend():
        assert entry.colour == PALETTES["standard"].colour(entry.kind)
        assert segmentation.GetSegment(SEGMENT_IDS[entry.kind]).GetColor() == pytest.approx(entry.colour)


def test_agreement_is_translucent_and_each_kind_has_its_own_display(error_map):
    display_node = error_map.node.GetDisplayNode()
    tp, fp, fn = SEGMENT_IDS.values()
    assert display_node.GetSegmentOpacity3D(tp) < 0.5 < display_node.GetSegmentOpacity3D(fp)
    set_kind_opacity(error_map.node, ErrorKind.FALSE_NEGATIVE, three_d=0.25)
    set_kind_visible(error_map.node, ErrorKind.FALSE_POSITIVE, slices=False)
    set_kind_visible(error_map.node, ErrorKind.TRUE_POSITIVE, three_d=False)
    assert display_node.GetSegmentOpacity3D(fn) == 0.25
    assert not display_node.GetSegmentVisibility2DFill(fp)
    assert not display_node.GetSegmentVisibility2DOutline(fp)
    assert display_node.GetSegmentVisibility3D(fp)
    assert not display_node.GetSegmentVisibility3D(tp)
    set_outlined(error_map.node, True)
    assert not display_node.GetVisibility2DFill()
    assert display_node.GetVisibility2DOutline()


def test_map_is_shown_in_place_of_what_it_compares(sources, error_map):
    first, second = sources
    second.node.GetDisplayNode().SetSegmentVisibility(second.segment_id, False)
    set_map_shown(error_map.node, sources, True, three_d=False)
    assert error_map.node.GetDisplayNode().GetVisibility()
    assert not first.node.GetDisplayNode().GetSegmentVisibility(first.segment_id)
    set_map_shown(error_map.node, sources, False, three_d=False)
    assert not error_map.node.GetDisplayNode().GetVisibility()
    assert first.node.GetDisplayNode().GetSegmentVisibility(first.segment_id)
    assert not second.node.GetDisplayNode().GetSegmentVisibility(second.segment_id)  # it was hidden by the user


def surface_points(error_map, kind):
    return error_map.node.GetClosedSurfaceInternalRepresentation(SEGMENT_IDS[kind]).GetNumberOfPoints()


def test_surfaces_follow_edits_and_show_single_voxels(scan, sources, error_map):
    set_map_shown(error_map.node, sources, True, three_d=True)
    assert surface_shown(error_map.node)
    assert surface_points(error_map, ErrorKind.FALSE_NEGATIVE) >= 6
    before = surface_points(error_map, ErrorKind.FALSE_POSITIVE)
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 22, 0)], 1)
    error_map.update()
    assert surface_points(error_map, ErrorKind.FALSE_POSITIVE) == before + 6


@pytest.mark.parametrize("how", ["separated", "copied", "painted on", "painted on and undone"])
@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.title)
def test_what_somebody_did_to_the_map_is_gone_after_the_next_edit(scene, scan, sources, error_map, kind, how):
    segmentation, segment_id = error_map.node.GetSegmentation(), SEGMENT_IDS[kind]
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(segmentation)
    history.SaveState()
    if how == "separated":
        segmentation.SeparateSegmentLabelmap(segment_id)
    elif how == "copied":
        image = slicer.vtkOrientedImageData()
        image.DeepCopy(error_map.node.GetBinaryLabelmapInternalRepresentation(segment_id))
        segmentation.GetSegment(segment_id).AddRepresentation("Binary labelmap", image)
    else:
        paint(error_map.node, segment_id, scan, [(0, 22, 0), (1, 1, 1)], 1)
        if how.endswith("undone"):
            assert history.RestorePreviousState()
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 22, 0), (18, 4, 20)], 1)
    error_map.update()
    found = FOUND.copy()
    found[0, 22, 0] = found[18, 4, 20] = 1
    expected = expected_map(found, TRUTH)
    np.testing.assert_array_equal(seen_by_slicer(scene, error_map, scan), expected)
    np.testing.assert_array_equal(error_map.errors.array, expected)
    assert [entry.voxels for entry in error_map.legend()] == [np.count_nonzero(expected == each) for each in ErrorKind]


def test_scan_that_got_another_grid(scene, scan, add_scan, sources, error_map):
    other = add_scan((10, 10, 10), name="other", ijk_to_ras=volume_from_node(scan).geometry.ijk_to_ras())
    scan.CopyContent(other)
    error_map.update()
    assert error_map.errors.array.shape == (10, 10, 10)
    np.testing.assert_array_equal(error_map.errors.array, expected_map(FOUND, TRUTH)[:10, :10, :10])


def test_comparison_is_found_again(scene, scan, sources, error_map):
    assert find_error_map(scene, *sources) is error_map.node
    assert find_error_map(scene, sources[1], sources[0]) is None
    assert recorded_comparison(error_map.node) == (scan, *sources, error_map.wording)
    again = ErrorMapNode(scene, scan, *sources, node=error_map.node)
    np.testing.assert_array_equal(again.errors.array, expected_map(FOUND, TRUTH))
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 3
    scene.RemoveNode(sources[1].node)
    with pytest.raises(VesselSegError, match="no longer in the scene"):
        recorded_comparison(error_map.node)


def test_update_after_an_edit_is_fast_on_a_whole_head(scene, add_scan):
    shape = (247, 320, 320)
    scan = add_scan(shape, dtype=np.uint8)
    rng = np.random.default_rng(1)
    truth = np.zeros(shape, np.uint8)
    for x, y in rng.integers(60, 260, (40, 2)):
        truth[20:230, y : y + 3, x : x + 3] = 1
    found = np.roll(truth, 1, axis=1)
    sources = [LabelSource(*add_segmentation(scene, scan, label, n)) for label, n in ((found, "A"), (truth, "B"))]
    error_map = ErrorMapNode(scene, scan, *sources)
    seconds = []
    for step in range(3):
        paint(sources[0].node, sources[0].segment_id, scan, [(100 + step, 150, 150)], 1)
        start = time.perf_counter()
        assert error_map.update(reference=False) is not None
        seconds.append(time.perf_counter() - start)
    # Measured 0.07 s; the limit is for busy machines.
    assert min(seconds) < 0.3


def test_loaded_map_goes_on(make_scene, scene, scan, sources, error_map, tmp_path):
    set_palette(error_map.node, "colour-blind")
    set_kind_opacity(error_map.node, ErrorKind.TRUE_POSITIVE, three_d=0.55)
    for node in (scan, error_map.node, *(source.node for source in sources)):
        node.AddDefaultStorageNode()
    path = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(path))
    loaded = make_scene()
    assert loaded.ReadFromMRB(str(path), True)
    node = loaded.GetFirstNodeByName(error_map.node.GetName())
    volume_node, first, second, wording = recorded_comparison(node)
    assert (volume_node.GetName(), first.name, second.name) == ("TOF", "Vessels", "Truth")
    assert wording == error_map.wording
    again = ErrorMapNode(loaded, volume_node, first, second, wording=wording, node=node)
    np.testing.assert_array_equal(again.errors.array, expected_map(FOUND, TRUTH))
    assert again.legend()[0].colour == PALETTES["colour-blind"].colour(ErrorKind.TRUE_POSITIVE)
    assert node.GetDisplayNode().GetSegmentOpacity3D(SEGMENT_IDS[ErrorKind.TRUE_POSITIVE]) == pytest.approx(0.55)
    paint(first.node, first.segment_id, volume_node, [(0, 0, 0)], 1)
    assert again.update() == ((0, 0, 0), (0, 0, 0))
