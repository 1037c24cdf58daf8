from __future__ import annotations

import numpy as np
import pytest

from compared_labels import SHAPE, paint
from edited_vessels import WAS, voxels
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC
from VesselSegmentationLib.scene.run_record import (
    probability_of,
    record_run,
    record_threshold,
    recorded_summary,
    recorded_threshold,
)
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.scene.volume_nodes import volume_from_node


@pytest.fixture
def scan(add_scan):
    return add_scan(SHAPE)


def ran(model):
    return {
        "model": model, "device": "cpu", "device_name": "CPU", "engine": "openvino", "precision": "f32", "seconds": 1.0
    }  # fmt: skip


def test_a_new_label_is_one_step_and_its_record_comes_back(scan, vessels, history):
    node, _ = vessels
    volume = volume_from_node(scan)
    before = voxels(vessels, scan)
    paint(*vessels, scan, [(0, 0, 0)], 1)
    edited = voxels(vessels, scan)
    for shift in (1, 2, 3):  # as a threshold that is moved
        set_segment_label(node, scan, volume.with_array(np.roll(WAS, shift, 0)))
        history.settle()
    assert [step.tool for step in history.steps] == ["other editor", AUTOMATIC]
    assert not changed_since_written(node)
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), edited)
    assert changed_since_written(node)
    history.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert not changed_since_written(node)
    history.redo()
    history.redo()
    np.testing.assert_array_equal(voxels(vessels, scan), np.roll(WAS, 3, 0).astype(bool))
    assert not changed_since_written(node)


def test_thresholds_do_not_merge_into_a_run_nor_into_what_was_saved(scene, scan, vessels, history):
    node, _ = vessels
    volume = volume_from_node(scan)
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    def move_threshold(shift):
        set_segment_label(node, scan, volume.with_array(np.roll(WAS, shift, 0)))
        record_threshold(node, 0.1 * shift, 0.0)
        history.settle()
        return voxels(vessels, scan)

    move_threshold(1)
    before = move_threshold(2)
    set_segment_label(node, scan, volume.with_array(np.roll(WAS, 3, 0)))
    record_run(node, probability, ran("second"))
    run = voxels(vessels, scan)
    history.settle()
    move_threshold(4)
    saved = move_threshold(5)
    history.seal()
    move_threshold(6)
    move_threshold(7)
    assert len(history.steps) == 4
    for state in (saved, run, before, voxels((node, vessels[1]), scan) * 0 + WAS):
        history.undo()
        np.testing.assert_array_equal(voxels(vessels, scan), state)


@pytest.mark.parametrize("anew", ["another run", "another threshold", "the same threshold"])
def test_voxels_of_before_that_are_made_anew_are_no_edit(scene, scan, vessels, history, anew):
    node, _ = vessels
    label = volume_from_node(scan).with_array(WAS)
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    record_run(node, probability, ran("first"))
    record_threshold(node, 0.5, 0.0)
    paint(*vessels, scan, [(0, 0, 0)], 1)
    history.settle()
    set_segment_label(node, scan, label)
    if anew == "another run":
        record_run(node, probability, ran("second"))
    record_threshold(node, 0.6 if anew == "another threshold" else 0.5, 0.0)
    assert [step.tool for step in history.steps] == ["other editor", AUTOMATIC]
    history.undo()
    assert recorded_threshold(node) == (0.5, 0.0)


def test_an_edit_after_a_run_that_changed_nothing_is_an_edit(scan, vessels, history):
    node, _ = vessels
    set_segment_label(node, scan, volume_from_node(scan).with_array(WAS))
    record_threshold(node, 0.6, 0.0)
    paint(*vessels, scan, [(0, 0, 0)], 1)
    assert [step.tool for step in history.steps] == ["other editor"]
    history.undo()
    assert recorded_threshold(node) == (0.6, 0.0)


def test_an_undone_run_leaves_neither_its_probability_nor_its_report_to_the_former_one(scene, scan, vessels, history):
    node, _ = vessels
    volume, runs = volume_from_node(scan), [ran(model) for model in ("first", "second")]
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    for shift, summary in enumerate(runs):  # the second one overwrites the probability map of the first
        set_segment_label(node, scan, volume.with_array(np.roll(WAS, shift, 0)))
        record_run(node, probability, summary)
        if shift == 0:
            paint(*vessels, scan, [(0, 0, 0)], 1)
            history.settle()
    history.settle()
    assert (probability_of(node), recorded_summary(node)) == (probability, runs[1])
    history.undo()
    assert (probability_of(node), recorded_summary(node)) == (None, {})
    history.redo()
    assert (probability_of(node), recorded_summary(node)) == (probability, runs[1])
