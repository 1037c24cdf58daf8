"""What Segment Editor needs to know so that its first stroke works on vessels."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.scene.segmentation_nodes import keep_thin_vessels
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

#: Its own, so that the module Segment Editor keeps its state and this one does not inherit it.
_SINGLETON_TAG = "VesselSegmentation"
#: Share of a label's voxels, the darkest ones, that masking may leave out: partial volume at the walls.
_DARKEST = 0.02
#: Names as Segment Editor stores its brush: a sphere as wide as a large artery, in mm whatever the zoom.
_BRUSH = {"BrushSphere": "1", "BrushDiameterIsRelative": "0", "BrushAbsoluteDiameter": "3"}
#: Effects that only take away.
_TAKING_AWAY = ("Erase", "Scissors", "Islands")


def editor_node(scene: Any) -> Any:
    """Return the vtkMRMLSegmentEditorNode of this module; it is made if need be."""
    name = "vtkMRMLSegmentEditorNode"
    node = scene.GetSingletonNode(_SINGLETON_TAG, name)
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(_SINGLETON_TAG)
        node = scene.AddNode(node)
    return node


def prepare_free_hand(node: Any, target: EditTarget) -> tuple[float, float]:
    """Let a Segment Editor work on the segment that is edited, where the scan is as bright as its vessels.

    Parameters
    ----------
    node : vtkMRMLSegmentEditorNode
    target : EditTarget

    Returns
    -------
    low, high : float
        Range of intensities that may be painted: from the darkest vessels up to the brightest voxel of the scan.
    """
    keep_thin_vessels(target.node)
    # Not when the node is made: it outlives its scene, but without what was set in it.
    for key, value in _BRUSH.items():
        node.SetAttribute(key, value)
    scan = volume_from_node(target.volume_node).array
    vessels = scan[target.whole_label() != 0]
    low = float(np.quantile(vessels, _DARKEST)) if len(vessels) else float(scan.min())
    high = float(scan.max())
    node.SetAndObserveSegmentationNode(target.node)
    node.SetAndObserveSourceVolumeNode(target.volume_node)
    node.SetSelectedSegmentID(target.segment_id)
    # What is painted must not be taken from arteries that were given names.
    node.SetOverwriteMode(node.OverwriteNone)
    node.SetSourceVolumeIntensityMaskRange(low, high)
    mask_for_effect(node)
    return low, high


def mask_for_effect(node: Any) -> None:
    """Paint only where the scan is as bright as vessels, but erase everywhere: false positives are often dark."""
    node.SetSourceVolumeIntensityMask(node.GetActiveEffectName() not in _TAKING_AWAY)
