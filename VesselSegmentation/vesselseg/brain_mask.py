"""Brain masks of TOF scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.brain_network import COARSE, FINE, run_brain_network
from vesselseg.errors import VesselSegError
from vesselseg.formats.itk_messages import tell_short_memory
from vesselseg.resampling import AxialView
from vesselseg.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

#: How far a brain mask is dilated, in mm. Brain extraction follows the brain's surface; the circle of Willis, the
#: vertebral arteries and the cortical arteries lie in the fluid outside it.
DILATION_MM = 6.0
#: A mask smaller than this is no brain, in mm3.
_MIN_BRAIN_MM3 = 50_000.0

#: Correlation of neighbouring voxels below which there is nothing but noise. In TOF scans it exceeds 0.7.
_MIN_CORRELATION = 0.1

#: How deepbet prepares a scan: the quantiles between which intensities are kept, ...
_QUANTILES = (0.005, 0.995)
#: ... their mean and standard deviation, ...
_MEAN, _DEVIATION = 0.449, 0.226
#: ... what share of a plane the coarse mask must fill to belong to the box of the brain, and by what share of the box's
#: sides it is widened on each side.
_MIN_SHARE, _BOX_MARGIN = 0.02, 0.1


@tell_short_memory()
def brain_mask(scan: Volume) -> Volume:
    """Find the brain as deepbet does, with its networks.

    Parameters
    ----------
    scan : Volume
        A TOF scan, any orientation.

    Returns
    -------
    Volume
        uint8, 1 inside the brain, not dilated, on the grid of the scan.

    Raises
    ------
    VesselSegError
        If deepbet is not installed or no brain is found.

    References
    ----------
    Fisch L, et al. deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks. Comput Biol
    Med 2024;179:108845. doi:10.1016/j.compbiomed.2024.108845
    """
    inside = np.zeros(scan.array.shape, dtype=np.uint8)
    view = AxialView.of(scan.geometry)
    # The networks know heads from inferior to superior, posterior to anterior, left to right.
    head, found = (view.turn(array)[:, ::-1, ::-1] for array in (scan.array, inside))
    if _is_noise(head):
        raise _no_brain()
    samples = _samples(head, COARSE.side)
    low, high = (float(value) for value in np.quantile(samples, _QUANTILES))
    box = _brain_box(run_brain_network(COARSE, _normalised(samples, low, high)), head.shape)
    samples = _normalised(_samples(head[box], FINE.side), low, high)
    brain = _nearest(run_brain_network(FINE, samples), found[box].shape)
    found[box] = _without_holes(_largest_piece(brain))
    if np.count_nonzero(inside) * scan.geometry.voxel_volume < _MIN_BRAIN_MM3:
        raise _no_brain()
    return scan.with_array(inside)


def _no_brain() -> VesselSegError:
    return VesselSegError(
        "no brain was found in the scan",
        "if it is a scan of a head, choose the brain mask none, or give one of your own",
    )


def _is_noise(scan: NDArray[Any]) -> bool:
    """Tell whether neighbouring voxels have nothing in common: the networks find a brain in pure noise, too."""
    steps = tuple(slice(None, None, max(1, length // 64)) for length in scan.shape)
    one, other = (np.nan_to_num(part[steps].astype(np.float64)) for part in (scan[:, :, :-1], scan[:, :, 1:]))
    one, other = one - one.mean(), other - other.mean()
    return bool((one * other).mean() <= _MIN_CORRELATION * one.std() * other.std())


def _nearest(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Resample to so many voxels along each axis, taking the nearest one, as the networks were trained with."""
    places = (((np.arange(new) + 0.5) * (old / new)).astype(int) for old, new in zip(array.shape, shape))
    return array[np.ix_(*places)]


def _samples(scan: NDArray[Any], side: int) -> NDArray[np.float32]:
    samples = _nearest(scan, (side,) * 3).astype(np.float32, copy=False)
    samples[np.isnan(samples)] = 0
    return samples


def _normalised(samples: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Clip the intensities and give them the mean and the standard deviation that the networks expect, in place."""
    np.clip(samples, low, high, out=samples)
    deviation = float(samples.std())
    if deviation == 0:
        raise _no_brain()
    samples -= samples.mean()
    samples *= _DEVIATION / deviation
    samples += _MEAN
    return samples


def _largest_piece(mask: NDArray[np.bool_]) -> SimpleITK.Image:
    """Return the largest 26-connected piece, an image of 0 and 1."""
    import SimpleITK as sitk

    # The pieces are numbered by their size.
    return sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.view(np.uint8)), True)) == 1


def _without_holes(mask: SimpleITK.Image) -> NDArray[np.uint8]:
    """Fill what is enclosed."""
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.BinaryFillhole(mask))


def _brain_box(coarse: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the box around the brain in an image that a coarse mask covers as a whole."""
    import SimpleITK as sitk

    coarse = sitk.GetArrayFromImage(_largest_piece(coarse))
    box = []
    for axis, length in enumerate(shape):
        share = coarse.mean(axis=tuple(other for other in range(3) if other != axis))
        found = np.flatnonzero(share > _MIN_SHARE)
        if found.size == 0:
            raise _no_brain()
        scale = length / coarse.shape[axis]
        first, end = scale * found[0], scale * (found[-1] + 1)
        centre, size = round((first + end) / 2), round((1 + 2 * _BOX_MARGIN) * (end - first))
        box.append(slice(max(0, int(centre - size / 2)), min(length, int(centre + size / 2))))
    return tuple(box)


@tell_short_memory()
def dilated(mask: Volume, distance_mm: float = DILATION_MM) -> Volume:
    """Grow a mask by a distance in every direction.

    Parameters
    ----------
    mask : Volume
        0 outside, anything else inside.
    distance_mm : float
        By how much, in mm. Spacing is taken into account.

    Returns
    -------
    Volume
        uint8, 0 or 1.
    """
    from vesselseg.morphology.label_voxels import bounding_box

    result = np.zeros(mask.array.shape, dtype=np.uint8)
    margin = int(np.ceil(distance_mm / min(mask.geometry.spacing)))
    box = bounding_box(mask.array != 0, margin)
    if box is not None:
        result[box] = _distance(mask, box) <= distance_mm
    return mask.with_array(result)


def _distance(mask: Volume, box: tuple[slice, slice, slice]) -> np.ndarray:
    """Return the distance to the mask, in mm, within a box."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray((mask.array[box] != 0).astype(np.uint8))
    image.SetSpacing(mask.geometry.spacing)
    outside = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(outside)
