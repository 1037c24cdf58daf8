"""A reader who corrects a segmentation with the tools alone, looking at a given truth; for tests and measurements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from editing_shortcuts import grown_from, traced_through
from vesselseg.errors import VesselSegError
from vesselseg.review.error_kinds import ErrorKind

#: Thresholds that a reader tries on a slider.
_LOWER, _HIGHER = (0.05, 0.1, 0.2, 0.35), (0.6, 0.75, 0.9)


@dataclass
class PlayedReader:
    """Walks through the errors, tries what the tools would do at each, and takes what helps most.

    Parameters
    ----------
    logic : EditLogic
        With a comparison to the truth.
    truth : ndarray, shape (Z, Y, X)
    """

    logic: object
    truth: np.ndarray
    states: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.states = [self.state()]

    def state(self):
        """What the label is, short enough to keep one of every step."""
        return hashlib.blake2b(np.packbits(self.logic.target.label()).tobytes()).hexdigest()

    def dice(self):
        return self.logic.target.metrics()["dice"]

    def did(self, step):
        if step is not None:
            self.tools.append(step.tool)
            self.states.append(self.state())

    def correct_by_clicks(self, goal, most=80):
        """Use the tools that need a click, at the largest errors first, until the Dice coefficient is above a goal."""
        given_up = set()
        while self.dice() <= goal and len(self.tools) < most:
            components = [c for c in self.logic.errors.components() if c.component_id not in given_up]
            if not components:
                return
            component = max(components, key=lambda each: each.voxels)
            edit = self._best(component)
            if edit is None:
                given_up.add(component.component_id)
            else:
                self.did(self.logic.commit(edit))

    def accept_errors(self, goal, most=1000):
        """Accept errors one by one, the largest first, until the Dice coefficient is above a goal."""
        while self.dice() <= goal and len(self.tools) < most:
            component = max(self.logic.errors.components(), key=lambda each: each.voxels)
            self.did(self.logic.errors.decide(component.component_id, "accepted", "played"))

    def undo_and_redo_everything(self):
        """Go back step by step and forth again; every label must be the very same as it was."""
        for state in self.states[-2::-1]:
            self.logic.undo()
            assert self.state() == state
        assert not self.logic.can_undo
        for state in self.states[1:]:
            self.logic.redo()
            assert self.state() == state

    def gain(self, edit):
        """How many voxels more are right after an edit."""
        truth = self.truth[edit.box] != 0
        right = np.count_nonzero(edit.added & truth) + np.count_nonzero(edit.removed & ~truth)
        return 2 * int(right) - edit.voxels_added - edit.voxels_removed

    def place(self, k, j, i):
        matrix = self.logic.target.geometry.ijk_to_ras()
        return tuple(float(value) for value in (matrix @ [i, j, k, 1.0])[:3])

    def _best(self, component):
        edits = []
        for attempt in self._attempts(component):
            try:
                edits.append(attempt())
            except VesselSegError:
                continue
        best = max(edits, key=self.gain, default=None)
        return best if best is not None and self.gain(best) > 0 else None

    def _attempts(self, component):
        logic, point = self.logic, component.centre_ras
        low, high = np.array(component.box[0][::-1]), np.array(component.box[1][::-1])
        size_mm = float(np.linalg.norm((high - low + 1) * logic.target.geometry.spacing_zyx))
        radius = min(max(size_mm / 2, 1.0), 12.0)
        if component.kind == ErrorKind.FALSE_POSITIVE:
            yield lambda: logic.preview_remove_piece(point)
            for at_click in (False, True):
                yield lambda at_click=at_click: logic.preview_remove_branch(point, at_click=at_click)
            for threshold in _HIGHER:
                yield lambda threshold=threshold: logic.preview_threshold_brush(point, threshold, radius_mm=radius)
            return
        for threshold in _LOWER:
            yield lambda threshold=threshold: grown_from(logic, point, threshold=threshold)
            yield lambda threshold=threshold: logic.preview_threshold_brush(point, threshold, radius_mm=radius)
        ends = self._ends(component)
        yield lambda: traced_through(logic, ends)
        yield lambda: traced_through(logic, [ends[0], point, ends[1]])
        yield lambda: traced_through(logic, ends, radius_mm=component.radius_mm)

    def _ends(self, component):
        """Return the two voxels of an error that are farthest apart, as one sees them."""
        low, high = np.array(component.box[0][::-1]), np.array(component.box[1][::-1])
        box = tuple(slice(a, b + 1) for a, b in zip(low, high))
        wrong = (self.truth[box] != 0) & (self.logic.target.label()[box] == 0)
        pieces, _ = ndimage.label(wrong, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        points = np.argwhere(pieces == int(np.argmax(sizes))) + low
        first = points[np.argmax(np.linalg.norm(points - points.mean(axis=0), axis=1))]
        last = points[np.argmax(np.linalg.norm(points - first, axis=1))]
        return [self.place(*first), self.place(*last)]
