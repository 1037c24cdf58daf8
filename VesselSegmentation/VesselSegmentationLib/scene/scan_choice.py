"""Which scan and which vessels of a scene are meant where the user has not said so."""

from __future__ import annotations

from typing import Any

from VesselSegmentationLib.scene.run_record import is_probability, probability_of
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class, reference_scan
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role


def default_scan(scene: Any) -> Any:
    """Return the scan that is shown, else the first one of the scene, else None; probabilities are no scans."""
    probabilities = [probability_of(node) for node in nodes_of_class(scene, "vtkMRMLSegmentationNode")]
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    shown = selection.GetActiveVolumeID() if selection is not None else None
    nodes = [scene.GetNodeByID(shown)] if shown else []
    for node in nodes + nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if node is None or node.GetClassName() != "vtkMRMLScalarVolumeNode":
            continue
        if node not in probabilities and not is_probability(node):
            return node
    return None


def vessels_of(scene: Any, volume_node: Any) -> Any:
    """Return the segmentation that holds the vessels found in a scan, or None."""
    for node in nodes_of_class(scene, "vtkMRMLSegmentationNode"):
        if volume_node is not None and reference_scan(node) is volume_node and segment_with_role(node) is not None:
            return node
    return None


def other_scan(segmentation_node: Any, volume_node: Any) -> Any:
    """Return the scan, another than the given one, whose vessels a segmentation holds; None if it does not, or is None.

    The vessels of one scan must not be written over those of another.
    """
    if segmentation_node is None or segment_with_role(segmentation_node) is None:
        return None
    scan = reference_scan(segmentation_node)
    return scan if scan is not volume_node else None
