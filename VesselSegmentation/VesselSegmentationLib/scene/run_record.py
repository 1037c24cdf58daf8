"""What the scene remembers of a segmentation: its probability map, its threshold, and what ran.

All of it survives saving and loading the scene: a node reference, a node attribute, and tags of the segment, which
follow the segment through undo as well.
"""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

from VesselSegmentationLib.scene.segmentation_nodes import (
    ROLE_TAG,
    WHOLE_TAG,
    WRITING_TAG,
    WRITTEN_TAG,
    segment_tag,
    segment_with_role,
    set_segment_tag,
)

_PROBABILITY_REFERENCE = "vesselseg.probability"
_SUMMARY_ATTRIBUTE = "vesselseg.summary"
#: Which run it was: a tag of the segment, and an attribute of the nodes that hold what else the run made. Undo brings
#: back the former segment only; where they differ, they do not belong together.
RUN_TAG = "vesselseg.run"
#: Attributes of a segmentation that tell of its run.
RUN_ATTRIBUTES = (_SUMMARY_ATTRIBUTE, RUN_TAG)
THRESHOLD_TAG = "vesselseg.threshold"
MIN_COMPONENT_TAG = "vesselseg.min_component_mm3"
#: Tags of a segment that say how it was made; they change only when it is made anew.
RUN_TAGS = (ROLE_TAG, WRITTEN_TAG, WHOLE_TAG, WRITING_TAG, THRESHOLD_TAG, MIN_COMPONENT_TAG, RUN_TAG)

#: What front ends show of a run, and what kind of value it is.
_SHOWN: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "device": str,
    "device_name": str,
    "engine": str,
    "precision": str,
    "seconds": (int, float),
}


def record_run(segmentation_node: Any, probability_node: Any, summary: dict[str, Any]) -> None:
    """Remember that a run has made the vessels of a segmentation and their probability map, and what it reported."""
    run = uuid.uuid4().hex
    for node in (segmentation_node, probability_node):
        node.SetAttribute(RUN_TAG, run)
    record_probability(segmentation_node, probability_node)
    record_summary(segmentation_node, summary)


def record_probability(segmentation_node: Any, probability_node: Any) -> None:
    """Remember from which probability map the vessels of a segmentation come."""
    segmentation_node.SetNodeReferenceID(_PROBABILITY_REFERENCE, probability_node.GetID())
    segment_id = segment_with_role(segmentation_node)
    if segment_id is not None:
        set_segment_tag(segmentation_node, segment_id, RUN_TAG, probability_node.GetAttribute(RUN_TAG) or "")


def is_probability(node: Any) -> bool:
    """Tell whether a volume node holds the probability map that a run has made, whatever became of the vessels."""
    return bool(node.GetAttribute(RUN_TAG))


def probability_of(segmentation_node: Any) -> Any:
    """Return the probability volume node from which the vessels of a segmentation were made.

    None if there is none, if it was removed, or if another run has overwritten it, which was undone.
    """
    node = segmentation_node.GetNodeReference(_PROBABILITY_REFERENCE)
    return node if node is not None and _of_same_run(segmentation_node, node) else None


def _of_same_run(segmentation_node: Any, node: Any) -> bool:
    """Tell whether a node holds what was made together with the vessels that there are now."""
    segment_id = segment_with_role(segmentation_node)
    run = node.GetAttribute(RUN_TAG) or ""
    return segment_id is None or segment_tag(segmentation_node, segment_id, RUN_TAG) == run


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
        set_segment_tag(segmentation_node, segment_id, THRESHOLD_TAG, repr(float(threshold)))
        set_segment_tag(segmentation_node, segment_id, MIN_COMPONENT_TAG, repr(float(min_component_mm3)))


def recorded_threshold(segmentation_node: Any) -> tuple[float, float] | None:
    """Return threshold and smallest component (mm3) that made the vessel segment; None if it has none."""
    segment_id = segment_with_role(segmentation_node)
    if segment_id is None:
        return None
    tags = [segment_tag(segmentation_node, segment_id, tag) for tag in (THRESHOLD_TAG, MIN_COMPONENT_TAG)]
    try:
        threshold, min_component_mm3 = float(tags[0]), float(tags[1])
    except ValueError:
        return None
    return (threshold, min_component_mm3) if math.isfinite(threshold + min_component_mm3) else None


def record_summary(segmentation_node: Any, summary: dict[str, Any]) -> None:
    """Remember what ran: model, device, engine, precision, seconds and so on."""
    segmentation_node.SetAttribute(_SUMMARY_ATTRIBUTE, json.dumps(summary))


def recorded_summary(segmentation_node: Any) -> dict[str, Any]:
    """Return what the run reported that made the vessels; empty if there was none, or it is not known any more.

    Threshold and smallest component are those that have made them since, if there were others.
    """
    if not _of_same_run(segmentation_node, segmentation_node):
        return {}
    try:
        summary = json.loads(segmentation_node.GetAttribute(_SUMMARY_ATTRIBUTE) or "{}")
    except ValueError:
        return {}
    # One of another version of the program may lack what this one shows. The first versions had one engine.
    if isinstance(summary, dict):
        summary.setdefault("engine", "torch")
    fits = isinstance(summary, dict) and all(isinstance(summary.get(key), kind) for key, kind in _SHOWN.items())
    if not fits:
        return {}
    in_use = recorded_threshold(segmentation_node)
    return summary if in_use is None else {**summary, **dict(zip(("threshold", "min_component_mm3"), in_use))}
