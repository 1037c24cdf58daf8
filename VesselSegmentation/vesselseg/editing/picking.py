"""From a click to voxels: what it is meant for, what hangs together with it, the box around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box
from vesselseg.editing.edit import Edit
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import Indices, box_of_voxels

#: A place as fractional voxel indices (k, j, i), in the axis order of arrays.
Point = Sequence[float]
Voxel = tuple[int, int, int]

#: How far from a click the vessel or the error may be that it is meant for.
SNAP_MM = 3.0


def check_grids(geometry: Geometry, **arrays: NDArray[Any] | None) -> None:
    """Refuse arrays that are not on a grid.

    Raises
    ------
    ValueError
        If an array does not have the shape of the grid; it is named.
    """
    for name, array in arrays.items():
        if array is not None and array.shape != geometry.shape:
            raise ValueError(f"{name} has shape {array.shape}, the geometry says {geometry.shape}")


def voxel_at(point: Point, geometry: Geometry) -> Voxel:
    """Return the voxel in which a point lies.

    Raises
    ------
    VesselSegError
        If it lies outside the scan.
    """
    k, j, i = (int(v) for v in np.rint(np.asarray(point, dtype=float)))
    if not all(0 <= index < size for index, size in zip((k, j, i), geometry.shape)):
        raise VesselSegError("the click is outside the scan", "click on a vessel")
    return k, j, i


def box_around(points: Sequence[Point], margin_mm: float, geometry: Geometry) -> Box:
    """Return the box around points, widened by a margin as far as the scan goes.

    Parameters
    ----------
    points : sequence of Point
        At least one of them inside the scan.
    margin_mm : float
        On every side.
    geometry : Geometry
        Grid of the scan.

    Returns
    -------
    tuple of slice
        Along z, y, x; never empty.
    """
    places = np.asarray(points, dtype=float).reshape(-1, 3)
    margin = margin_mm / np.asarray(geometry.spacing_zyx)
    low = np.floor(places.min(axis=0) - margin).astype(int)
    high = np.ceil(places.max(axis=0) + margin).astype(int) + 1
    z, y, x = (slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, geometry.shape))
    return z, y, x


def distances_mm(point: Point, box: Box, geometry: Geometry) -> NDArray[np.float64]:
    """Return the distance of every voxel of a box from a point, in mm, in the box's shape."""
    squares = [
        ((np.arange(part.start, part.stop) - at) * step) ** 2
        for part, at, step in zip(box, point, geometry.spacing_zyx)
    ]
    distances: NDArray[np.float64] = np.sqrt(
        squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    )
    return distances


def nearest_voxel(
    values: NDArray[Any], geometry: Geometry, point: Point, within_mm: float, *, what: str, least: int = 1
) -> Voxel:
    """Find the voxel that a click is meant for.

    Parameters
    ----------
    values : ndarray, shape (Z, Y, X)
        A label, or an error map.
    geometry : Geometry
        Its grid.
    point : Point
        The click.
    within_mm : float
        Farthest distance to look.
    what : str
        What is looked for, for the message.
    least : int
        Voxels with this value or a higher one are meant.

    Returns
    -------
    tuple of int
        The nearest voxel (k, j, i).

    Raises
    ------
    VesselSegError
        If there is none that near, or the click is outside the scan.
    """
    voxel = voxel_at(point, geometry)
    if values[voxel] >= least:
        return voxel
    box = box_around([point], within_mm, geometry)
    distances = np.where(values[box] >= least, distances_mm(point, box, geometry), np.inf)
    nearest = np.unravel_index(int(np.argmin(distances)), distances.shape)
    if distances[nearest] > within_mm:
        raise VesselSegError(f"there is no {what} within {within_mm:g} mm of the click", "click nearer to it")
    k, j, i = (int(index) + part.start for index, part in zip(nearest, box))
    return k, j, i


def removal(voxels: Indices, *, tool: str, description: str, measures: dict[str, float] | None = None) -> Edit:
    """Make an edit that removes listed voxels of a label."""
    box, mask = box_of_voxels(voxels)
    return Edit(box, np.zeros_like(mask), mask, tool, description, measures or {})
