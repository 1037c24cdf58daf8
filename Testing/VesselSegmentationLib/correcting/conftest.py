"""Vessels that are edited and compared with the truth; a test file may put another scan in place of this one."""

from __future__ import annotations

import numpy as np
import pytest

from compared_labels import SHAPE, add_labelmap, add_segmentation, follow
from edited_vessels import MM, TRUTH, WAS
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_probability, record_threshold
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node


@pytest.fixture
def scan(add_scan):
    """A scan in which the vessels of the truth are bright."""
    node = add_scan(SHAPE, MM)
    noise = np.random.default_rng(0).normal(20, 2, SHAPE)
    set_node_volume(node, volume_from_node(node).with_array((noise + 100 * TRUTH).astype(np.float32)))
    return node


@pytest.fixture
def vessels(scene, scan):
    return add_segmentation(scene, scan, WAS, "Vessels")


@pytest.fixture
def truth(scene, scan):
    return LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))


@pytest.fixture
def probability(scene, scan, vessels):
    """What the network saw: surely what it found, less surely what it missed."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    values = np.where(WAS, 0.9, np.where(TRUTH, 0.3, 0.001)).astype(np.float32)
    set_node_volume(node, volume_from_node(scan).with_array(values))
    record_probability(vessels[0], node)
    record_threshold(vessels[0], 0.5, 0.0)
    return node


@pytest.fixture
def review(scene, scan, vessels, truth):
    review = ReviewLogic(scene)
    review.start(LabelSource(*vessels), truth, volume_node=scan)
    follow(review)
    yield review
    review.stop()


@pytest.fixture
def logic(scene, vessels, probability, review):
    logic = EditLogic(scene, reader="Dr. Reader")
    logic.start(vessels[0], review=review)
    yield logic
    logic.stop()


@pytest.fixture
def history(vessels):
    history = EditHistory(vessels[0])
    yield history
    history.close()
