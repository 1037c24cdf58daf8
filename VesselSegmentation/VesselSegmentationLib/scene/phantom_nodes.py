"""The synthetic scan and its exact vessels as nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from vesselseg.phantom import make_phantom
from VesselSegmentationLib.scene.segmentation_nodes import label_from_node, set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume

#: Role of the segment with the true vessels.
TRUTH_ROLE = "truth"


def add_phantom(scene: Any) -> tuple[Any, Any]:
    """Make a synthetic TOF scan and add it, with its true vessels, to a scene.

    Parameters
    ----------
    scene : vtkMRMLScene

    Returns
    -------
    volume_node : vtkMRMLScalarVolumeNode
        The scan.
    truth_node : vtkMRMLSegmentationNode
        Its vessels.
    """
    scan, truth = make_phantom()
    volume_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF phantom")
    set_node_volume(volume_node, scan)
    volume_node.CreateDefaultDisplayNodes()
    truth_node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TOF phantom truth")
    set_segment_label(truth_node, volume_node, truth, name="True vessels", role=TRUTH_ROLE)
    truth_node.GetDisplayNode().SetVisibility(False)
    return volume_node, truth_node


def overlap_with_truth(segmentation_node: Any, truth_node: Any, volume_node: Any) -> float:
    """Return the Dice coefficient of two segmentations on the grid of a volume node, in [0, 1]."""
    found = label_from_node(segmentation_node, volume_node).array != 0
    truth = label_from_node(truth_node, volume_node).array != 0
    total = int(found.sum()) + int(truth.sum())
    return 2.0 * int(np.logical_and(found, truth).sum()) / total if total else 1.0
