"""Metrics of two labels, computed in a worker process: the views stay alive while distances are measured."""

from __future__ import annotations

import math
import shutil
from typing import Any

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.postprocessing import bounding_box
from vesselseg.volume import Volume
from VesselSegmentationLib.worker import PythonCommand, private_folder
from VesselSegmentationLib.worker_job import WorkerJob

_SEGMENTATION, _REFERENCE, _MASK = "segmentation.nii", "reference.nii", "mask.nii"


class EvaluationJob(WorkerJob):
    """Compare a segmentation with a reference, as ``vesselseg evaluate`` does.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels on the same grid.
    mask : Volume, optional
        On the same grid; only voxels inside it count.
    python : PythonCommand, optional
        How to start Python.

    Attributes
    ----------
    values : dict
        As `vesselseg.metrics.evaluate` returns them. Empty until the job is done.

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
        from vesselseg.image_io import write_volume

        self.values: dict[str, float] = {}
        used = (segmentation.array != 0) | (reference.array != 0)
        if mask is not None:
            used |= mask.array != 0
        # Vessels fill a part of the head only; what lies outside the box of all labels changes no metric.
        box = bounding_box(used) or (slice(0, 1), slice(0, 1), slice(0, 1))
        folder = private_folder()
        try:
            arguments = ["evaluate", str(folder / _SEGMENTATION), str(folder / _REFERENCE)]
            labels = {_SEGMENTATION: segmentation, _REFERENCE: reference}
            if mask is not None:
                labels[_MASK] = mask
                arguments += ["--mask", str(folder / _MASK)]
            for name, label in labels.items():
                part = Volume(np.ascontiguousarray(label.array[box]), label.geometry.cropped(box))
                write_volume(part, folder / name, compress=False)
            super().__init__(arguments, folder=folder, python=python)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _use_result(self, result: dict[str, Any]) -> None:
        values = {key: _number(key, value) for key, value in result.items() if _is_metric(value)}
        if "dice" not in values:
            raise VesselSegError("the worker's metrics cannot be read", "report this to the developers")
        self.values = values


def _is_metric(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _number(key: str, value: float | None) -> float:
    """Undo what JSON has no words for: a distance that is missing is infinite, a share that is missing undefined."""
    if value is not None:
        return value
    return math.inf if key.endswith(("_mm", "_voxels")) else math.nan
