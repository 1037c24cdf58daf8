"""Who changed what in a segmentation, when and with which tool: kept in the scene, exported as JSON."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg import __version__
from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.output_files import atomic_output
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.scene.run_record import recorded_summary

#: An attribute of the segmentation node: it is saved and loaded with the scene.
LOG_ATTRIBUTE = "vesselseg.edit_log"
#: Another one: the digest of the label before the first of these edits.
START_ATTRIBUTE = "vesselseg.edit_log.start"


class EditLog:
    """The edits of a segmentation, in the order in which they were made; nothing is ever taken out.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
        With the log of former sessions, if there were any.
    label : ndarray, shape (Z, Y, X)
        As it is now: a new log begins with it.

    Raises
    ------
    VesselSegError
        If the log of a former session cannot be read.
    """

    def __init__(self, segmentation_node: Any, label: NDArray[np.uint8]) -> None:
        self._node = segmentation_node
        if not self.entries:
            segmentation_node.SetAttribute(START_ATTRIBUTE, label_digest(label))

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The edits, the first one first.

        Each with ``number``, ``time`` (ISO 8601 with the offset from UTC), ``reader``, ``event`` ("done", "undone",
        "redone"), ``tool``, ``description``, ``measures``, ``segments`` (voxels ``added`` and ``removed`` by the name
        of the segment, with its ID where others have that name), and ``metrics_before`` and ``metrics_after`` where a
        reference is bound, else None. What an undone step removed counts as added, as it is then.
        """
        return read_log(self._node)

    def add(
        self,
        step: EditStep,
        event: str,
        *,
        reader: str,
        metrics_before: Mapping[str, float] | None = None,
        metrics_after: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Note a step, and keep the log in the scene; returns the entry."""
        entries, names, segments = self.entries, _segment_names(self._node), {}
        for segment_id, (added, removed) in step.counts().items():
            if event == "undone":
                added, removed = removed, added
            segments[names.get(segment_id, segment_id)] = {"added": added, "removed": removed}
        entry = {
            "number": len(entries) + 1,
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            "reader": reader.strip(),
            "event": event,
            "tool": step.tool,
            "description": step.description,
            "measures": {name: round(float(value), 4) for name, value in step.measures.items()},
            "segments": segments,
            "metrics_before": _rounded(metrics_before),
            "metrics_after": _rounded(metrics_after),
        }
        self._node.SetAttribute(LOG_ATTRIBUTE, json.dumps([*entries, entry]))
        return entry


def read_log(segmentation_node: Any) -> list[dict[str, Any]]:
    """Return the entries of a segmentation's log; none if it was never edited here.

    Raises
    ------
    VesselSegError
        If they cannot be read.
    """
    try:
        entries = json.loads(segmentation_node.GetAttribute(LOG_ATTRIBUTE) or "[]")
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VesselSegError(
            f"the edit log of '{segmentation_node.GetName()}' is damaged", "clone the segmentation and edit the clone"
        )
    return entries


def goes_on(segmentation_node: Any, document: Mapping[str, Any]) -> bool:
    """Tell whether the log goes on with an earlier one: it has its edits, or began with the label that was signed."""
    earlier, start = document["edits"], segmentation_node.GetAttribute(START_ATTRIBUTE)
    return (bool(earlier) and _has(segmentation_node, earlier)) or (bool(start) and document["label_after"] == start)


def continue_log(segmentation_node: Any, document: Mapping[str, Any]) -> None:
    """Put the edits of an earlier log, with which this one `goes_on`, before its own, unless it has them."""
    earlier, own = document["edits"], read_log(segmentation_node)
    if not _has(segmentation_node, earlier):
        later = [{**entry, "number": number} for number, entry in enumerate(own, len(earlier) + 1)]
        segmentation_node.SetAttribute(LOG_ATTRIBUTE, json.dumps([*earlier, *later]))
        segmentation_node.SetAttribute(START_ATTRIBUTE, document["label_before"])


def _has(segmentation_node: Any, earlier: list[dict[str, Any]]) -> bool:
    return read_log(segmentation_node)[: len(earlier)] == earlier


def log_document(segmentation_node: Any, volume_node: Any) -> dict[str, Any]:
    """Return the log with what it is about, as `export_log` writes it."""
    return {
        "format": "vesselseg edit log",
        "version": 1,
        "program": f"vesselseg {__version__}",
        "scan": "" if volume_node is None else str(volume_node.GetName()),
        "segmentation": str(segmentation_node.GetName()),
        "exported": datetime.now().astimezone().isoformat(timespec="seconds"),
        "automatic_run": recorded_summary(segmentation_node) or None,
        "label_before": segmentation_node.GetAttribute(START_ATTRIBUTE) or "",
        "edits": read_log(segmentation_node),
    }


def export_log(segmentation_node: Any, volume_node: Any, path: str | os.PathLike[str]) -> None:
    """Write the log as JSON, whole or not at all.

    Raises
    ------
    VesselSegError
        If the file cannot be written, or exists.
    """
    document = log_document(segmentation_node, volume_node)
    with atomic_output(path, overwrite=False) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def label_digest(label: NDArray[np.uint8]) -> str:
    """Return a text by which a label can be told from all others of its scan; empty for one without voxels.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        On the grid of the scan; every voxel other than 0 belongs to it.
    """
    box = bounding_box(label != 0)
    if box is None:
        return ""
    place = repr((label.shape, [(int(part.start), int(part.stop)) for part in box]))
    return hashlib.blake2b(np.packbits(label[box] != 0).tobytes() + place.encode(), digest_size=16).hexdigest()


def _segment_names(segmentation_node: Any) -> dict[str, str]:
    """Return what the segments are called, by their IDs, with the ID where several have one name."""
    segmentation = segmentation_node.GetSegmentation()
    names = {str(each): str(segmentation.GetSegment(each).GetName()) for each in segmentation.GetSegmentIDs()}
    counts = Counter(names.values())
    return {each: name if counts[name] == 1 else f"{name} ({each})" for each, name in names.items()}


def _rounded(metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if metrics is None else {name: round(float(value), 6) for name, value in metrics.items()}
