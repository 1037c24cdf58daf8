from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkWeakReference
from vtkmodules.vtkCommonTransforms import vtkThinPlateSplineTransform

from vesselseg.errors import VesselSegError
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.scene.run_record import probability_of, recorded_summary, recorded_threshold
from VesselSegmentationLib.scene.segmentation_nodes import (
    segment_label,
    segment_with_role,
    set_segment_label,
)
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationJob, SegmentationSettings
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    """Let private folders be made where a test can see what is left of them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def observe(scene):
    """Observe the scene until the end of the test: an observer that holds its own scene would never be freed."""
    tags = []
    yield lambda event, function: tags.append(scene.AddObserver(event, function))
    for tag in tags:
        scene.RemoveObserver(tag)


@pytest.fixture
def logic(scene, python):
    return SegmentationLogic(scene, python("segment"))


def expected_label(scan, threshold=0.5):
    array = volume_from_node(scan).array.astype(np.float32)
    return (array / array.max() >= threshold).astype(np.uint8)


def state_of(scene):
    return sorted(
        (scene.GetNthNode(i).GetID(), scene.GetNthNode(i).GetMTime()) for i in range(scene.GetNumberOfNodes())
    )


def test_front_end_waits_for_no_disk_when_it_starts(logic, add_scan, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    job = logic.start_segmentation(add_scan())
    job.cancel()
    assert flushed == []


def test_result_comes_into_the_scene(scene, logic, add_scan, add_transform, ijk_to_ras):
    scan = add_scan(ijk_to_ras=ijk_to_ras)
    scan.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.0, 1.0])).GetID())
    job = logic.start_segmentation(scan)
    assert job.segmentation_node is None
    assert job.wait(30) == "done", job.error
    assert job.percent == 100
    assert job.segmentation_node.GetName() == "TOF vessels"
    assert job.probability_node.GetName() == "TOF vessel probability"
    segment_id = segment_with_role(job.segmentation_node)
    np.testing.assert_array_equal(segment_label(job.segmentation_node, segment_id, scan).array, expected_label(scan))
    probability = volume_from_node(job.probability_node)
    assert probability.array.dtype == np.float32
    np.testing.assert_allclose(probability.geometry.ijk_to_ras(), ijk_to_ras, atol=1e-12)
    for node in (job.segmentation_node, job.probability_node):
        assert node.GetParentTransformNode() is scan.GetParentTransformNode()
        assert node.GetDisplayNode() is not None
    assert job.summary["notes"] == ["grün; 100 %"]
    assert recorded_summary(job.segmentation_node) == job.summary
    assert probability_of(job.segmentation_node) is job.probability_node
    assert recorded_threshold(job.segmentation_node) == (0.5, 0.0)
    assert not changed_since_written(job.segmentation_node)


def test_given_nodes_are_filled_and_names_stay_unique(logic, add_scan):
    scan = add_scan()
    first = logic.start_segmentation(scan)
    assert first.wait(30) == "done"
    settings = SegmentationSettings(model="other", threshold=0.8, min_component_mm3=0.0)
    again = logic.start_segmentation(scan, first.segmentation_node, first.probability_node, settings)
    assert again.wait(30) == "done"
    assert again.segmentation_node is first.segmentation_node
    assert again.probability_node is first.probability_node
    assert again.segmentation_node.GetSegmentation().GetNumberOfSegments() == 1
    assert again.summary["model"] == "other"
    assert recorded_threshold(again.segmentation_node)[0] == 0.8
    segment_id = segment_with_role(again.segmentation_node)
    np.testing.assert_array_equal(
        segment_label(again.segmentation_node, segment_id, scan).array, expected_label(scan, 0.8)
    )
    third = logic.start_segmentation(scan)
    assert third.wait(30) == "done"
    assert third.segmentation_node.GetName() != first.segmentation_node.GetName()


def test_scene_changes_once(scene, logic, add_scan, observe):
    scan = add_scan()
    batches, added_outside = [], []
    observe(scene.EndBatchProcessEvent, lambda *_: batches.append(1))
    observe(scene.NodeAddedEvent, lambda *_: None if scene.IsBatchProcessing() else added_outside.append(1))
    assert logic.start_segmentation(scan).wait(30) == "done"
    assert len(batches) == 1
    assert not added_outside


def test_brain_mask_node_on_another_grid(scene, logic, add_scan):
    scan = add_scan((8, 8, 8), ijk_to_ras=np.eye(4))
    mask = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    volume = volume_from_node(add_scan((4, 8, 8), ijk_to_ras=np.eye(4), name="half"))
    set_node_volume(mask, volume.with_array(np.full((4, 8, 8), 3, dtype=np.uint8)))
    job = logic.start_segmentation(scan, settings=SegmentationSettings(brain_mask=mask))
    assert job.wait(30) == "done", job.error
    probability = volume_from_node(job.probability_node).array
    assert probability[:4].any()
    assert not probability[4:].any()


def test_cancel_leaves_the_scene_as_it_was(scene, python, add_scan):
    scan = add_scan()
    before = state_of(scene)
    job = SegmentationJob(scene, scan, python=python("sleep"))
    job.wait(0.3)
    job.cancel()
    assert job.state == "cancelled"
    assert state_of(scene) == before


@pytest.mark.parametrize("behaviour", ["error", "crash", "nothing", "other-grid"])
def test_failure_leaves_the_scene_as_it_was(scene, python, add_scan, behaviour):
    scan = add_scan()
    before = state_of(scene)
    job = SegmentationJob(scene, scan, python=python(behaviour))
    assert job.wait(30) == "failed"
    assert isinstance(job.error, VesselSegError)
    assert job.error.advice
    assert state_of(scene) == before


def test_mistake_while_the_result_is_taken_over_leaves_no_new_nodes(scene, logic, add_scan, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no such thing")

    monkeypatch.setattr("VesselSegmentationLib.segmenting.segmentation_job.set_vessel_label", fail)
    scan = add_scan()
    nodes = scene.GetNumberOfNodes()
    job = logic.start_segmentation(scan)
    with pytest.raises(RuntimeError, match="no such thing"):
        job.wait(30)
    assert job.state == "failed"
    assert "no such thing" in job.error.message
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert scene.GetNumberOfNodes() <= nodes + 1  # at most a display node remains


@pytest.mark.parametrize("what", ["scan", "segmentation", "probability"])
def test_node_removed_during_the_run(scene, python, add_scan, what):
    nodes = {
        "scan": add_scan(),
        "segmentation": scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "seg"),
        "probability": scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "prob"),
    }
    job = SegmentationJob(scene, nodes["scan"], nodes["segmentation"], nodes["probability"], python=python("sleep"))
    assert job.poll() == "running"
    name = nodes[what].GetName()
    scene.RemoveNode(nodes[what])
    assert job.poll() == "cancelled"
    assert f"'{name}' was removed" in job.message


def test_scene_closed_during_the_run(scene, python, add_scan):
    job = SegmentationJob(scene, add_scan(), python=python("sleep"))
    scene.Clear(0)
    # The next scan gets the ID of the former one; it must not be taken for it.
    other = add_scan()
    assert job.poll() == "cancelled"
    assert other.GetID() == "vtkMRMLScalarVolumeNode1"
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_poll_while_the_scene_is_closing(scene, python, add_scan, observe):
    job = SegmentationJob(scene, add_scan(), python=python("sleep"))
    states = []
    observe(scene.StartCloseEvent, lambda *_: states.append(job.poll()))
    scene.Clear(0)
    assert states == ["cancelled"]
    assert "closed" in job.message


def test_scan_cropped_during_the_run(scene, logic, add_scan):
    scan = add_scan()
    job = logic.start_segmentation(scan)
    volume = volume_from_node(scan)
    box = (slice(0, 3), slice(0, 7), slice(0, 8))
    set_node_volume(scan, type(volume)(volume.array[box], volume.geometry.cropped(box)))
    assert job.wait(30) == "failed"
    assert "was changed" in job.error.message
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("how", ["in place", "another image"])
def test_voxels_changed_during_the_run(scene, logic, add_scan, how):
    """The vessels of the former scan are not recorded as those of the new one, be it on the same grid."""
    scan = add_scan()
    job = logic.start_segmentation(scan)
    if how == "in place":
        volume_from_node(scan).array[...] = 1
        scan.GetImageData().GetPointData().GetScalars().Modified()
    else:
        set_node_volume(scan, volume_from_node(scan))
    assert job.wait(30) == "failed"
    assert "the voxels of 'TOF' were changed" in job.error.message
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_vessels_edited_during_the_run_are_kept(scene, logic, add_scan):
    scan = add_scan()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "seg")
    volume = volume_from_node(scan)
    old = set_segment_label(segmentation, scan, volume.with_array(np.ones(volume.array.shape, dtype=np.uint8)))
    job = logic.start_segmentation(scan, segmentation)
    image = segmentation.GetBinaryLabelmapInternalRepresentation(old)
    vtk_to_numpy(image.GetPointData().GetScalars())[5] = 0
    assert job.wait(30) == "done"
    new = segment_with_role(segmentation)
    assert new != old
    assert segment_label(segmentation, old, scan).array.sum() == volume.array.size - 1
    np.testing.assert_array_equal(segment_label(segmentation, new, scan).array, expected_label(scan))
    assert any("kept" in line for line in job.log)


@pytest.mark.parametrize("edited", [False, True])
def test_named_vessels_are_left_out_of_a_run_and_stay_in_vessels_that_it_keeps(scene, logic, add_scan, edited):
    scan = add_scan()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "seg")
    volume = volume_from_node(scan)
    artery, vein = (np.zeros(volume.array.shape, np.uint8) for _ in range(2))
    artery[:2], vein[2] = 1, 1
    old = set_segment_label(segmentation, scan, volume.with_array(1 - artery - vein))
    named = [
        set_segment_label(segmentation, scan, volume.with_array(label), name=role, role=role)
        for label, role in ((artery, "artery.MCA left"), (vein, "vein.veins left"))
    ]
    job = logic.start_segmentation(scan, segmentation)
    if edited:
        image = segmentation.GetBinaryLabelmapInternalRepresentation(old)
        vtk_to_numpy(image.GetPointData().GetScalars())[5] = 0
    assert job.wait(30) == "done"
    new = segment_with_role(segmentation)
    assert (new != old) is edited
    np.testing.assert_array_equal(
        segment_label(segmentation, new, scan).array, expected_label(scan) & (1 - artery - vein)
    )
    for segment_id, label in zip(named, (artery, vein)):
        np.testing.assert_array_equal(segment_label(segmentation, segment_id, scan).array, label)
    assert not changed_since_written(segmentation)
    if edited:
        kept = segment_label(segmentation, old, scan).array
        assert kept[:2].all()
        assert kept.sum() == volume.array.size - vein.sum() - 1


def test_segmentation_that_is_warped_away_during_the_run(scene, logic, add_scan):
    scan = add_scan()
    job = logic.start_segmentation(scan)
    assert job.wait(30) == "done"
    segmentation, probability = job.segmentation_node, job.probability_node
    before = volume_from_node(probability).array.copy()
    volume = volume_from_node(scan)
    set_node_volume(scan, volume.with_array(np.ascontiguousarray(volume.array[::-1])))
    warp = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    warp.SetAndObserveTransformToParent(vtkThinPlateSplineTransform())
    job = logic.start_segmentation(scan, segmentation, probability)
    segmentation.SetAndObserveTransformNodeID(warp.GetID())
    assert job.wait(30) == "failed"
    assert "warping transform" in job.error.message
    np.testing.assert_array_equal(volume_from_node(probability).array, before)
    with pytest.raises(VesselSegError, match="warping transform"):
        logic.start_segmentation(scan, segmentation, probability)


def test_nodes_that_do_not_fit_are_refused(scene, logic, add_scan):
    scan = add_scan()
    labelmap = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "L")
    for arguments, message in [
        ((None,), "no volume is chosen"),
        ((labelmap,), "'L' is a label"),
        ((scan, None, scan), "would replace the scan"),
        ((scan, None, labelmap), "cannot hold the probability"),
    ]:
        with pytest.raises(VesselSegError, match=message):
            logic.start_segmentation(*arguments)


def test_devices_are_asked_for_in_a_worker(scene, python):
    query = SegmentationLogic(scene, python("devices")).start_device_query()
    assert query.devices == []
    assert query.wait(30) == "done"
    assert query.devices == [{"name": "cpu", "label": "a CPU", "memory_bytes": 2**33}]


def test_job_holds_no_node_alive(scene, python, add_scan):
    scan = add_scan()
    weak = vtkWeakReference()
    weak.Set(scan)
    job = SegmentationJob(scene, scan, python=python("sleep"))
    scene.RemoveNode(scan)
    del scan
    assert weak.Get() is None
    assert job.poll() == "cancelled"


def test_private_folder_is_not_left_when_the_worker_cannot_start(scene, add_scan):
    with pytest.raises(VesselSegError, match="cannot be started"):
        SegmentationJob(scene, add_scan(), python=PythonCommand((str(Path("no") / "python"),)))


def test_what_is_wrong_with_a_scan_is_told_with_the_name_of_its_node(scene, add_scan):
    damaged = add_scan(dtype=np.float32, name="Mein Scan")
    volume_from_node(damaged).array[1, 2, 3] = np.nan
    shear = np.array([[1.0, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for scan, message, advice in [
        (damaged, "1 voxel of the scan 'Mein Scan' is not a number", "replace it, for example by 0"),
        (add_scan(ijk_to_ras=shear, name="CT"), "the axes of the scan 'CT' are not at right angles", "in 3D Slicer by"),
    ]:
        job = SegmentationJob(scene, scan)
        assert job.wait(60) == "failed"
        assert job.error.message == message
        assert advice in job.error.advice
