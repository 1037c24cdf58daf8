"""The coarse vessels that are shown while the scan is being segmented."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vesselseg.geometry import Geometry
from VesselSegmentationLib.scene.scan_choice import vessels_of
from VesselSegmentationLib.scene.segment_voxels import segment_voxels
from VesselSegmentationLib.scene.segmentation_nodes import segment_fingerprint, segment_label, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node, volume_geometry
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic


def nodes(scene):
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def wait_for_preview(job):
    end = time.monotonic() + 30
    while not job.preview.shown and job.poll() == "running" and time.monotonic() < end:
        time.sleep(0.02)
    assert job.preview.shown, job.error


@pytest.fixture
def start(scene, python):
    """Start a job whose worker makes a preview; it is cancelled in the end."""
    jobs = []

    def run(behaviour, *given):
        jobs.append(SegmentationLogic(scene, python(behaviour)).start_segmentation(*given))
        return jobs[-1]

    yield run
    for job in jobs:
        job.cancel()


def test_preview_lies_on_the_patient_and_goes_on_cancel(scene, start, add_scan, add_transform, ijk_to_ras):
    scan = add_scan((8, 6, 10), ijk_to_ras)
    scan.SetAndObserveTransformNodeID(add_transform(np.diag([1.0, -1.0, 1.0, 1.0])).GetID())
    before = nodes(scene)
    job = start("preview-sleep", scan)
    wait_for_preview(job)
    node = job.preview.node
    assert node.GetName() == "Preview (coarse)"
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    assert not node.GetDisplayNode().GetSaveWithScene()
    assert node.GetDisplayNode().GetVisibility3D()
    assert node.GetParentTransformNode() is scan.GetParentTransformNode()
    assert vessels_of(scene, scan) is None
    mask, geometry = segment_voxels(node, node.GetSegmentation().GetNthSegmentID(0))
    own = Geometry.from_ijk_to_ras(ijk_to_ras, (10, 6, 8))
    grid = own.resampled(tuple(2 * side for side in own.spacing))
    array = volume_from_node(scan).array
    expected = np.argwhere(array[::2, ::2, ::2] >= 0.5 * array.max())[:, ::-1]
    wanted = expected @ grid.ijk_to_ras()[:3, :3].T + grid.ijk_to_ras()[:3, 3]
    found = np.argwhere(mask)[:, ::-1] @ geometry.ijk_to_ras()[:3, :3].T + geometry.ijk_to_ras()[:3, 3]
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(wanted, axis=0), atol=1e-6)
    while job.message == "preview shown":
        job.poll()
    assert job.message == "preview shown; brain mask"
    job.cancel()
    assert not job.preview.shown
    assert nodes(scene) == before


@pytest.mark.parametrize(("behaviour", "state"), [("preview", "done"), ("preview-error", "failed")])
def test_preview_goes_when_the_run_ends(scene, start, add_scan, behaviour, state):
    scan = add_scan()
    job = start(behaviour, scan)
    before = nodes(scene)
    assert job.wait(30) == state
    assert not job.preview.shown
    new = {scene.GetNodeByID(each).GetName() for each in nodes(scene) - before}
    assert "Preview (coarse)" not in new
    assert (job.segmentation_node is not None) == (state == "done")
    assert vessels_of(scene, scan) is job.segmentation_node


def test_preview_leaves_edited_vessels_alone(scene, start, add_scan):
    scan = add_scan()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    label = volume_from_node(scan)
    set_segment_label(segmentation, scan, label.with_array((label.array > 100).astype(np.uint8)))
    written, modified = segment_fingerprint(segmentation), segmentation.GetMTime()
    job = start("preview-sleep", scan, segmentation)
    wait_for_preview(job)
    assert segment_fingerprint(segmentation) == written
    assert job.preview.node is not segmentation
    assert vessels_of(scene, scan) is segmentation
    job.cancel()
    assert segmentation.GetMTime() == modified
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_closing_the_scene_takes_the_preview_along(scene, start, add_scan):
    job = start("preview-sleep", add_scan())
    wait_for_preview(job)
    scene.Clear(0)
    assert job.poll() == "cancelled"
    assert not job.preview.shown
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_removing_the_preview_does_not_stop_the_run(scene, start, add_scan):
    scan = add_scan()
    job = start("preview-sleep", scan)
    wait_for_preview(job)
    scene.RemoveNode(job.preview.node)
    assert job.poll() == "running"
    assert not job.preview.shown


def test_no_preview_of_a_scan_that_is_another_now(start, add_scan):
    scan = add_scan()
    job = start("preview", scan)
    scan.GetImageData().Modified()
    shown = []
    job.preview.show = lambda *_: shown.append(1)
    assert job.wait(30) == "failed"
    assert not shown


def test_preview_that_fails_in_a_way_nobody_thought_of_does_not_stop_the_run(start, add_scan):
    job = start("preview", add_scan())

    def fail(*_):
        raise MemoryError

    job.preview.show = fail
    assert job.wait(30) == "done", job.error
    assert "warning: the preview cannot be shown: MemoryError" in job.log


def test_damaged_preview_does_not_stop_the_run(start, add_scan):
    scan = add_scan()
    job = start("preview-damaged", scan)
    assert job.wait(30) == "done"
    assert any("the preview cannot be shown" in line for line in job.log)
    segment_id = job.segmentation_node.GetSegmentation().GetNthSegmentID(0)
    label = segment_label(job.segmentation_node, segment_id, scan)
    assert label.geometry.same_grid(volume_geometry(scan))
    assert label.array.any()
