from __future__ import annotations

import csv
import dataclasses
import json
import time

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_labelmap, expected_map, follow, paint, two_labels
from review_values import assert_same
from vesselseg.errors import VesselSegError
from vesselseg.metrics import evaluate
from vesselseg.review.error_kinds import wording_of_two
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED, REVIEWED
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME, overlap_metrics
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS, MAP, METRICS, ReviewLogic
from VesselSegmentationLib.reviewing.threshold_job import start_threshold_analysis
from VesselSegmentationLib.saving.review_export import export_components
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_probability
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

FOUND, TRUTH = two_labels()


def test_map_list_and_metrics_follow_an_edit_by_themselves(scan, sources, logic):
    logic.start(*sources)
    assert logic.pending
    assert logic.wait()
    labels = [volume_from_node(scan).with_array(array) for array in (FOUND, TRUTH)]
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(*labels))
    assert len(logic.navigator.components) == 3
    assert follow(logic) == set()
    paint(sources[0].node, sources[0].segment_id, scan, [(18, y, 20) for y in range(4, 20)], 1)
    assert logic.pending
    assert not logic.metrics_current
    assert logic.poll() == {MAP, METRICS}
    assert logic.poll() == {COMPONENTS}
    edited = FOUND.copy()
    edited[18, 4:20, 20] = 1
    np.testing.assert_array_equal(logic.error_map.errors.array, expected_map(edited, TRUTH))
    assert len(logic.navigator.components) == 2
    assert not logic.metrics_current
    expected = evaluate(labels[0].with_array(edited), labels[1])
    at_once = overlap_metrics(logic.error_map.legend())
    assert set(at_once) == {
        "dice",
        "precision",
        "sensitivity",
        "true_positives",
        "false_positives",
        "false_negatives",
        "segmentation_ml",
        "reference_ml",
    }
    for key, value in at_once.items():
        assert value == pytest.approx(expected[key])
        assert logic.metrics[WHOLE_VOLUME][key] == value
    changed, end = set(), time.monotonic() + 60
    while logic.pending and time.monotonic() < end:
        changed |= logic.poll()
        time.sleep(0.01)
    assert changed == {METRICS}
    assert_same(logic.metrics[WHOLE_VOLUME], evaluate(labels[0].with_array(edited), labels[1]))


@pytest.mark.parametrize("which", ["erase", "rewrite", "undo", "reference", "labelmap", "transform", "scan"])
def test_every_kind_of_edit_is_noticed(scene, scan, add_transform, sources, logic, which):
    first, second = sources
    if which == "labelmap":
        second = LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(first.node.GetSegmentation())
    history.SaveState()
    if which == "undo":
        paint(first.node, first.segment_id, scan, [(0, 0, 0)], 1)
    logic.start(first, second, volume_node=scan)
    follow(logic)
    before = logic.error_map.errors.array.copy()
    if which == "erase":
        paint(first.node, first.segment_id, scan, [(2, 2, 2)], 0)
    elif which == "rewrite":
        set_segment_label(first.node, scan, volume_from_node(scan).with_array(TRUTH))
    elif which == "undo":
        assert history.RestorePreviousState()
    elif which == "reference":
        paint(second.node, second.segment_id, scan, [(0, 0, 0)], 1)
    elif which == "labelmap":
        volume = volume_from_node(second.node)
        set_node_volume(second.node, volume.with_array(FOUND))
    elif which == "transform":
        matrix = np.eye(4)
        matrix[0, 3] = 3.0
        second.node.SetAndObserveTransformNodeID(add_transform(matrix).GetID())
    else:
        cropped = volume_from_node(scan)
        set_node_volume(
            scan,
            type(cropped)(cropped.array[:10], cropped.geometry.cropped((slice(0, 10), slice(0, 24), slice(0, 28)))),
        )
    assert logic.pending
    assert MAP in follow(logic)
    after = logic.error_map.errors.array
    assert after.shape != before.shape or (after != before).any()
    listed = list(logic.navigator.components)
    logic.navigator.list_all()
    assert listed == logic.navigator.components


def test_nothing_happens_for_changes_that_mean_nothing(sources, logic):
    logic.start(*sources)
    follow(logic)
    segment = sources[0].node.GetSegmentation().GetSegment(sources[0].segment_id)
    segment.SetColor(0.1, 0.2, 0.3)
    sources[0].node.CreateClosedSurfaceRepresentation()
    logic.show_map(True)
    logic.show_map(False)
    assert follow(logic) == set()


def test_probability_of_the_segmentation_is_used_and_followed(scene, scan, sources, logic):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(node, volume_from_node(scan).with_array(np.full(SHAPE, 0.25, np.float32)))
    record_probability(sources[0].node, node)
    logic.start(*sources)
    follow(logic)
    assert {component.mean_probability for component in logic.navigator.components} == {0.25}
    set_node_volume(node, volume_from_node(scan).with_array(np.full(SHAPE, 0.5, np.float32)))
    follow(logic)
    assert {component.mean_probability for component in logic.navigator.components} == {0.5}


def test_probability_of_a_new_run_takes_the_place_of_the_former_one(scene, scan, sources, logic):
    def probability(value):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
        set_node_volume(node, volume_from_node(scan).with_array(np.full(SHAPE, value, np.float32)))
        return node

    record_probability(sources[0].node, probability(0.25))
    chosen = probability(0.5)
    node = logic.start(*sources)
    follow(logic)
    for step in range(2):  # the former one is still in the scene
        record_probability(sources[0].node, probability(0.75))
        paint(sources[0].node, sources[0].segment_id, scan, [(0, 2 * step, 0)], 1)
        follow(logic)
        assert {each.mean_probability for each in logic.navigator.components} == {0.75}
        assert logic.probability().array.max() == 0.75
        logic.resume(node)
        follow(logic)
    logic.start(*sources, probability_node=chosen)
    record_probability(sources[0].node, probability(0.25))
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 4, 0)], 1)
    follow(logic)
    assert {each.mean_probability for each in logic.navigator.components} == {0.5}


def test_list_does_without_a_probability_of_another_place(scene, scan, sources, logic):
    volume = volume_from_node(scan)
    geometry = dataclasses.replace(volume.geometry, origin=(5000.0, 0.0, 0.0))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(node, type(volume)(np.full(SHAPE, 0.25, np.float32), geometry))
    logic.start(*sources, probability_node=node)
    follow(logic)
    assert [each.mean_probability for each in logic.navigator.components] == [None] * 3
    with pytest.raises(VesselSegError, match="do not overlap"):
        start_threshold_analysis(logic)


def test_two_results(sources, logic):
    node = logic.start(*sources, wording=wording_of_two("U-Net", "graph cut"))
    assert node.GetName() == "TOF comparison"
    assert [entry.title for entry in logic.error_map.legend()] == ["agreement", "only U-Net", "only graph cut"]


def test_the_same_comparison_uses_its_map_again(scene, sources, logic):
    node = logic.start(*sources)
    follow(logic)
    logic.navigator.mark(logic.navigator.components[0].component_id, REVIEWED, "A")
    count = scene.GetNumberOfNodes()
    assert logic.start(*sources) is node
    follow(logic)
    assert scene.GetNumberOfNodes() == count
    assert logic.navigator.mark_of(logic.navigator.components[0]).reader == "A"
    assert logic.start(*sources[::-1]) is not node


def test_the_same_segment_chosen_in_two_ways_is_one_label(sources, logic):
    with pytest.raises(VesselSegError, match="itself"):
        logic.start(LabelSource(sources[0].node), sources[0])


def test_what_cannot_be_compared_is_refused(scene, sources, logic):
    with pytest.raises(VesselSegError, match="itself"):
        logic.start(sources[0], sources[0])
    with pytest.raises(VesselSegError, match="no reference is chosen"):
        logic.start(sources[0], LabelSource(None))
    with pytest.raises(VesselSegError, match="nothing is compared"):
        logic.show_map(True)
    assert not logic.pending
    assert logic.poll() == set()


def test_label_that_is_removed_ends_the_comparison_once(scene, sources, logic):
    logic.start(*sources)
    follow(logic)
    scene.RemoveNode(sources[1].node)
    with pytest.raises(VesselSegError, match="removed"):
        logic.poll()
    assert logic.poll() == set()
    assert logic.error_map is None


def test_segment_that_is_removed_ends_the_comparison_once(sources, logic):
    logic.start(*sources)
    follow(logic)
    sources[1].node.GetSegmentation().RemoveSegment(sources[1].segment_id)
    with pytest.raises(VesselSegError, match="no segment"):
        logic.poll()
    assert logic.poll() == set()


def test_segment_that_is_removed_from_the_map_ends_the_comparison_once(scan, sources, logic):
    node = logic.start(*sources)
    follow(logic)
    logic.show_map(True)
    node.GetSegmentation().RemoveSegment("TruePositive")
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    with pytest.raises(VesselSegError, match="segments of the error map have been removed"):
        logic.poll()
    assert logic.poll() == set()
    assert sources[0].node.GetDisplayNode().GetSegmentVisibility(sources[0].segment_id)
    assert logic.start(*sources) is not node


def test_map_that_cannot_follow_does_not_stay_as_if_it_had(scan, sources, logic, monkeypatch):
    def update(**which):
        raise MemoryError

    node = logic.start(*sources)
    assert logic.wait()
    logic.show_map(True)
    monkeypatch.setattr(logic.error_map, "update", update)
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    with pytest.raises(MemoryError):
        logic.poll()
    assert not logic.metrics_current
    assert logic.error_map is None
    assert not node.GetDisplayNode().GetVisibility()


def test_stopped_comparison_follows_no_more(scan, sources, logic):
    node = logic.start(*sources)
    follow(logic)
    logic.stop()
    paint(sources[0].node, sources[0].segment_id, scan, [(0, 0, 0)], 1)
    assert not logic.pending
    assert node.GetSegmentation().GetSegment("FalsePositive") is not None
    logic.resume(node)
    np.testing.assert_array_equal(logic.error_map.errors.array[0, 0, 0], 2)


def test_closing_the_scene_does_no_harm(scene, sources, logic):
    logic.start(*sources)
    scene.Clear(0)
    assert logic.wait(0) in (True, False)
    logic.stop()


def test_loaded_comparison_goes_on(make_scene, scene, scan, sources, logic, tmp_path):
    node = logic.start(*sources, palette="colour-blind")
    follow(logic)
    logic.navigator.mark(logic.navigator.components[0].component_id, REVIEWED, "A")
    for each in (scan, node, *(source.node for source in sources)):
        each.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    loaded = make_scene()
    assert loaded.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    again = ReviewLogic(loaded)
    again.resume(loaded.GetFirstNodeByName(node.GetName()))
    follow(again)
    ids = [[each.component_id for each in one.navigator.components] for one in (again, logic)]
    assert ids[0] == ids[1]
    assert again.navigator.mark_of(again.navigator.components[0]).reader == "A"
    again.stop()


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_list_is_exported_with_what_readers_said(sources, logic, tmp_path, ending):
    logic.start(*sources)
    follow(logic)
    navigator, path = logic.navigator, tmp_path / f"errors.{ending}"
    component = navigator.components[0]
    mark = navigator.mark(component.component_id, ACCEPTED, 'Dr. "Ä", B')
    export_components(navigator, path, logic.error_map.wording)
    text = path.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines())) if ending == "csv" else json.loads(text)["components"]
    assert len(rows) == len(navigator.components)
    assert [rows[0][key] for key in ("kind", "decision", "reader", "time")] == [
        "false negative", "accepted", 'Dr. "Ä", B', mark.time,
    ]  # fmt: skip
    assert rows[1]["decision"] == ""
    assert rows[0]["nearest_segment"] == ""
    assert float(rows[0]["volume_mm3"]) == pytest.approx(component.volume_mm3, abs=1e-3)
    with pytest.raises(VesselSegError):
        export_components(navigator, path, logic.error_map.wording)
    with pytest.raises(VesselSegError, match="CSV"):
        export_components(navigator, tmp_path / "errors.txt", logic.error_map.wording)
