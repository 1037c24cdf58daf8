"""Correcting a segmentation: vessel tools, one history of all edits, the log of them, and the copy against crashes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.comparison import on_grid_of
from vesselseg.editing import (
    Edit,
    Growth,
    TracedPath,
    draw_path,
    prepare_growth,
    remove_branch,
    remove_piece,
    rethreshold,
    trace_path,
)
from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.artery_editor import ArteryEditor
from VesselSegmentationLib.correcting.autosave import Autosave
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC, DONE, OUTSIDE
from VesselSegmentationLib.correcting.edit_log import EditLog
from VesselSegmentationLib.correcting.edit_preview import EditPreview
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.correcting.error_editor import ErrorEditor
from VesselSegmentationLib.correcting.original import keep_original
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import present_probability
from VesselSegmentationLib.scene.segmentation_nodes import vessel_segment
from VesselSegmentationLib.scene.volume_nodes import volume_from_node

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic

#: A place in mm, RAS of the world, as the views have it.
Place = tuple[float, float, float]
#: In place of the number of the last step that was saved: what the segmentation came with was not.
_NEVER_SAVED = -1


class EditLogic:
    """Everything that the panel does to correct a segmentation, without a window.

    A `preview_` method says what a tool would do and changes nothing; `commit` does it, as one step. Strokes of Segment
    Editor and changes by scripts are steps of the same history. A front end calls `poll` a few times a second.

    Parameters
    ----------
    scene : vtkMRMLScene
    reader : str
        Who edits, for the log.
    autosave_folder : path-like, optional
        Folder for temporary files, in which edits are saved against crashes; without it they are not.

    Attributes
    ----------
    target : EditTarget or None
        What is edited; None before `start` and after `stop`.
    log : EditLog or None
        What has been done.
    errors : ErrorEditor or None
        Correcting what a comparison shows; None unless one was given.
    arteries : ArteryEditor or None
        Naming branches.
    preview : EditPreview
        What is shown before it is done.
    """

    def __init__(self, scene: Any, *, reader: str = "", autosave_folder: str | os.PathLike[str] | None = None) -> None:
        self.scene = scene
        self.reader = reader
        self.preview = EditPreview(scene)
        self.target: EditTarget | None = None
        self.log: EditLog | None = None
        self.errors: ErrorEditor | None = None
        self.arteries: ArteryEditor | None = None
        self._autosave_folder = autosave_folder
        self._autosave: Autosave | None = None
        #: Segmentations that were left with edits that are not saved, with the copies of them.
        self._left: dict[Any, Autosave | None] = {}
        self._probability_node: Any = None
        self._probability: tuple[int, Volume] | None = None
        self._metrics: dict[str, float] | None = None
        self._saved_number = 0

    def start(
        self,
        segmentation_node: Any,
        volume_node: Any = None,
        *,
        segment_id: str | None = None,
        probability_node: Any = None,
        reference: LabelSource | None = None,
        review: ReviewLogic | None = None,
    ) -> None:
        """Begin to edit a segment. What was edited before is left, as `leave` does.

        A segmentation that was left with edits that are not saved still has them: see `unsaved_edits`.

        Parameters
        ----------
        segmentation_node : vtkMRMLSegmentationNode
        volume_node : vtkMRMLScalarVolumeNode, optional
            The scan; the default is the one that belongs to the segmentation.
        segment_id : str, optional
            The default is the segment with the vessels that were found, else the only one.
        probability_node : vtkMRMLScalarVolumeNode, optional
            The default is the one that belongs to the segmentation at the time; also once this one is removed.
        reference : LabelSource, optional
            For the metrics in the log; the default is the one of the comparison.
        review : ReviewLogic, optional
            The comparison of this segment, for `errors`.

        Raises
        ------
        VesselSegError
            If segment or scan do not fit, or what was edited before cannot be saved against crashes.
        """
        if segmentation_node is None or not segmentation_node.IsA("vtkMRMLSegmentationNode"):
            raise VesselSegError("no segmentation is chosen", "segment the scan, or choose a segmentation")
        volume_node = volume_node or scan_of(segmentation_node)
        segment_id = segment_id or _segment_to_edit(segmentation_node)
        if reference is None and review is not None and review.error_map is not None:
            first, second = review.error_map.sources
            reference = second if first.node is segmentation_node else None
        self.leave()
        target = EditTarget(segmentation_node, segment_id, volume_node, reference)
        try:
            self.log = EditLog(segmentation_node)
            self._metrics = target.metrics()
            if segmentation_node not in self._left and self._autosave_folder is not None:
                self._autosave = Autosave(self._autosave_folder, target.history, volume_node)
        except VesselSegError:
            target.close()
            raise
        if segmentation_node in self._left:
            self._saved_number = _NEVER_SAVED
            self._autosave = self._left.pop(segmentation_node)
            if self._autosave is not None:
                self._autosave.resume(target.history, volume_node)
        target.history.describe_outside = self._describe_outside
        target.history.listeners.append(self._on_step)
        self._probability_node = probability_node
        self.target = target
        self.arteries = ArteryEditor(target)
        self.errors = None if review is None else ErrorEditor(target, review)

    def leave(self) -> None:
        """Let go of what is edited; its history is forgotten. Edits that are not saved are not: see `unsaved_nodes`.

        Raises
        ------
        VesselSegError
            If they cannot be saved against crashes; they are let go of all the same.
        """
        self._let_go(remember=self.unsaved_edits)

    def stop(self, *, keep_autosave: bool = False) -> None:
        """Let go of the scene. Ask first if there are `unsaved_nodes`.

        Parameters
        ----------
        keep_autosave : bool
            Whether edits that are not saved are saved against crashes now, to be offered later; else they are lost.

        Raises
        ------
        VesselSegError
            As `leave`.
        """
        try:
            self._let_go(remember=keep_autosave and self.unsaved_edits)
        finally:
            left, self._left = [autosave for autosave in self._left.values() if autosave is not None], {}
            with contextlib.ExitStack() as stack:
                for autosave in left:
                    stack.callback(autosave.close, keep=keep_autosave)
                for autosave in left if keep_autosave else []:
                    autosave.catch_up()

    def _let_go(self, *, remember: bool) -> None:
        self.preview.remove()
        target, autosave = self.target, self._autosave
        try:
            if remember:
                self.save_against_crash()
        finally:
            if target is not None:
                if remember:
                    self._left[target.node] = autosave
                target.close()
            if autosave is not None:
                (autosave.pause if remember else autosave.close)()
            self.target = self.log = self.errors = self.arteries = self._autosave = None
            self._probability_node = self._probability = self._metrics = None
            self._saved_number = 0

    def poll(self) -> None:
        """Notice what others have changed, and save against crashes if it is time; returns at once.

        Raises
        ------
        VesselSegError
            If saving failed; editing goes on.
        """
        if self.target is None or self.scene.IsClosing():
            return
        self.target.history.settle()
        if self._autosave is not None:
            self._autosave.poll()

    def preview_remove_piece(self, point: Place, *, segment_id: str | None = None) -> Edit:
        """Return the edit that removes the connected piece at a click; see `vesselseg.editing.remove_piece`.

        Parameters
        ----------
        point : tuple of float
        segment_id : str, optional
            From a named vessel (see `ArteryEditor.segment_at`); from the segment that is edited unless given.
        """
        target = self._target()
        return remove_piece(self._label_of(segment_id), target.geometry, target.voxel_of(point))

    def preview_remove_branch(
        self, point: Place, *, at_click: bool = False, other_side: bool = False, segment_id: str | None = None
    ) -> Edit:
        """Return the edit that removes a branch from the fork, or from the click, on.

        Parameters
        ----------
        point : tuple of float
        at_click, other_side : bool
            As for `vesselseg.editing.remove_branch`.
        segment_id : str, optional
            As for `preview_remove_piece`.
        """
        target = self._target()
        voxel, label = target.voxel_of(point), self._label_of(segment_id)
        return remove_branch(label, target.geometry, voxel, at_click=at_click, other_side=other_side)

    def prepare_growth(self, point: Place, *, length_mm: float = 20.0) -> Growth:
        """Return what can grow from a click, to be tried at one threshold after another with `Growth.edit`."""
        target = self._target()
        probability = self._needed_probability()
        voxel = target.voxel_of(point)
        return prepare_growth(self._all_vessels(), probability, target.geometry, voxel, length_mm=length_mm)

    def preview_grow(self, point: Place, *, threshold: float | None = None, length_mm: float = 20.0) -> Edit:
        """Return the edit that adds what hangs together with a click; see `vesselseg.editing.grow`."""
        growth = self.prepare_growth(point, length_mm=length_mm)
        return growth.edit(growth.suggested_threshold if threshold is None else threshold)

    def trace_path(self, points: Sequence[Place]) -> TracedPath:
        """Return the path of least cost through clicks, to be drawn with `preview_path`."""
        target = self._target()
        voxels = [target.voxel_of(point) for point in points]
        probability = self.probability()
        return trace_path(
            self._all_vessels(),
            target.geometry,
            voxels,
            scan=volume_from_node(target.volume_node).array,
            probability=None if probability is None else probability.array,
        )

    def preview_path(self, path: TracedPath, *, radius_mm: float | None = None) -> Edit:
        """Return the edit that draws a traced path; see `vesselseg.editing.draw_path`."""
        target = self._target()
        return draw_path(self._all_vessels(), target.geometry, path, radius_mm=radius_mm)

    def preview_trace(self, points: Sequence[Place], *, radius_mm: float | None = None) -> Edit:
        """Return the edit that draws a vessel through clicks: `trace_path`, then `preview_path`."""
        return self.preview_path(self.trace_path(points), radius_mm=radius_mm)

    def preview_threshold_brush(
        self,
        point: Place,
        threshold: float,
        *,
        radius_mm: float = 5.0,
        adds: bool = True,
        removes: bool = True,
        segment_id: str | None = None,
    ) -> Edit:
        """Return the edit that thresholds the probability anew in a sphere; see `vesselseg.editing.rethreshold`.

        Parameters
        ----------
        point : tuple of float
        threshold, radius_mm, adds, removes
            As for `vesselseg.editing.rethreshold`.
        segment_id : str, optional
            As for `preview_remove_piece`; what belongs to other segments stays theirs.
        """
        target, probability = self._target(), self._needed_probability()
        options = {"threshold": threshold, "radius_mm": radius_mm}
        voxel, vessels = target.voxel_of(point), self._all_vessels()
        edit = rethreshold(vessels, probability, target.geometry, voxel, adds=adds, removes=removes, **options)
        return replace(edit, removed=edit.removed & (self._label_of(segment_id)[edit.box] != 0))

    def show_preview(self, edit: Edit, *, three_d: bool = True, kept: bool = False) -> None:
        """Show what an edit would do, or what it would keep; `commit`, `undo`, `redo` and `preview.remove` end it."""
        target = self._target()
        self.preview.show(edit, target.geometry, target.volume_node, three_d=three_d, kept=kept)

    def commit(self, edit: Edit, *, segment_id: str | None = None) -> EditStep | None:
        """Do an edit, as one step; None if it changes nothing.

        Parameters
        ----------
        edit : Edit
        segment_id : str, optional
            The segment from which it was made; the one that is edited unless given.

        Raises
        ------
        VesselSegError
            If the label has changed since the edit was made.
        """
        target = self._target()
        self.preview.remove()
        target.check(edit, segment_id)
        return target.commit({segment_id or target.segment_id: edit}, edit)

    def undo(self) -> EditStep:
        """Take the last step back, whoever made it; returns it. A `VesselSegError` if there is none."""
        self.preview.remove()
        return self._target().history.undo()

    def redo(self) -> EditStep:
        """Do the last undone step again; returns it. A `VesselSegError` if there is none."""
        self.preview.remove()
        return self._target().history.redo()

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return self.target is not None and bool(self.target.history.steps)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return self.target is not None and bool(self.target.history.undone_steps)

    @property
    def state(self) -> tuple[int, int]:
        """What is other after every step, undo and redo: the numbers of the last step and of the next one to redo."""
        undone = [] if self.target is None else self.target.history.undone_steps
        return self._last_number(), undone[0].number if undone else 0

    @property
    def unsaved_edits(self) -> bool:
        """Whether the segmentation is other than when it was saved last (see `mark_saved`), or than at `start`.

        Before the first edit, the model and thresholds may change it as they like: that is soon done again.
        """
        if self.target is None or self._last_number() == self._saved_number:
            return False
        return self._saved_number != 0 or any(step.tool != AUTOMATIC for step in self.target.history.steps)

    @property
    def unsaved_nodes(self) -> list[Any]:
        """The segmentations with edits that are not saved: the one that is edited, and those that were left."""
        edited = [self.target.node] if self.target is not None and self.unsaved_edits else []
        return [*edited, *self._left]

    def changed_only(self, segment_ids: Collection[str]) -> bool:
        """Whether nothing but some segments was edited; of edits that were made before `start` any may have been."""
        target = self.target
        if target is None:
            return False
        changed = {change.segment_id for step in target.history.steps for change in step.changes}
        if self._saved_number == _NEVER_SAVED:
            changed.update(map(str, target.node.GetSegmentation().GetSegmentIDs()))
        return changed <= set(segment_ids)

    @property
    def only_voxels(self) -> bool:
        """Whether the label holds all that was done: no vessel was named, and no error only decided about.

        Of edits that were made before `start` that is not known.
        """
        target = self.target
        if target is None or self._saved_number == _NEVER_SAVED:
            return False
        steps = target.history.steps
        return all({change.segment_id for change in step.changes} == {target.segment_id} for step in steps)

    def measure_against(self, reference: LabelSource | None) -> None:
        """Take another reference for the metrics in the log, or none, from the next step on; the history stays."""
        target = self._target()
        target.reference = reference
        self._metrics = target.metrics()

    def mark_saved(self, segmentation_node: Any = None) -> None:
        """Say that a segmentation has been saved as it is: what was kept against crashes is removed.

        Parameters
        ----------
        segmentation_node : vtkMRMLSegmentationNode, optional
            One of `unsaved_nodes`; the default is the one that is edited.
        """
        if segmentation_node in self._left:
            autosave = self._left.pop(segmentation_node)
            if autosave is not None:
                autosave.close()
            return
        self._saved_number = self._last_number()
        if self._autosave is not None:
            self._autosave.forget()

    def mark_unsaved(self, edits: int) -> None:
        """Say that the segmentation has come with a number of edits that were never saved: a crash has left them."""
        self._saved_number = _NEVER_SAVED
        if self._autosave is not None:
            self._autosave.note_edits(edits)

    def save_against_crash(self) -> None:
        """Save edits against crashes at once, and wait; nothing happens without a folder for it."""
        if self._autosave is not None:
            self._autosave.save_now()

    def probability(self) -> Volume | None:
        """Return the stored probability on the grid of the scan; None if there is none."""
        target = self._target()
        node = present_probability(self.scene, self._probability_node, target.node)
        if node is None or node.GetImageData() is None:
            return None
        state = int(node.GetImageData().GetMTime())
        if self._probability is None or self._probability[0] != state:
            grid = volume_from_node(target.volume_node)
            self._probability = state, on_grid_of(volume_from_node(node), grid, what="the probability", of="the scan")
        return self._probability[1]

    def _needed_probability(self) -> NDArray[np.floating]:
        probability = self.probability()
        if probability is None:
            raise VesselSegError(
                "the probability of this segmentation is not in the scene", "segment the scan again, or trace by clicks"
            )
        return probability.array

    def _label_of(self, segment_id: str | None) -> NDArray[np.uint8]:
        target = self._target()
        return target.label() if segment_id is None else target.label_of(segment_id)

    def _all_vessels(self) -> NDArray[np.uint8]:
        target = self._target()
        return target.label() if self.arteries is None else self.arteries.all_vessels()

    def _target(self) -> EditTarget:
        if self.target is None:
            raise VesselSegError("nothing is edited", "choose a segmentation first")
        return self.target

    def _last_number(self) -> int:
        steps = [] if self.target is None else self.target.history.steps
        return steps[-1].number if steps else 0

    def _on_step(self, step: EditStep, what: str) -> None:
        target, log = self.target, self.log
        if target is None or log is None:
            return
        if what == DONE and step.tool != AUTOMATIC and target.segment_id in step.counts():
            # No reason to lose the step either: what lies under a warping transform is on no grid of the scan.
            with contextlib.suppress(VesselSegError):
                before = target.before(step)
                if before is not None:
                    keep_original(target.node, target.segment_id, target.volume_node, before)
        metrics = None
        with contextlib.suppress(VesselSegError):  # a reference that is gone is no reason to lose the step
            metrics = target.metrics()
        log.add(step, what, reader=self.reader, metrics_before=self._metrics, metrics_after=metrics)
        self._metrics = metrics

    def _describe_outside(self) -> tuple[str, str]:
        """Name the effect of Segment Editor that is active on the segmentation, if there is one."""
        target = self._target()
        for index in range(self.scene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode")):
            node = self.scene.GetNthNodeByClass(index, "vtkMRMLSegmentEditorNode")
            if node.GetSegmentationNode() is target.node and node.GetActiveEffectName():
                name = f"Segment Editor: {node.GetActiveEffectName()}"
                return name, "a stroke or command of Segment Editor"
        return OUTSIDE, "changed outside the vessel tools"


def scan_of(segmentation_node: Any) -> Any:
    """Return the scan that belongs to a segmentation; a `VesselSegError` if it is not known."""
    node = segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())
    if node is None or node.GetImageData() is None:
        raise VesselSegError(
            f"it is not known to which scan '{segmentation_node.GetName()}' belongs", "choose the scan"
        )
    return node


def _segment_to_edit(segmentation_node: Any) -> str:
    segment_id = vessel_segment(segmentation_node)
    if segment_id is None:
        raise VesselSegError(
            f"it is not known which segment of '{segmentation_node.GetName()}' to edit", "choose a segment"
        )
    return segment_id
