"""Labels to compare, and edits of them as 3D Slicer's segment editor makes them."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.vtkCommonCore import vtkStringArray

from vesselseg.volume import Volume
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.segment_voxels import oriented_image
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

SHAPE = (20, 24, 28)


def two_labels(shape=SHAPE):
    """Make a found and a true label: a vessel in common, one piece too much, two pieces missed."""
    found, truth = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    found[4:16, 8:11, 8:11] = truth[4:16, 8:11, 8:11] = 1
    found[2, 2, 2:8] = 1
    truth[18, 4:20, 20] = 1
    truth[5, 20, 5] = 1
    return found, truth


def expected_map(found, truth):
    """What the values of an error map mean, said in another way than the program does."""
    return np.where(found & truth, 1, np.where(found, 2, np.where(truth, 3, 0)))


def add_segmentation(scene, scan, label, name, role="vessels"):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segment_id = set_segment_label(node, scan, volume_from_node(scan).with_array(label), name=name, role=role)
    return node, segment_id


def two_sources(scene, scan):
    """Put both labels into a scene, as segmentations of the scan."""
    return tuple(
        LabelSource(*add_segmentation(scene, scan, label, name))
        for label, name in zip(two_labels(), ("Vessels", "Truth"))
    )


def follow(review):
    """Do the quick steps of a comparison, all but the metrics, and say what they changed."""
    changed = set()
    while step := review.poll():
        changed |= step
    return changed


def add_labelmap(scene, label, geometry, name="reference"):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    set_node_volume(node, Volume(label, geometry))
    return node


def paint(segmentation_node, segment_id, scan, voxels, value):
    """Add or erase voxels (k, j, i) as the effects of the segment editor do, through Slicer's own function."""
    mask = np.zeros(volume_from_node(scan).array.shape, bool)
    for voxel in voxels:
        mask[voxel] = True
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not value:
        mask = ~mask
    image = oriented_image(mask, volume_from_node(scan).geometry.ijk_to_ras(), (0, 0, 0))
    mode = logic.MODE_MERGE_MAX if value else logic.MODE_MERGE_MIN
    assert logic.SetBinaryLabelmapToSegment(image, segmentation_node, segment_id, mode)


def exported(scene, segmentation_node, segment_id, volume_node):
    """What Slicer's own export makes of a segment: an opinion independent of ours."""
    ids = vtkStringArray()
    ids.InsertNextValue(segment_id)
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.ExportSegmentsToLabelmapNode(segmentation_node, ids, node, volume_node)
    array = volume_from_node(node).array.copy()
    scene.RemoveNode(node)
    return array
