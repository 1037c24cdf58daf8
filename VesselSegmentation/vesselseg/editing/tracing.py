"""Trace a vessel between clicks: a path through what looks most like a vessel, drawn as a tube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box
from vesselseg.editing.edit import Edit, edit_of
from vesselseg.editing.path_calibre import even_points, measure_calibre, smoothed
from vesselseg.editing.picking import Point, Voxel, box_around, check_grids, distances_mm, voxel_at
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box

#: How far a path may leave the box, or the way, between two points.
_MARGIN_MM = 12.0
#: A click is moved to a voxel that looks much more like a vessel if it is this near.
_SNAP_MM = 1.0
#: How much longer a way through vessel may be than one straight through background.
_DETOUR = 20.0
#: No vessel of the head is as thick.
_LARGEST_TUBE_MM = 20.0
#: In boxes of more voxels, a path is searched at half the resolution first, and then this many of its voxels around it.
_LARGE_BOX = 1_000_000
_CORRIDOR = 4
#: Window in which a voxel is compared with its surroundings, in mm; from how many of their standard deviations above
#: their mean on it may be a vessel, and from how many on it is.
_WINDOW_MM = 10.0
_NOISE_CONTRAST, _VESSEL_CONTRAST = 1.0, 3.0


@dataclass(frozen=True)
class TracedPath:
    """A path through a vessel.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        Its middle, as fractional voxel indices (k, j, i), at even distances.
    radii_mm : ndarray, shape (N,)
        Of the lumen.
    length_mm : float
    """

    points: NDArray[np.float64]
    radii_mm: NDArray[np.float64]
    length_mm: float


def trace_path(
    label: NDArray[Any],
    geometry: Geometry,
    points: Sequence[Point],
    *,
    scan: NDArray[Any] | None = None,
    probability: NDArray[np.floating] | None = None,
) -> TracedPath:
    """Find the path of least cost through points, and the calibre along it.

    A voxel costs the less the brighter it is within its surroundings, and the more probable; the label costs least.
    A gap that the network does not see at all is crossed where that is shortest. Where the label joins the points
    already, as the rest of a loop does, its voxels cost what the scan says: what it lacks may be a shorter way.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    geometry : Geometry
        Grid of all arrays.
    points : sequence of Point
        Two or more clicks along the vessel, as voxel indices (k, j, i).
    scan : ndarray, shape (Z, Y, X), optional
        Its vessels are bright.
    probability : ndarray of float, shape (Z, Y, X), optional
        In [0, 1]. Without a scan, the calibre is measured in it.

    Returns
    -------
    TracedPath

    Raises
    ------
    VesselSegError
        If there are not two different points, or one is outside the scan.
    ValueError
        If there is neither a scan nor a probability, or an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, scan=scan, probability=probability)
    if scan is None and probability is None:
        raise ValueError("a path needs a scan or a probability")
    voxels = [voxel_at(point, geometry) for point in points]
    stops = [voxel for n, voxel in enumerate(voxels) if n == 0 or voxel != voxels[n - 1]]
    if len(stops) < 2:
        raise VesselSegError("a path needs two different points", "click a second one")
    raw = _path_through(label, geometry, stops, scan, probability)
    if label[tuple(raw.astype(int).T)].all():
        unseen = None if probability is None else np.where(label != 0, 0.0, probability)
        raw = _path_through(np.zeros_like(label), geometry, stops, scan, unseen)
    spacing = np.asarray(geometry.spacing_zyx)
    step = float(spacing.min()) / 2
    places = smoothed(even_points(raw * spacing, step), 1.0 / step)
    box = box_around(list(places / spacing), _MARGIN_MM, geometry)
    corner = np.array([part.start for part in box]) * spacing
    source = scan if scan is not None else probability
    contrast = _contrast(np.asarray(source)[box], spacing)
    middle, radii = measure_calibre(contrast, places - corner, spacing)
    length = float(np.linalg.norm(np.diff(middle, axis=0), axis=1).sum())
    return TracedPath((middle + corner) / spacing, radii, length)


def draw_path(label: NDArray[Any], geometry: Geometry, path: TracedPath, *, radius_mm: float | None = None) -> Edit:
    """Draw a path as a tube wherever the label does not hold it already.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    geometry : Geometry
        Its grid.
    path : TracedPath
        As `trace_path` finds it.
    radius_mm : float, optional
        Of the tube, above 0 and below 20 mm; what was measured along the path unless given.

    Returns
    -------
    Edit
        With the measures ``volume_mm3``, ``length_mm`` of the new part of the path and ``radius_mm``, its median. A
        vessel thinner than a voxel is still a connected line (26-connected).

    Raises
    ------
    VesselSegError
        If the radius is out of range.
    ValueError
        If an array does not have the shape of the grid.
    """
    from vesselseg.synthesis.drawing import draw
    from vesselseg.synthesis.trees import Branch

    check_grids(geometry, label=label)
    if radius_mm is not None and not 0 < radius_mm < _LARGEST_TUBE_MM:
        raise VesselSegError(f"a vessel cannot have a radius of {radius_mm:g} mm", "give for example 0.6 mm")
    radii = path.radii_mm if radius_mm is None else np.full(len(path.points), float(radius_mm))
    runs = _runs_outside(label, path.points)
    spacing = np.asarray(geometry.spacing_zyx)
    box = box_around(list(path.points), float(radii.max()) + float(spacing.max()), geometry)
    grid = geometry.cropped(box)
    to_lps = geometry.ijk_to_lps()
    in_lps = path.points[:, ::-1] @ to_lps[:3, :3].T + to_lps[:3, 3]
    drawn = draw([Branch(in_lps[run], radii[run]) for run in runs], grid).label != 0
    added = drawn & (label[box] == 0)
    new = np.concatenate([np.arange(run.start, run.stop) for run in runs]) if runs else np.arange(0)
    steps = np.linalg.norm(np.diff(path.points * spacing, axis=0), axis=1)
    length = float(sum(steps[run.start : run.stop - 1].sum() for run in runs))
    volume = float(np.count_nonzero(added) * geometry.voxel_volume)
    return edit_of(
        added,
        np.zeros_like(added),
        tool="trace",
        description=f"draw a vessel of {length:.0f} mm, {volume:.1f} mm³",
        box=box,
        measures={
            "volume_mm3": volume,
            "length_mm": length,
            "radius_mm": float(np.median(radii[new])) if new.size else 0.0,
        },
    )


def _path_through(
    label: NDArray[Any],
    geometry: Geometry,
    stops: Sequence[Voxel],
    scan: NDArray[Any] | None,
    probability: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    parts = [_path_between(label, geometry, stops[n], stops[n + 1], scan, probability) for n in range(len(stops) - 1)]
    # Each part ends where the next begins, up to what each has moved its ends.
    raw = np.concatenate(parts)
    raw = raw[np.append(True, np.any(np.diff(raw, axis=0) != 0, axis=1))]
    if len(raw) < 2:
        raise VesselSegError("both points are at one place of the vessel", "click farther apart")
    return raw


def _path_between(
    label: NDArray[Any],
    geometry: Geometry,
    one: Point,
    other: Point,
    scan: NDArray[Any] | None,
    probability: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    spacing = np.asarray(geometry.spacing_zyx)
    box = box_around([one, other], _MARGIN_MM, geometry)
    unlike = (label[box] == 0).astype(np.float32)
    if probability is not None:
        np.minimum(unlike, 1.0 - np.sqrt(np.clip(probability[box], 0.0, 1.0)), out=unlike)
    if scan is not None:
        dark = (_VESSEL_CONTRAST - _contrast(scan[box], spacing)) / (_VESSEL_CONTRAST - _NOISE_CONTRAST)
        np.minimum(unlike, np.clip(dark, 0.0, 1.0), out=unlike)
    cost = 1.0 + _DETOUR * unlike**2
    start, end = (_snapped(cost, point, box, geometry) for point in (one, other))
    # The ellipsoid about both points: what is farther off is not searched.
    straight = float(np.linalg.norm((np.subtract(one, other)) * spacing))
    beyond = distances_mm(one, box, geometry) + distances_mm(other, box, geometry)
    cost[beyond > max(1.5 * straight, straight + 2 * _MARGIN_MM)] = -1.0
    if cost.size > _LARGE_BOX:
        cost[~_corridor(cost, start, end, spacing)] = -1.0
    return _cheapest_path(cost, start, end, spacing) + [part.start for part in box]


def _cheapest_path(
    cost: NDArray[np.floating], start: Voxel, end: Voxel, spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Find the way of least cost by voxels; negative costs are walls."""
    from skimage.graph import MCP_Geometric

    box = bounding_box(cost > 0) or (slice(None),) * 3
    low = np.array([part.start or 0 for part in box])
    search = MCP_Geometric(cost[box], sampling=tuple(spacing))
    search.find_costs([tuple(start - low)], [tuple(end - low)])
    return np.asarray(search.traceback(tuple(end - low)), dtype=float) + low


def _corridor(cost: NDArray[np.floating], start: Voxel, end: Voxel, spacing: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the surroundings of the path that is found at half the resolution, eight times as fast."""
    from scipy.ndimage import binary_dilation

    even = np.pad(cost, [(0, size % 2) for size in cost.shape], mode="edge")
    z, y, x = (size // 2 for size in even.shape)
    # The cheapest of eight, so that no thin vessel is lost; a wall only where all are.
    blocks = np.where(even < 0, np.inf, even).reshape(z, 2, y, 2, x, 2).min(axis=(1, 3, 5))
    coarse = np.where(np.isinf(blocks), -1.0, blocks)
    first, last = ((k // 2, j // 2, i // 2) for k, j, i in (start, end))
    path = _cheapest_path(coarse, first, last, 2 * spacing).astype(int)
    near = np.zeros(coarse.shape, bool)
    near[tuple(path.T)] = True
    near = binary_dilation(near, np.ones((3, 3, 3)), iterations=_CORRIDOR)
    for axis in range(3):
        near = near.repeat(2, axis=axis)
    return near[: cost.shape[0], : cost.shape[1], : cost.shape[2]]


def _snapped(cost: NDArray[np.floating], point: Point, box: Box, geometry: Geometry) -> Voxel:
    """Move a click into the vessel that it just missed."""
    near = np.where(distances_mm(point, box, geometry) <= _SNAP_MM, cost, np.inf)
    k, j, i = (round(float(at)) - part.start for at, part in zip(point, box))
    best = np.unravel_index(int(np.argmin(near)), near.shape)
    if near[best] < cost[k, j, i] / 2:
        k, j, i = (int(index) for index in best)
    return k, j, i


def _contrast(values: NDArray[Any], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compare voxels with their surroundings: in standard deviations above their mean."""
    from scipy.ndimage import uniform_filter

    size = [round(_WINDOW_MM / step) | 1 for step in spacing]
    image = np.asarray(values, dtype=np.float32)
    image = image - image.mean()
    mean = uniform_filter(image, size, mode="nearest")
    variance = uniform_filter(image**2, size, mode="nearest") - mean**2
    least = max(float(image.std()) * 0.05, 1e-6)
    contrast: NDArray[np.float32] = (image - mean) / np.sqrt(np.maximum(variance, least**2))
    return contrast


def _runs_outside(label: NDArray[Any], points: NDArray[np.float64]) -> list[slice]:
    """Return the runs of points outside a label, with the point before and after: the tube has to reach the label."""
    k, j, i = np.rint(points).astype(int).T
    last = np.array(label.shape) - 1
    outside = label[np.clip(k, 0, last[0]), np.clip(j, 0, last[1]), np.clip(i, 0, last[2])] == 0
    change = np.flatnonzero(np.diff(np.concatenate([[False], outside, [False]]).astype(int)))
    return [slice(max(int(a) - 1, 0), min(int(b) + 1, len(points))) for a, b in zip(change[::2], change[1::2])]
