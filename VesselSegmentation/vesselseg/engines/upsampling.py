"""Upsampling and the convolution after it as one transposed convolution."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

#: How many times as long a side becomes.
FACTOR = 2


def upsampling_weight(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the transposed convolution that does what repeating each value 2 x 2 (x 2) times and a convolution do.

    Of three voxels in a row, two always repeat the same value: what they are multiplied with can be added up before.
    2 x 2 products remain of 3 x 3, and 2 x 2 x 2 of 3 x 3 x 3.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs, [3,] 3, 3), float32
        Of the convolution, with zeros around.

    Returns
    -------
    ndarray, shape (inputs, outputs, [4,] 4, 4), float32
        Of a transposed convolution with steps of 2, of whose result one voxel is cut off on each side.
    """
    sides = weight.ndim - 2
    outputs, inputs = weight.shape[:2]
    result = np.zeros((inputs, outputs, *[3 + FACTOR - 1] * sides))
    turned = np.flip(np.swapaxes(weight, 0, 1), axis=tuple(range(2, weight.ndim)))
    for shift in product(range(FACTOR), repeat=sides):
        result[(slice(None), slice(None), *(slice(first, first + 3) for first in shift))] += turned
    return result.astype(np.float32)


def phases(weight: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield views of the parts of a transposed convolution's weight that make one voxel of its result each."""
    for first in product(range(FACTOR), repeat=weight.ndim - 2):
        yield weight[(slice(None), slice(None), *(slice(start, None, FACTOR) for start in first))]
