"""Metrics of two compared labels: overlap at once, all others from a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.jobs.worker_job import DONE, RUNNING
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK, WHOLE_VOLUME, EvaluationJob, overlap_metrics

#: Metrics wait until edits pause: each stroke would start a process in vain.
_REST_SECONDS = 0.3


class ReviewMetrics:
    """Measures what an error map compares, anew whenever it has changed.

    Parameters
    ----------
    error_map : ErrorMapNode
    mask : callable
        Returns the brain mask on the grid of the map, or None.
    python : callable
        Returns how to start Python for the worker process, or None.

    Attributes
    ----------
    values : dict
        As `ReviewLogic.metrics`.
    measured : bool
        Whether all of them are those of the labels as they were when `measure_anew` was called last.
    """

    def __init__(
        self,
        error_map: ErrorMapNode,
        mask: Callable[[], Volume | None],
        python: Callable[[], PythonCommand | None],
    ) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.measured = False
        self._map = error_map
        self._mask = mask
        self._python = python
        self._job: EvaluationJob | None = None
        self._due = True
        self._changed_at = 0.0
        self.count()

    @property
    def pending(self) -> bool:
        """Whether they are still to be measured."""
        return self._due or self._job is not None

    @property
    def failed(self) -> bool:
        """Whether they could not be measured."""
        return not (self.measured or self.pending)

    def count(self) -> None:
        """Take from the map what follows from its counts alone."""
        former = self.values.get(WHOLE_VOLUME, {})
        self.values = {**self.values, WHOLE_VOLUME: {**former, **overlap_metrics(self._map.legend())}}

    def measure_anew(self) -> None:
        """Measure when edits pause: labels or mask have changed."""
        self._due, self.measured = True, False
        self._changed_at = time.monotonic()
        self.cancel()

    def forget_mask(self) -> None:
        """Forget what was measured inside a mask that is not used any more."""
        self.values.pop(INSIDE_MASK, None)

    def step(self) -> bool:
        """Do the next step, if there is one; tell whether the metrics have changed.

        Raises
        ------
        VesselSegError
            If they could not be measured.
        """
        if self._due and time.monotonic() - self._changed_at > _REST_SECONDS:
            self._due = False
            self._job = EvaluationJob(*self._map.labels(), self._mask(), python=self._python())
        job = self._job
        if job is None or job.poll() == RUNNING:
            return False
        self._job = None
        if job.state != DONE:
            raise job.error or VesselSegError(f"the metrics were not computed: {job.message}", "edit the label")
        self.values, self.measured = job.regions, True
        return True

    def cancel(self) -> None:
        """Stop the worker, if there is one."""
        if self._job is not None:
            self._job.cancel()
        self._job = None
