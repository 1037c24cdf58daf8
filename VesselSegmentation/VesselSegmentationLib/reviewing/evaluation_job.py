"""Metrics of two labels, computed in a worker process: the views stay alive while distances are measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.metrics import overlap_of_counts
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.reports.metric_table import METRICS
from vesselseg.review.error_map import LegendEntry
from vesselseg.volume import Volume
from VesselSegmentationLib.jobs.worker import PythonCommand, folder_to_hand_over
from VesselSegmentationLib.jobs.worker_job import WorkerJob, hand_over

#: Where metrics are computed.
WHOLE_VOLUME, INSIDE_MASK = "whole volume", "inside mask"


class EvaluationJob(WorkerJob):
    """Compare a segmentation with a reference, as ``vesselseg evaluate`` does.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels on the same grid.
    mask : Volume, optional
        On the same grid; metrics are computed inside it as well.
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    regions : dict
        Metrics, as `vesselseg.metrics.evaluate` returns them, by region: `WHOLE_VOLUME` and, with a mask,
        `INSIDE_MASK`. Empty until the job is done.

    Raises
    ------
    VesselSegError
        If the worker cannot be started.
    """

    def __init__(
        self,
        segmentation: Volume,
        reference: Volume,
        mask: Volume | None = None,
        *,
        python: PythonCommand | None = None,
    ) -> None:
        self.regions: dict[str, dict[str, float]] = {}
        used = (segmentation.array != 0) | (reference.array != 0)
        if mask is not None:
            used |= mask.array != 0
        # Vessels fill a part of the head only; what lies outside the box of all labels changes no metric.
        box = bounding_box(used) or (slice(0, 1), slice(0, 1), slice(0, 1))
        with folder_to_hand_over() as folder:
            labels = {"segmentation": segmentation, "reference": reference, "mask": mask}
            parts = {
                name: Volume(np.ascontiguousarray(label.array[box]), label.geometry.cropped(box))
                for name, label in labels.items()
                if label is not None
            }
            super().__init__(["evaluate", *hand_over(parts, folder)], folder=folder, python=python)

    def _use_result(self, result: dict[str, Any]) -> None:
        whole = result.get("whole_volume")
        regions = {WHOLE_VOLUME: result} if whole is None else {WHOLE_VOLUME: whole, INSIDE_MASK: result}
        try:
            self.regions = {
                region: {info.key: _number(info.key, values[info.key]) for info in METRICS}
                for region, values in regions.items()
            }
        except (KeyError, TypeError) as error:
            raise VesselSegError("the worker's metrics cannot be read", "report this to the developers") from error


def overlap_metrics(legend: Sequence[LegendEntry]) -> dict[str, float]:
    """Return those metrics that follow from the counts of an error map alone, so that they need not wait.

    Parameters
    ----------
    legend : sequence of LegendEntry
        True positives, false positives and false negatives.

    Returns
    -------
    dict
        ``dice``, ``precision``, ``sensitivity``, counts and volumes, as `vesselseg.metrics.evaluate` defines them.
    """
    both, only_found, only_truth = legend
    tp, fp, fn = both.voxels, only_found.voxels, only_truth.voxels
    return {
        **overlap_of_counts(tp, fp, fn),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "segmentation_ml": (both.volume_mm3 + only_found.volume_mm3) / 1000,
        "reference_ml": (both.volume_mm3 + only_truth.volume_mm3) / 1000,
    }


def _number(key: str, value: Any) -> float:
    """Undo what JSON has no words for: a distance that is missing is infinite, a share that is missing undefined."""
    if value is None:
        return math.inf if key.endswith(("_mm", "_voxels")) else math.nan
    return value if isinstance(value, int) else float(value)
