"""Where the voxels of a label are: lists of them and of those at its wall, boxes around them, connected pieces.

Vessels fill a hundredth of a head: what is reckoned on a list of their voxels costs a fraction of a pass of
`scipy.ndimage` over the whole array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesselseg.boxes import Box, box_between

Indices = NDArray[np.signedinteger]
#: Every voxel's piece, numbered from 1, and the number of pieces.
Pieces = tuple[NDArray[np.int32], int]


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


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> Box | None:
    """Return the smallest box around the true voxels of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    margin : int
        Voxels added on every side, as far as the array goes.

    Returns
    -------
    tuple of slice or None
        Along z, y, x; None if the mask is empty.
    """
    box = []
    for axis in range(3):
        # Reducing the two other axes in turn, fastest axis last, touches each voxel once.
        other = tuple(a for a in range(3) if a != axis)
        indices = np.flatnonzero(mask.any(axis=other))
        if indices.size == 0:
            return None
        box.append(slice(max(int(indices[0]) - margin, 0), min(int(indices[-1]) + 1 + margin, mask.shape[axis])))
    return box[0], box[1], box[2]


def pieces(label: NDArray[np.bool_]) -> Pieces:
    """Find the 26-connected pieces of a label.

    Parameters
    ----------
    label : ndarray of bool, shape (Z, Y, X)

    Returns
    -------
    numbers : ndarray of int, shape (Z, Y, X)
        0 outside the label.
    count : int
    """
    from scipy import ndimage

    numbers, count = ndimage.label(label, structure=np.ones((3, 3, 3)))
    return numbers, int(count)


def connected_voxels(mask: NDArray[Any], start: tuple[int, int, int]) -> Indices:
    """List the voxels of a mask that hang together (26-connected) with one of them.

    Parameters
    ----------
    mask : ndarray, shape (Z, Y, X)
        Every value other than 0 belongs to it.
    start : tuple of int
        One of its voxels (k, j, i).

    Returns
    -------
    ndarray of int, shape (N, 3)
        (k, j, i) in the order of the array.
    """
    from skimage.segmentation import flood

    piece = flood(mask.astype(bool, copy=False).view(np.uint8), start, connectivity=3)
    return voxels(piece)


def box_of_voxels(listed: Indices) -> tuple[Box, NDArray[np.bool_]]:
    """Return the smallest box around listed voxels, and the mask of them within it."""
    low, high = listed.min(axis=0), listed.max(axis=0) + 1
    mask = np.zeros(high - low, bool)
    mask[tuple((listed - low).T)] = True
    return box_between(low, high), mask


def distinct_voxels(listed: Indices) -> tuple[Indices, Indices]:
    """Leave out of a list of voxels, shape (N, 3), what is there already.

    Returns
    -------
    distinct : ndarray of int, shape (M, 3)
    positions : ndarray of int, shape (N,)
        Where in the shorter list each voxel of the longer is.
    """
    low = listed.min(axis=0)
    shape = tuple(int(n) for n in listed.max(axis=0) - low + 1)
    flat, positions = np.unique(np.ravel_multi_index((listed - low).T, shape), return_inverse=True)
    return _unravelled(flat, shape) + low, positions


def nearest_voxels(
    listed: Indices, others: Indices, spacing: ArrayLike = (1.0, 1.0, 1.0)
) -> tuple[NDArray[np.float64], Indices]:
    """Find for each voxel of a list the nearest of another list.

    Parameters
    ----------
    listed : ndarray of int, shape (N, 3)
        Along z, y, x.
    others : ndarray of int, shape (M, 3)
        At least one.
    spacing : array_like, shape (3,)
        Along z, y, x.

    Returns
    -------
    distances : ndarray of float, shape (N,)
        From centre to centre, in the unit of the spacing.
    positions : ndarray of int, shape (N,)
        Of the nearest, in the other list.
    """
    from scipy.spatial import cKDTree

    # Asked once, the tree is not worth balancing.
    tree = cKDTree(others * np.asarray(spacing), balanced_tree=False, compact_nodes=False)
    distances, positions = tree.query(listed * np.asarray(spacing))
    return distances, positions


def nearest_distances(listed: Indices, others: Indices, spacing: ArrayLike) -> NDArray[np.float64]:
    """Return the distances that `nearest_voxels` finds."""
    return nearest_voxels(listed, others, spacing)[0]


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
