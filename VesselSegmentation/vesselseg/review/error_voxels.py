"""The voxels in error of a map, and the connected pieces that they form.

Errors are few among the voxels of a head: everything here works on the list of their indices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, box_start
from vesselseg.morphology.label_voxels import Indices, distinct_voxels, nearest_distances, voxels
from vesselseg.morphology.voxel_neighbours import (
    NeighbourPairs,
    connected_parts,
    face_columns,
    neighbour_pairs,
    neighbour_steps,
    neighbours,
)
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.volume import Volume


@dataclass(frozen=True)
class ErrorVoxels:
    """A list of voxels in error, and to which pieces (26-connected, of one kind) they belong.

    Parameters
    ----------
    places : ndarray of int, shape (N, 3)
        Their indices (k, j, i) in the map.
    kinds : ndarray of uint8, shape (N,)
        Their values in the map.
    around : ndarray of int, shape (N, 26)
        Their neighbours of the same kind, as `vesselseg.morphology.voxel_neighbours.neighbours` finds them.
    agreed : ndarray of bool, shape (N, 26)
        Which of their neighbours are true positives.
    pairs : NeighbourPairs
        Of neighbours of the same kind.
    pieces : ndarray of int, shape (N,)
        The number of the piece of each, from 0.
    spacing : tuple of float
        Along z, y, x, in mm.
    """

    places: Indices
    kinds: NDArray[np.uint8]
    around: Indices
    agreed: NDArray[np.bool_]
    pairs: NeighbourPairs
    pieces: Indices
    spacing: tuple[float, float, float]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return int(self.pieces.max()) + 1

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which of their neighbours are of the same kind, shape (N, 26)."""
        return self.around < len(self.around)

    @property
    def touching(self) -> NDArray[np.bool_]:
        """Which of them touch a true positive, shape (N,)."""
        touching: NDArray[np.bool_] = np.any(self.agreed, axis=1)
        return touching

    def totals(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Add up values of the voxels, shape (N,), piece by piece."""
        return np.bincount(self.pieces, weights=values, minlength=self.count).astype(np.float64)

    def face_neighbours(self, marked: NDArray[np.bool_]) -> tuple[Indices, Indices]:
        """List the neighbours across a face among those that are marked, shape (N, 26): whose they are, and where."""
        at, face = np.nonzero(marked[:, face_columns()])
        return at, self.places[at] + neighbour_steps()[face_columns()[face]]

    def depths(self) -> NDArray[np.float64]:
        """Distance of every voxel to the nearest that is not of its kind, in mm, shape (N,)."""
        result = np.zeros(len(self.places))
        for kind in np.unique(self.kinds):
            chosen = self.kinds == kind
            # The nearest voxel outside is always across a face of the kind.
            _, outside = self.face_neighbours(~self.own & chosen[:, None])
            result[chosen] = nearest_distances(self.places[chosen], distinct_voxels(outside)[0], self.spacing)
        return result


def find_error_voxels(errors: Volume, box: Box) -> ErrorVoxels | None:
    """List the voxels in error in a box; None if there are none.

    Parameters
    ----------
    errors : Volume
        As `vesselseg.review.error_map.error_map` makes it.
    box : tuple of slice
        Pieces that it cuts are taken for what is inside.

    Returns
    -------
    ErrorVoxels or None
    """
    # With a margin of background, every voxel has 26 neighbours; the margin of the box itself is not background.
    wider = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
    lost = [(int(part.start == 0), int(part.stop + 1 > size)) for part, size in zip(box, errors.array.shape)]
    values = np.pad(errors.array[wider], lost)
    inside = np.zeros(values.shape, bool)
    inside[1:-1, 1:-1, 1:-1] = values[1:-1, 1:-1, 1:-1] >= ErrorKind.FALSE_POSITIVE
    points = voxels(inside)
    if not len(points):
        return None
    kinds = values[tuple(points.T)]
    near = np.stack([values[tuple((points + step).T)] for step in neighbour_steps()], axis=1)
    around = neighbours(points)
    # Pieces are of one kind: links between kinds are cut.
    around[near != kinds[:, None]] = len(points)
    pairs = neighbour_pairs(around)
    return ErrorVoxels(
        places=points - 1 + box_start(box),
        kinds=kinds,
        around=around,
        agreed=near == ErrorKind.TRUE_POSITIVE,
        pairs=pairs,
        pieces=connected_parts(pairs.first, pairs.second, len(points)),
        spacing=errors.geometry.spacing_zyx,
    )
