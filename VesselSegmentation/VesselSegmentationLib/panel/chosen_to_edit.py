"""What the section "Correct" edits, as the user has chosen it in other sections."""

from __future__ import annotations

from typing import Any

from VesselSegmentationLib.scene.label_source import segment_names
from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role


def chosen_to_edit(parameters: Any) -> tuple[Any, ...]:
    """Return the segmentation, the ID of its segment if that is known, and the scan; empty if there are no segments."""
    node = parameters.outputSegmentation or parameters.comparedNode
    if not segment_names(node):
        return ()
    segment_id = segment_with_role(node)
    if node is parameters.comparedNode:
        segment_id = parameters.comparedSegment or segment_id
    return node, segment_id, parameters.inputVolume


def places_of(*nodes: Any) -> tuple[Any, ...]:
    """Return what changes when a node is moved, or gets another image or transform."""
    places: list[Any] = []
    for node in nodes:
        while node is not None:
            places += [node, node.GetMTime()]
            node = node.GetParentTransformNode()
    return tuple(places)
