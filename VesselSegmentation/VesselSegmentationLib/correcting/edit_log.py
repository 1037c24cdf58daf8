"""Who changed what in a segmentation, when and with which tool: kept in the scene, exported as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vesselseg import __version__
from vesselseg.errors import VesselSegError
from vesselseg.output_files import atomic_output
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.scene.run_record import recorded_summary

#: An attribute of the segmentation node: it is saved and loaded with the scene.
LOG_ATTRIBUTE = "vesselseg.edit_log"


class EditLog:
    """The edits of a segmentation, in the order in which they were made; nothing is ever taken out.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
        With the log of former sessions, if there were any.

    Attributes
    ----------
    entries : list of dict
        Each with ``number``, ``time`` (ISO 8601 with the offset from UTC), ``reader``, ``event`` ("done", "undone",
        "redone"), ``tool``, ``description``, ``measures``, ``segments`` (voxels ``added`` and ``removed`` by the name
        of the segment), and ``metrics_before`` and ``metrics_after`` where a reference is bound, else None. What an
        undone step removed counts as added, as it is then.

    Raises
    ------
    VesselSegError
        If the log of a former session cannot be read.
    """

    def __init__(self, segmentation_node: Any) -> None:
        self._node = segmentation_node
        self.entries: list[dict[str, Any]] = read_log(segmentation_node)

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
        segmentation = self._node.GetSegmentation()
        segments = {}
        for segment_id, (added, removed) in step.counts().items():
            segment = segmentation.GetSegment(segment_id)
            name = segment_id if segment is None else str(segment.GetName())
            if event == "undone":
                added, removed = removed, added
            segments[name] = {"added": added, "removed": removed}
        entry = {
            "number": len(self.entries) + 1,
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
        self.entries.append(entry)
        self._node.SetAttribute(LOG_ATTRIBUTE, json.dumps(self.entries))
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


def _rounded(metrics: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if metrics is None else {name: round(float(value), 6) for name, value in metrics.items()}
