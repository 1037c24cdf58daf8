from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from compared_labels import SHAPE, add_labelmap, add_segmentation, follow, paint, two_labels
from review_values import assert_same, column
from vesselseg.errors import VesselSegError
from vesselseg.metrics import evaluate
from vesselseg.reports.metric_table import METRICS as METRIC_INFOS
from vesselseg.review.error_kinds import wording_of_two
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK, WHOLE_VOLUME, overlap_metrics
from VesselSegmentationLib.reviewing.review_logic import METRICS
from VesselSegmentationLib.saving.review_export import export_metrics
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

FOUND, TRUTH = two_labels()


def test_metrics_inside_a_brain_mask(scene, scan, sources, logic):
    inside = np.zeros(SHAPE, np.uint8)
    inside[3:17] = 1
    mask = add_labelmap(scene, inside, volume_from_node(scan).geometry, "brain")
    logic.start(*sources, brain_mask_node=mask)
    assert logic.wait()
    labels = [volume_from_node(scan).with_array(array) for array in (FOUND, TRUTH)]
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(*labels))
    assert_same(logic.metrics[INSIDE_MASK], evaluate(*labels, mask=labels[0].with_array(inside)))


@pytest.mark.parametrize("failed", [False, True])
def test_metrics_inside_a_mask_go_with_it(scene, scan, sources, logic, tmp_path, failed):
    geometry = volume_from_node(scan).geometry
    if failed:
        geometry = dataclasses.replace(geometry, origin=(5000.0, 0.0, 0.0))
    mask = add_labelmap(scene, np.ones_like(FOUND), geometry, "brain")
    node = logic.start(*sources, brain_mask_node=mask)
    if failed:
        with pytest.raises(VesselSegError, match="do not overlap"):
            logic.wait()
    else:
        assert logic.wait()
        assert set(logic.metrics) == {WHOLE_VOLUME, INSIDE_MASK}
    scene.RemoveNode(mask)
    assert not logic.metrics_current
    with pytest.raises(VesselSegError):
        export_metrics(logic, tmp_path / "metrics.json")
    assert logic.poll() == {METRICS}
    assert set(logic.metrics) == {WHOLE_VOLUME}
    assert logic.wait()
    export_metrics(logic, tmp_path / "metrics.json")
    assert list(json.loads((tmp_path / "metrics.json").read_text())) == [WHOLE_VOLUME]
    logic.resume(node)  # the map remembers no mask any more
    assert logic.mask_node is None


def test_mask_that_is_removed_while_its_metrics_are_measured(scene, scan, sources, logic):
    mask = add_labelmap(scene, np.ones_like(FOUND), volume_from_node(scan).geometry, "brain")
    logic.start(*sources, brain_mask_node=mask)
    follow(logic)  # a worker measures
    scene.RemoveNode(mask)
    assert logic.wait()
    assert set(logic.metrics) == {WHOLE_VOLUME}


def test_scan_that_moves_out_of_its_mask_is_measured_anew(scene, scan, sources, logic, add_transform):
    inside = np.zeros(SHAPE, np.uint8)
    inside[3:17] = 1
    mask = add_labelmap(scene, inside, volume_from_node(scan).geometry, "brain")
    logic.start(*sources, brain_mask_node=mask)
    assert logic.wait()
    before, moved = logic.metrics[INSIDE_MASK]["dice"], np.eye(4)
    moved[2, 3] = 4.0
    transform = add_transform(moved)
    for node in (scan, *(source.node for source in sources)):
        node.SetAndObserveTransformNodeID(transform.GetID())
    assert logic.poll() == {METRICS}
    assert not logic.metrics_current
    assert logic.wait()
    labels = [volume_from_node(scan).with_array(array) for array in (FOUND, TRUTH)]
    assert logic.metrics[INSIDE_MASK]["dice"] == pytest.approx(evaluate(*labels, mask=logic.mask())["dice"]) != before


@pytest.mark.parametrize("empty", ["found", "truth", "both"])
def test_metrics_of_empty_labels(scene, scan, logic, empty):
    found = np.zeros_like(FOUND) if empty != "truth" else FOUND
    truth = np.zeros_like(TRUTH) if empty != "found" else TRUTH
    logic.start(
        LabelSource(*add_segmentation(scene, scan, found, "A")), LabelSource(*add_segmentation(scene, scan, truth, "B"))
    )
    quick = dict(logic.metrics[WHOLE_VOLUME])
    assert logic.wait()
    labels = [volume_from_node(scan).with_array(array) for array in (found, truth)]
    for key, value in quick.items():
        assert value == evaluate(*labels)[key], key
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(*labels))


def test_failed_metrics_are_reported_once_and_come_with_the_next_edit(scan, sources, logic, python):
    logic.start(*sources)
    logic.python = python("crash")
    with pytest.raises(VesselSegError):
        logic.wait()
    assert not logic.pending
    assert logic.metrics_failed
    assert not logic.metrics_current
    logic.python = None
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    assert logic.wait()
    assert logic.metrics[WHOLE_VOLUME]["false_positives"] == 7
    assert logic.metrics_current
    assert not logic.metrics_failed


def test_metrics_that_could_not_be_measured_are_not_exported(scene, scan, sources, logic, tmp_path):
    geometry = dataclasses.replace(volume_from_node(scan).geometry, origin=(5000.0, 0.0, 0.0))
    logic.start(*sources)
    assert logic.wait()
    logic.use_mask(add_labelmap(scene, np.ones_like(FOUND), geometry, "mask of another patient"))
    with pytest.raises(VesselSegError, match="do not overlap"):
        logic.wait()
    assert not logic.metrics_current
    with pytest.raises(VesselSegError, match="could not be measured; edit the label, or choose another brain mask"):
        export_metrics(logic, tmp_path / "metrics.csv")
    logic.use_mask(None)
    assert not logic.metrics_failed
    assert logic.wait()
    export_metrics(logic, tmp_path / "metrics.csv")


@pytest.mark.parametrize("away", [False, True])
def test_a_mask_that_cannot_be_used_costs_only_the_metrics_inside_it(scene, scan, sources, logic, away):
    geometry = volume_from_node(scan).geometry
    if away:
        geometry = dataclasses.replace(geometry, origin=(5000.0, 0.0, 0.0))
    mask = add_labelmap(scene, np.full(SHAPE, int(away), np.uint8), geometry, "brain")
    logic.start(*sources, brain_mask_node=mask)
    with pytest.raises(VesselSegError, match="do not overlap" if away else "the mask is empty"):
        logic.wait()
    assert logic.metrics_failed
    assert logic.wait()
    labels = [volume_from_node(scan).with_array(array) for array in (FOUND, TRUTH)]
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(*labels))
    assert set(logic.metrics) == {WHOLE_VOLUME}
    assert logic.metrics_failed
    assert not logic.metrics_current
    assert logic.is_current(WHOLE_VOLUME, "hd95_mm")
    assert not logic.is_current(INSIDE_MASK, "hd95_mm")
    table = logic.metrics_table()
    whole, inside = ([value.ToDouble() for value in column(table, region)] for region in (WHOLE_VOLUME, INSIDE_MASK))
    assert np.isfinite(whole[0])
    assert np.isnan(inside).all()
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    assert logic.wait()  # not said again
    assert logic.metrics[WHOLE_VOLUME]["false_positives"] == 7
    assert logic.metrics_failed
    logic.use_mask(None)
    assert logic.wait()
    assert logic.metrics_current


def test_what_the_map_counts_is_current_at_once(scan, sources, logic):
    logic.start(*sources)
    counted = set(overlap_metrics(logic.error_map.legend()))
    assert {"dice", "true_positives", "false_positives", "false_negatives", "reference_ml"} < counted
    for _ in range(2):
        assert {info.key for info in METRIC_INFOS if logic.is_current(WHOLE_VOLUME, info.key)} == counted
        assert logic.wait()
        assert all(logic.is_current(WHOLE_VOLUME, info.key) for info in METRIC_INFOS)
        paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)


def test_metrics_table_has_titles_and_units(scene, scan, sources, logic):
    logic.start(*sources, brain_mask_node=add_labelmap(scene, np.ones_like(FOUND), volume_from_node(scan).geometry))
    assert logic.metrics_table() is logic.metrics_table()  # before the worker is done: what is known
    assert logic.wait()
    node = logic.metrics_table()
    titles = [value.ToString() for value in column(node, "metric")]
    units = [value.ToString() for value in column(node, "unit")]
    assert (titles[0], units[titles.index("95 % Hausdorff distance")]) == ("Dice", "mm")
    for region in (WHOLE_VOLUME, INSIDE_MASK):
        assert column(node, region)[0].ToDouble() == pytest.approx(logic.metrics[region]["dice"])
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1


@pytest.mark.parametrize("failed", [False, True])
def test_metrics_table_holds_no_value_of_before_an_edit(scene, scan, sources, logic, python, failed):
    mask = add_labelmap(scene, np.ones_like(FOUND), volume_from_node(scan).geometry)
    logic.start(*sources, brain_mask_node=mask)
    assert logic.wait()
    logic.metrics_table()
    if failed:
        logic.python = python("crash")
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    follow(logic)
    if failed:
        with pytest.raises(VesselSegError):
            logic.wait()
    node = logic.metrics_table()
    rows = [value.ToString() for value in column(node, "metric")]
    whole, inside = ([value.ToDouble() for value in column(node, region)] for region in (WHOLE_VOLUME, INSIDE_MASK))
    assert whole[rows.index("Dice")] == logic.metrics[WHOLE_VOLUME]["dice"]
    assert math.isnan(whole[rows.index("95 % Hausdorff distance")])
    assert all(math.isnan(value) for value in inside)


def test_metrics_of_two_results_take_no_side(sources, logic):
    logic.start(*sources, wording=wording_of_two("A", "B"))
    titles = [value.ToString() for value in column(logic.metrics_table(), "metric")]
    assert "Dice" in titles
    assert "sensitivity" not in titles
