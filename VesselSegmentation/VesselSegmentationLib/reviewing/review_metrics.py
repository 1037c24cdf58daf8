"""Metrics of two compared labels: overlap at once, all others from a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable

from vesselseg.comparison import counted_places
from vesselseg.errors import VesselSegError
from vesselseg.image_io import split_unsure
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
    measured : set of str
        Regions whose metrics are those of the labels as they were when `measure_anew` was called last.
    """

    def __init__(
        self,
        error_map: ErrorMapNode,
        mask: Callable[[], Volume | None],
        python: Callable[[], PythonCommand | None],
    ) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.measured: set[str] = set()
        self._at_once: dict[str, float] = {}
        self._map = error_map
        self._mask = mask
        self._python = python
        self._job: EvaluationJob | None = None
        self._broken_mask: VesselSegError | None = None
        self._due = True
        self._changed_at = 0.0
        self.count()

    @property
    def pending(self) -> bool:
        """Whether they are still to be measured."""
        return self._due or self._job is not None

    @property
    def complete(self) -> bool:
        """Whether all of them were measured, those inside the mask, too."""
        return bool(self.measured) and self._broken_mask is None

    @property
    def failed(self) -> bool:
        """Whether some of them could not be measured, though others may follow."""
        return self._broken_mask is not None or not (self.complete or self.pending)

    def is_current(self, region: str, key: str, *, changing: bool = False) -> bool:
        """Tell whether a metric is that of the labels as they are now, which may be changing just then."""
        return (region in self.measured and not changing) or (region == WHOLE_VOLUME and key in self._at_once)

    def count(self) -> None:
        """Take from the map what follows from its counts alone."""
        self._at_once = overlap_metrics(self._map.legend())
        self.values = {**self.values, WHOLE_VOLUME: {**self.values.get(WHOLE_VOLUME, {}), **self._at_once}}

    def measure_anew(self) -> None:
        """Measure when edits pause: labels or mask have changed."""
        self._due, self.measured = True, set()
        self._changed_at = time.monotonic()
        self.cancel()

    def forget_mask(self) -> None:
        """Forget what was measured inside a mask that is not used any more, or why it was not."""
        self.values.pop(INSIDE_MASK, None)
        self._broken_mask = None

    def step(self) -> bool:
        """Do the next step, if there is one; tell whether the metrics have changed.

        Raises
        ------
        VesselSegError
            If they could not be measured. Where only the mask is to blame, it is said once, and those of the whole
            volume follow.
        """
        if self._due and time.monotonic() - self._changed_at > _REST_SECONDS:
            self._due = False
            segmentation, reference = self._map.labels()
            known = str(self._broken_mask)
            mask = self._usable_mask(reference)
            self._job = EvaluationJob(segmentation, reference, mask, python=self._python())
            if self._broken_mask is not None and str(self._broken_mask) != known:
                raise self._broken_mask
        job = self._job
        if job is None or job.poll() == RUNNING:
            return False
        self._job = None
        if job.state != DONE:
            raise job.error or VesselSegError(f"the metrics were not computed: {job.message}", "edit the label")
        self.values, self.measured = job.regions, set(job.regions)
        return True

    def _usable_mask(self, reference: Volume) -> Volume | None:
        """Return the mask, if something can be counted inside it: else the whole volume is measured without it."""
        self._broken_mask = None
        try:
            mask = self._mask()
            if mask is not None:
                label, unsure = split_unsure(reference)
                counted_places(label, mask, unsure)
        except VesselSegError as error:
            self._broken_mask, mask = error, None
        return mask

    def cancel(self) -> None:
        """Stop the worker, if there is one."""
        if self._job is not None:
            self._job.cancel()
        self._job = None
