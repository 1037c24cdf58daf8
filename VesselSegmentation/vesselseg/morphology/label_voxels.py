"""Lists of a label's voxels and of those at its wall.

Vessels fill a hundredth of a head: what is reckoned on a list of their voxels costs a fraction of a pass of
`scipy.ndimage` over the whole array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def voxels(mask: NDArray[np.bool_]) -> Indices:
    """List the true voxels of a mask, like `numpy.argwhere`, in a fifth of its time.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)

    Returns
    -------
    ndarray of int, shape (N, 3)
        Indices along z, y, x, in the order of the array.
    """
    return _unravelled(np.flatnonzero(mask), mask.shape)


def surface(label: NDArray[np.bool_]) -> Indices:
    """List the voxels of a label that one 6-connected erosion removes; beyond the border of the array is outside.

    Parameters
    ----------
    label : ndarray of bool, shape (Z, Y, X)

    Returns
    -------
    ndarray of int, shape (N, 3)
        Indices along z, y, x, in the order of the array.
    """
    padded = np.pad(label, 1)
    flat, inside = np.flatnonzero(padded), padded.ravel()
    buried = np.ones(len(flat), bool)
    for step in _steps(padded):
        buried &= inside[flat + step]
    return _unravelled(flat[~buried], padded.shape) - 1


def shell(label: NDArray[np.bool_]) -> Indices:
    """List the voxels outside a label that one 6-connected dilation adds, those beyond the array's border included.

    Parameters
    ----------
    label : ndarray of bool, shape (Z, Y, X)

    Returns
    -------
    ndarray of int, shape (N, 3)
        Indices along z, y, x, in the order of the array; -1 and the array's size are beyond its border.
    """
    padded = np.pad(label, 1)
    flat, inside = np.flatnonzero(padded), padded.ravel()
    touched = np.zeros(inside.size, bool)
    for step in _steps(padded):
        touched[flat + step] = True
    touched[flat] = False
    return _unravelled(np.flatnonzero(touched), padded.shape) - 1


def _steps(array: NDArray[np.bool_]) -> list[int]:
    """Return the steps in the flat array to the six neighbours of a voxel."""
    _depth, rows, columns = array.shape
    return [rows * columns, -rows * columns, columns, -columns, 1, -1]


def _unravelled(flat: Indices, shape: tuple[int, ...]) -> Indices:
    return np.stack(np.unravel_index(flat, shape), axis=1)
