from __future__ import annotations

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy

from vesselseg.errors import VesselSegError
from vesselseg.postprocessing import threshold_probability
from VesselSegmentationLib.scene.run_record import probability_of, recorded_summary, recorded_threshold
from VesselSegmentationLib.scene.segmentation_nodes import (
    segment_label,
    segment_with_role,
    set_surface_shown,
    surface_shown,
)
from VesselSegmentationLib.scene.vessel_label import changed_since_written
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


@pytest.fixture
def logic(scene, python):
    return SegmentationLogic(scene, python("segment"))


@pytest.fixture
def done(logic, add_scan):
    """A scan that was segmented: scan, segmentation, probability."""
    scan = add_scan((12, 14, 16))
    job = logic.start_segmentation(scan)
    assert job.wait(30) == "done", job.error
    return scan, job.segmentation_node, job.probability_node


def vessels(logic, segmentation_node, scan):
    return segment_label(segmentation_node, segment_with_role(segmentation_node), scan).array


def edit(logic, segmentation_node):
    image = segmentation_node.GetBinaryLabelmapInternalRepresentation(segment_with_role(segmentation_node))
    voxels = vtk_to_numpy(image.GetPointData().GetScalars())
    voxels[np.flatnonzero(voxels)[0]] = 0


def test_threshold_of_the_worker_makes_the_label_of_the_worker(logic, done):
    scan, segmentation_node, probability_node = done
    by_worker = vessels(logic, segmentation_node, scan)
    logic.apply_threshold(probability_node, segmentation_node, 0.9)
    assert vessels(logic, segmentation_node, scan).sum() < by_worker.sum()
    logic.apply_threshold(probability_node, segmentation_node, 0.5, 0.0)
    np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), by_worker)


@pytest.mark.parametrize("threshold", [0.001, 0.01, 0.05, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("min_component_mm3", [0.0, 2.0])
def test_label_is_that_of_the_whole_volume(logic, done, threshold, min_component_mm3):
    scan, segmentation_node, probability_node = done
    probability = volume_from_node(probability_node)
    # Probability that fades towards the border, so that the searched box is smaller than the volume.
    distance = np.linalg.norm(np.indices(probability.array.shape) - 7.0, axis=0)
    faded = probability.array * np.exp(-(distance**2) / 20)
    set_node_volume(probability_node, probability.with_array((faded / faded.max()).astype(np.float32)))
    logic.apply_threshold(probability_node, segmentation_node, threshold, min_component_mm3)
    expected = threshold_probability(volume_from_node(probability_node), threshold, min_component_mm3).array
    np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), expected)
    assert recorded_threshold(segmentation_node) == (threshold, min_component_mm3)


def test_new_probability_is_noticed(logic, done):
    scan, segmentation_node, probability_node = done
    volume = volume_from_node(probability_node)
    corner = np.zeros_like(volume.array)
    corner[0, 0, 0] = 1.0
    for array in (corner, corner[::-1, ::-1, ::-1], np.zeros_like(corner)):
        set_node_volume(probability_node, volume.with_array(array))
        logic.apply_threshold(probability_node, segmentation_node, 0.5)
        np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), array > 0)


def test_threshold_out_of_range_changes_nothing(logic, done):
    scan, segmentation_node, probability_node = done
    before = vessels(logic, segmentation_node, scan)
    for threshold in (0.0, 1.5, float("nan")):
        with pytest.raises(VesselSegError, match="threshold"):
            logic.apply_threshold(probability_node, segmentation_node, threshold)
    np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), before)
    assert recorded_threshold(segmentation_node) == (0.5, 0.0)


def test_reference_geometry_stays_that_of_the_scan(logic, done):
    scan, segmentation_node, probability_node = done
    logic.apply_threshold(probability_node, segmentation_node, 0.7)
    assert segmentation_node.GetNodeReference("referenceImageGeometryRef") is scan


def test_threshold_of_a_scan_that_was_moved_without_its_probability(logic, done, add_transform):
    scan, segmentation_node, probability_node = done
    matrix = np.eye(4)
    matrix[:3, 3] = 5.0, 7.0, 9.0
    transform = add_transform(matrix).GetID()
    for node in (scan, segmentation_node):
        node.SetAndObserveTransformNodeID(transform)
    logic.apply_threshold(probability_node, segmentation_node, 0.7)
    expected = volume_from_node(probability_node).array >= 0.7
    np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), expected)
    assert segmentation_node.GetNodeReference("referenceImageGeometryRef") is scan
    for node in (scan, segmentation_node):
        node.HardenTransform()
    with pytest.raises(VesselSegError, match="was moved, its probability"):
        logic.apply_threshold(probability_node, segmentation_node, 0.5)
    np.testing.assert_array_equal(vessels(logic, segmentation_node, scan), expected)
    assert recorded_threshold(segmentation_node) == (0.7, 0.0)


def test_threshold_into_a_new_segmentation(scene, logic, done):
    scan, _, probability_node = done
    other = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    logic.apply_threshold(probability_node, other, 0.6, volume_node=scan)
    expected = volume_from_node(probability_node).array >= 0.6
    np.testing.assert_array_equal(vessels(logic, other, scan), expected)
    assert probability_of(other) is probability_node


def test_edits_are_reported_until_the_label_is_made_anew(logic, done):
    _, segmentation_node, probability_node = done
    assert not changed_since_written(segmentation_node)
    edit(logic, segmentation_node)
    assert changed_since_written(segmentation_node)
    logic.apply_threshold(probability_node, segmentation_node, 0.5)
    assert not changed_since_written(segmentation_node)


def test_what_was_not_segmented_has_no_record(scene, logic):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert recorded_summary(node) == {}
    assert recorded_threshold(node) is None
    assert probability_of(node) is None
    assert segment_with_role(node) is None
    assert not changed_since_written(node)


def test_removed_probability_is_forgotten(scene, logic, done):
    _, segmentation_node, probability_node = done
    scene.RemoveNode(probability_node)
    assert probability_of(segmentation_node) is None


def test_surface(logic, done):
    _, segmentation_node, _ = done
    set_surface_shown(segmentation_node, True)
    assert surface_shown(segmentation_node)
    set_surface_shown(segmentation_node, False)
    assert not surface_shown(segmentation_node)


def save_with_files(scene, folder):
    """Save a scene and the files of its nodes, as the application's save dialogue does."""
    folder.mkdir()
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        if node.IsA("vtkMRMLVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            ending = "seg.nrrd" if node.IsA("vtkMRMLSegmentationNode") else "nrrd"
            storage.SetFileName(str(folder / f"{node.GetID()}.{ending}"))
            assert storage.WriteData(node)
    path = folder / "scene.mrml"
    assert scene.Commit(str(path))
    return path


@pytest.mark.parametrize("bundle", [False, True])
@pytest.mark.parametrize("edited", [False, True])
def test_everything_survives_saving_and_loading(make_scene, scene, logic, done, tmp_path, bundle, edited):
    scan, segmentation_node, probability_node = done
    logic.apply_threshold(probability_node, segmentation_node, 0.75, 1.5)
    if edited:
        edit(logic, segmentation_node)
    summary, array = recorded_summary(segmentation_node), vessels(logic, segmentation_node, scan)
    loaded = make_scene()
    if bundle:
        path = tmp_path / "scene.mrb"
        for node in (scan, segmentation_node, probability_node):
            node.AddDefaultStorageNode()
        assert scene.WriteToMRB(str(path))
        assert loaded.ReadFromMRB(str(path), True)
    else:
        loaded.SetURL(str(save_with_files(scene, tmp_path / "saved")))
        assert loaded.Connect()
    again = SegmentationLogic(loaded)
    segmentation = loaded.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    scan_again = loaded.GetFirstNodeByName("TOF")
    assert probability_of(segmentation) is loaded.GetFirstNodeByName(probability_node.GetName())
    assert recorded_summary(segmentation) == summary
    assert recorded_threshold(segmentation) == (0.75, 1.5)
    np.testing.assert_array_equal(vessels(again, segmentation, scan_again), array)
    assert changed_since_written(segmentation) is edited
    again.apply_threshold(probability_of(segmentation), segmentation, 0.75, 1.5)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    expected = threshold_probability(volume_from_node(probability_node), 0.75, 1.5).array
    np.testing.assert_array_equal(vessels(again, segmentation, scan_again), expected)


@pytest.mark.parametrize("stored", ["{", "[]", '{"model": "m"}', '{"model": "m", "device": "cpu", "seconds": null}'])
def test_a_summary_of_another_version_is_none(stored, scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetAttribute("vesselseg.summary", stored)
    assert recorded_summary(node) == {}


def test_an_image_that_is_no_probability_is_not_replaced(logic, done, add_scan):
    scan, segmentation_node, probability_node = done
    other = add_scan((5, 6, 7))
    before = volume_from_node(other).array
    with pytest.raises(VesselSegError, match=f"would replace the image '{other.GetName()}'"):
        logic.start_segmentation(scan, segmentation_node, other)
    np.testing.assert_array_equal(volume_from_node(other).array, before)
    assert logic.start_segmentation(scan, segmentation_node, probability_node).wait(30) == "done"


def test_vessels_of_another_scan_are_not_replaced(logic, done, add_scan):
    scan, segmentation_node, _probability_node = done
    with pytest.raises(VesselSegError, match=f"holds the vessels of the scan '{scan.GetName()}'"):
        logic.start_segmentation(add_scan((12, 14, 16), name="other"), segmentation_node)
    assert segmentation_node.GetNodeReference("referenceImageGeometryRef") is scan
