from __future__ import annotations

import numpy as np
import pytest

from compared_labels import SHAPE, add_labelmap, follow, paint, two_labels
from review_values import column
from vesselseg.errors import VesselSegError
from vesselseg.review.threshold_analysis import analyse_thresholds
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME
from VesselSegmentationLib.reviewing.threshold_job import start_threshold_analysis
from VesselSegmentationLib.scene.run_record import recorded_threshold
from VesselSegmentationLib.scene.segmentation_nodes import segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

FOUND, TRUTH = two_labels()


@pytest.fixture
def with_probability(scene, scan, sources, logic):
    """A comparison of vessels that were made from a probability, whose best threshold is 0.30."""
    truth = TRUTH.astype(bool)
    probability = np.where(truth, 0.305, 0.2).astype(np.float32)
    probability[FOUND.astype(bool) & truth] = 0.9
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(node, volume_from_node(scan).with_array(probability))
    SegmentationLogic(scene).apply_threshold(node, sources[0].node, 0.5, volume_node=scan)
    logic.start(*sources)
    return node


def measured(logic):
    """What the panel has to show: measured by the worker."""
    job = start_threshold_analysis(logic)
    assert job.wait(120) == "done", job.message
    return job.analysis


def analysed(logic):
    """What the worker measures, measured here."""
    reference = logic.error_map.labels()[1]
    return analyse_thresholds(logic.probability(), reference, mask=logic.mask(), detailed=())


def test_best_threshold_is_found_and_taken(scene, scan, sources, logic, with_probability):
    analysis = measured(logic)
    assert analysis.best_dice == 1.0
    assert 0.2 < analysis.best_threshold <= 0.3
    assert logic.take_best_threshold(analysis) == analysis.best_threshold
    np.testing.assert_array_equal(segment_label(*[sources[0].node, sources[0].segment_id], scan).array, TRUTH)
    assert recorded_threshold(sources[0].node) == (analysis.best_threshold, 0.0)
    follow(logic)
    assert logic.metrics[WHOLE_VOLUME]["dice"] == 1.0
    assert logic.navigator.components == []


def test_probability_of_a_new_run_takes_the_place_of_a_removed_one(scene, scan, sources, logic, with_probability):
    follow(logic)
    array = volume_from_node(with_probability).array.copy()
    scene.RemoveNode(with_probability)
    follow(logic)
    assert not logic.has_probability
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability of the new run")
    set_node_volume(node, volume_from_node(scan).with_array(array))
    SegmentationLogic(scene).apply_threshold(node, sources[0].node, 0.9, volume_node=scan)
    assert logic.has_probability
    follow(logic)
    assert all(component.mean_probability is not None for component in logic.navigator.components)
    logic.take_best_threshold(analysed(logic))
    np.testing.assert_array_equal(segment_label(*[sources[0].node, sources[0].segment_id], scan).array, TRUTH)
    set_node_volume(node, volume_from_node(scan).with_array(np.full(SHAPE, 0.25, np.float32)))
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    follow(logic)
    assert {component.mean_probability for component in logic.navigator.components} == {0.25}


def test_thresholds_are_drawn_in_charts(scene, logic, with_probability):
    analysis = analysed(logic)
    for _ in range(2):
        thresholds, calibration = logic.threshold_charts(analysis)
        names = [thresholds.GetNthPlotSeriesNode(n).GetName() for n in range(thresholds.GetNumberOfPlotSeriesNodes())]
        assert names[:3] == ["Dice", "precision", "sensitivity"]
        assert names[3].startswith("best: Dice 1.000 at 0.")
        assert calibration.GetNumberOfPlotSeriesNodes() == 2
    dice = thresholds.GetNthPlotSeriesNode(0)
    values = [value.ToDouble() for value in column(dice.GetTableNode(), dice.GetYColumnName())]
    np.testing.assert_allclose(values, analysis.dice)
    assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 2
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 6


@pytest.mark.parametrize("masked", [False, True])
def test_charts_say_where_thresholds_were_measured(scene, scan, logic, with_probability, masked):
    if masked:
        logic.use_mask(add_labelmap(scene, np.ones(SHAPE, np.uint8), volume_from_node(scan).geometry, "brain"))
    job = start_threshold_analysis(logic)
    assert job.wait(120) == "done", job.message
    charts = logic.threshold_charts(job.analysis, masked=job.masked)
    inside = "inside the mask" if masked else ""
    assert [chart.GetTitle() for chart in charts] == [f"{inside}{', ' if inside else ''}small pieces kept", inside]


def test_charts_are_drawn_again_when_a_table_of_theirs_was_removed(scene, logic, with_probability):
    analysis = analysed(logic)
    chart, _calibration = logic.threshold_charts(analysis)
    scene.RemoveNode(chart.GetNthPlotSeriesNode(0).GetTableNode())
    assert logic.threshold_charts(analysis)[0] is chart
    dice = chart.GetNthPlotSeriesNode(0)
    np.testing.assert_allclose([each.ToDouble() for each in column(dice.GetTableNode(), "Dice")], analysis.dice)


def test_thresholds_need_a_probability_and_the_vessels_from_it(scene, scan, sources, logic, with_probability):
    analysis = analysed(logic)
    logic.start(sources[1], sources[0])
    with pytest.raises(VesselSegError, match="probability"):
        start_threshold_analysis(logic)
    with pytest.raises(VesselSegError, match="was not made from a probability"):
        logic.take_best_threshold(analysis)


def test_thresholds_from_a_worker_are_the_same(scene, scan, sources, logic):
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    values = (0.9 * TRUTH + np.random.default_rng(0).random(SHAPE) * 0.1).astype(np.float32)
    set_node_volume(probability, volume_from_node(scan).with_array(values))
    with pytest.raises(VesselSegError, match="no probability"):
        start_threshold_analysis(logic)
    logic.start(*sources, probability_node=probability)
    given, wanted = measured(logic), analysed(logic)
    np.testing.assert_array_equal(given.dice, wanted.dice)
    np.testing.assert_array_equal(given.calibration.voxels, wanted.calibration.voxels)
    np.testing.assert_array_equal(given.calibration.vessel_share, wanted.calibration.vessel_share)
    assert given.best_threshold == wanted.best_threshold
    assert list(given.detailed) == list(wanted.detailed)
