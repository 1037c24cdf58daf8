"""From a probability map to a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box, pieces
from vesselseg.volume import Volume


def remove_small_components(
    label: NDArray[np.bool_], min_voxels: int, spared: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Remove pieces smaller than a number of voxels.

    Parameters
    ----------
    label : ndarray of bool, shape (Z, Y, X)
    min_voxels : int
        Pieces (26-connected) with fewer voxels are removed.
    spared : ndarray of bool, shape (Z, Y, X), optional
        Pieces with a voxel in it are kept, however small they are.

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
    """
    if min_voxels <= 1:
        return label
    numbers, _ = pieces(label)
    sizes = np.bincount(numbers.ravel())
    keep = sizes >= min_voxels
    if spared is not None:
        keep[numbers[spared]] = True
    keep[0] = False
    return keep[numbers]


def min_component_voxels(volume_mm3: float, geometry: Geometry) -> int:
    """Return how many voxels a piece must have that is not smaller than a volume.

    Parameters
    ----------
    volume_mm3 : float
        In mm3.
    geometry : Geometry

    Returns
    -------
    int
    """
    # The tiny share keeps a piece of exactly the smallest volume despite rounding: NIfTI holds spacings in 32 bits.
    return int(np.ceil(volume_mm3 / geometry.voxel_volume * (1 - 1e-6)))


def check_threshold(threshold: float, min_component_mm3: float = 0.0) -> None:
    """Refuse, before any long work, what `threshold_probability` cannot use.

    Raises
    ------
    VesselSegError
        If the threshold is not in (0, 1] or the smallest component is negative.
    """
    if not 0 < threshold <= 1:
        raise VesselSegError(f"the threshold {threshold} is not above 0 and at most 1", "give for example 0.5")
    if not 0 <= min_component_mm3 < float("inf"):
        raise VesselSegError(f"the smallest component cannot have {min_component_mm3} mm3", "give 0 or more")


def threshold_probability(
    probability: Volume, threshold: float, min_component_mm3: float = 0.0, region: Box | None = None
) -> Volume:
    """Turn a probability map into a label.

    Parameters
    ----------
    probability : Volume
        Values in [0, 1].
    threshold : float
        Voxels with at least this probability belong to the label; above 0, at most 1.
    min_component_mm3 : float
        Pieces (26-connected) with a smaller volume, in mm3, are removed; 0 keeps all.
    region : tuple of slice, optional
        Along z, y, x: the only voxels that were computed. Pieces that its faces cut off, whose volume is not known, are
        kept.

    Returns
    -------
    Volume
        uint8, 0 or 1, on the same grid.

    Raises
    ------
    VesselSegError
        If the threshold or the volume is out of range.
    """
    check_threshold(threshold, min_component_mm3)
    found = probability.array >= threshold
    label = np.zeros(found.shape, dtype=np.uint8)
    box = bounding_box(found)
    if box is not None:
        least = min_component_voxels(min_component_mm3, probability.geometry)
        spared = None if region is None else _cut_faces(region, found.shape)[box]
        label[box] = remove_small_components(np.ascontiguousarray(found[box]), least, spared)
    return probability.with_array(label)


def _cut_faces(region: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the outermost voxels of a region where the array goes on beyond it."""
    faces = np.zeros(shape, bool)
    faces[region] = True
    z, y, x = (
        slice(part.start + (part.start > 0), part.stop - (part.stop < side)) for part, side in zip(region, shape)
    )
    faces[z, y, x] = False
    return faces
