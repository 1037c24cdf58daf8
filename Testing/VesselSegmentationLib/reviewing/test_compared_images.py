"""What the image of a label says beside its vessels: where it is unsure, how far it reaches, whether it is a label."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from compared_labels import SHAPE, add_labelmap, add_segmentation, expected_map, follow, paint, two_labels
from review_values import assert_same
from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE
from vesselseg.metrics import evaluate
from vesselseg.review.threshold_analysis import analyse_thresholds
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK, WHOLE_VOLUME
from VesselSegmentationLib.reviewing.threshold_job import start_threshold_analysis
from VesselSegmentationLib.scene.label_source import UNSURE_ROLE, LabelSource
from VesselSegmentationLib.scene.node_geometry import matrix_from_array
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

FOUND, TRUTH = two_labels()
#: Around the vessel in common, and one of the pieces that were missed.
DOUBT = np.zeros(SHAPE, bool)
DOUBT[10:18, 7:12, 7:12] = DOUBT[5, 20, 5] = True
MARKED = np.where(DOUBT, UNSURE, TRUTH).astype(np.uint8)


@pytest.fixture
def found(sources):
    return sources[0]


@pytest.fixture(params=["label volume", "segments"])
def unsure(request, scene, scan):
    """A reference that says nothing somewhere, as a file has it, and as the page keeps it."""
    if request.param == "label volume":
        return LabelSource(add_labelmap(scene, MARKED, volume_from_node(scan).geometry, "drawn"))
    node, _ = add_segmentation(scene, scan, MARKED == 1, "drawn", role="reference")
    set_segment_label(node, scan, volume_from_node(scan).with_array(DOUBT), name="unsure", role=UNSURE_ROLE)
    return LabelSource(node)


def test_nothing_is_counted_where_a_reference_is_unsure(scene, scan, found, unsure, logic):
    inside = np.zeros(SHAPE, np.uint8)
    inside[3:17] = 1
    logic.start(found, unsure, brain_mask_node=add_labelmap(scene, inside, volume_from_node(scan).geometry))
    np.testing.assert_array_equal(logic.error_map.errors.array, np.where(DOUBT, 0, expected_map(FOUND, TRUTH)))
    marked = np.count_nonzero(DOUBT)
    assert logic.error_map.notes == [
        f"the reference '{unsure.name}' marks {marked} voxels as unsure (255): they are not counted"
    ]
    assert logic.wait()
    image = volume_from_node(scan)
    labels = [image.with_array(array) for array in (FOUND, (MARKED == 1).astype(np.uint8))]
    doubt = image.with_array(DOUBT.astype(np.uint8))
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(*labels, unsure=doubt))
    assert_same(logic.metrics[INSIDE_MASK], evaluate(*labels, unsure=doubt, mask=image.with_array(inside)))
    assert [each.kind for each in logic.navigator.components] == [3, 2]
    assert logic.navigator.nearest_segment(logic.navigator.components[0]) is None


def test_edits_where_a_reference_is_unsure_change_nothing(scan, found, unsure, logic):
    logic.start(found, unsure)
    assert logic.wait()
    before = logic.error_map.errors.array.copy()
    paint(found.node, found.segment_id, scan, [(12, 7, 7)], 1)
    follow(logic)
    np.testing.assert_array_equal(logic.error_map.errors.array, before)
    paint(found.node, found.segment_id, scan, [(0, 0, 0)], 1)
    follow(logic)
    assert logic.error_map.errors.array[0, 0, 0] == 2


def test_thresholds_leave_out_where_a_reference_is_unsure(scene, scan, found, unsure, logic):
    image = volume_from_node(scan)
    values = (0.9 * TRUTH + 0.1 * np.random.default_rng(0).random(SHAPE)).astype(np.float32)
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(probability, image.with_array(values))
    logic.start(found, unsure, probability_node=probability)
    job = start_threshold_analysis(logic)
    assert job.wait(120) == "done", job.message
    reference, doubt = (image.with_array(array.astype(np.uint8)) for array in (MARKED == 1, DOUBT))
    expected = analyse_thresholds(image.with_array(values), reference, unsure=doubt, detailed=())
    np.testing.assert_array_equal(job.analysis.dice, expected.dice)


def test_a_mask_of_0_and_255_is_one_of_vessels(scene, scan, found):
    node = add_labelmap(scene, TRUTH * np.uint8(255), volume_from_node(scan).geometry)
    error_map = ErrorMapNode(scene, scan, found, LabelSource(node))
    np.testing.assert_array_equal(error_map.errors.array, expected_map(FOUND, TRUTH))
    assert error_map.notes == []


def test_voxels_of_255_are_vessels_of_a_segmentation(scene, scan, sources):
    node = add_labelmap(scene, MARKED, volume_from_node(scan).geometry)
    error_map = ErrorMapNode(scene, scan, LabelSource(node), sources[1])
    np.testing.assert_array_equal(error_map.errors.array, expected_map(MARKED != 0, TRUTH))


def lower_half(scan):
    """The reference in an image of the lower ten slices."""
    box = (slice(0, 10), slice(0, SHAPE[1]), slice(0, SHAPE[2]))
    return np.ascontiguousarray(TRUTH[box]), volume_from_node(scan).geometry.cropped(box)


def test_part_of_the_scan_that_has_no_reference_is_told_and_followed(scene, scan, found):
    reference = LabelSource(add_labelmap(scene, *lower_half(scan), "lower"))
    error_map = ErrorMapNode(scene, scan, found, reference)
    beyond = np.count_nonzero(FOUND[10:])
    assert np.count_nonzero(error_map.errors.array[10:] == 2) == beyond
    note = "of the segmentation 'Vessels' lies outside the image of the reference 'lower' and counts as false positive"
    assert error_map.notes == [f"{100 * beyond / FOUND.sum():.0f} % {note}"] == [f"47 % {note}"]
    paint(found.node, found.segment_id, scan, list(zip(*np.nonzero(np.arange(20)[:, None, None] * FOUND > 9))), 0)
    error_map.update()
    assert error_map.notes == []


def test_the_same_of_two_results(scene, scan, found):
    from vesselseg.review.error_kinds import wording_of_two

    reference = LabelSource(add_labelmap(scene, *lower_half(scan), "lower"))
    error_map = ErrorMapNode(scene, scan, reference, found, wording=wording_of_two("Ann", "Bob"))
    (note,) = error_map.notes
    assert note.endswith("lies outside the image of the Ann 'lower' and counts as only Bob")


def test_small_segments_are_background_around_them(scene, scan, sources):
    assert ErrorMapNode(scene, scan, *sources).notes == []
    assert sources[1].image_on(scan) is None


def test_part_of_a_label_outside_the_scan_is_told(scene, scan, found):
    """On the lattice of the scan, where nothing is resampled."""
    geometry = volume_from_node(scan).geometry
    up = geometry.axes[:, 2] * geometry.spacing[2]
    away = dataclasses.replace(geometry, origin=tuple(np.asarray(geometry.origin) - 12 * up))
    error_map = ErrorMapNode(scene, scan, found, LabelSource(add_labelmap(scene, TRUTH, away, "manual")))
    cut_off = 100 * np.count_nonzero(TRUTH[:12]) / TRUTH.sum()
    assert error_map.notes[0] == (
        f"{cut_off:.0f} % of the reference 'manual' lies outside the image of the scan and is not compared"
    )


def test_a_label_that_moves_away_is_told(scene, scan, found, add_transform):
    reference = LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry, "manual"))
    error_map = ErrorMapNode(scene, scan, found, reference)
    assert error_map.notes == []
    transform = add_transform(np.eye(4))
    reference.node.SetAndObserveTransformNodeID(transform.GetID())
    shift = np.eye(4)
    shift[2, 3] = 1.5
    transform.SetMatrixTransformToParent(matrix_from_array(shift))
    error_map.update()
    assert "the reference 'manual' lies on another grid: it was resampled to that of the scan" in error_map.notes


def test_scans_and_probabilities_are_no_labels(scene, scan, found, logic):
    image = volume_from_node(scan)
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(probability, image.with_array(np.random.default_rng(0).random(SHAPE).astype(np.float32)))
    for node, said in ((scan, "'TOF' is not a label: most of"), (probability, "'probability' is not a label")):
        for sources in ((found, LabelSource(node)), (LabelSource(node), found)):
            with pytest.raises(VesselSegError, match=said):
                logic.start(*sources, volume_node=scan)
    logic.start(found, LabelSource(add_labelmap(scene, TRUTH, image.geometry)), brain_mask_node=scan)
    with pytest.raises(VesselSegError, match="'TOF' is not a label"):
        logic.wait()
