"""Which voxels of a list are neighbours: an array of the size of the box around them is never made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.label_voxels import Indices

if TYPE_CHECKING:
    from scipy.sparse import coo_array


def neighbour_steps() -> Indices:
    """Return the 26 steps to a voxel's neighbours, shape (26, 3); the last 13 are the opposites of the first."""
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.delete(steps, 13, axis=0)


def face_columns() -> Indices:
    """Return which of `neighbour_steps` lead across a face: the positions of these six."""
    return np.flatnonzero(np.abs(neighbour_steps()).sum(axis=1) == 1)


def neighbours(points: Indices) -> Indices:
    """Find the 26-neighbours of every voxel of a list within that list.

    Parameters
    ----------
    points : ndarray of int, shape (N, 3)
        Different voxels.

    Returns
    -------
    ndarray of int, shape (N, 26)
        For each step of `neighbour_steps` the position of the neighbour in the list; N where there is none.
    """
    low = points.min(axis=0) - 1
    shape = tuple(int(n) for n in points.max(axis=0) - low + 2)
    flat = np.ravel_multi_index((points - low).T, shape)
    order = np.argsort(flat)
    ordered = flat[order]
    found = np.full((len(points), 26), len(points), dtype=np.int32)
    middle = np.ravel_multi_index((1, 1, 1), shape)
    for column, step in enumerate(neighbour_steps()):
        wanted = flat + np.ravel_multi_index(tuple(step + 1), shape) - middle
        place = np.minimum(np.searchsorted(ordered, wanted), len(points) - 1)
        hit = ordered[place] == wanted
        found[hit, column] = order[place[hit]]
    return found


class NeighbourPairs(NamedTuple):
    """Neighbours in a list of voxels, each pair once: their positions, and the number of the step between them."""

    first: Indices
    second: Indices
    step: Indices


def neighbour_pairs(around: Indices) -> NeighbourPairs:
    """List the pairs of neighbours.

    Parameters
    ----------
    around : ndarray of int, shape (N, 26)
        As `neighbours` finds them; links may have been left out, both ways.

    Returns
    -------
    NeighbourPairs
    """
    first, column = np.nonzero(around[:, 13:] < len(around))
    return NeighbourPairs(first, around[first, column + 13].astype(np.int64), column + 13)


def connected_parts(first: Indices, second: Indices, count: int) -> NDArray[np.int32]:
    """Tell what hangs together by some links.

    Parameters
    ----------
    first, second : ndarray of int, shape (L,)
        What each link joins, as numbers below `count`.
    count : int
        How many there are to be linked.

    Returns
    -------
    ndarray of int, shape (count,)
        The number of the part of each, from 0.
    """
    from scipy.sparse.csgraph import connected_components

    links = _link_matrix(first, second, np.ones(len(first), bool), count)
    parts: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return parts


def shortest_tree(first: Indices, second: Indices, lengths: NDArray[np.float64], count: int) -> coo_array:
    """Find the shortest tree that joins what hangs together by some links, one tree for each part.

    Parameters
    ----------
    first, second : ndarray of int, shape (L,)
        What each link joins, as numbers below `count`; a link may be there in both orders, in neither twice.
    lengths : ndarray of float, shape (L,)
        Of the links, above 0.
    count : int
        How many there are to be linked.

    Returns
    -------
    scipy.sparse.coo_array, shape (count, count)
        The links of the trees: what they join, ``row`` and ``col``, and their lengths, ``data``.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    return minimum_spanning_tree(_link_matrix(first, second, lengths, count)).tocoo()


def _link_matrix(first: Indices, second: Indices, values: NDArray[Any], count: int) -> coo_array:
    from scipy.sparse import coo_array

    # In 32 bits: SciPy 1.13, which is the one of 3D Slicer 5.8 and 5.10, spans no tree over indices of 64.
    ends = first.astype(np.int32), second.astype(np.int32)
    return coo_array((values, ends), shape=(count, count))
