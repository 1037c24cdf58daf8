"""What the scene remembers of a segmentation: its probability map, its threshold, and what ran.

All of it survives saving and loading the scene: a node reference, a node attribute, and tags of the segment, which
follow the segment through undo as well.
"""

from __future__ import annotations

import json
import math
from typing import Any

from VesselSegmentationLib.segmentation_nodes import WRITTEN_TAG, segment_tag, segment_with_role, set_segment_tag

_PROBABILITY_REFERENCE = "vesselseg.probability"
SUMMARY_ATTRIBUTE = "vesselseg.summary"
_THRESHOLD_TAG = "vesselseg.threshold"
_MIN_COMPONENT_TAG = "vesselseg.min_component_mm3"
#: Tags of a segment that say how it was made; they change only when it is made anew.
RUN_TAGS = (WRITTEN_TAG, _THRESHOLD_TAG, _MIN_COMPONENT_TAG)

#: What front ends show of a run, and what kind of value it is.
_SHOWN: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "device": str,
    "device_name": str,
    "engine": str,
    "precision": str,
    "seconds": (int, float),
}


def record_probability(segmentation_node: Any, probability_node: Any) -> None:
    """Remember from which probability map the vessels of a segmentation come."""
    segmentation_node.SetNodeReferenceID(_PROBABILITY_REFERENCE, probability_node.GetID())


def probability_of(segmentation_node: Any) -> Any:
    """Return the probability volume node of a segmentation; None if it has none, or it was removed."""
    return segmentation_node.GetNodeReference(_PROBABILITY_REFERENCE)


def present_probability(scene: Any, given: Any, segmentation_node: Any) -> Any:
    """Return a probability volume node that was chosen; if there is none any more, the one of the segmentation now.

    To be asked each time: it may have been removed, and the scan segmented again.
    """
    if given is not None and scene.IsNodePresent(given):
        return given
    return probability_of(segmentation_node)


def record_threshold(segmentation_node: Any, threshold: float, min_component_mm3: float) -> None:
    """Remember what made the vessel segment from the probability map."""
    segment_id = segment_with_role(segmentation_node)
    if segment_id is not None:
        set_segment_tag(segmentation_node, segment_id, _THRESHOLD_TAG, repr(float(threshold)))
        set_segment_tag(segmentation_node, segment_id, _MIN_COMPONENT_TAG, repr(float(min_component_mm3)))


def recorded_threshold(segmentation_node: Any) -> tuple[float, float] | None:
    """Return threshold and smallest component (mm3) that made the vessel segment; None if it has none."""
    segment_id = segment_with_role(segmentation_node)
    if segment_id is None:
        return None
    tags = [segment_tag(segmentation_node, segment_id, tag) for tag in (_THRESHOLD_TAG, _MIN_COMPONENT_TAG)]
    try:
        threshold, min_component_mm3 = float(tags[0]), float(tags[1])
    except ValueError:
        return None
    return (threshold, min_component_mm3) if math.isfinite(threshold + min_component_mm3) else None


def record_summary(segmentation_node: Any, summary: dict[str, Any]) -> None:
    """Remember what ran: model, device, engine, precision, seconds and so on."""
    segmentation_node.SetAttribute(SUMMARY_ATTRIBUTE, json.dumps(summary))


def recorded_summary(segmentation_node: Any) -> dict[str, Any]:
    """Return what the last run reported; empty if there was none."""
    try:
        summary = json.loads(segmentation_node.GetAttribute(SUMMARY_ATTRIBUTE) or "{}")
    except ValueError:
        return {}
    # One of another version of the program may lack what this one shows. The first versions had one engine.
    if isinstance(summary, dict):
        summary.setdefault("engine", "torch")
    fits = isinstance(summary, dict) and all(isinstance(summary.get(key), kind) for key, kind in _SHOWN.items())
    return summary if fits else {}
