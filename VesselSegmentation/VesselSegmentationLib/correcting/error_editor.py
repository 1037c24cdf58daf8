"""Errors of a comparison decided one by one or many at once: the label and what the reader said go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.editing import Edit, correct_component, correct_components, correct_error_at, edit_of, select_components
from vesselseg.errors import VesselSegError
from vesselseg.plain_text import counted
from vesselseg.review.error_components import ErrorComponent, component_mask
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.reviewing.component_marks import (
    ACCEPTED,
    DECISIONS,
    REJECTED,
    Mark,
    put_marks,
    read_marks,
    set_marks,
)

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
    from VesselSegmentationLib.scene.label_source import LabelSource

#: Polls of a comparison after which map and list have had their turn.
_POLLS = 4


@dataclass(frozen=True)
class MarkChange:
    """What was said about errors before and after a step; goes with its voxels.

    Parameters
    ----------
    map_node : vtkMRMLSegmentationNode
        The error map.
    before, after : mapping
        Marks by the IDs of their components; None where there is none.
    """

    map_node: Any
    before: Mapping[str, Mark | None]
    after: Mapping[str, Mark | None]

    def undo(self, segmentation_node: Any) -> None:
        """Bring back what was said before."""
        self._put(self.before)

    def redo(self, segmentation_node: Any) -> None:
        """Bring back what was said after."""
        self._put(self.after)

    def _put(self, marks: Mapping[str, Mark | None]) -> None:
        if self.map_node.GetScene() is not None:  # a map that was removed took its marks along
            put_marks(self.map_node, marks)


@dataclass(frozen=True)
class BatchPreview:
    """Many errors that would be corrected in one step.

    Parameters
    ----------
    components : tuple of ErrorComponent
        Which.
    edit : Edit
        What would be done; of a size of 0 if there are none.
    rejected, in_veins : int
        How many such errors are left out: the reader has rejected them, or has named most of what is missing as a vein.
    """

    components: tuple[ErrorComponent, ...]
    edit: Edit
    rejected: int = 0
    in_veins: int = 0

    @property
    def left_out(self) -> str:
        """How many are left out and why, for people; empty if none are."""
        reasons = ((self.rejected, "rejected"), (self.in_veins, "in veins"))
        return ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)

    @property
    def text(self) -> str:
        """What it is, in a line for people."""
        positives = sum(component.kind == ErrorKind.FALSE_POSITIVE for component in self.components)
        volume = sum(component.volume_mm3 for component in self.components)
        negatives = len(self.components) - positives
        remove, add = counted(positives, "false positive"), counted(negatives, "false negative")
        left_out = f"; left out: {self.left_out}" if self.left_out else ""
        return f"{remove} to remove, {add} to add, {volume:.1f} mm³{left_out}"


class ErrorEditor:
    """Correct what a comparison shows.

    A false positive is taken out of the segmentation, a false negative is taken over from the reference; the error is
    then marked as accepted: the reader agreed that it is one. Rejected means that the reference is wrong: the
    segmentation stays as it is. Both are one step, and undoing it brings back voxels and marks.

    Parameters
    ----------
    target : EditTarget
        What is edited.
    review : ReviewLogic
        What is compared: the first of its labels must be the one that is edited.
    """

    def __init__(self, target: EditTarget, review: ReviewLogic) -> None:
        self._target, self._review = target, review
        self._changed: set[str] = set()

    @property
    def applies(self) -> bool:
        """Whether what is compared is what is edited, on the same scan."""
        error_map = self._review.error_map
        return error_map is not None and self._on_this_scan(error_map) and self._of_this_label(error_map)

    @property
    def reference(self) -> LabelSource | None:
        """What the edited label is compared with; None if it is not."""
        error_map = self._review.error_map
        return error_map.sources[1] if error_map is not None and self.applies else None

    def _on_this_scan(self, error_map: ErrorMapNode) -> bool:
        # Indices of its voxels would mean other places, where they do not lie outside.
        return error_map.volume_node is self._target.volume_node

    def _of_this_label(self, error_map: ErrorMapNode) -> bool:
        if error_map.sources[0].node is not self._target.node:
            return False
        compared, edited = error_map.sources[0].segment_ids(), self._target.segment_id
        return {edited} <= {*compared} <= {edited, *self._target.parts()}

    def take_changes(self) -> set[str]:
        """Return what `ReviewLogic.poll` has said here, and to nobody else, since the last time."""
        changed, self._changed = self._changed, set()
        return changed

    def components(self) -> list[ErrorComponent]:
        """Return the errors, what matters most first; the map is brought up to date before."""
        self._map()
        navigator = self._review.navigator
        return [] if navigator is None else list(navigator.components)

    def preview(self, component_id: str) -> Edit:
        """Return what correcting an error would do.

        Raises
        ------
        VesselSegError
            If there is no such error any more, or another label is compared.
        """
        errors = self._map().errors
        return correct_component(self._label(), errors.array, errors.geometry, self._find(component_id))

    def preview_at(self, point: tuple[float, float, float]) -> Edit:
        """Return what correcting the error at a click (mm, RAS of the world) would do; raises as `preview`."""
        errors = self._map().errors
        voxel = self._target.voxel_of(point)
        return correct_error_at(self._label(), errors.array, errors.geometry, voxel)

    def decide(self, component_id: str, decision: str, reader: str) -> EditStep | None:
        """Say what an error is, and correct it if it was accepted; one step.

        Parameters
        ----------
        component_id : str
        decision : str
            One of `component_marks.DECISIONS`.
        reader : str
            Name of the reader.

        Raises
        ------
        VesselSegError
            As `preview`.
        """
        if decision not in DECISIONS:
            raise ValueError(f"decision must be one of {', '.join(DECISIONS)}, not '{decision}'")
        if decision == ACCEPTED:
            return self._commit(self.preview(component_id), [self._find(component_id)], decision, reader)
        self._map()
        component = self._find(component_id)
        nothing = np.zeros((0, 0, 0), bool)
        edit = edit_of(
            nothing, nothing, tool=f"mark {decision}", description=f"{component.kind.title} {decision}, label kept"
        )
        return self._commit(edit, [component], decision, reader)

    def correct_at(
        self, point: tuple[float, float, float], reader: str, *, previewed: Edit | None = None
    ) -> EditStep | None:
        """Accept the error at a click and correct it; one step.

        Parameters
        ----------
        point : tuple of float
            The click, in mm, RAS of the world.
        reader : str
            Name of the reader.
        previewed : Edit, optional
            What `preview_at` returned for the click, and was shown: nothing else is done.

        Raises
        ------
        VesselSegError
            As `preview`; also if correcting the error that is there now would do something else than was shown.
        """
        edit = self.preview_at(point)
        if previewed is not None:
            self._target.check_whole(previewed)
            if not _same_voxels(edit, previewed):
                raise VesselSegError("the error at the click is another one than was shown", "click on it again")
        box = tuple((part.start, part.stop - 1) for part in edit.box[::-1])
        kind = ErrorKind.FALSE_POSITIVE if edit.removed.any() else ErrorKind.FALSE_NEGATIVE
        voxels = edit.voxels_added + edit.voxels_removed
        listed = [
            component
            for component in self.components()
            if component.kind == kind and component.voxels == voxels and tuple(zip(*component.box)) == box
        ]
        return self._commit(edit, listed[:1], ACCEPTED, reader)

    def preview_batch(
        self,
        *,
        kind: ErrorKind | None = None,
        below_mm3: float | None = None,
        at_least_mm3: float | None = None,
        rims: bool | None = None,
        outside_brain: bool = False,
    ) -> BatchPreview:
        """Choose errors that all conditions hold for, and return what correcting them would do.

        What the reader has decided is not overruled: errors that were rejected are left out, and what the reference has
        in vessels that were named as veins.

        Parameters
        ----------
        kind, below_mm3, at_least_mm3, rims
            As for `vesselseg.editing.select_components`.
        outside_brain : bool
            Only those whose centre is outside the brain mask of the comparison.

        Raises
        ------
        VesselSegError
            If no brain mask is known, or another label is compared.
        """
        errors = self._map().errors
        brain = None
        if outside_brain:
            mask = self._review.mask()
            if mask is None:
                raise VesselSegError("no brain mask is known", "choose one for the comparison")
            brain = mask.array
        chosen = select_components(
            self.components(),
            errors.geometry,
            kind=kind,
            below_mm3=below_mm3,
            at_least_mm3=at_least_mm3,
            rims=rims,
            outside=brain,
        )
        rejected, in_veins = self._rejected(chosen), self._in_veins(chosen, errors)
        taken = tuple(each for each in chosen if each.component_id not in rejected | in_veins)
        if taken:
            edit = correct_components(self._label(), errors.array, errors.geometry, taken)
        else:
            nothing = np.zeros((0, 0, 0), bool)
            edit = edit_of(nothing, nothing, tool="correct errors", description="no such errors")
        return BatchPreview(taken, edit, len(rejected), len(in_veins - rejected))

    def commit_batch(self, batch: BatchPreview, reader: str) -> EditStep | None:
        """Accept and correct all errors of a preview, as one step.

        Raises
        ------
        VesselSegError
            If there are none, or the label has changed since.
        """
        if not batch.components:
            raise VesselSegError("there are no such errors", "choose other limits")
        return self._commit(batch.edit, batch.components, ACCEPTED, reader)

    def _commit(self, edit: Edit, components: Sequence[ErrorComponent], decision: str, reader: str) -> EditStep | None:
        self._target.check_whole(edit)
        if decision == ACCEPTED and edit.is_empty:
            # It would be marked as corrected, and still be there.
            raise VesselSegError("correcting this would leave the label as it is", "compare the segment that you edit")
        node = self._map().node
        before = read_marks(node)
        old = {component.component_id: before.get(component.component_id) for component in components}
        marks = set_marks(node, components, decision, reader)
        change = MarkChange(node, old, {mark.component_id: mark for mark in marks})
        try:
            return self._target.commit(self._target.shares(edit), edit, [change] if marks else [])
        except BaseException:
            put_marks(node, old)
            raise

    def _rejected(self, components: Sequence[ErrorComponent]) -> set[str]:
        """Return the IDs of those that the reader has rejected as they are now."""
        navigator = self._review.navigator
        marks = {} if navigator is None else navigator.current_marks()
        ids = {component.component_id for component in components}
        return {name for name, mark in marks.items() if name in ids and mark.decision == REJECTED}

    def _in_veins(self, components: Sequence[ErrorComponent], errors: Volume) -> set[str]:
        """Return the IDs of those that are missing because most of them was named as a vein."""
        veins, found = self._target.apart(), set()
        for component in components:
            if veins and component.kind == ErrorKind.FALSE_NEGATIVE:
                box, mask = component_mask(errors.array, errors.geometry, component)
                in_veins = mask & np.any([self._target.in_box(each, box) for each in veins], axis=0)
                if 2 * np.count_nonzero(in_veins) > component.voxels:
                    found.add(component.component_id)
        return found

    def _label(self) -> NDArray[np.uint8]:
        """Return what is compared: the segment that is edited, with the arteries that were taken out of it by name."""
        self._target.history.settle()
        return self._target.whole_label()

    def _map(self) -> ErrorMapNode:
        """Return the error map, as the labels are now."""
        self._target.history.settle()
        for _ in range(_POLLS):
            # Without the metrics: a worker that fails to measure is no reason to lose the reader's decision.
            changed = self._review.poll(metrics=False)
            self._changed |= changed
            if not changed:
                break
        error_map = self._review.error_map
        if error_map is None:
            raise VesselSegError("nothing is compared", "choose a reference first")
        if not self._of_this_label(error_map):
            raise VesselSegError(
                "the label that is compared is not the one that is edited", "compare the segment that you edit"
            )
        if not self._on_this_scan(error_map):
            raise VesselSegError("the labels are compared on another scan", "compare them on the one that you edit on")
        return error_map

    def _find(self, component_id: str) -> ErrorComponent:
        for component in self.components():
            if component.component_id == component_id:
                return component
        raise VesselSegError(f"there is no component '{component_id}' any more", "choose one from the list")


def _same_voxels(one: Edit, other: Edit) -> bool:
    return (
        one.box == other.box and np.array_equal(one.added, other.added) and np.array_equal(one.removed, other.removed)
    )
