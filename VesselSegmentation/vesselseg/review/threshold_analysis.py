"""How a segmentation depends on the threshold of its probability map, and what the probabilities are worth."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.comparison import check_probability, counted_places, on_grid_of
from vesselseg.errors import VesselSegError
from vesselseg.metrics import evaluate
from vesselseg.plain_text import csv_text, json_value
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.volume import Volume

#: All thresholds of the overlap metrics: hundredths.
_STEPS = 100
#: Where distances and topology are measured as well, which takes about a second each.
DETAILED_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
_CALIBRATION_BINS = 10

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What share of the voxels with a probability are vessel: equal where the probabilities are calibrated.

    Parameters
    ----------
    mean_probability, vessel_share : ndarray, shape (10,)
        By bins of width 0.1, in [0, 1]; NaN where a bin is empty.
    voxels : ndarray of int, shape (10,)
        In each bin. Nearly all voxels of a head are in the first.
    expected_error : float
        Mean difference between the two, weighted by voxels (expected calibration error), in [0, 1].
    vessel_expected_error : float
        The same over bins from 0.1 on only, where vessels are decided on. NaN where all are empty.
    """

    mean_probability: FloatArray
    vessel_share: FloatArray
    voxels: NDArray[np.int64]
    expected_error: float
    vessel_expected_error: float


@dataclass(frozen=True)
class ThresholdAnalysis:
    """Metrics over all thresholds of a probability map.

    Parameters
    ----------
    thresholds : ndarray, shape (100,)
        0.01 to 1.
    dice, precision, sensitivity : ndarray, shape (100,)
        Of the voxels with at least that probability, in [0, 1], as `vesselseg.metrics.evaluate` defines them. Small
        components are not removed.
    best_threshold : float
        Where Dice is largest; the middle of them where there are several.
    best_dice : float
    detailed : dict of float to dict
        Metrics of `vesselseg.metrics.evaluate`, with or without distances, at a few thresholds and at the best one.
    calibration : Calibration
    """

    thresholds: FloatArray
    dice: FloatArray
    precision: FloatArray
    sensitivity: FloatArray
    best_threshold: float
    best_dice: float
    detailed: dict[float, dict[str, float]]
    calibration: Calibration

    def csv(self) -> str:
        """Return the text of a CSV file with one line a threshold; what was not measured there stays empty."""
        names = ("cldice", "hd95_mm", "assd_mm", "nsd", "betti0_error")
        rows = [["threshold", "dice", "precision", "sensitivity", *names]]
        measured = {round(threshold, 2): values for threshold, values in self.detailed.items()}
        for row in zip(self.thresholds, self.dice, self.precision, self.sensitivity):
            more = [measured.get(round(float(row[0]), 2), {}).get(name, math.nan) for name in names]
            rows.append(
                [f"{row[0]:.2f}", *(f"{v:.6f}" for v in row[1:]), *(f"{v:g}" if math.isfinite(v) else "" for v in more)]
            )
        return csv_text(rows)


def analysis_json(analysis: ThresholdAnalysis) -> str:
    """Return an analysis as the text of a JSON file: the attributes of `ThresholdAnalysis`, undefined values null."""
    return json.dumps(json_value(dataclasses.asdict(analysis)), indent=1) + "\n"


def read_analysis_json(text: str) -> ThresholdAnalysis:
    """Return the analysis of a file that `analysis_json` wrote; undefined values are NaN.

    Raises
    ------
    VesselSegError
        If it is no such file.
    """
    try:
        stored = json.loads(text)
        bins = stored["calibration"]
        return ThresholdAnalysis(
            thresholds=_array(stored["thresholds"]),
            dice=_array(stored["dice"]),
            precision=_array(stored["precision"]),
            sensitivity=_array(stored["sensitivity"]),
            best_threshold=float(stored["best_threshold"]),
            best_dice=float(stored["best_dice"]),
            detailed={
                float(threshold): {name: _number(value) for name, value in values.items()}
                for threshold, values in stored["detailed"].items()
            },
            calibration=Calibration(
                mean_probability=_array(bins["mean_probability"]),
                vessel_share=_array(bins["vessel_share"]),
                voxels=np.array(bins["voxels"], dtype=np.int64),
                expected_error=_number(bins["expected_error"]),
                vessel_expected_error=_number(bins["vessel_expected_error"]),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VesselSegError("the analysis of thresholds cannot be read", "make it anew") from error


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _array(values: list[Any]) -> FloatArray:
    return np.array([_number(value) for value in values], dtype=np.float64)


def analyse_thresholds(
    probability: Volume,
    reference: Volume,
    *,
    mask: Volume | None = None,
    unsure: Volume | None = None,
    detailed: Sequence[float] = DETAILED_THRESHOLDS,
    distances: bool = True,
    progress: ProgressCallback = no_progress,
) -> ThresholdAnalysis:
    """Measure a probability map against a reference at all thresholds.

    The overlap at every threshold follows from two histograms of the probability, inside and outside the reference.

    Parameters
    ----------
    probability : Volume
        Values in [0, 1]; resampled to the grid of the reference where it lies on another one.
    reference : Volume
        Label; every voxel other than 0 belongs to it.
    mask : Volume, optional
        Only voxels inside it count.
    unsure : Volume, optional
        Where the reference says nothing: not counted, see `vesselseg.metrics.evaluate`.
    detailed : sequence of float
        Thresholds at which distances and topology are measured too, besides the best one.
    distances : bool
        Whether distances are measured there: the figure does not show them.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    ThresholdAnalysis

    Raises
    ------
    VesselSegError
        If the images do not overlap in space, if there is nothing to count, or if the values are no
        probabilities.

    References
    ----------
    Naeini MP, Cooper GF, Hauskrecht M. Obtaining well calibrated probabilities using Bayesian binning. AAAI 2015:
    2901-2907 (expected calibration error)
    """
    check_probability(probability)
    probability = on_grid_of(probability, reference, what="the probability")
    values, truth = probability.array, reference.array != 0
    places = [each for each in counted_places(reference, mask, unsure) if each is not None]
    if places:
        counted = np.logical_and.reduce(places)
        values, truth = values[counted], truth[counted]
    if not truth.any():
        what = "the reference is empty" if mask is None else "the reference has no vessel inside the mask"
        raise VesselSegError(what, "a threshold can only be chosen where there are vessels")
    thresholds = np.arange(1, _STEPS + 1) / _STEPS
    # Nearly all voxels of a head are below every threshold: they are only counted.
    chosen = values >= float(thresholds[0])
    picked, is_vessel = values[chosen], truth[chosen]
    vessels = int(np.count_nonzero(truth))
    hits, false = (_at_least(part, thresholds) for part in (picked[is_vessel], picked[~is_vessel]))
    rest = values.size - picked.size, float(values.sum(dtype=float) - picked.sum(dtype=float))
    dice = 2 * hits / (hits + false + vessels)
    with np.errstate(invalid="ignore"):
        precision = np.where(hits + false > 0, hits / (hits + false), 0.0)
    best = np.flatnonzero(dice == dice.max())
    best_threshold = float(thresholds[best[len(best) // 2]])
    wanted = sorted({*(float(t) for t in detailed), best_threshold})
    measured = {}
    for number, threshold in enumerate(wanted):
        progress(number / len(wanted), f"threshold {threshold:.2f}")
        label = probability.with_array((probability.array >= threshold).view(np.uint8))
        measured[threshold] = evaluate(label, reference, mask=mask, unsure=unsure, distances=distances)
    progress(1.0, "thresholds done")
    return ThresholdAnalysis(
        thresholds=thresholds,
        dice=dice,
        precision=precision,
        sensitivity=hits / vessels,
        best_threshold=best_threshold,
        best_dice=float(dice.max()),
        detailed=measured,
        calibration=_calibration(picked, is_vessel, vessels, rest),
    )


def _at_least(values: NDArray[np.floating], thresholds: FloatArray) -> FloatArray:
    """Count the values that are not below each threshold."""
    # As `values >= threshold` compares them: the threshold is rounded to the precision of the values.
    levels = np.searchsorted(thresholds.astype(values.dtype), values, side="right")
    counts = np.bincount(levels, minlength=len(thresholds) + 1)
    return counts[::-1].cumsum()[::-1][1:].astype(float)


def _calibration(
    values: NDArray[np.floating], is_vessel: NDArray[np.bool_], vessels: int, rest: tuple[int, float]
) -> Calibration:
    """Sort voxels into bins; `rest` is the count and the sum of those in the first bin that are not among `values`."""
    bins = _CALIBRATION_BINS
    numbers = np.minimum((values.astype(float) * bins).astype(np.int64), bins - 1)
    voxels = np.bincount(numbers, minlength=bins).astype(np.int64)
    sums = np.bincount(numbers, weights=values, minlength=bins).astype(np.float64)
    true = np.bincount(numbers[is_vessel], minlength=bins)
    voxels[0] += rest[0]
    sums[0] += rest[1]
    true[0] += vessels - np.count_nonzero(is_vessel)
    with np.errstate(invalid="ignore"):
        mean, share = sums / voxels, true / voxels
    gaps = np.nan_to_num(np.abs(mean - share)) * voxels
    decided = int(voxels[1:].sum())
    return Calibration(
        mean_probability=mean,
        vessel_share=share,
        voxels=voxels,
        expected_error=float(gaps.sum() / voxels.sum()),
        vessel_expected_error=float(gaps[1:].sum() / decided) if decided else math.nan,
    )
