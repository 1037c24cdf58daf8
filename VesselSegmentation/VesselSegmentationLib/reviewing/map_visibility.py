"""Hiding what lies under an error map, and showing it again when the map goes."""

from __future__ import annotations

from typing import Any

from VesselSegmentationLib.reviewing.error_map_display import set_map_shown, set_segment_shown, set_sources_shown
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode, is_error_map
from VesselSegmentationLib.scene.label_source import LabelSource, segment_names
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class


def hide_map(scene: Any, error_map: ErrorMapNode) -> None:
    """Show again what a map has hidden, of what is left: once nothing is compared, no button does it."""
    left = tuple(source for source in error_map.sources if scene.IsNodePresent(source.node))
    if scene.IsNodePresent(error_map.node):
        set_map_shown(error_map.node, left, False, three_d=False)
    else:
        set_sources_shown(left, True)


def give_place(scene: Any, former: ErrorMapNode, node: Any) -> None:
    """Show a map where a former one was shown, which goes, and what that one has hidden."""
    shown = scene.IsNodePresent(former.node) and _is_visible(former.node)
    hide_map(scene, former)
    if shown:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility(True)


def put_maps_away(scene: Any) -> Any:
    """Hide every error map of a scene, and show again what they have hidden.

    Returns
    -------
    vtkMRMLSegmentationNode or None
        One that was shown; None if there was none.
    """
    segmentations = nodes_of_class(scene, "vtkMRMLSegmentationNode")
    maps = [node for node in segmentations if is_error_map(node) and _is_visible(node)]
    sources = [LabelSource(node, each) for node in segmentations for _name, each in segment_names(node)]
    sources += [LabelSource(node) for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode")]
    for node in maps:
        # What is recorded may lack a label that was not saved, beside one that is still hidden.
        set_map_shown(node, tuple(sources), False, three_d=False)
    return maps[0] if maps else None


def compared_segments(error_map: ErrorMapNode) -> set[tuple[str, str]]:
    """Return the IDs of the nodes and of the segments that a map compares."""
    return {(source.node.GetID(), each) for source in error_map.sources for each in source.segment_ids()}


def hide_newcomers(scene: Any, error_map: ErrorMapNode, before: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Hide segments that have come to what is compared, new ones or by undo, where the map is shown instead.

    Parameters
    ----------
    scene : vtkMRMLScene
    error_map : ErrorMapNode
    before : set of tuple of str
        As `compared_segments` returned them before.

    Returns
    -------
    set of tuple of str
        As `compared_segments` returns them now.
    """
    segments = compared_segments(error_map)
    if _is_visible(error_map.node):
        for node_id, segment_id in segments - before:
            set_segment_shown(scene.GetNodeByID(node_id), segment_id, False)
    return segments


def _is_visible(node: Any) -> bool:
    display_node = node.GetDisplayNode()
    return display_node is not None and bool(display_node.GetVisibility())
