"""Finding nodes in a scene."""

from __future__ import annotations

from typing import Any


def nodes_of_class(scene: Any, class_name: str) -> list[Any]:
    """Return all nodes of a class, in the order in which they came.

    Slicer's own function, `getNodesByClass`, looks into the application's scene, whatever scene it is given.
    """
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]


def reference_scan(segmentation_node: Any) -> Any:
    """Return the volume that a segmentation was drawn on, None if that is not known or holds no image."""
    node = segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())
    return node if node is not None and node.GetImageData() is not None else None
