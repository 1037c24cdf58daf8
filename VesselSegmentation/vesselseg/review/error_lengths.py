"""How long errors are: along their skeletons, and along the vessels that they affect."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.label_voxels import Indices, distinct_voxels, nearest_distances
from vesselseg.morphology.thinning import thin
from vesselseg.morphology.voxel_neighbours import (
    connected_parts,
    neighbour_pairs,
    neighbour_steps,
    neighbours,
    shortest_tree,
)
from vesselseg.review.error_voxels import ErrorVoxels

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

#: Of the voxels of a piece, the share that may be otherwise: a bump does not make another shape.
BUMP_SHARE = 0.1
#: What lies off a wall counts from so many voxels across; less is the wall's unevenness.
_LUMP_VOXELS = 3
#: Single voxels in a row along a wall are a vessel that lies against another from so many on.
_ROW_VOXELS = 8
#: Voxels between groups that must not have anything to do with each other: more than a head has.
_FAR = 10_000


def error_lengths(errors: ErrorVoxels) -> tuple[Numbers, Numbers]:
    """Measure the pieces of errors along their skeletons, and along the vessels that they affect.

    A vessel is affected where an error holds its centreline: where the label that has the piece, thinned down to what
    both labels have, leaves a line. A layer along a wall leaves none, however long it is; a gap leaves one from stump
    to stump, a missing branch one from the wall to its tip. Nothing further away than neighbours has a say in it, as it
    would in the centreline of a whole label. A piece counts for more where it is larger across: the vessel around its
    line (a short gap in a thick one), what of it lies more than a voxel off the wall (an aneurysm, or a wall that is
    further off), or single voxels in a row (a thin vessel that lies against another).

    Parameters
    ----------
    errors : ErrorVoxels

    Returns
    -------
    length : ndarray of float, shape (number of pieces,)
        Of the skeletons of the pieces by themselves, in mm.
    affected : ndarray of float, shape (number of pieces,)
        Length of vessel affected, in mm; 0 for a layer one voxel thick along a wall.
    """
    length = _tree_lengths(errors, thin(errors.places, errors.around))
    rows = np.where(_are_rows_of_voxels(errors), length, 0)
    return length, np.maximum.reduce([*_line_sizes(errors), _extents_off_walls(errors), rows])


def _tree_lengths(errors: ErrorVoxels, chosen: Flags) -> Numbers:
    """Length of the shortest trees that join neighbours among some voxels, piece by piece."""
    first, second, step = (each[_between(errors, chosen)] for each in errors.pairs)
    tree = shortest_tree(first, second, _step_lengths(errors)[step], len(chosen))
    return np.bincount(errors.pieces[tree.row], weights=tree.data, minlength=errors.count).astype(np.float64)


def _between(errors: ErrorVoxels, chosen: Flags) -> Flags:
    return chosen[errors.pairs.first] & chosen[errors.pairs.second]


def _step_lengths(errors: ErrorVoxels) -> Numbers:
    return np.linalg.norm(neighbour_steps() * np.asarray(errors.spacing), axis=1)


def _are_rows_of_voxels(errors: ErrorVoxels) -> Flags:
    """Tell which pieces are one voxel wide: in the label that has them, hardly any is in a block of 2 x 2 x 2."""
    label = errors.own | errors.agreed
    wide = np.zeros(len(label), bool)
    for corner in itertools.product((-1, 1), repeat=3):
        wide |= label[:, (neighbour_steps() * corner >= 0).all(axis=1)].all(axis=1)
    _, extents = _extents(errors.places, errors.pieces)
    return (extents.max(axis=1) >= _ROW_VOXELS) & (errors.totals(wide) <= BUMP_SHARE * np.bincount(errors.pieces))


def _extents_off_walls(errors: ErrorVoxels) -> Numbers:
    """Largest extent of what of the pieces hangs together without touching true positives."""
    off = ~errors.touching
    largest = np.zeros(errors.count)
    if off.any():
        parts = _parts(errors, off)
        voxel, extents = _extents(errors.places[off], parts[off])
        lumps = extents.max(axis=1) >= _LUMP_VOXELS
        sizes = ((extents - 1) * errors.spacing).max(axis=1)
        np.maximum.at(largest, errors.pieces[off][voxel[lumps]], sizes[lumps])
    return largest


def _extents(places: Indices, groups: Indices) -> tuple[Indices, Indices]:
    """Return the position of one voxel of each group, and how many voxels it extends along z, y, x."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    ordered = places[order]
    return order[starts], np.maximum.reduceat(ordered, starts) - np.minimum.reduceat(ordered, starts) + 1


def _parts(errors: ErrorVoxels, chosen: Flags) -> Indices:
    """Return the number of what hangs together, for some voxels."""
    links = _between(errors, chosen)
    return connected_parts(errors.pairs.first[links], errors.pairs.second[links], len(chosen))


def _line_sizes(errors: ErrorVoxels) -> tuple[Numbers, Numbers]:
    """Lengths of what is left of the pieces, thinned down to true positives, and widths where that joins some."""
    line = thin(errors.places, np.where(errors.agreed, len(errors.places) + 1, errors.around))
    parts = _parts(errors, line)
    voxel, step = _ends(errors, line, parts)
    ends = np.bincount(parts[voxel], minlength=len(parts))
    leaves = np.bincount(parts, weights=line & ~errors.touching, minlength=len(parts)) > 0
    # What is left where it neither leaves a wall nor joins two is a tunnel through it, or a cavity.
    line &= ((ends != 1) | leaves)[parts]
    # To the end it is half a step: there the labels begin to agree.
    halves = np.bincount(errors.pieces[voxel], weights=step / 2 * line[voxel], minlength=errors.count)
    return _tree_lengths(errors, line) + halves, _widths_around(errors, line & (ends > 1)[parts])


def _ends(errors: ErrorVoxels, line: Flags, parts: Indices) -> tuple[Indices, Numbers]:
    """Find where parts of a line meet true positives: the voxel nearest to them, and how far they are.

    True positives that touch each other make one end.
    """
    voxel, column = np.nonzero(errors.agreed & line[:, None])
    if not voxel.size:
        return voxel, np.zeros(0)
    met, which = distinct_voxels(_apart(errors.places[voxel] + neighbour_steps()[column], parts[voxel]))
    pairs = neighbour_pairs(neighbours(met))
    end = connected_parts(pairs.first, pairs.second, len(met))[which]
    step = _step_lengths(errors)[column]
    order = np.lexsort((step, end))
    nearest = order[np.unique(end[order], return_index=True)[1]]
    return voxel[nearest], step[nearest]


def _widths_around(errors: ErrorVoxels, line: Flags) -> Numbers:
    """Width of the label that has the pieces around a line in them; 0 where there is none."""
    wanted = errors.totals(line) > 0
    at, outside = errors.face_neighbours(~errors.own & ~errors.agreed & wanted[errors.pieces][:, None])
    line = line & (np.bincount(errors.pieces[at], minlength=errors.count) > 0)[errors.pieces]
    if not line.any():
        return np.zeros(errors.count)
    outside, _ = distinct_voxels(_apart(outside, errors.pieces[at]))
    depths = nearest_distances(_apart(errors.places[line], errors.pieces[line]), outside, errors.spacing)
    largest = np.zeros(errors.count)
    np.maximum.at(largest, errors.pieces[line], depths)
    # Depths lead to the middle of a voxel outside.
    return np.where(largest > 0, 2 * largest - min(errors.spacing), 0)


def _apart(places: Indices, groups: Indices) -> Indices:
    """Move groups of voxels so far apart that none has neighbours in another."""
    return places + np.outer(groups.astype(np.int64), (_FAR, 0, 0))
