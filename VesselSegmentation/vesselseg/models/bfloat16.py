"""What keeps a network in bfloat16 close to single precision.

bfloat16 has 8 significant bits. Measured layer by layer, most of what was lost in the shipped networks was lost where
the scan itself was rounded: a thin artery is brighter than the tissue by little. Nine tenths of the variance of the
error are gone where the first convolution, a small share of the work, takes scan and weights in two parts each. Of what
was left in the half U-Net, a third was lost where the features of the first level enter the second: the convolution
there takes them in two parts as well. In the others the weights are rounded such that their sums stay: no feature
becomes brighter or darker as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

#: Channels that each channel of the scan becomes.
PARTS = 3
#: The convolution, counted from 0, that takes its features in two parts.
SPLIT_FEATURES = 2
#: What splits a number of 24 significant bits into one of 8, which bfloat16 holds, and the rest (Dekker TJ. A
#: floating-point technique for extending the available precision. Numer Math 1971;18:224-242, doi:10.1007/BF01397083).
SPLITTER = 2.0**16 + 1


def rounded(values: FloatArray) -> FloatArray:
    """Round to the nearest bfloat16, to the even one of two that are equally near.

    Parameters
    ----------
    values : ndarray of float32
        Finite.

    Returns
    -------
    ndarray of float32
        Of the same shape.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # Half of the last bit that stays, less one if that bit is 0; a carry into the exponent is right as well.
    return ((bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) & np.uint32(0xFFFF0000)).view(np.float32)


def split_scan(scan: FloatArray) -> FloatArray:
    """Return a scan as the channels that `split_weight` makes a convolution take.

    Parameters
    ----------
    scan : ndarray, shape (N, channels, [Z,] Y, X), float32

    Returns
    -------
    ndarray, shape (N, 3 * channels, [Z,] Y, X), float32
        The scan in bfloat16, what is left of it, and the first again.
    """
    coarse = rounded(scan)
    return np.concatenate([coarse, scan - coarse, coarse], axis=1)


def split_weight(weight: FloatArray) -> FloatArray:
    """Return the weight of a convolution that takes a scan split by `split_scan`.

    With scan s + t and weight w + v, s and w in bfloat16, it computes w s + w t + v s. What is left out is of the order
    of a millionth of the product, a bfloat16 product is wrong by thousandths.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs, [Z,] Y, X), float32

    Returns
    -------
    ndarray, shape (outputs, 3 * inputs, [Z,] Y, X), float32
    """
    coarse = rounded(weight)
    return np.concatenate([coarse, coarse, weight - coarse], axis=1)


def rounded_weight(weight: FloatArray) -> FloatArray:
    """Round the weight of a convolution to bfloat16, the sum of each kernel kept as well as possible.

    The larger weights are rounded first, and each takes over what was left by those before it.

    Parameters
    ----------
    weight : ndarray, shape (outputs, inputs, [Z,] Y, X), float32

    Returns
    -------
    ndarray of float32
        Of the same shape.
    """
    if np.array_equal(rounded(weight), weight):  # as `vesselseg.models.save_model` stores them: no time is lost
        return weight
    kernels = np.asarray(weight, dtype=np.float64).reshape(*weight.shape[:2], -1)
    order = np.argsort(-np.abs(kernels), axis=2)
    kernels = np.take_along_axis(kernels, order, axis=2)
    found, left = np.empty_like(kernels), np.zeros(weight.shape[:2])
    for index in range(kernels.shape[2]):
        wanted = kernels[..., index] + left
        found[..., index] = rounded(wanted.astype(np.float32))
        left = wanted - found[..., index]
    result = np.empty_like(found)
    np.put_along_axis(result, order, found, axis=2)
    return result.reshape(weight.shape).astype(np.float32)
