"""The best global threshold, picked on the truth itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE
from vesselseg.volume import Volume


def segment_by_threshold(scan: Volume, inside: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Take all voxels as bright as the threshold with the largest Dice, or brighter; see `vesselseg.baselines`."""
    return inside & (scan.array >= best_threshold(scan.array, inside, truth))


def best_threshold(values: NDArray[Any], inside: NDArray[np.bool_], truth: NDArray[Any]) -> float:
    """Return the threshold of the largest Dice.

    Parameters
    ----------
    values : ndarray, shape (Z, Y, X)
        Of whatever is to be thresholded.
    inside : ndarray of bool, shape (Z, Y, X)
        Only these voxels count.
    truth : ndarray, shape (Z, Y, X)
        1 vessel, 0 none, `vesselseg.image_io.UNSURE` not counted.

    Returns
    -------
    float
        One of the values: all thresholds that make a difference are tried.

    Raises
    ------
    VesselSegError
        If there is no vessel inside.
    """
    counted = inside & (truth != UNSURE)
    chosen, is_vessel = values[counted], truth[counted] != 0
    total = int(np.count_nonzero(is_vessel))
    if total == 0:
        raise VesselSegError("the truth has no vessel inside the mask", "a threshold can only be picked where there is")
    order = np.argsort(chosen, kind="stable")[::-1]
    chosen, hits = chosen[order], np.cumsum(is_vessel[order])
    # Voxels of equal value come together or not at all.
    last = np.append(np.flatnonzero(np.diff(chosen)), len(chosen) - 1)
    dice = 2 * hits[last] / (last + 1 + total)
    return float(chosen[last[np.argmax(dice)]])
