"""The steps of an editing history: those that can be undone, those that can be done again, and how many are kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from VesselSegmentationLib.correcting.edit_steps import EditStep, TagChange, merged
from VesselSegmentationLib.scene.run_record import RUN_TAG

#: Steps that a history keeps, and how many bytes they may take; the youngest `_LEAST_STEPS` are always kept.
MAX_STEPS = 1000
MAX_BYTES = 200_000_000
_LEAST_STEPS = 20

#: Tool of steps that were made by writing the segment anew from a model or a threshold.
AUTOMATIC = "segmentation"


class StepStack:
    """Steps of which the youngest can be undone.

    A threshold that is moved to and fro is one step, lest it pushes all others out. A run of a model is none of that,
    and `seal` ends it.

    Parameters
    ----------
    max_steps, max_bytes : int
        As for `EditHistory`.

    Attributes
    ----------
    done, undone : list of EditStep
        The oldest first; of those that were undone the next one.
    dropped : int
        Number of the last step that was given up to keep within the limits; 0 if none was.
    """

    def __init__(self, max_steps: int, max_bytes: int) -> None:
        if max_steps < _LEAST_STEPS:
            raise ValueError(f"a history must keep at least {_LEAST_STEPS} steps, not {max_steps}")
        self._max_steps, self._max_bytes = max_steps, max_bytes
        self.done: list[EditStep] = []
        self.undone: list[EditStep] = []
        self.dropped = 0
        self._sealed = 0

    @property
    def nbytes(self) -> int:
        """Memory that the steps take, in bytes."""
        return sum(step.nbytes for step in (*self.done, *self.undone))

    def push(self, step: EditStep) -> None:
        """Add a step that was done; what was undone before cannot be done again."""
        self.undone = []
        former = self.done[-1] if self.done else None
        if former is not None and former.number > self._sealed and _is_threshold(former) and _is_threshold(step):
            both = merged(former, step)
            if both is not None:
                self.done.pop()
                step = both
        self.done.append(step)
        while len(self.done) > self._max_steps or (len(self.done) > _LEAST_STEPS and self.nbytes > self._max_bytes):
            self.dropped = self.done.pop(0).number

    def step_back(self) -> None:
        """Count the last step as undone."""
        self.undone.insert(0, self.done.pop())

    def step_on(self) -> None:
        """Count the last step that was undone as done again."""
        self.done.append(self.undone.pop(0))

    def seal(self) -> None:
        """Let undo bring back what there is now, whatever follows."""
        if self.done:
            self._sealed = self.done[-1].number

    def move(self, matrix: NDArray[np.float64]) -> None:
        """Move all steps: see `EditStep.moved`."""
        self.done, self.undone = ([step.moved(matrix) for step in steps] for steps in (self.done, self.undone))

    def clear(self) -> None:
        """Forget all steps."""
        self.done, self.undone = [], []


def _is_threshold(step: EditStep) -> bool:
    """Tell whether a threshold was moved, and no model was run."""
    tags = [each for each in step.companions if isinstance(each, TagChange)]
    return step.tool == AUTOMATIC and all(each.before.get(RUN_TAG, "") == each.after.get(RUN_TAG, "") for each in tags)
