"""What slice views show of vessels that were just found."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="its views render without a display")

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.segmentation_nodes import ARTERY_COLOR
from VesselSegmentationLib.scene.volume_nodes import set_node_volume
from VesselSegmentationLib.segmenting.segmentation_job import SegmentationJob
from views import close, make_slice_view, pixels, share_of


def test_vessels_are_seen_in_slices_at_once(application, python):
    scan = application.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    array = np.full((12, 40, 40), 60.0, np.float32)
    array[:, 10:30, 10:30] = 250
    set_node_volume(scan, Volume(array, Geometry((40, 40, 12))))
    scan.CreateDefaultDisplayNodes()
    view = make_slice_view(application, scan)
    view.set_slice_value(6.0)
    assert share_of(pixels(view), ARTERY_COLOR) == 0
    job = SegmentationJob(application.scene, scan, python=python("segment"))
    assert job.wait(30) == "done", job.error
    assert share_of(pixels(view), ARTERY_COLOR) > 0.005
    close(application, view)
