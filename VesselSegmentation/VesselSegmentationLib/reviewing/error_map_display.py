"""How error maps are shown: colours, outlines, and visibility and opacity of each kind in slices and in 3D."""

from __future__ import annotations

import json
from typing import Any

from vesselseg.review.error_kinds import PALETTES, ErrorKind, Wording, find_palette
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class
from VesselSegmentationLib.scene.segmentation_nodes import set_surface_shown

#: IDs of the segments of an error map.
SEGMENT_IDS = {
    ErrorKind.TRUE_POSITIVE: "TruePositive",
    ErrorKind.FALSE_POSITIVE: "FalsePositive",
    ErrorKind.FALSE_NEGATIVE: "FalseNegative",
}
#: What agrees is translucent, so that what differs shows in it and behind it.
_OPACITIES_2D = {ErrorKind.TRUE_POSITIVE: 0.5, ErrorKind.FALSE_POSITIVE: 0.7, ErrorKind.FALSE_NEGATIVE: 0.7}
_OPACITIES_3D = {ErrorKind.TRUE_POSITIVE: 0.4, ErrorKind.FALSE_POSITIVE: 1.0, ErrorKind.FALSE_NEGATIVE: 1.0}
_PALETTE_ATTRIBUTE = "vesselseg.palette"
#: What a map has hidden: an attribute of display nodes, which undo does not touch, and a reference of slice views.
_HIDDEN_BY_MAP = "vesselseg.hidden_by_map"


def segment_name(kind: ErrorKind, wording: Wording) -> str:
    """Return the name of the segment of a kind."""
    title = wording.title(kind)
    return title[:1].upper() + title[1:]


def set_default_display(node: Any) -> None:
    """Show a new error map: filled in slices, hidden in 3D, what agrees translucent in both."""
    node.CreateDefaultDisplayNodes()
    display_node = node.GetDisplayNode()
    display_node.SetPreferredDisplayRepresentationName2D("Binary labelmap")
    display_node.SetOpacity2DFill(1.0)
    display_node.SetOpacity2DOutline(1.0)
    display_node.SetVisibility3D(False)
    for kind in ErrorKind:
        set_kind_opacity(node, kind, slices=_OPACITIES_2D[kind], three_d=_OPACITIES_3D[kind])


def palette_name(node: Any) -> str:
    """Return the name of the palette of an error map; the standard one where it names none that is known here."""
    name = node.GetAttribute(_PALETTE_ATTRIBUTE)
    return name if name in PALETTES else "standard"


def set_palette(node: Any, name: str) -> None:
    """Colour an error map.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
    name : str
        A key of `vesselseg.review.error_kinds.PALETTES`.

    Raises
    ------
    VesselSegError
        If there is no such palette.
    """
    palette = find_palette(name)
    node.SetAttribute(_PALETTE_ATTRIBUTE, name)
    for kind, segment_id in SEGMENT_IDS.items():
        node.GetSegmentation().GetSegment(segment_id).SetColor(*palette.colour(kind))


def set_outlined(node: Any, outlined: bool) -> None:
    """Show only outlines in slices, so that the scan shows inside; or fill them as well."""
    display_node = node.GetDisplayNode()
    display_node.SetVisibility2DOutline(True)
    display_node.SetVisibility2DFill(not outlined)


def set_kind_visible(node: Any, kind: ErrorKind, *, slices: bool | None = None, three_d: bool | None = None) -> None:
    """Show or hide a kind in slices and in 3D; None leaves it as it is."""
    display_node, segment_id = node.GetDisplayNode(), SEGMENT_IDS[kind]
    if slices is not None:
        display_node.SetSegmentVisibility2DFill(segment_id, slices)
        display_node.SetSegmentVisibility2DOutline(segment_id, slices)
    if three_d is not None:
        display_node.SetSegmentVisibility3D(segment_id, three_d)


def set_kind_opacity(node: Any, kind: ErrorKind, *, slices: float | None = None, three_d: float | None = None) -> None:
    """Set the opacity of a kind, in [0, 1], of its area in slices and of its surface in 3D; None leaves it as it is."""
    display_node, segment_id = node.GetDisplayNode(), SEGMENT_IDS[kind]
    if slices is not None:
        display_node.SetSegmentOpacity2DFill(segment_id, slices)
    if three_d is not None:
        display_node.SetSegmentOpacity3D(segment_id, three_d)


def kind_display(node: Any, kind: ErrorKind) -> dict[str, tuple[bool, float]]:
    """Return whether a kind is visible and its opacity in [0, 1], in ``"slices"`` and in ``"three_d"``."""
    display_node, segment_id = node.GetDisplayNode(), SEGMENT_IDS[kind]
    return {
        "slices": (
            bool(display_node.GetSegmentVisibility2DOutline(segment_id)),
            float(display_node.GetSegmentOpacity2DFill(segment_id)),
        ),
        "three_d": (
            bool(display_node.GetSegmentVisibility3D(segment_id)),
            float(display_node.GetSegmentOpacity3D(segment_id)),
        ),
    }


def set_map_shown(node: Any, sources: tuple[LabelSource, ...], shown: bool, *, three_d: bool) -> None:
    """Show an error map in place of the labels that it compares, or those again.

    Both at once would mix their colours. Only what was visible before is shown again.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        The error map.
    sources : tuple of LabelSource
        What it compares.
    shown : bool
    three_d : bool
        Whether the map is shown in 3D, too.
    """
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(shown)
    set_surface_shown(node, shown and three_d)
    set_sources_shown(sources, not shown)


def set_sources_shown(sources: tuple[LabelSource, ...], shown: bool) -> None:
    """Show again what an error map has hidden of the labels that it compares, or hide them."""
    for source in sources:
        if not source.is_segmentation:
            _set_layer_shown(source.node, shown)
        for segment_id in source.segment_ids():
            set_segment_shown(source.node, segment_id, shown)


def set_segment_shown(node: Any, segment_id: str, shown: bool) -> None:
    """Show a segment again that an error map has hidden, or hide it."""
    display_node = node.GetDisplayNode()
    if display_node is None or node.GetSegmentation().GetSegment(segment_id) is None:
        return
    hidden = _hidden_by_map(display_node)
    if shown and segment_id in hidden:
        hidden.remove(segment_id)
    elif not shown and display_node.GetSegmentVisibility(segment_id):
        hidden.add(segment_id)
    else:
        return
    display_node.SetAttribute(_HIDDEN_BY_MAP, json.dumps(sorted(hidden)) if hidden else None)
    display_node.SetSegmentVisibility(segment_id, shown)


def is_hidden(node: Any, segment_id: str) -> bool:
    """Tell whether a segment is hidden, but not because an error map is shown in its place."""
    display_node = node.GetDisplayNode()
    if display_node is None or display_node.GetSegmentVisibility(segment_id):
        return False
    return segment_id not in _hidden_by_map(display_node)


def _hidden_by_map(display_node: Any) -> set[str]:
    return set(json.loads(display_node.GetAttribute(_HIDDEN_BY_MAP) or "[]"))


def _set_layer_shown(node: Any, shown: bool) -> None:
    """Show a label volume again in the slice views in which an error map has hidden it, or hide it there."""
    for view in nodes_of_class(node.GetScene(), "vtkMRMLSliceCompositeNode"):
        if shown and view.GetNodeReference(_HIDDEN_BY_MAP) is node:
            view.SetNodeReferenceID(_HIDDEN_BY_MAP, None)
            if not view.GetLabelVolumeID():  # else another one was chosen meanwhile
                view.SetLabelVolumeID(node.GetID())
        elif not shown and view.GetLabelVolumeID() == node.GetID():
            view.SetNodeReferenceID(_HIDDEN_BY_MAP, node.GetID())
            view.SetLabelVolumeID(None)
