"""What a step of an editing history holds: changed voxels, segments that came or went, and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Union

import numpy as np
from numpy.typing import NDArray
from vtkmodules.vtkCommonCore import reference

from vesselseg.boxes import box_between
from vesselseg.editing import Edit, PackedEdit, edit_of
from VesselSegmentationLib.correcting.edited_voxels import (
    PackedVoxels,
    change_voxels,
    lattice_shift,
    replace_voxels,
)
from VesselSegmentationLib.scene.run_record import RUN_TAGS
from VesselSegmentationLib.scene.segment_voxels import find_segment

#: What vtkMRMLSegmentationDisplayNode holds of each segment, by the names of its methods.
_DISPLAY_PROPERTIES = (
    *("Visibility", "Visibility2DFill", "Visibility2DOutline", "Visibility3D"),
    *("Opacity2DFill", "Opacity2DOutline", "Opacity3D", "Pickable"),
)


class Companion(Protocol):
    """Something beside voxels that is undone and redone with a step."""

    def undo(self, segmentation_node: Any) -> None:
        """Bring back what was before the step."""

    def redo(self, segmentation_node: Any) -> None:
        """Bring back what was after the step."""


@dataclass(frozen=True)
class VoxelChange:
    """Voxels added to a segment and removed from it.

    Parameters
    ----------
    segment_id : str
    matrix : ndarray, shape (4, 4)
        From indices (i, j, k) to mm, RAS, in the coordinates of the segmentation node.
    edit : PackedEdit
        Its box is in those indices, which may be negative.
    """

    segment_id: str
    matrix: NDArray[np.float64]
    edit: PackedEdit

    @property
    def nbytes(self) -> int:
        """Memory of the voxels, in bytes."""
        return self.edit.nbytes

    def undo(self, node: Any) -> None:
        """Take it back."""
        change_voxels(node, self.segment_id, reversed_edit(self.edit.unpacked()), self.matrix)

    def redo(self, node: Any) -> None:
        """Do it again."""
        change_voxels(node, self.segment_id, self.edit.unpacked(), self.matrix)

    def moved(self, matrix: NDArray[np.float64]) -> VoxelChange:
        """Return the same elsewhere: see `EditStep.moved`."""
        return replace(self, matrix=matrix @ self.matrix)


@dataclass(frozen=True)
class GridChange:
    """A segment that was brought to another grid."""

    segment_id: str
    before: PackedVoxels
    after: PackedVoxels

    @property
    def nbytes(self) -> int:
        """Memory of the voxels, in bytes."""
        return len(self.before.bits) + len(self.after.bits)

    def undo(self, node: Any) -> None:
        """Bring the former grid back."""
        replace_voxels(node, self.segment_id, self.before.unpacked())

    def redo(self, node: Any) -> None:
        """Bring the later grid back."""
        replace_voxels(node, self.segment_id, self.after.unpacked())

    def moved(self, matrix: NDArray[np.float64]) -> GridChange:
        """Return the same elsewhere: see `EditStep.moved`."""
        return replace(self, before=self.before.moved(matrix), after=self.after.moved(matrix))


class SegmentAppearance:
    """Where a segment lies in the list of all, and how it is shown: neither is known any more once it has gone.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
    """

    def __init__(self, segmentation_node: Any, segment_id: str) -> None:
        self._segment_id = segment_id
        self._following: list[str] = []
        self._shown: dict[str, Any] = {}
        self.read(segmentation_node)

    def read(self, node: Any) -> None:
        """Take note of it as it is now; nothing happens if the segment is not there."""
        segmentation, display_node = node.GetSegmentation(), node.GetDisplayNode()
        index = segmentation.GetSegmentIndex(self._segment_id)
        if index < 0:
            return
        count = segmentation.GetNumberOfSegments()
        self._following = [str(segmentation.GetNthSegmentID(each)) for each in range(index + 1, count)]
        if display_node is not None:
            self._shown = {
                name: getattr(display_node, f"GetSegment{name}")(self._segment_id) for name in _DISPLAY_PROPERTIES
            }

    def next_segment(self, node: Any) -> str:
        """Return the ID of the first segment after it that is still there; empty if there is none."""
        segmentation = node.GetSegmentation()
        return next((each for each in self._following if segmentation.GetSegmentIndex(each) >= 0), "")

    def show(self, node: Any) -> None:
        """Show the segment as it was shown."""
        display_node = node.GetDisplayNode()
        if display_node is not None:
            for name, value in self._shown.items():
                getattr(display_node, f"SetSegment{name}")(self._segment_id, value)


@dataclass(frozen=True)
class SegmentPresence:
    """A segment that came or went.

    Parameters
    ----------
    segment_id : str
    segment : vtkSegment
        With name, colour and tags.
    voxels : PackedVoxels
        When it came, or before it went.
    added : bool
        Whether it came.
    appearance : SegmentAppearance
        When it was there last.
    """

    segment_id: str
    segment: Any
    voxels: PackedVoxels
    added: bool
    appearance: SegmentAppearance

    @property
    def nbytes(self) -> int:
        """Memory of the voxels, in bytes."""
        return len(self.voxels.bits)

    def undo(self, node: Any) -> None:
        """Let it go, or come back."""
        self._set(node, not self.added)

    def redo(self, node: Any) -> None:
        """Let it come, or go again."""
        self._set(node, self.added)

    def moved(self, matrix: NDArray[np.float64]) -> SegmentPresence:
        """Return the same elsewhere: see `EditStep.moved`."""
        return replace(self, voxels=self.voxels.moved(matrix))

    def _set(self, node: Any, present: bool) -> None:
        segmentation = node.GetSegmentation()
        if not present:
            self.appearance.read(node)
            segmentation.RemoveSegment(self.segment_id)
        elif segmentation.GetSegment(self.segment_id) is None:
            # Its voxels may have been in a layer that others have changed since.
            self.segment.RemoveAllRepresentations()
            segmentation.AddSegment(self.segment, self.segment_id, self.appearance.next_segment(node))
            replace_voxels(node, self.segment_id, self.voxels.unpacked())
            self.appearance.show(node)


@dataclass(frozen=True)
class TagChange:
    """What a segment says about the run that made it."""

    segment_id: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    def undo(self, segmentation_node: Any) -> None:
        """Bring back what it said before."""
        self._set(segmentation_node, self.before)

    def redo(self, segmentation_node: Any) -> None:
        """Bring back what it said after."""
        self._set(segmentation_node, self.after)

    def _set(self, node: Any, tags: Mapping[str, str]) -> None:
        segment = find_segment(node, self.segment_id)
        for name in RUN_TAGS:
            if name in tags:
                segment.SetTag(name, tags[name])
            else:
                segment.RemoveTag(name)


Change = Union[VoxelChange, GridChange, SegmentPresence]


@dataclass(frozen=True)
class EditStep:
    """One step of a history.

    Parameters
    ----------
    number : int
        Counts from 1, in the order in which the steps were made.
    tool, description : str
        As in `Edit`.
    measures : mapping of str to float
        As in `Edit`.
    changes : list
        Of voxels and segments.
    companions : list of Companion
        What goes with them.
    """

    number: int
    tool: str
    description: str
    measures: Mapping[str, float]
    changes: list[Change]
    companions: list[Companion] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Memory of the voxels, in bytes."""
        return sum(change.nbytes for change in self.changes)

    def undo(self, segmentation_node: Any) -> None:
        """Take the step back: every voxel is what it was before."""
        for change in reversed(self.changes):
            change.undo(segmentation_node)
        for companion in reversed(self.companions):
            companion.undo(segmentation_node)

    def redo(self, segmentation_node: Any) -> None:
        """Do the step again."""
        for change in self.changes:
            change.redo(segmentation_node)
        for companion in self.companions:
            companion.redo(segmentation_node)

    def moved(self, matrix: NDArray[np.float64]) -> EditStep:
        """Return the same step of segments that were moved as a whole.

        Parameters
        ----------
        matrix : ndarray, shape (4, 4)
            From where they were to where they are, in the coordinates of the segmentation node.
        """
        return replace(self, changes=[change.moved(matrix) for change in self.changes])

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return the voxels added and removed, by segment."""
        counts: dict[str, tuple[int, int]] = {}
        for change in self.changes:
            if isinstance(change, VoxelChange):
                edit = change.edit.unpacked()
                counts[change.segment_id] = (edit.voxels_added, edit.voxels_removed)
            elif isinstance(change, GridChange):
                before, after = (int(each.unpacked().mask.sum()) for each in (change.before, change.after))
                counts[change.segment_id] = (after, before)
            else:
                voxels = int(change.voxels.unpacked().mask.sum())
                counts[change.segment_id] = (voxels, 0) if change.added else (0, voxels)
        return counts


def read_run_tags(segment: Any) -> dict[str, str]:
    """Return what a segment says about the run that made it."""
    tags = {}
    for name in RUN_TAGS:
        value = reference("")
        if segment.GetTag(name, value):
            tags[name] = str(value)
    return tags


def reversed_edit(edit: Edit) -> Edit:
    """Return the edit that takes another one back."""
    return Edit(edit.box, edit.removed, edit.added, edit.tool, edit.description, edit.measures)


def merged(first: EditStep, second: EditStep) -> EditStep | None:
    """Return two steps in a row as one; None if that is not simple."""
    one, other = first.changes, second.changes
    if len(one) != 1 or len(other) != 1 or one[0].segment_id != other[0].segment_id:
        return None
    early, late = one[0], other[0]
    if not isinstance(early, VoxelChange) or not isinstance(late, VoxelChange):
        return None
    shift = lattice_shift(early.matrix, late.matrix)
    if shift is None:
        return None
    edits = (early.edit.unpacked(), late.edit.unpacked())
    starts = [np.add([part.start for part in edits[0].box], shift), np.array([part.start for part in edits[1].box])]
    low = np.min(starts, axis=0)
    high = np.max([start + edit.added.shape for start, edit in zip(starts, edits)], axis=0)
    masks = []
    for start, edit in zip(starts, edits):
        place = tuple(slice(int(a), int(a) + n) for a, n in zip(start - low, edit.added.shape))
        for mask in (edit.added, edit.removed):
            whole = np.zeros(tuple(high - low), bool)
            whole[place] = mask
            masks.append(whole)
    a1, r1, a2, r2 = masks
    edit = edit_of(
        (a1 & ~r2) | (a2 & ~r1),
        (r1 & ~a2) | (r2 & ~a1),
        tool=second.tool,
        description=second.description,
        box=box_between(low, high),
    )
    change = VoxelChange(late.segment_id, late.matrix, edit.packed())
    return EditStep(
        second.number, second.tool, second.description, second.measures, [change], first.companions + second.companions
    )
