"""Remove a branch, or move it to another segment, without hurting the vessel that it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.editing.edit import Edit, Mask, edit_of
from vesselseg.editing.picking import SNAP_MM, Point, Voxel, check_grids, nearest_voxel, removal
from vesselseg.editing.vessel_graph import VesselGraph, vessel_graph
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import Indices, connected_voxels


def remove_branch(
    label: NDArray[Any],
    geometry: Geometry,
    point: Point,
    *,
    at_click: bool = False,
    other_side: bool = False,
    whole: NDArray[Any] | None = None,
) -> Edit:
    """Remove the branch at a click with all that comes after it.

    The clicked stretch of the skeleton, from fork to fork, divides its piece in two sides; the larger one, by volume,
    is the vessel that it comes from and stays. On a loop, as the circle of Willis is one, no side comes after the
    other: the stretch alone is removed. A piece without forks is removed as a whole, and so is what is left of a fork
    whose vessels are in other labels.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    geometry : Geometry
        Its grid.
    point : Point
        The click, as voxel indices (k, j, i); they may be fractional.
    at_click : bool
        Begin at the click, not at the fork before it.
    other_side : bool
        Remove what would have stayed on the other side of the stretch, and keep the rest.
    whole : ndarray, shape (Z, Y, X), optional
        The vessels of which the label is a part: a branch is the same in them, whether the vessel that it comes from is
        in the label or not. Only voxels of the label are removed. The label itself unless given.

    Returns
    -------
    Edit
        With the measures ``volume_mm3``, ``length_mm`` of its skeleton and ``radius_mm``, its median.

    Raises
    ------
    VesselSegError
        If there is no label near the click, the click is outside the scan or, to begin there, at the end of its vessel,
        a stretch has no other side, a loop cannot be cut at one place, or no voxel belongs to the branch alone.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, whole=whole)
    start = nearest_voxel(label, geometry, point, SNAP_MM, what="vessel")
    graph = vessel_graph(connected_voxels(label if whole is None else whole, start), geometry)
    at = _clicked(graph, start, geometry)
    cut = np.zeros(len(graph.skeleton), bool)
    if at_click:
        graph, gone, cut = _from_click(graph, at, other_side)
    else:
        gone = _from_fork(graph, int(graph.stretch[at]), other_side)
    taken = _territory(graph, gone, cut)
    if whole is not None:
        taken, gone = _in_label(graph, label, start, taken, gone)
    if not taken.any():
        raise VesselSegError("no voxel belongs to the branch at the click alone", "click farther along it")
    volume = int(np.count_nonzero(taken)) * geometry.voxel_volume
    length, radius = (graph.length_mm(gone), float(np.median(graph.radius[gone]))) if gone.any() else (0.0, 0.0)
    return removal(
        graph.voxels[taken],
        tool="remove branch",
        description=f"remove a branch of {length:.0f} mm, {volume:.1f} mm³",
        measures={"volume_mm3": volume, "length_mm": length, "radius_mm": radius},
    )


def moved_to(edit: Edit, target: NDArray[Any]) -> Edit:
    """Make the edit that adds to another segment what an edit removes from this one.

    Parameters
    ----------
    edit : Edit
        As `remove_branch` or `remove_piece` makes it.
    target : ndarray, shape (Z, Y, X)
        Label of the other segment, on the same grid.

    Returns
    -------
    Edit
    """
    added = edit.removed & (target[edit.box] == 0)
    description = edit.description.replace("remove", "take over", 1)
    return edit_of(
        added,
        np.zeros_like(added),
        tool="move to segment",
        description=description,
        box=edit.box,
        measures=edit.measures,
    )


def _clicked(graph: VesselGraph, start: Voxel, geometry: Geometry) -> int:
    """Find the skeleton voxel of a stretch to which a voxel belongs: by its distance from the wall, not the axis."""
    distances = np.linalg.norm((graph.skeleton - start) * np.asarray(geometry.spacing_zyx), axis=1)
    return int(np.argmin(np.where(graph.stretch >= 0, distances - graph.radius, np.inf)))


def _from_fork(graph: VesselGraph, stretch: int, other_side: bool) -> NDArray[np.bool_]:
    """Choose the skeleton voxels of a stretch and of what comes after it."""
    sides = graph.sides_of(stretch)
    if len(sides) < 2:
        # At an end of the tree or on a loop.
        if other_side:
            raise VesselSegError("the vessel at the click has nothing on its other side", "click on another stretch")
        return graph.on(np.array([stretch]))
    return graph.on(np.append(_after(graph, sides, other_side), stretch))


def _from_click(
    graph: VesselGraph, at: int, other_side: bool
) -> tuple[VesselGraph, NDArray[np.bool_], NDArray[np.bool_]]:
    """Choose the skeleton voxels on one side of a voxel; return the graph cut there, them, and the stretches cut."""
    halves = graph.cut_at(at)
    fork = int(halves.fork[at])
    sides = halves.sides_at(fork)
    meeting = halves.stretches_at(fork)
    if len(meeting) > 2:
        # So near to a fork that the fork is where to begin.
        return graph, _from_fork(graph, int(graph.stretch[at]), other_side), np.zeros(len(graph.skeleton), bool)
    if len(sides) < 2:
        if len(meeting) < 2 and not graph.is_ring(int(graph.stretch[at])):
            raise VesselSegError("the click is at the end of its vessel", "click where the branch shall begin")
        raise VesselSegError(
            "the vessel at the click is part of a loop, which one cut does not divide",
            "remove the stretch between its forks instead",
        )
    across = np.isin(halves.stretch, meeting) | (halves.fork == fork)
    return halves, halves.on(_after(halves, sides, other_side)), across


def _after(graph: VesselGraph, sides: list[Indices], other_side: bool) -> Indices:
    """Choose the side that comes after; the vessel that the other belongs to is larger, by about its volume."""
    amounts = [graph.volume_mm3(side) for side in sides]
    return sides[int(np.argmax(amounts) if other_side else np.argmin(amounts))]


def _territory(graph: VesselGraph, gone: NDArray[np.bool_], cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which voxels of a piece belong to a part of its skeleton and not to the rest.

    The skeleton of a branch begins inside the vessel that it comes from. Spheres that fit into that vessel belong to
    it, and so does what is nearer to its wall than to the branch's.
    """
    from scipy.spatial import cKDTree

    if gone.all():
        return np.ones(len(graph.voxels), bool)
    staying, spacing = ~gone, graph.spacing
    kept = cKDTree(graph.skeleton[staying] * spacing)
    # Where a vessel is cut across, it has no wall that could be hurt.
    wall = np.where(cut, 0.0, graph.radius)[staying]
    depth, nearest = kept.query(graph.skeleton[gone] * spacing)
    outside = depth > wall[nearest]
    if not outside.any():
        outside[:] = True
    branch = cKDTree(graph.skeleton[gone][outside] * spacing)
    places = graph.voxels * spacing
    to_kept, kept_at = kept.query(places)
    to_branch, branch_at = branch.query(places)
    taken = (to_kept >= wall[kept_at]) & (
        to_branch - graph.radius[gone][outside][branch_at] < to_kept - graph.radius[staying][kept_at]
    )
    return _without_crumbs(graph, taken, gone)


def _in_label(
    graph: VesselGraph, label: NDArray[Any], start: Voxel, taken: NDArray[np.bool_], gone: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Leave of a branch, of its voxels and of those of its skeleton, what is in a label."""
    own = label[tuple(graph.voxels.T)] != 0
    if own.all():
        return taken, gone
    part = graph.parts_of_voxels(own)
    piece = part == part[(graph.voxels == start).all(axis=1)]
    inside = piece[graph.on_skeleton]
    has_stretches = len(np.setdiff1d(graph.stretch[inside], np.append(graph.stretch[~inside], -1))) > 0
    if not has_stretches and not (taken & piece).any():
        return piece, inside  # what is left of a fork, in the territory of no branch
    return taken & own, gone & own[graph.on_skeleton]


def _without_crumbs(graph: VesselGraph, taken: Mask, gone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give crumbs of either part, in which none of its skeleton lies, to the other part."""
    part = graph.parts_of_voxels(taken)
    anchored = np.zeros(int(part.max()) + 1, bool)
    anchored[part[graph.on_skeleton[taken[graph.on_skeleton] == gone]]] = True
    crumbs = ~anchored[part]
    return taken ^ crumbs
