"""Vessels that are edited: what was found and the truth, places in them, and edits as tools and Slicer make them."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, follow, two_labels
from vesselseg.editing import edit_of
from vesselseg.metrics import evaluate
from VesselSegmentationLib.correcting.edited_voxels import change_voxels, read_voxels
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

WAS, TRUTH = two_labels()
#: From voxels to mm, RAS.
MM = np.diag([0.6, 0.6, 0.6, 1.0])


def at(scan, k, j, i):
    """Return the place of a voxel in mm, RAS of the world."""
    return tuple((volume_from_node(scan).geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])


def voxels(vessels, scan):
    return segment_label(*vessels, scan).array


def assert_live(review, vessels, scan):
    """The map, the list and the numbers are those of the labels as they are."""
    follow(review)
    label = voxels(vessels, scan)
    np.testing.assert_array_equal(
        review.error_map.errors.array, np.where(label & TRUTH, 1, np.where(label, 2, np.where(TRUTH, 3, 0)))
    )
    expected = evaluate(volume_from_node(scan).with_array(label), volume_from_node(scan).with_array(TRUTH))
    assert review.metrics[WHOLE_VOLUME]["dice"] == pytest.approx(expected["dice"])
    sizes = sum(component.voxels for component in review.navigator.components)
    assert sizes == int((label != TRUTH).sum())


def ball(centre, radius=2.0):
    away = np.linalg.norm(np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1)), axis=0)
    return [tuple(point) for point in np.argwhere(away <= radius)]


def paint_into(node, segment_id, scan, voxels):
    """As the paint effect does where segments share a layer."""
    mask = np.zeros(SHAPE, bool)
    for voxel in voxels:
        mask[voxel] = True
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = oriented_image(mask, volume_from_node(scan).geometry.ijk_to_ras(), (0, 0, 0))
    assert logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_MERGE_MASK)


def use_tool(history, vessels, add=(), remove=(), tool="grow"):
    """Do what the tools do: a known edit in one step."""
    node, segment_id = vessels
    was = read_voxels(node, segment_id)
    added, removed = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    for mask, points in ((added, add), (removed, remove)):
        for point in points:
            mask[point] = True
    edit = edit_of(added, removed, tool=tool, description="for a test")
    with history.step(tool, "for a test"):
        change_voxels(node, segment_id, edit, was.matrix)
