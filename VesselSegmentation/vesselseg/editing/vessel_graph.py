"""The skeleton of a connected piece of vessels as stretches between forks; loops are allowed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import Indices, nearest_distances
from vesselseg.morphology.thinning import thin
from vesselseg.morphology.voxel_neighbours import (
    connected_parts,
    face_columns,
    neighbour_pairs,
    neighbour_steps,
    neighbours,
    shortest_tree,
)

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

#: A side twig of the skeleton that ends less than this beyond the wall of its vessel is an unevenness of the wall.
_SPUR_MM = 1.0


@dataclass(frozen=True)
class VesselGraph:
    """Stretches of a skeleton, and the forks that join them.

    Parameters
    ----------
    voxels : ndarray of int, shape (N, 3)
        Of the piece, (k, j, i).
    around : ndarray of int, shape (N, 26)
        Their neighbours, as `vesselseg.morphology.voxel_neighbours.neighbours` lists them.
    spacing : ndarray, shape (3,)
        Along z, y, x, in mm.
    on_skeleton : ndarray of int, shape (M,)
        Positions in the list of those on the skeleton.
    radius : ndarray of float, shape (M,)
        Distance from these to the nearest voxel outside the piece, in mm.
    stretch : ndarray of int, shape (M,)
        Number of the stretch on which they lie, from 0; -1 in a fork.
    fork : ndarray of int, shape (M,)
        Number of the fork in which they lie, from 0; -1 on a stretch.
    joints : ndarray of int, shape (J, 2)
        Which stretch meets which fork.
    """

    voxels: Indices
    around: Indices
    spacing: Numbers
    on_skeleton: Indices
    radius: Numbers
    stretch: Indices
    fork: Indices
    joints: Indices

    @property
    def skeleton(self) -> Indices:
        """Voxels of the skeleton (k, j, i), shape (M, 3)."""
        return self.voxels[self.on_skeleton]

    @property
    def stretches(self) -> int:
        """Number of stretches."""
        return int(self.stretch.max(initial=-1)) + 1

    @property
    def forks(self) -> int:
        """Number of forks."""
        return int(self.fork.max(initial=-1)) + 1

    def forks_of(self, stretch: int) -> Indices:
        """Return the numbers of the forks that a stretch meets: none, one or two."""
        return self.joints[self.joints[:, 0] == stretch, 1]

    def stretches_at(self, fork: int) -> Indices:
        """Return the numbers of the stretches that meet a fork."""
        return self.joints[self.joints[:, 1] == fork, 0]

    def sides_of(self, stretch: int) -> list[Indices]:
        """Return what hangs at the forks of a stretch without it.

        Parameters
        ----------
        stretch : int

        Returns
        -------
        list of ndarray of int
            The numbers of the stretches that can be reached from either fork; a single list where both forks reach the
            same, as on a loop.
        """
        part = self._parts_of(self.joints[self.joints[:, 0] != stretch])
        return self._lists(part, part[self.forks_of(stretch) + self.stretches])

    def sides_at(self, fork: int) -> list[Indices]:
        """Return what a fork holds together: as `sides_of`, from each stretch that meets it."""
        part = self._parts_of(self.joints[self.joints[:, 1] != fork])
        return self._lists(part, part[self.stretches_at(fork)])

    def is_ring(self, stretch: int) -> bool:
        """Tell whether a stretch that meets no fork has no end either."""
        links = np.bincount(_links(self.skeleton, self.spacing).first, minlength=len(self.stretch))
        return not len(self.forks_of(stretch)) and bool((links[self.stretch == stretch] > 1).all())

    def on(self, stretches: Indices) -> Flags:
        """Tell which voxels of the skeleton are on some stretches, or in a fork of these alone."""
        chosen = np.zeros(self.stretches, bool)
        chosen[stretches] = True
        whole = np.ones(self.forks, bool)
        whole[self.joints[~chosen[self.joints[:, 0]], 1]] = False
        # The appended value answers for -1: not on a stretch, not in a fork.
        return np.append(chosen, False)[self.stretch] | np.append(whole, False)[self.fork]

    def length_mm(self, chosen: Flags) -> float:
        """Return the length of a part of the skeleton: of the shortest tree that joins its neighbours."""
        links = _links(self.skeleton[chosen], self.spacing)
        count = int(np.count_nonzero(chosen))
        return float(shortest_tree(links.first, links.second, links.steps, count).sum())

    def volume_mm3(self, stretches: Indices) -> float:
        """Return about the volume of some stretches: length times cross-section, voxel by voxel of the skeleton."""
        links = _links(self.skeleton, self.spacing)
        chosen = np.isin(self.stretch, stretches)[links.first]
        return float(np.pi * (self.radius[links.first] ** 2 * links.steps)[chosen].sum() / 2)

    def cut_at(self, position: int) -> VesselGraph:
        """Return the graph with a voxel of the skeleton made a fork, in which its stretch ends."""
        return _graph(self.voxels, self.around, self.spacing, self.on_skeleton, self.radius, position)

    def parts_of_voxels(self, marked: Flags) -> Indices:
        """Give the connected parts of the marked and of the other voxels of the piece numbers, voxel by voxel."""
        pairs = neighbour_pairs(self.around)
        alike = marked[pairs.first] == marked[pairs.second]
        return connected_parts(pairs.first[alike], pairs.second[alike], len(self.voxels))

    def _parts_of(self, joints: Indices) -> Indices:
        """Tell in which part stretches, then forks, hang together by some joints."""
        return connected_parts(joints[:, 0], joints[:, 1] + self.stretches, self.stretches + self.forks)

    def _lists(self, part: Indices, roots: Indices) -> list[Indices]:
        return [np.flatnonzero(part[: self.stretches] == root) for root in np.unique(roots)]


def vessel_graph(voxels: Indices, geometry: Geometry) -> VesselGraph:
    """Build the graph of a connected piece.

    Parameters
    ----------
    voxels : ndarray of int, shape (N, 3)
        Of the piece, (k, j, i); 26-connected.
    geometry : Geometry
        Grid of the scan.

    Returns
    -------
    VesselGraph
    """
    spacing = np.asarray(geometry.spacing_zyx)
    around = neighbours(voxels)
    on_skeleton = np.flatnonzero(thin(voxels, around))
    radius = _radii(voxels, around, on_skeleton, spacing)
    while True:
        graph = _graph(voxels, around, spacing, on_skeleton, radius)
        spurs = _spurs(graph)
        if not spurs.any():
            return graph
        on_skeleton, radius = on_skeleton[~spurs], radius[~spurs]


def _radii(voxels: Indices, around: Indices, on_skeleton: Indices, spacing: Numbers) -> Numbers:
    """Distance from the skeleton to the nearest voxel outside, which is always a 6-neighbour of a voxel inside."""
    steps = neighbour_steps()
    shell = np.concatenate([voxels[around[:, face] == len(voxels)] + steps[face] for face in face_columns()])
    return nearest_distances(voxels[on_skeleton], shell, spacing)


@dataclass(frozen=True)
class _Links:
    """Neighbours in a list of voxels, each pair in both orders, and how far apart they are, in mm."""

    first: Indices
    second: Indices
    steps: Numbers

    def chosen(self, which: Flags) -> tuple[Indices, Indices]:
        return self.first[which], self.second[which]


def _links(skeleton: Indices, spacing: Numbers) -> _Links:
    found = neighbours(skeleton)
    first, column = np.nonzero(found < len(skeleton))
    return _Links(first, found[first, column], np.linalg.norm(neighbour_steps()[column] * spacing, axis=1))


def _graph(
    voxels: Indices,
    around: Indices,
    spacing: Numbers,
    on_skeleton: Indices,
    radius: Numbers,
    cut: int | None = None,
) -> VesselGraph:
    links = _links(voxels[on_skeleton], spacing)
    forked = np.bincount(links.first, minlength=len(on_skeleton)) > 2
    if cut is not None:
        forked[cut] = True
    part, forked = _contracted(links, forked, radius)
    count = int(part.max()) + 1
    pairs = _ends(links, forked, part)
    is_fork = np.zeros(count, bool)
    is_fork[part[forked]] = True
    # Where no more than two ends of stretches meet is no fork: it lies on the way of one stretch.
    passed = is_fork & (np.bincount(pairs[:, 1], minlength=count) <= 2)
    if cut is not None:
        passed[part[cut]] = False
    is_fork &= ~passed
    on_way = pairs[passed[pairs[:, 1]]]
    joined = connected_parts(on_way[:, 0], on_way[:, 1], count)
    stretch_of, fork_of = np.full(count, -1), np.full(count, -1)
    stretch_of[~is_fork] = np.unique(joined[~is_fork], return_inverse=True)[1]
    fork_of[is_fork] = np.arange(np.count_nonzero(is_fork))
    ends = pairs[is_fork[pairs[:, 1]]]
    joints = np.unique(np.stack([stretch_of[ends[:, 0]], fork_of[ends[:, 1]]], axis=1), axis=0)
    return VesselGraph(voxels, around, spacing, on_skeleton, radius, stretch_of[part], fork_of[part], joints)


def _contracted(links: _Links, forked: Flags, radius: Numbers) -> tuple[Indices, Flags]:
    """Tell apart stretches and forks, after forks took up what lies between them and is shorter than thick.

    So does a fork of four vessels, or a hole of a voxel or two in a label, stay one place.
    """
    part = connected_parts(*links.chosen(forked[links.first] == forked[links.second]), len(forked))
    count = int(part.max()) + 1
    from_stretch = ~forked[links.first]
    pairs = _ends(links, forked, part)
    widest = np.zeros(count)
    np.maximum.at(widest, part, radius)
    short = np.bincount(pairs[:, 0], minlength=count) > 1
    short &= _lengths(links, part, from_stretch, count) < widest
    forked = forked | short[part]
    return connected_parts(*links.chosen(forked[links.first] == forked[links.second]), len(forked)), forked


def _ends(links: _Links, forked: Flags, part: Indices) -> Indices:
    """List which stretch ends in which fork; a loop that begins and ends in one fork is listed twice."""
    first, second = links.chosen(~forked[links.first] & forked[links.second])
    ends = np.unique(np.stack([first, part[second]], axis=1), axis=0)
    return np.stack([part[ends[:, 0]], ends[:, 1]], axis=1)


def _lengths(links: _Links, owner: Indices, chosen: Flags, count: int) -> Numbers:
    """Add up the steps from the voxels of each owner; those within it are listed twice, those out of it half count."""
    return np.bincount(owner[links.first[chosen]], weights=links.steps[chosen], minlength=count) / 2


def _spurs(graph: VesselGraph) -> Flags:
    """Find the skeleton voxels of twigs that are no branches, the shortest at each fork first."""
    ends = np.bincount(graph.joints[:, 0], minlength=graph.stretches)
    links = _links(graph.skeleton, graph.spacing)
    length = _lengths(links, graph.stretch, graph.stretch[links.first] >= 0, graph.stretches)
    wall = np.zeros(graph.forks + 1)
    np.maximum.at(wall, graph.fork, graph.radius)
    spurs = np.zeros(graph.stretches + 1, bool)
    for fork in range(graph.forks):
        here = graph.stretches_at(fork)
        shortest = here[np.argmin(length[here])]
        spurs[shortest] |= len(here) > 2 and ends[shortest] == 1 and length[shortest] < wall[fork] + _SPUR_MM
    return spurs[graph.stretch]
