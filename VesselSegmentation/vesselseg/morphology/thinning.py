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

Flags = NDArray[np.bool_]


def thin(points: Indices, around: Indices | None = None) -> Flags:
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
            gone = candidates[_simple(alive[around[candidates]])]
            alive[gone] = False
            going = going or gone.size > 0
    return alive[: len(points)]


def _simple(label: Flags) -> Flags:
    """Tell for which sets of neighbours in the label, shape (N, 26), the voxel in their middle is simple."""
    codes = np.packbits(label, axis=1).view(np.uint32).ravel()
    _, first, places = np.unique(codes, return_index=True, return_inverse=True)  # the same few occur again and again
    label = label[first]
    by_corner, by_face, across_faces, across_edges = _adjacency()
    one_piece = label.any(axis=1) & (_flooded(_first(label), label, by_corner) == label).all(axis=1)
    seeds = ~label & across_faces
    reached = _flooded(_first(seeds), ~label & (across_faces | across_edges), by_face)
    return (one_piece & seeds.any(axis=1) & (reached | ~seeds).all(axis=1))[places]


def _first(chosen: Flags) -> Flags:
    """Leave of each set only the first."""
    return chosen & (np.cumsum(chosen, axis=1) == 1)


def _flooded(reached: Flags, within: Flags, adjacent: NDArray[np.float32]) -> Flags:
    while True:
        grown = (reached.astype(np.float32) @ adjacent > 0) & within
        if np.array_equal(grown, reached):
            return reached
        reached = grown


@functools.lru_cache(maxsize=1)
def _adjacency() -> tuple[NDArray[np.float32], NDArray[np.float32], Flags, Flags]:
    """Return which of the 26 neighbours touch each other or are the same, and which are across a face or an edge."""
    steps = neighbour_steps()
    reach = np.abs(steps).sum(axis=1)
    apart = np.abs(steps[:, None] - steps[None])
    by_corner, by_face = apart.max(axis=-1) <= 1, apart.sum(axis=-1) <= 1
    # Numbers, not flags: products of these are what linear algebra is fast at.
    return by_corner.astype(np.float32), by_face.astype(np.float32), reach == 1, reach == 2
