"""Which scan and which vessels of a scene are meant where the user has not said so."""

from __future__ import annotations

from typing import Any

from VesselSegmentationLib.scene.run_record import probability_of
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class, reference_scan
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role


def default_scan(scene: Any) -> Any:
    """Return the scan that is shown, else the first one of the scene, else None; probabilities are no scans."""
    probabilities = [probability_of(node) for node in nodes_of_class(scene, "vtkMRMLSegmentationNode")]
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    shown = selection.GetActiveVolumeID() if selection is not None else None
    nodes = [scene.GetNodeByID(shown)] if shown else []
    for node in nodes + nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if node and node.GetClassName() == "vtkMRMLScalarVolumeNode" and node not in probabilities:
            return node
    return None


def vessels_of(scene: Any, volume_node: Any) -> Any:
    """Return the segmentation that holds the vessels found in a scan, or None."""
    for node in nodes_of_class(scene, "vtkMRMLSegmentationNode"):
        if volume_node is not None and reference_scan(node) is volume_node and segment_with_role(node) is not None:
            return node
    return None
