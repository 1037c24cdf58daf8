"""Centrelines of whole labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.label_voxels import voxels
from vesselseg.postprocessing import Pieces, bounding_box, pieces
from vesselseg.thinning import thin


def centreline(label: NDArray[np.bool_], label_pieces: Pieces | None = None) -> NDArray[np.bool_]:
    """Find the centreline of a label, one voxel wide.

    It is the skeleton of scikit-image. That erases straight pieces an even number of voxels wide (scikit-image issue
    3757): a vessel without any centreline would count neither where it is found nor where it is missed. Such pieces are
    thinned by `vesselseg.thinning.thin`.

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
    line = skeletonize(label[box]).astype(bool)
    numbers, count = pieces(label) if label_pieces is None else label_pieces
    erased = np.ones(count + 1, bool)
    erased[numbers[box][line]] = False
    erased[0] = False
    if erased.any():
        points = voxels(erased[numbers[box]])
        line[tuple(points[thin(points)].T)] = True
    result[box] = line
    return result
