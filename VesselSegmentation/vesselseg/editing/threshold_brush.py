"""Decide anew, within a sphere, from which probability on a voxel is vessel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.editing.edit import Edit, edit_of
from vesselseg.editing.picking import Point, box_around, check_grids, distances_mm, voxel_at
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.postprocessing import check_threshold


def rethreshold(
    label: NDArray[Any],
    probability: NDArray[np.floating],
    geometry: Geometry,
    point: Point,
    *,
    threshold: float,
    radius_mm: float = 5.0,
    adds: bool = True,
    removes: bool = True,
) -> Edit:
    """Threshold the probability anew within a sphere.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    probability : ndarray of float, shape (Z, Y, X)
        In [0, 1].
    geometry : Geometry
        Their grid.
    point : Point
        Centre of the sphere, as voxel indices (k, j, i); they may be fractional.
    threshold : float
        Voxels with at least this probability are vessel, in (0, 1].
    radius_mm : float
        Of the sphere.
    adds, removes : bool
        Whether the brush may add to the label, and remove from it.

    Returns
    -------
    Edit
        With the measures ``threshold`` and ``radius_mm``; empty if the label is so already.

    Raises
    ------
    VesselSegError
        If the sphere's centre is outside the scan, the threshold is not in (0, 1], or the radius is not above 0 and
        finite.
    ValueError
        If an array does not have the shape of the grid.
    """
    check_grids(geometry, label=label, probability=probability)
    voxel_at(point, geometry)
    check_threshold(threshold)
    if not 0 < radius_mm < float("inf"):
        raise VesselSegError(f"a brush cannot have a radius of {radius_mm:g} mm", "give for example 5 mm")
    box = box_around([point], radius_mm, geometry)
    sphere = distances_mm(point, box, geometry) <= radius_mm
    inside, likely = label[box] != 0, probability[box] >= threshold
    return edit_of(
        sphere & likely & ~inside & adds,
        sphere & ~likely & inside & removes,
        tool="threshold brush",
        description=f"threshold of {threshold:.2g} within {radius_mm:g} mm",
        box=box,
        measures={"threshold": float(threshold), "radius_mm": float(radius_mm)},
    )
