"""What a reader says about errors: reviewed, accepted or rejected. Kept in the scene, with name and time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vesselseg.errors import VesselSegError
from vesselseg.review.error_components import ErrorComponent, VoxelExtent

#: Seen; it is an error of the segmentation; it is none, the reference (or the other result) is wrong.
REVIEWED, ACCEPTED, REJECTED = "reviewed", "accepted", "rejected"
DECISIONS = (REVIEWED, ACCEPTED, REJECTED)
#: As on the buttons.
DECISION_WORDS = {REVIEWED: "seen", ACCEPTED: "accepted", REJECTED: "rejected"}

_MARKS_ATTRIBUTE = "vesselseg.marks"


@dataclass(frozen=True)
class Mark:
    """What a reader said about one component.

    Parameters
    ----------
    component_id : str
        As in `ErrorComponent`.
    decision : str
        One of `DECISIONS`.
    reader : str
        Name of the reader; may be empty.
    time : str
        When, as ISO 8601 with the offset from UTC.
    voxels : int
        Size of the component when it was marked.
    centre_ras : tuple of float
        Its centre in mm.
    box : VoxelExtent
        Its first and last voxel (i, j, k).
    """

    component_id: str
    decision: str
    reader: str
    time: str
    voxels: int
    centre_ras: tuple[float, float, float]
    box: VoxelExtent

    def is_of(self, component: ErrorComponent) -> bool:
        """Tell whether it was said about this component, as it is now: one that was edited has to be seen again."""
        return (self.component_id, self.voxels, self.box) == (component.component_id, component.voxels, component.box)


def read_marks(node: Any) -> dict[str, Mark]:
    """Return the marks of an error map by the IDs of their components, in the order in which they were made.

    Marks of components that are no longer there, because they were corrected or edited, are among them: they are part
    of the record, and hold again when the edit is undone.
    """
    try:
        stored = json.loads(node.GetAttribute(_MARKS_ATTRIBUTE) or "[]")
        marks = [_mark(values) for values in stored]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise VesselSegError(
            f"the marks of '{node.GetName()}' cannot be read", "they were changed by another program; compare again"
        ) from error
    return {mark.component_id: mark for mark in marks}


def set_mark(node: Any, component: ErrorComponent, decision: str, reader: str) -> Mark:
    """Remember what a reader says about a component, in place of what was said before.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        The error map.
    component : ErrorComponent
    decision : str
        One of `DECISIONS`.
    reader : str
        Name of the reader.

    Returns
    -------
    Mark

    Raises
    ------
    ValueError
        If the decision is unknown.
    """
    return set_marks(node, [component], decision, reader)[0]


def set_marks(node: Any, components: Sequence[ErrorComponent], decision: str, reader: str) -> list[Mark]:
    """Remember the same about many components; as `set_mark`."""
    if decision not in DECISIONS:
        raise ValueError(f"decision must be one of {', '.join(DECISIONS)}, not '{decision}'")
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    new = [
        Mark(each.component_id, decision, reader.strip(), now, each.voxels, each.centre_ras, each.box)
        for each in components
    ]
    put_marks(node, {mark.component_id: mark for mark in new})
    return new


def put_marks(node: Any, changed: Mapping[str, Mark | None]) -> None:
    """Put marks back as they were, by the IDs of their components; None takes one away."""
    marks = read_marks(node)
    for component_id, mark in changed.items():
        marks.pop(component_id, None)
        if mark is not None:
            marks[component_id] = mark
    _write(node, marks)


def clear_mark(node: Any, component_id: str) -> None:
    """Forget what was said about a component; nothing happens if nothing was."""
    marks = read_marks(node)
    if marks.pop(component_id, None) is not None:
        _write(node, marks)


def _write(node: Any, marks: dict[str, Mark]) -> None:
    node.SetAttribute(_MARKS_ATTRIBUTE, json.dumps([dataclasses.asdict(mark) for mark in marks.values()]))


def _mark(values: dict[str, Any]) -> Mark:
    first, last = ((int(i), int(j), int(k)) for i, j, k in values["box"])
    r, a, s = (float(value) for value in values["centre_ras"])
    component_id, decision, reader, time = (str(values[key]) for key in ("component_id", "decision", "reader", "time"))
    return Mark(component_id, decision, reader, time, int(values["voxels"]), (r, a, s), (first, last))
