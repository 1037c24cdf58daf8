"""Vessels by their calibre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.label_voxels import nearest_distances, shell, voxels

#: Bounds of the classes: radius in mm.
CALIBRE_BOUNDS_MM = (0.6, 1.0)
CALIBRE_NAMES = ("small", "medium", "large")
#: The classes for people.
CALIBRE_TITLES = ("radius < 0.6 mm", "radius 0.6 to 1.0 mm", "radius > 1.0 mm")


def radii(
    label: NDArray[np.bool_], centreline: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Distance from the voxels of a centreline to the nearest voxel outside their label.

    An estimate of the radius in steps of the voxels, from centre to centre: never less than the smallest spacing, and
    for a vessel a few voxels wide up to a voxel more or less than its radius. Arteries thinner than `CALIBRE_BOUNDS_MM`
    can so be told from others only where voxels are smaller; with voxels of 0.6 mm or more the class of the smallest is
    empty, whatever is in the scan. A map of the true radii, where there is one, knows them.

    A distance transform, where it is needed: that nearest voxel is always a 6-neighbour of the label, so that a search
    among those few suffices.

    Parameters
    ----------
    label, centreline : ndarray of bool, shape (Z, Y, X)
        The centreline lies inside the label. Beyond the border of the array is outside.
    spacing : tuple of float
        Along z, y, x, in mm.

    Returns
    -------
    ndarray of float, shape (number of centreline voxels,)
        In mm, in the order of `numpy.argwhere`.
    """
    if not centreline.any():
        return np.empty(0)
    return nearest_distances(voxels(centreline), shell(label), spacing)


def calibre_classes(radius: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for every radius, in mm, the index of its class in `CALIBRE_NAMES`."""
    # Radii are multiples of the spacing, and often a bound exactly: rounding must not decide on which side they fall.
    return np.digitize(radius, [CALIBRE_BOUNDS_MM[0] - 1e-6, CALIBRE_BOUNDS_MM[1] + 1e-6])
