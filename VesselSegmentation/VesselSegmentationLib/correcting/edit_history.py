"""One history of a segmentation for the vessel tools and for whatever else changes it, such as Segment Editor.

Slicer's own `vtkSegmentationHistory` keeps whole copies of all segments, belongs to a widget in some versions and to a
logic in others, and knows nothing of marks on errors. This one looks at the segments whenever they say that they have
changed, compares them with what they were, and keeps the difference: it does not matter who made the change, and a
step takes kilobytes. Where this history is used, Segment Editor's own undo is to be switched off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.edit_steps import (
    Companion,
    EditStep,
    GridChange,
    SegmentAppearance,
    SegmentPresence,
    TagChange,
    VoxelChange,
    read_run_tags,
)
from VesselSegmentationLib.correcting.edited_voxels import (
    SegmentVoxels,
    edit_of_change,
    image_matrix,
    image_time,
    read_voxels,
    same_voxels,
    surfaces_following,
)
from VesselSegmentationLib.correcting.step_stack import AUTOMATIC, MAX_BYTES, MAX_STEPS, StepStack
from VesselSegmentationLib.scene.node_geometry import matrix_to_world

#: What happened to a step, as listeners are told.
DONE, UNDONE, REDONE = "done", "undone", "redone"

#: Tool of steps that were made by something else than the tools of this program.
OUTSIDE = "other editor"


class _Known:
    """What is known of a segment: its voxels, when they were read, and what brings it back."""

    def __init__(self, node: Any, segment_id: str) -> None:
        self.segment = node.GetSegmentation().GetSegment(segment_id)
        self.time = image_time(node, segment_id)
        self.voxels = read_voxels(node, segment_id)
        self.tags = read_run_tags(self.segment)
        self.appearance = SegmentAppearance(node, segment_id)


class EditHistory:
    """Undo and redo of everything that changes the voxels of a segmentation.

    What one call inside Slicer changes is one step: call `settle` from a timer, as the panel does, or do something with
    the history, and what came before is closed. Changes that only add to a segment, or only take from it, are steps of
    their own even without that.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    max_steps : int
        At least 20.
    max_bytes : int
        Memory of all steps; of the youngest 20 whatever they take.

    Attributes
    ----------
    listeners : list of callable
        Called with a step and `DONE`, `UNDONE` or `REDONE`, after it. A step that is done is what has changed just now,
        also where it becomes a part of the step before.
    describe_outside : callable
        Returns tool and description of a step that was not made here.
    """

    def __init__(self, segmentation_node: Any, *, max_steps: int = MAX_STEPS, max_bytes: int = MAX_BYTES) -> None:
        self._stack = StepStack(max_steps, max_bytes)
        self.node = segmentation_node
        self.listeners: list[Callable[[EditStep, str], None]] = []
        self.describe_outside: Callable[[], tuple[str, str]] = lambda: (OUTSIDE, "changed outside the vessel tools")
        self._number = 0
        self._before: dict[str, _Known | None] = {}
        self._takes_only: dict[str, bool] = {}
        self._writing = False
        self._known = self._read_all()
        self._to_world = _to_world(self.node)
        self._observed = [self.node.AddObserver(event, self._on_event) for event in _events()]
        transformed = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self._observed.append(self.node.AddObserver(transformed, self._on_transform))
        for event in (slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, slicer.vtkSegmentation.SegmentsOrderModified):
            self._observed.append(self.node.AddObserver(event, lambda caller, event: self._read_appearances()))

    def close(self) -> None:
        """Let go of the segmentation; the steps are forgotten."""
        for tag in self._observed:
            self.node.RemoveObserver(tag)
        self._observed = []
        self._stack.clear()
        self._known, self._before = {}, {}

    @property
    def steps(self) -> list[EditStep]:
        """The steps that can be undone, the oldest first."""
        self.settle()
        return list(self._stack.done)

    @property
    def undone_steps(self) -> list[EditStep]:
        """The steps that can be done again, the next one first."""
        self.settle()
        return list(self._stack.undone)

    @property
    def dropped(self) -> int:
        """Number of the last step that was given up to keep within the limits; 0 if none was."""
        return self._stack.dropped

    @property
    def nbytes(self) -> int:
        """Memory that the steps take, in bytes."""
        return self._stack.nbytes

    def seal(self) -> None:
        """Let undo bring back what there is now, whatever follows: it was saved."""
        self.settle()
        self._stack.seal()

    def voxels(self, segment_id: str) -> SegmentVoxels | None:
        """Return what a segment holds; None if there is no such segment. Must not be written to."""
        known = self._known.get(segment_id)
        return None if known is None else known.voxels

    @contextlib.contextmanager
    def step(
        self,
        tool: str,
        description: str,
        *,
        measures: Mapping[str, float] | None = None,
        companions: list[Companion] | None = None,
    ) -> Iterator[list[EditStep]]:
        """Make all that the block changes one step. If the block fails, what it changed is taken back.

        Parameters
        ----------
        tool, description : str
            As in `Edit`.
        measures : mapping of str to float, optional
            As in `Edit`.
        companions : list of Companion, optional
            What has changed beside voxels and goes with them. May be filled in the block.

        Yields
        ------
        list of EditStep
            Holds the step after the block, unless nothing has changed.
        """
        self.settle()
        companions = [] if companions is None else companions
        made: list[EditStep] = []
        self._writing = True
        try:
            with surfaces_following(self.node):
                try:
                    yield made
                except BaseException:
                    self._collect()
                    failed = self._closed("", "", {}, companions)
                    if failed is not None:
                        failed.undo(self.node)
                        self._refresh()
                    raise
        finally:
            self._writing = False
        self._collect()
        step = self._closed(tool, description, dict(measures or {}), companions)
        if step is not None:
            made.append(step)
        self._keep(step)

    def settle(self) -> bool:
        """Close the step that changes from outside have begun, if there is one; whether there was."""
        if not self._before:
            return False
        automatic = any(
            before is not None
            and segment_id in self._known
            and read_run_tags(self._known[segment_id].segment) != before.tags
            for segment_id, before in self._before.items()
        )
        tool, description = (AUTOMATIC, "new segmentation or threshold") if automatic else self.describe_outside()
        step = self._closed(tool, description, {}, [])
        self._keep(step)
        return step is not None

    def undo(self) -> EditStep:
        """Take the last step back; returns it.

        Raises
        ------
        VesselSegError
            If there is none, or what it changed is gone.
        """
        self.settle()
        if not self._stack.done:
            raise VesselSegError("there is nothing to undo", "edit the segmentation first")
        step = self._stack.done[-1]
        self._restore(step.undo)
        self._stack.step_back()
        self._tell(step, UNDONE)
        return step

    def redo(self) -> EditStep:
        """Do the last undone step again; returns it.

        Raises
        ------
        VesselSegError
            If there is none, or what it changed is gone.
        """
        self.settle()
        if not self._stack.undone:
            raise VesselSegError("there is nothing to redo", "undo a step first")
        step = self._stack.undone[0]
        self._restore(step.redo)
        self._stack.step_on()
        self._tell(step, REDONE)
        return step

    def _restore(self, change: Callable[[Any], None]) -> None:
        self._writing = True
        try:
            with surfaces_following(self.node):
                change(self.node)
        finally:
            self._writing = False
            self._refresh()

    def _tell(self, step: EditStep, what: str) -> None:
        for listener in list(self.listeners):
            listener(step, what)

    def _read_all(self) -> dict[str, _Known]:
        segmentation = self.node.GetSegmentation()
        ids = [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]
        return {segment_id: _Known(self.node, segment_id) for segment_id in ids}

    def _refresh(self) -> None:
        """Know the segments as they are, whatever they were."""
        self._collect()
        self._before, self._takes_only = {}, {}
        for known in self._known.values():
            known.tags = read_run_tags(known.segment)

    def _on_event(self, caller: Any, event: Any) -> None:
        scene = self.node.GetScene()
        if self._writing or scene is None or scene.IsClosing():
            return
        matrix = self._hardened()
        if matrix is not None:
            # The steps go along: no undo may bring a segment back from where the transform has put it.
            self.settle()
            self._stack.move(matrix)
            self._known = self._read_all()
        self._collect()

    def _read_appearances(self) -> None:
        for known in self._known.values():
            known.appearance.read(self.node)

    def _on_transform(self, caller: Any, event: Any) -> None:
        self._on_event(caller, event)
        self._to_world = _to_world(self.node)

    def _hardened(self) -> NDArray[np.float64] | None:
        """Return the matrix of a transform that was hardened just now, of which no event tells; None if none was."""
        matrix, moved = self._to_world, False
        if matrix is None or np.allclose(matrix, np.eye(4)):
            return None
        for segment_id, known in self._known.items():
            if self.node.GetSegmentation().GetSegment(segment_id) is not known.segment:
                return None
            now, before = image_matrix(self.node, segment_id), known.voxels.matrix
            if np.allclose(now, before):
                if known.voxels.is_empty:
                    continue  # without an image there is nothing to move
                return None
            if not np.allclose(now, matrix @ before):
                return None
            moved = True
        return matrix if moved else None

    def _collect(self) -> None:
        """Compare the segments with what is known of them; from now on they are known as they are."""
        segmentation = self.node.GetSegmentation()
        present = [str(segmentation.GetNthSegmentID(index)) for index in range(segmentation.GetNumberOfSegments())]
        for segment_id in [each for each in self._known if each not in present]:
            self._before.setdefault(segment_id, self._known.pop(segment_id))
        changed: list[tuple[str, _Known, _Known]] = []
        for segment_id in present:
            known = self._known.get(segment_id)
            if known is None:
                self._before.setdefault(segment_id, None)
                self._known[segment_id] = _Known(self.node, segment_id)
                continue
            same_segment = known.segment is segmentation.GetSegment(segment_id)
            if same_segment and known.time == image_time(self.node, segment_id):
                if segment_id not in self._before:
                    known.tags = read_run_tags(known.segment)  # another run may have found the same voxels
                continue
            now = _Known(self.node, segment_id)
            if same_voxels(known.voxels, now.voxels):
                self._known[segment_id] = now
            else:
                changed.append((segment_id, known, now))
        takes_only = {segment_id: _takes_only(known, now) for segment_id, known, now in changed}
        # A value changes where layers are put together or apart, as when 3D Slicer writes a segmentation: the image
        # comes first and then the value, and in between a segment shows the voxels of another one.
        same_value = {segment_id for segment_id, known, now in changed if known.time[1] == now.time[1]}
        if not self._writing and self._ends_action({each: takes_only[each] for each in same_value}):
            self.settle()
        self._takes_only.update(takes_only)
        for segment_id, known, now in changed:
            self._before.setdefault(segment_id, known)
            self._known[segment_id] = now
        self._read_appearances()

    def _ends_action(self, takes_only: Mapping[str, bool]) -> bool:
        """Tell whether changes cannot belong to the open step.

        Slicer replaces a segment by taking voxels away and then adding others; nothing else that it does in one go
        changes the same segment twice.
        """
        former = self._takes_only
        return any(each in former and (takes or not former[each]) for each, takes in takes_only.items())

    def _closed(
        self, tool: str, description: str, measures: dict[str, float], companions: list[Companion]
    ) -> EditStep | None:
        """Make a step of what has changed since the last one; None if nothing has."""
        before, self._before, self._takes_only = self._before, {}, {}
        changes: list[VoxelChange | GridChange | SegmentPresence] = []
        tags: list[Companion] = []
        for segment_id, was in before.items():
            now = self._known.get(segment_id)
            if was is not None and now is not None:
                edit = edit_of_change(was.voxels, now.voxels, tool, description)
                if edit is None:
                    changes.append(GridChange(segment_id, was.voxels.packed(), now.voxels.packed()))
                elif not edit.is_empty:
                    matrix = was.voxels.matrix if now.voxels.is_empty else now.voxels.matrix
                    changes.append(VoxelChange(segment_id, matrix, edit.packed()))
                now.tags = read_run_tags(now.segment)
                if now.tags != was.tags:
                    tags.append(TagChange(segment_id, was.tags, now.tags))
            elif was is not None or now is not None:
                held = was if was is not None else now
                if held is not None:
                    packed, appearance = held.voxels.packed(), held.appearance
                    changes.append(SegmentPresence(segment_id, held.segment, packed, was is None, appearance))
        if not changes and not companions:
            return None
        self._number += 1
        return EditStep(self._number, tool, description, measures, changes, [*companions, *tags])

    def _keep(self, step: EditStep | None) -> None:
        if step is not None:
            self._stack.push(step)
            self._tell(step, DONE)


def _takes_only(before: _Known, after: _Known) -> bool:
    edit = edit_of_change(before.voxels, after.voxels, "", "")
    return edit is not None and not edit.added.any()


def voxel_edits(step: EditStep, segment_id: str) -> list[tuple[Edit, Any]]:
    """Return the edits of a segment in a step, each with the matrix of its lattice."""
    return [
        (change.edit.unpacked(), change.matrix)
        for change in step.changes
        if isinstance(change, VoxelChange) and change.segment_id == segment_id
    ]


def _to_world(node: Any) -> NDArray[np.float64] | None:
    with contextlib.suppress(VesselSegError):
        return matrix_to_world(node)
    return None


def _events() -> list[int]:
    segmentation = slicer.vtkSegmentation
    # vtkSegmentationHistory says no more than that the segments were modified.
    return [
        segmentation.SourceRepresentationModified,
        segmentation.SegmentModified,
        segmentation.SegmentAdded,
        segmentation.SegmentRemoved,
        slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent,
    ]
