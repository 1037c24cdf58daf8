"""Centrelines of whole labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.morphology.calibre import radii
from vesselseg.morphology.label_voxels import Pieces, bounding_box, nearest_voxels, pieces, voxels
from vesselseg.morphology.thinning import thin

#: How far from the line a wall may be, in diameters and voxels: vessels are no exact cylinders.
_UNEVEN_DIAMETERS, _UNEVEN_VOXELS = 3, 2
#: How far from the line a limb reaches at least, as a share of its length; one between two vessels reaches half of it.
#: The edges of sheets, such as a sinus or the falx in a label that was drawn by a threshold, run along the line.
_REACH = 0.35


def centreline(label: NDArray[np.bool_], label_pieces: Pieces | None = None) -> NDArray[np.bool_]:
    """Find the centreline of a label, one voxel wide.

    It is the skeleton of scikit-image. That erases straight pieces an even number of voxels wide (scikit-image issue
    3757), and likewise straight limbs of larger pieces: a vessel without any centreline would count neither where it is
    found nor where it is missed. Such pieces and limbs are thinned by `vesselseg.morphology.thinning.thin`.

    Parameters
    ----------
    label : ndarray of bool, shape (Z, Y, X)
    label_pieces : tuple, optional
        What `pieces` told about the label, where that is known already.

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
        At least one voxel of every 26-connected piece of the label.

    References
    ----------
    Lee TC, Kashyap RL, Chu CN. Building skeleton models via 3-D medial surface/axis thinning algorithms. CVGIP Graph
    Models Image Process 1994;56:462-478. doi:10.1006/cgip.1994.1042
    """
    from skimage.morphology import skeletonize

    result = np.zeros(label.shape, bool)
    box = bounding_box(label)
    if box is None:
        return result
    inside = label[box]
    line = skeletonize(inside).astype(bool)
    numbers, count = pieces(label) if label_pieces is None else label_pieces
    erased = np.ones(count + 1, bool)
    erased[numbers[box][line]] = False
    erased[0] = False
    lost = _lost_limbs(inside, line)
    if erased.any():
        lost |= erased[numbers[box]]
    if lost.any():
        points = voxels(lost)
        line[tuple(points[thin(points)].T)] = True
    result[box] = line
    return result


def _lost_limbs(label: NDArray[np.bool_], line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the limbs of a label that a line leaves out: what reaches further from it than walls do, as a whole."""
    from scipy.ndimage import find_objects

    lost = np.zeros(label.shape, bool)
    if not line.any():
        return lost
    points, radius = voxels(label), radii(label, line, (1.0, 1.0, 1.0))
    distance, nearest = nearest_voxels(points, voxels(line))
    far = distance > 2 * _UNEVEN_DIAMETERS * radius[nearest] + _UNEVEN_VOXELS
    if not far.any():
        return lost
    lost[tuple(points[distance > radius[nearest] + 1].T)] = True
    numbers, count = pieces(lost)
    reach = np.zeros(count + 1)
    np.maximum.at(reach, numbers[tuple(points[far].T)], distance[far])
    length = [0.0, *(np.linalg.norm([part.stop - part.start for part in box]) for box in find_objects(numbers))]
    wanted = reach > _REACH * np.array(length)
    return wanted[numbers]
