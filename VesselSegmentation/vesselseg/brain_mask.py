"""Brain masks of TOF scans."""

from __future__ import annotations

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

#: How far a brain mask is dilated, in mm. Brain extraction follows the brain's surface; the circle of Willis, the
#: vertebral arteries and the cortical arteries lie in the fluid outside it.
DILATION_MM = 6.0
#: A mask smaller than this is no brain, in mm3.
_MIN_BRAIN_MM3 = 50_000.0


def brain_mask(scan: Volume) -> Volume:
    """Find the brain with deepbet.

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
        If deepbet is not installed or finds no brain.

    References
    ----------
    Fisch L, et al. deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks. Comput Biol
    Med 2024;179:108845. doi:10.1016/j.compbiomed.2024.108845
    """
    try:
        import nibabel
        from deepbet.bet import BrainExtraction
    except ImportError as error:
        raise VesselSegError(
            "the brain mask needs the package deepbet, which is not installed",
            "install it with 'pip install deepbet', or use --brain-mask none or a mask of your own",
        ) from error
    image = nibabel.Nifti1Image(scan.array.transpose(2, 1, 0), scan.geometry.ijk_to_ras())
    no_brain = VesselSegError("no brain was found in the scan", "use --brain-mask none or a mask of your own")
    try:
        _, mask, _ = BrainExtraction(no_gpu=True).run(image)
    except AssertionError as error:  # how deepbet says that its first, coarse pass found nothing
        raise no_brain from error
    found = np.ascontiguousarray(np.asarray(mask.dataobj).transpose(2, 1, 0) > 0).astype(np.uint8)
    if found.sum() * scan.geometry.voxel_volume < _MIN_BRAIN_MM3:
        raise no_brain
    return scan.with_array(found)


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
    from vesselseg.postprocessing import bounding_box

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
