"""Overlap of two labels, reckoned independently of `vesselseg.metrics`."""

from __future__ import annotations

import numpy as np


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice coefficient of two boolean arrays that are not both empty."""
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
