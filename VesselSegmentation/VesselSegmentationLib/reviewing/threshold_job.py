"""Analysis of the threshold in a worker process: the views stay alive meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError
from vesselseg.review.threshold_analysis import ThresholdAnalysis, read_analysis_json
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import WorkerJob, hand_over

if TYPE_CHECKING:
    from VesselSegmentationLib.reviewing.review_logic import ReviewLogic


class ThresholdJob(WorkerJob):
    """Measure a probability against a reference at all thresholds, as ``vesselseg thresholds`` does.

    Parameters
    ----------
    probability, reference : Volume
        On the same grid.
    mask : Volume, optional
        On the same grid; only voxels inside it count.
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    analysis : ThresholdAnalysis or None
        None until the job is done.
    masked : bool
        Whether a mask was given.

    Raises
    ------
    VesselSegError
        If the worker cannot be started.
    """

    def __init__(
        self,
        probability: Volume,
        reference: Volume,
        mask: Volume | None = None,
        *,
        python: PythonCommand | None = None,
    ) -> None:
        self.analysis: ThresholdAnalysis | None = None
        self.masked = mask is not None
        with folder_to_hand_over() as folder:
            self._output = folder / "thresholds.json"
            inputs = hand_over({"probability": probability, "reference": reference, "mask": mask}, folder)
            arguments = ["thresholds", *inputs, "--json", str(self._output), "--overlap-only"]
            super().__init__(arguments, folder=folder, python=python)

    def _use_result(self, result: dict[str, Any]) -> None:
        self.analysis = read_analysis_json(self._output.read_text(encoding="utf-8"))


def start_threshold_analysis(review: ReviewLogic) -> ThresholdJob:
    """Start to measure the stored probability of a comparison against its reference; returns at once.

    Where a brain mask was given, inside it.

    Raises
    ------
    VesselSegError
        If nothing is compared, there is no probability, or the worker cannot be started.
    """
    probability = review.probability()
    if review.error_map is None or probability is None:
        raise VesselSegError("there is no probability to analyse", "compare vessels that were segmented here")
    return ThresholdJob(probability, review.error_map.labels()[1], review.mask(), python=review.python)
