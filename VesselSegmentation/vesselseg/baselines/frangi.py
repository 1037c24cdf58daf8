"""Multi-scale vesselness, thresholded where it suits the truth best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.baselines.threshold import best_threshold
from vesselseg.errors import VesselSegError
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume

#: Standard deviations of the Gaussians, in mm: those of vessels from 0.4 to 1.8 mm radius.
SCALES_MM = (0.4, 0.6, 0.9, 1.3)
#: Frangi's sensitivities to plates and to blobs.
_ALPHA = _BETA = 0.5
#: Norm of the second derivatives at which a structure is taken seriously, as a share of the brightness of tissue.
_STRUCTURE = 0.5
#: The derivatives are taken apart only where their sum is below minus this share of the brightness of tissue: far less
#: than any vessel has, and yet a small part of the brain.
_CURVED = 0.05
#: Voxels along every axis that the recursive Gaussian of ITK needs.
_LEAST_SIZE = 4


def segment_by_vesselness(scan: Volume, inside: NDArray[np.bool_], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Take all voxels whose vesselness reaches the threshold with the largest Dice; see `vesselseg.baselines`."""
    values = vesselness(scan, inside)
    return inside & (values >= best_threshold(values, inside, truth))


def vesselness(
    scan: Volume, inside: NDArray[np.bool_], *, scales_mm: Sequence[float] = SCALES_MM
) -> NDArray[np.float32]:
    """Return how much of a bright tube there is: the largest of the responses at several scales.

    Parameters
    ----------
    scan : Volume
    inside : ndarray of bool, shape (Z, Y, X)
        Where it is wanted. What lies far outside has no influence.
    scales_mm : sequence of float
        Standard deviations of the Gaussians, in mm.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
        In [0, 1]; 0 outside and at the border of the array.

    Raises
    ------
    VesselSegError
        If the scan has less than 4 voxels along an axis.

    References
    ----------
    Frangi AF, et al. Multiscale vessel enhancement filtering. MICCAI 1998, LNCS 1496:130-137. doi:10.1007/BFb0056195
    """
    import SimpleITK as sitk

    result = np.zeros(scan.array.shape, np.float32)
    box = bounding_box(inside, margin=int(np.ceil(3 * max(scales_mm) / min(scan.geometry.spacing))))
    if box is None:
        return result
    part = Volume(scan.array[box].astype(np.float32), scan.geometry.cropped(box))
    if min(part.array.shape) < _LEAST_SIZE:
        raise VesselSegError(
            f"Frangi's filter needs {_LEAST_SIZE} voxels along every axis", "take a scan with more slices"
        )
    core = np.zeros(part.array.shape, bool)
    core[1:-1, 1:-1, 1:-1] = inside[box][1:-1, 1:-1, 1:-1]
    places = np.flatnonzero(core)
    tissue = float(np.median(np.abs(scan.array[inside]))) or 1.0
    best = np.zeros(core.size, np.float32)
    image = part.to_sitk()
    for scale in scales_mm:
        smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, scale))
        # Multiplied by the variance, so that the second derivatives of all scales compare.
        flat = smooth.ravel() * np.float32(scale**2 / tissue)
        curved, hessians = _hessians(flat, places, smooth.shape, part.geometry.spacing_zyx)
        best[curved] = np.maximum(best[curved], _response(np.linalg.eigvalsh(hessians)))
    result[box] = best.reshape(core.shape)
    return result


def _hessians(
    flat: NDArray[np.float32], places: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return those places that are curved like a bright structure, and their matrices, shape (N, 3, 3)."""
    steps = (shape[1] * shape[2], shape[2], 1)
    centre = 2 * flat[places]
    diagonal = [(flat[places + s] + flat[places - s] - centre) / h**2 for s, h in zip(steps, spacing)]
    chosen = sum(diagonal) < -_CURVED
    places = places[chosen]
    matrices = np.empty((len(places), 3, 3), np.float32)
    for a in range(3):
        matrices[:, a, a] = diagonal[a][chosen]
        for b in range(a):
            along, across = steps[a] + steps[b], steps[a] - steps[b]
            mixed = flat[places + along] + flat[places - along] - flat[places + across] - flat[places - across]
            matrices[:, a, b] = matrices[:, b, a] = mixed / (4 * spacing[a] * spacing[b])
    return places, matrices


def _response(eigenvalues: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frangi's measure of bright tubes, from eigenvalues of shape (N, 3)."""
    order = np.argsort(np.abs(eigenvalues), axis=1)
    small, middle, large = np.take_along_axis(eigenvalues, order, axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):
        plate = np.abs(middle) / np.abs(large)
        blob = np.abs(small) / np.sqrt(np.abs(middle * large))
    norm = np.square(eigenvalues).sum(axis=1)
    values = (
        (1 - np.exp(-(plate**2) / (2 * _ALPHA**2)))
        * np.exp(-(blob**2) / (2 * _BETA**2))
        * (1 - np.exp(-norm / (2 * _STRUCTURE**2)))
    )
    return np.where((middle < 0) & (large < 0), np.nan_to_num(values), 0).astype(np.float32)
