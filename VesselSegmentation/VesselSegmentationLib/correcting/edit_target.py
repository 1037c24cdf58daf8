"""The segment that is edited, on the grid of its scan: what the tools read, and where edits are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from vesselseg.editing import Edit, check_edit
from vesselseg.editing.picking import box_around, distances_mm
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.metrics import overlap_of_counts
from vesselseg.volume import Volume
from VesselSegmentationLib.correcting.edit_history import EditHistory, voxel_edits
from VesselSegmentationLib.correcting.edit_steps import Companion, EditStep, SegmentPresence, VoxelChange, reversed_edit
from VesselSegmentationLib.correcting.edited_voxels import change_voxels, image_time, lattice_shift
from VesselSegmentationLib.reviewing.error_map_display import is_hidden
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.node_geometry import matrix_between, matrix_to_world
from VesselSegmentationLib.scene.segment_voxels import find_segment
from VesselSegmentationLib.scene.segmentation_nodes import segment_label
from VesselSegmentationLib.scene.volume_nodes import volume_geometry


class EditTarget:
    """A segment, its scan and the history of its segmentation.

    Parameters
    ----------
    segmentation_node : vtkMRMLSegmentationNode
    segment_id : str
    volume_node : vtkMRMLScalarVolumeNode
        The scan. Its voxels and those of the segment must coincide.

    Attributes
    ----------
    reference : LabelSource or None
        What the segment is measured against.
    parts : callable
        Returns the IDs of segments that are parts of the same label, such as arteries that were given names: they are
        measured together with the segment.
    apart : callable
        Returns the IDs of segments that were taken out of the label, such as veins: what is added to it is taken from
        them.

    Raises
    ------
    VesselSegError
        If segment or scan do not fit.
    """

    def __init__(self, segmentation_node: Any, segment_id: str, volume_node: Any) -> None:
        find_segment(segmentation_node, segment_id)
        self.node, self.segment_id, self.volume_node = segmentation_node, segment_id, volume_node
        self.reference: LabelSource | None = None
        self.parts: Callable[[], list[str]] = list
        self.apart: Callable[[], list[str]] = list
        self._label: NDArray[np.uint8] | None = None
        self._truth: tuple[Any, NDArray[np.bool_]] | None = None
        self._counts: tuple[int, int, int] | None = None
        self._grid = volume_geometry(volume_node)
        self.history = EditHistory(segmentation_node)
        self.history.listeners.append(self._on_step)
        transformed = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self._observed = [
            (node, node.AddObserver(transformed, lambda caller, event: self._forget()))
            for node in (segmentation_node, volume_node)
        ]
        try:
            self._check_grid()
        except VesselSegError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the scene."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []
        self.history.close()
        self._forget()

    @property
    def geometry(self) -> Geometry:
        """Grid of the scan, in its own coordinates."""
        return volume_geometry(self.volume_node)

    def label(self) -> NDArray[np.uint8]:
        """Return the segment on the grid of the scan: 0 or 1, shape (Z, Y, X). Read-only; changes with the segment.

        Raises
        ------
        VesselSegError
            If the segment is gone, or its voxels do not coincide with those of the scan any more.
        """
        self.history.settle()
        label = self._current_label().view()
        label.flags.writeable = False
        return label

    def label_of(self, segment_id: str) -> NDArray[np.uint8]:
        """Return any segment on the grid of the scan; as `label`, but a copy."""
        return self.label().copy() if segment_id == self.segment_id else self.label_in_step(segment_id)

    def label_in_step(self, segment_id: str) -> NDArray[np.uint8]:
        """Return any segment as it is now, be it in the middle of a step; a copy."""
        return segment_label(self.node, segment_id, self.volume_node).array

    def nearest_segment(self, point: tuple[float, float, float], segment_ids: Sequence[str], within_mm: float) -> str:
        """Return which segment a click is meant for; none that the reader has hidden.

        Parameters
        ----------
        point : tuple of float
            In mm, RAS of the world.
        segment_ids : sequence of str
            Segments to choose from.
        within_mm : float
            How far from the click it may be.

        Returns
        -------
        str
            The nearest one; the segment that is edited if it is as near, or none is that near.

        Raises
        ------
        VesselSegError
            If that would be the segment that is edited, and it is hidden.
        """
        self.history.settle()
        voxel, grid = self.voxel_of(point), self.geometry
        box = box_around([voxel], within_mm, grid)
        if any(part.stop <= part.start for part in box):
            return self.segment_id  # beside the scan
        distances = distances_mm(voxel, box, grid)
        nearest, least = self.segment_id, within_mm
        for segment_id in [self.segment_id, *segment_ids]:
            distance = float(distances[self.in_box(segment_id, box)].min(initial=np.inf))
            if distance < least and not is_hidden(self.node, segment_id):
                nearest, least = segment_id, distance
        if is_hidden(self.node, nearest):
            name = find_segment(self.node, nearest).GetName()
            raise VesselSegError(f"'{name}' is hidden, and nothing else is near the click", "show it first")
        return nearest

    def voxel_of(self, point: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return where a place lies in the arrays.

        Parameters
        ----------
        point : tuple of float
            In mm, RAS of the world, as the views have it.

        Returns
        -------
        tuple of float
            Fractional voxel indices (k, j, i).
        """
        to_world = matrix_to_world(self.volume_node) @ self.geometry.ijk_to_ras()
        i, j, k, _ = np.linalg.inv(to_world) @ np.append(np.asarray(point, dtype=float), 1.0)
        return float(k), float(j), float(i)

    def check(self, edit: Edit, segment_id: str | None = None) -> None:
        """Refuse an edit made from another state of a segment; the default is the one that is edited."""
        check_edit(edit, self.label() if segment_id is None else self.label_of(segment_id))

    def check_whole(self, edit: Edit) -> None:
        """Refuse an edit made from another state of the segment together with its `parts`."""
        self.history.settle()
        check_edit(edit, self.whole_label())

    def shares(self, edit: Edit) -> dict[str, Edit]:
        """Return what an edit of the segment together with its `parts` does to each of them.

        What is added goes to the segment itself and is taken from those `apart`; what is removed is taken from the part
        that has it.
        """
        nothing = np.zeros_like(edit.added)
        shares = {
            segment_id: replace(edit, added=nothing, removed=edit.removed & self.in_box(segment_id, edit.box))
            for segment_id in (self.segment_id, *self.parts())
        }
        shares[self.segment_id] = replace(shares[self.segment_id], added=edit.added)
        for segment_id in self.apart():
            shares[segment_id] = replace(edit, added=nothing, removed=edit.added & self.in_box(segment_id, edit.box))
        return shares

    def commit(
        self, edits: Mapping[str, Edit], edit: Edit, companions: list[Companion] | None = None
    ) -> EditStep | None:
        """Change segments in one step.

        Parameters
        ----------
        edits : mapping of str to Edit
            What to do, by segment; on the grid of the scan.
        edit : Edit
            Gives tool, description and measures of the step.
        companions : list of Companion, optional
            Already done; undone and redone with the step.

        Returns
        -------
        EditStep or None
            None if nothing has changed.
        """
        with self.history.step(edit.tool, edit.description, measures=edit.measures, companions=companions) as made:
            for segment_id, change in edits.items():
                self.write(segment_id, change)
        return made[0] if made else None

    def write(self, segment_id: str, edit: Edit) -> None:
        """Change a segment, inside of a step of the history; the edit is on the grid of the scan."""
        matrix = np.linalg.inv(matrix_between(self.node, self.volume_node)) @ self.geometry.ijk_to_ras()
        change_voxels(self.node, segment_id, edit, matrix)

    def metrics(self) -> dict[str, float] | None:
        """Return Dice, precision and sensitivity against the reference; None if there is none, or the segment is gone.

        As `vesselseg.metrics.evaluate` defines them. They follow every step without looking at the whole label.

        Raises
        ------
        VesselSegError
            If segment or reference do not fit any more.
        """
        if self.reference is None or self.node.GetSegmentation().GetSegment(self.segment_id) is None:
            return None
        self._check_grid()
        truth = self._reference_mask(self.reference)
        parts = self.parts()
        if parts:
            both, only_found, only_true = _overlap(self.whole_label() != 0, truth)
        else:
            if self._counts is None:
                self._counts = _overlap(self._current_label() != 0, truth)
            both, only_found, only_true = self._counts
        return overlap_of_counts(both, only_found, only_true)

    def whole_label(self) -> NDArray[np.uint8]:
        """Return the segment together with its `parts`, as `label` does; a copy."""
        return self.label_with(self.parts())

    def label_with(self, segment_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Return the segment together with others, as `label` does; a copy."""
        label = self._current_label().copy()
        for segment_id in segment_ids:
            self._add(segment_id, label, tuple(slice(0, size) for size in label.shape))
        return label

    def in_box(self, segment_id: str, box: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Return where in a box of the scan any segment is."""
        label = np.zeros([part.stop - part.start for part in box], np.uint8)
        self._add(segment_id, label, box)
        return label != 0

    def _add(self, segment_id: str, label: NDArray[np.uint8], box: tuple[slice, ...]) -> None:
        """Add a segment to the label of a box of the scan."""
        voxels = self.history.voxels(segment_id)
        if voxels is None or voxels.is_empty:
            return
        move = lattice_shift(matrix_between(self.node, self.volume_node) @ voxels.matrix, self.geometry.ijk_to_ras())
        if move is None:
            np.maximum(label, self.label_in_step(segment_id)[box], out=label)
            return
        starts = np.add(voxels.first, move) - [part.start for part in box]
        there, here = _places(label.shape, starts, voxels.mask.shape)
        label[there][voxels.mask[here]] = 1

    def before(self, step: EditStep) -> Volume | None:
        """Return the segment together with its `parts` before the last step; None if the step has changed a grid."""
        label = np.zeros(self.geometry.shape, np.uint8)
        came = {change.segment_id for change in step.changes if isinstance(change, SegmentPresence)}
        for segment_id in (self.segment_id, *(each for each in self.parts() if each not in came)):
            shifted = self._shift_of(step, segment_id)
            if shifted is None:
                return None
            was = self.label_in_step(segment_id)
            for edit, move in shifted:
                _write(was, reversed_edit(edit), move)
            np.maximum(label, was, out=label)
        return Volume(label, self.geometry)

    def _current_label(self) -> NDArray[np.uint8]:
        self._check_grid()
        if self._label is None:
            self._label = segment_label(self.node, self.segment_id, self.volume_node).array
        return self._label

    def _check_grid(self) -> None:
        geometry = self.geometry
        if not geometry.same_grid(self._grid):
            self._grid = geometry
            self._forget()
        voxels = self.history.voxels(self.segment_id)
        name = find_segment(self.node, self.segment_id).GetName()
        to_scan = matrix_between(self.node, self.volume_node)
        if voxels is None or voxels.is_empty:
            return
        if lattice_shift(to_scan @ voxels.matrix, geometry.ijk_to_ras()) is None:
            raise VesselSegError(
                f"the voxels of '{name}' do not coincide with those of the scan '{self.volume_node.GetName()}'",
                "choose the scan on which it was drawn",
            )

    def _forget(self) -> None:
        self._label = self._counts = self._truth = None

    def _reference_mask(self, reference: LabelSource) -> NDArray[np.bool_]:
        reference.check("reference")  # it may have been emptied or removed
        node = reference.node
        if reference.is_segmentation:
            state: Any = [image_time(node, segment_id) for segment_id in reference.segment_ids()]
        else:
            state = node.GetImageData().GetMTime()
        state = (state, matrix_between(node, self.volume_node).tobytes())
        if self._truth is None or self._truth[0] != state:
            label, _resampled = reference.label_on(self.volume_node, "reference")
            self._truth, self._counts = (state, label.array != 0), None
        return self._truth[1]

    def _on_step(self, step: EditStep, what: str) -> None:
        if not any(change.segment_id == self.segment_id for change in step.changes) or self._label is None:
            return
        shifted = self._shift_of(step, self.segment_id)
        if shifted is None:
            self._label = self._counts = None
            return
        for edit, move in shifted:
            edit = reversed_edit(edit) if what == "undone" else edit
            self._count(edit, move)
            _write(self._label, edit, move)

    def _count(self, edit: Edit, move: tuple[int, int, int]) -> None:
        if self._counts is None or self._truth is None:
            return
        there, here = _places_of(self._truth[1].shape, edit, move)
        truth, added, removed = self._truth[1][there], edit.added[here], edit.removed[here]
        hits = int(np.count_nonzero(truth & added)) - int(np.count_nonzero(truth & removed))
        more = int(np.count_nonzero(added)) - int(np.count_nonzero(removed))
        both, only_found, only_true = self._counts
        self._counts = both + hits, only_found + more - hits, only_true - hits

    def _shift_of(self, step: EditStep, segment_id: str) -> list[tuple[Edit, tuple[int, int, int]]] | None:
        """Return the edits of a segment in a step with what leads to the grid; None where that says not all."""
        own = [change for change in step.changes if change.segment_id == segment_id]
        if not all(isinstance(change, VoxelChange) for change in own):
            return None
        to_scan, grid = matrix_between(self.node, self.volume_node), self.geometry.ijk_to_ras()
        shifted = []
        for edit, matrix in voxel_edits(step, segment_id):
            move = lattice_shift(to_scan @ matrix, grid)
            if move is None:
                return None
            shifted.append((edit, move))
        return shifted


def _overlap(label: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return the voxels that both have, and those that only one has."""
    both = int(np.count_nonzero(label & truth))
    return both, int(np.count_nonzero(label)) - both, int(np.count_nonzero(truth)) - both


def _places_of(
    shape: tuple[int, ...], edit: Edit, move: tuple[int, int, int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    return _places(shape, [part.start + shift for part, shift in zip(edit.box, move)], edit.added.shape)


def _places(
    shape: tuple[int, ...], starts: Sequence[int] | NDArray[np.int64], sizes: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the part of an array that a smaller one reaches from a place on, and the part of it that lies inside."""
    there, here = [], []
    for start, size, limit in zip(starts, sizes, shape):
        low, high = max(int(start), 0), min(int(start) + size, limit)
        there.append(slice(low, max(low, high)))
        here.append(slice(low - int(start), max(low, high) - int(start)))
    return tuple(there), tuple(here)


def _write(label: NDArray[np.uint8], edit: Edit, move: tuple[int, int, int]) -> None:
    there, here = _places_of(label.shape, edit, move)
    voxels = label[there]
    voxels[edit.added[here]] = 1
    voxels[edit.removed[here]] = 0
