"""From the scan's node to the segment with the command line itself, a model of random weights and real processes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from inputs import AWKWARD_GRIDS
from vesselseg import image_io
from vesselseg.geometry import Geometry
from vesselseg.models import list_models
from vesselseg.segmentation import segment
from VesselSegmentationLib.scene.node_geometry import matrix_from_array
from VesselSegmentationLib.scene.segmentation_nodes import segment_label, segment_with_role
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationSettings
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


# The whole way takes seconds; every kind of grid is tried where a part of it is tested.
@pytest.fixture(params=["anisotropic", "coronal oblique flipped"])
def scan_node(request, scene, make_scan):
    direction, spacing = AWKWARD_GRIDS[request.param]
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(node, make_scan(Geometry((40, 36, 28), spacing, (-31.5, 12.25, -80.0), tuple(direction.ravel()))))
    return node


def test_scan_to_segment(scene, scan_node, tiny_model):
    logic = SegmentationLogic(scene)
    assert tiny_model in [manifest.name for manifest in list_models()]
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix_from_array(np.diag([-1.0, 1.0, 1.0, 1.0])))
    scan_node.SetAndObserveTransformNodeID(transform.GetID())
    options = {"model": tiny_model, "device": "cpu", "brain_mask": "none", "min_component_mm3": 1.0}
    job = logic.start_segmentation(scan_node, settings=SegmentationSettings(**options))
    percents = []
    while job.poll() == "running":
        percents.append(job.percent)
    assert job.state == "done", job.error
    assert percents == sorted(percents)
    node = job.segmentation_node
    label = segment_label(node, segment_with_role(node), scan_node)
    here = segment(
        volume_from_node(scan_node), model=tiny_model, device="cpu", brain_mask="none", min_component_mm3=1.0
    )
    np.testing.assert_array_equal(label.array, here.label.array)
    assert 0 < label.array.mean() < 1
    assert job.summary["vessel_voxels"] == label.array.sum()
    assert job.summary["device"] == "cpu"
    assert job.summary["precision"]
    # The threshold of the run, applied here, makes the worker's own label; another one does not.
    logic.apply_threshold(job.probability_node, node, 0.4)
    assert segment_label(node, segment_with_role(node), scan_node).array.sum() > label.array.sum()
    logic.apply_threshold(job.probability_node, node, job.summary["threshold"], job.summary["min_component_mm3"])
    np.testing.assert_array_equal(segment_label(node, segment_with_role(node), scan_node).array, label.array)


def test_error_of_the_worker_comes_with_its_advice(scene, add_scan):
    job = SegmentationLogic(scene).start_segmentation(add_scan(), settings=SegmentationSettings(model="no-such-model"))
    assert job.wait(60) == "failed"
    assert "no-such-model" in job.error.message
    assert "known models" in job.error.advice
    assert "\n" not in job.error.message


def test_devices(scene):
    query = SegmentationLogic(scene).start_device_query()
    assert query.wait(60) == "done", query.error
    assert query.devices[-1]["name"] == "cpu"
    assert query.devices[-1]["memory_bytes"] > 0
    assert query.devices[-1]["label"]


def test_what_is_handed_over_is_not_packed(scene, scan_node, tiny_model, monkeypatch):
    encodings = {}

    def noting(read):
        def look(path):
            header = path.read_bytes().split(b"\n\n")[0].decode("ascii")
            encodings[path.name] = re.search(r"^encoding: (\w+)$", header, re.MULTILINE)[1]
            return read(path)

        return look

    for name in ("read_volume", "read_label"):
        monkeypatch.setattr(image_io, name, noting(getattr(image_io, name)))
    job = SegmentationLogic(scene).start_segmentation(
        scan_node, settings=SegmentationSettings(model=tiny_model, device="cpu", brain_mask="none")
    )
    assert job.wait(120) == "done", job.error
    assert encodings["label.nrrd"] == encodings["probability.nrrd"] == "raw"
