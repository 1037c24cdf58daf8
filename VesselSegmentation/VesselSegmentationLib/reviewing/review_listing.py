"""Keeping the list of errors up to date: at once where they are few, in a worker process where the map is flooded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.review.error_components import ErrorComponent, VoxelExtent, read_components_json
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import DONE, RUNNING, WorkerJob, hand_over
from VesselSegmentationLib.reviewing.error_map_nodes import ErrorMapNode
from VesselSegmentationLib.reviewing.error_navigator import ErrorNavigator

#: So many voxels in error are listed at once: it takes a few tenths of a second. Real comparisons have a fifth of that.
MOST_AT_ONCE = 100_000
#: So many errors of a flooded map are listed: they are sorted by what matters, and nobody walks farther.
LONGEST_LIST = 2_000
#: A worker waits until edits pause: each stroke would start a process in vain.
_REST_SECONDS = 0.3


class ListingJob(WorkerJob):
    """List the errors of two labels, as ``vesselseg errormap --components`` does.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels on the same grid.
    probability : Volume, optional
        On the same grid.
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    components : list of ErrorComponent
        The `LONGEST_LIST` that matter most. Empty until the job is done.
    count : int
        How many there are.

    Raises
    ------
    VesselSegError
        If the worker cannot be started.
    """

    def __init__(
        self,
        segmentation: Volume,
        reference: Volume,
        probability: Volume | None = None,
        *,
        python: PythonCommand | None = None,
    ) -> None:
        self.components: list[ErrorComponent] = []
        self.count = 0
        with folder_to_hand_over() as folder:
            self._list = folder / "errors.json"
            volumes = {"segmentation": segmentation, "reference": reference, "probability": probability}
            arguments = ["errormap", *hand_over(volumes, folder), "--output", str(folder / "map.nii")]
            arguments += ["--components", str(self._list), "--longest", str(LONGEST_LIST)]
            super().__init__(arguments, folder=folder, python=python)

    def _use_result(self, result: dict[str, object]) -> None:
        self.components, self.count = read_components_json(Path(self._list).read_text(encoding="utf-8"))


class ErrorListing:
    """Makes a navigator's list follow its map.

    Parameters
    ----------
    navigator : ErrorNavigator
    error_map : ErrorMapNode
    probability : callable
        Returns the probability on the grid of the map, or None.
    python : PythonCommand, optional
        How to start Python for the worker process.

    Attributes
    ----------
    flooded : int
        How many voxels are in error, where they are too many to be listed at once; else 0.
    count : int
        How many errors there are; more than the navigator lists where the map is flooded.
    """

    def __init__(
        self,
        navigator: ErrorNavigator,
        error_map: ErrorMapNode,
        probability: Callable[[], Volume | None],
        python: PythonCommand | None = None,
    ) -> None:
        self.flooded = 0
        self.count = 0
        self._navigator = navigator
        self._map = error_map
        self._probability = probability
        self._python = python
        self._job: ListingJob | None = None
        self._whole = True
        self._changed: VoxelExtent | None = None
        self._changed_at = 0.0

    @property
    def pending(self) -> bool:
        """Whether the list is older than the map."""
        return self._whole or self._changed is not None or self._job is not None

    @property
    def failed(self) -> bool:
        """Whether the list could not be made: it is empty until the next edit."""
        return self._navigator.outdated and not self.pending

    def add(self, changed: VoxelExtent | None) -> None:
        """Remember that the map has changed inside a box; None: anywhere."""
        self.cancel()
        self._navigator.outdated = True
        # A list of a flooded map is not complete: nothing can be added to it.
        self._whole |= changed is None or bool(self.flooded)
        if changed is not None:
            self._changed = _around(self._changed, changed)
        self._changed_at = time.monotonic()

    def step(self) -> bool:
        """Do the next step; tell whether the list, or what is known about it, has changed.

        Raises
        ------
        VesselSegError
            If the worker failed: then the list is empty until the next edit.
        """
        if self._job is not None:
            return self._take()
        if not self.pending:
            return False
        voxels = sum(entry.voxels for entry in self._map.legend() if entry.kind != ErrorKind.TRUE_POSITIVE)
        if voxels <= MOST_AT_ONCE:
            self._list_at_once()
            return True
        if self.flooded != voxels or self._navigator.components:
            # What was listed is not there any more, or not as it was.
            self.flooded, self.count = voxels, 0
            self._navigator.use_list([])
            self._navigator.outdated = True
            return True
        if time.monotonic() - self._changed_at > _REST_SECONDS:
            self._whole, self._changed = False, None
            self._job = ListingJob(*self._map.labels(), self._probability(), python=self._python)
        return False

    def cancel(self) -> None:
        """Stop the worker, if there is one."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
            self._whole = True

    def _list_at_once(self) -> None:
        whole, changed = self._whole or bool(self.flooded), self._changed
        self._whole, self._changed, self.flooded = False, None, 0
        if whole or changed is None:
            self._navigator.list_all(self._probability())
        else:
            self._navigator.list_changes(changed, self._probability())
        self.count = len(self._navigator.components)

    def _take(self) -> bool:
        job = self._job
        if job is None or job.poll() == RUNNING:
            return False
        self._job = None
        if job.state != DONE:
            raise job.error or VesselSegError(f"the errors were not listed: {job.message}", "edit the label")
        self.count = job.count
        self._navigator.use_list(job.components)
        return True


def _around(one: VoxelExtent | None, other: VoxelExtent) -> VoxelExtent:
    if one is None:
        return other
    first, last = np.minimum(one[0], other[0]).tolist(), np.maximum(one[1], other[1]).tolist()
    return (first[0], first[1], first[2]), (last[0], last[1], last[2])
