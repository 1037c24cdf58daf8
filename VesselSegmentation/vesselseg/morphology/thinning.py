"""Skeletons of scattered pieces: a thinning that works on a list of voxels, however large the box around them.

scikit-image's thinning visits every voxel of a box, and it erases straight pieces an even number of voxels wide
(scikit-image issue 3757); errors along the wall of a vessel are often just that.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.label_voxels import Indices
from vesselseg.morphology.voxel_neighbours import face_columns, neighbour_steps, neighbours


def thin(points: Indices, around: Indices | None = None) -> NDArray[np.bool_]:
    """Find a skeleton, one voxel wide, of the label made of a list of voxels.

    In rounds, border voxels are removed that are simple, so that the number of pieces, tunnels and cavities stays, and
    that were no ends of lines at the beginning of the round. Voxels of which no two are neighbours go at the same time
    (eight subfields by odd and even indices).

    Parameters
    ----------
    points : ndarray of int, shape (N, 3)
        Different voxels; 26-connected.
    around : ndarray of int, shape (N, 26), optional
        Their neighbours as `neighbours` finds them; links left out of it count as background. N + 1 stands for a voxel
        that is not in the list and stays: the label is thinned down to such voxels, and to lines that leave or join
        them.

    Returns
    -------
    ndarray of bool, shape (N,)
        Which of them are on the skeleton.

    References
    ----------
    Bertrand G, Malandain G. A new characterization of three-dimensional simple points. Pattern Recognit Lett
    1994;15:169-175. doi:10.1016/0167-8655(94)90046-9
    """
    around = neighbours(points) if around is None else around
    field = (points % 2) @ np.array([4, 2, 1])
    faces = face_columns()
    alive = np.append(np.ones(len(points), bool), [False, True])
    left = np.arange(len(points))
    going = True
    while going:
        left = left[alive[left]]
        border = left[~alive[around[left][:, faces]].all(axis=1)]
        border = border[alive[around[border]].sum(axis=1) > 1]
        going = False
        for number in range(8):
            candidates = border[field[border] == number]
            gone = candidates[_simple(alive[around[candidates]] @ _bits())]
            alive[gone] = False
            going = going or gone.size > 0
    return alive[: len(points)]


def _bits() -> Indices:
    return 1 << np.arange(26, dtype=np.int32)


def _simple(codes: Indices) -> NDArray[np.bool_]:
    """Tell for which sets of neighbours (a bit each) the voxel in their middle is simple."""
    codes, places = np.unique(codes, return_inverse=True)  # the same few occur again and again
    every, faces, edges, by_corner, by_face = _adjacency()
    lowest = codes & -codes
    one_piece = (codes != 0) & (_flooded(lowest, codes, by_corner) == codes)
    background = ~codes & every
    seeds = background & faces
    reached = _flooded(seeds & -seeds, background & (faces | edges), by_face)
    return (one_piece & (seeds != 0) & ((reached & seeds) == seeds))[places]


def _flooded(reached: Indices, within: Indices, adjacent: list[int]) -> Indices:
    while True:
        grown = reached.copy()
        for bit, others in enumerate(adjacent):
            grown |= -(reached >> bit & 1) & others
        grown &= within
        if np.array_equal(grown, reached):
            return reached
        reached = grown


@functools.lru_cache(maxsize=1)
def _adjacency() -> tuple[int, int, int, list[int], list[int]]:
    """Return the sets of all neighbours, of those across a face, of those across an edge, and who touches whom."""
    steps = neighbour_steps()
    reach = np.abs(steps).sum(axis=1)
    apart = np.abs(steps[:, None] - steps[None])
    by_corner = (apart.max(axis=-1) == 1) @ _bits()
    by_face = (apart.sum(axis=-1) == 1) @ _bits()
    faces, edges = (int(((reach == n) * _bits()).sum()) for n in (1, 2))
    return (1 << 26) - 1, faces, edges, [int(v) for v in by_corner], [int(v) for v in by_face]
