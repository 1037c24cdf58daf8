"""Correcting a segmentation: vessel tools, one history of all edits, the log of them, and the copy against crashes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vesselseg.editing import Edit
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting.artery_editor import ArteryEditor
from VesselSegmentationLib.correcting.edit_history import AUTOMATIC, DONE, OUTSIDE
from VesselSegmentationLib.correcting.edit_log import EditLog
from VesselSegmentationLib.correcting.edit_preview import EditPreview
from VesselSegmentationLib.correcting.edit_steps import EditStep
from VesselSegmentationLib.correcting.edit_target import EditTarget
from VesselSegmentationLib.correcting.error_editor import ErrorEditor
from VesselSegmentationLib.correcting.original import keep_original
from VesselSegmentationLib.correcting.unsaved_edits import UnsavedEdits
from VesselSegmentationLib.correcting.vessel_edits import VesselEdits
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.scene_nodes import nodes_of_class, reference_scan
from VesselSegmentationLib.scene.segmentation_nodes import vessel_segment

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic


class EditLogic(VesselEdits):
    """Everything that the panel does to correct a segmentation, without a window.

    A `preview_` method of `VesselEdits` says what a tool would do and changes nothing; `commit` does it, as one step.
    Strokes of Segment Editor and changes by scripts are steps of the same history. A front end calls `poll` a few times
    a second.

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
        super().__init__(scene)
        self.reader = reader
        self.preview = EditPreview(scene)
        self.log: EditLog | None = None
        self.errors: ErrorEditor | None = None
        self._unsaved = UnsavedEdits(autosave_folder)
        self._metrics: dict[str, float] | None = None

    def start(
        self,
        segmentation_node: Any,
        volume_node: Any = None,
        *,
        segment_id: str | None = None,
        probability_node: Any = None,
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
        review : ReviewLogic, optional
            The comparison of this segment, for `errors` and for the metrics in the log; see `measure_against`.

        Raises
        ------
        VesselSegError
            If segment or scan do not fit, or what was edited before cannot be saved against crashes.
        """
        if segmentation_node is None or not segmentation_node.IsA("vtkMRMLSegmentationNode"):
            raise VesselSegError("no segmentation is chosen", "segment the scan, or choose a segmentation")
        volume_node = volume_node or scan_of(segmentation_node)
        segment_id = segment_id or _segment_to_edit(segmentation_node)
        self.leave()
        target = EditTarget(segmentation_node, segment_id, volume_node)
        arteries = ArteryEditor(target)  # tells what is compared with its parts
        errors = None if review is None else ErrorEditor(target, review)
        target.reference = None if errors is None else errors.reference
        try:
            self.log = EditLog(segmentation_node, target.whole_label())
            self._metrics = target.metrics()
            self._unsaved.begin(target.history, volume_node)
        except VesselSegError:
            target.close()
            raise
        target.history.describe_outside = self._describe_outside
        target.history.listeners.append(self._on_step)
        self._probability_node = probability_node
        self.target = target
        self.arteries = arteries
        self.errors = errors

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
            self._unsaved.forget_left(keep_autosave=keep_autosave)

    def _let_go(self, *, remember: bool) -> None:
        self.preview.remove()
        try:
            if remember:
                self.save_against_crash()
        finally:
            if self.target is not None:
                self.target.close()
            self._unsaved.end(remember=remember)
            self.target = self.log = self.errors = self.arteries = None
            self._probability_node = self._probability = self._metrics = None

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
        self._unsaved.poll()

    def show_preview(self, edit: Edit, *, kept: bool = False) -> None:
        """Show what an edit would do, or what it would keep; `commit`, `undo`, `redo` and `preview.remove` end it."""
        target = self.needed_target()
        self.preview.show_edit(edit, target.geometry, target.volume_node, kept=kept)

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
        target = self.needed_target()
        self.preview.remove()
        target.check(edit, segment_id)
        return target.commit({segment_id or target.segment_id: edit}, edit)

    def undo(self) -> EditStep:
        """Take the last step back, whoever made it; returns it. A `VesselSegError` if there is none."""
        self.preview.remove()
        return self.needed_target().history.undo()

    def redo(self) -> EditStep:
        """Do the last undone step again; returns it. A `VesselSegError` if there is none."""
        self.preview.remove()
        return self.needed_target().history.redo()

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
        if self.target is None:
            return 0, 0
        steps, undone = self.target.history.steps, self.target.history.undone_steps
        return steps[-1].number if steps else 0, undone[0].number if undone else 0

    @property
    def unsaved_edits(self) -> bool:
        """Whether the segmentation is other than when it was saved last (see `mark_saved`), or than at `start`.

        Before the first edit, the model and thresholds may change it as they like: that is soon done again.
        """
        return self._unsaved.in_hand

    @property
    def unsaved_nodes(self) -> list[Any]:
        """The segmentations with edits that are not saved: the one that is edited, and those that were left."""
        edited = [self.target.node] if self.target is not None and self.unsaved_edits else []
        return [*edited, *self._unsaved.left]

    def changed_only(self, segment_ids: Collection[str]) -> bool:
        """Whether nothing but some segments was edited; of edits that the history does not know any may have been."""
        target = self.target
        if target is None:
            return False
        changed = {change.segment_id for step in target.history.steps for change in step.changes}
        if self._unsaved.unknown:
            changed.update(map(str, target.node.GetSegmentation().GetSegmentIDs()))
        return changed <= set(segment_ids)

    @property
    def only_voxels(self) -> bool:
        """Whether the label holds all that was done: no vessel was named, and no error only decided about.

        Of edits that the history does not know that is not known: made before `start`, or too many for it.
        """
        target = self.target
        if target is None or self._unsaved.unknown:
            return False
        steps = target.history.steps
        return all({change.segment_id for change in step.changes} == {target.segment_id} for step in steps)

    @property
    def compared_reference(self) -> LabelSource | None:
        """What is edited is compared with this, for `measure_against`; None if it is not compared."""
        return None if self.errors is None else self.errors.reference

    def measure_against(self, reference: LabelSource | None) -> None:
        """Take another reference for the metrics in the log, or none, from the next step on; the history stays."""
        target = self.needed_target()
        target.reference = reference
        self._metrics = target.metrics()

    def mark_saved(self, segmentation_node: Any = None) -> None:
        """Say that a segmentation has been saved as it is: what was kept against crashes is removed.

        Parameters
        ----------
        segmentation_node : vtkMRMLSegmentationNode, optional
            One of `unsaved_nodes`; the default is the one that is edited.
        """
        self._unsaved.mark_saved(segmentation_node)

    def notice_saved(self) -> None:
        """See which of the `unsaved_nodes` 3D Slicer itself has saved, alone or with its scene."""
        for node in self.unsaved_nodes:
            self._unsaved.notice_saved(node)

    def mark_unsaved(self, edits: int) -> None:
        """Say that the segmentation has come with a number of edits that were never saved: a crash has left them."""
        self._unsaved.mark_unsaved(edits)

    def save_against_crash(self) -> None:
        """Save edits against crashes at once, and wait; nothing happens without a folder for it."""
        self._unsaved.save_against_crash()

    def _on_step(self, step: EditStep, what: str) -> None:
        target, log = self.target, self.log
        if target is None or log is None:
            return
        if what == DONE and step.tool != AUTOMATIC and step.counts().keys() & {target.segment_id, *target.parts()}:
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
        target = self.needed_target()
        for node in nodes_of_class(self.scene, "vtkMRMLSegmentEditorNode"):
            if node.GetSegmentationNode() is target.node and node.GetActiveEffectName():
                name = f"Segment Editor: {node.GetActiveEffectName()}"
                return name, "a stroke or command of Segment Editor"
        return OUTSIDE, "changed outside the vessel tools"


def scan_of(segmentation_node: Any) -> Any:
    """Return the scan that belongs to a segmentation; a `VesselSegError` if it is not known."""
    node = reference_scan(segmentation_node)
    if node is None:
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
