"""Bringing two images on one grid before they are compared."""

from __future__ import annotations

import logging

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")


def on_grid_of(label: Volume, reference: Volume, *, what: str = "the segmentation") -> Volume:
    """Return an image on the grid of another one.

    Parameters
    ----------
    label : Volume
        Label or scan.
    reference : Volume
        Its grid is the one wanted.
    what : str
        What it is called in the log and in errors.

    Returns
    -------
    Volume
        The image itself if it lies on that grid already; else resampled to the nearest voxel, which is said in the log.

    Raises
    ------
    VesselSegError
        If the two images have no place in common.
    """
    if label.geometry.same_grid(reference.geometry):
        return label
    import SimpleITK as sitk

    target = reference.to_sitk()

    def resampled(volume: Volume) -> Volume:
        image = volume.to_sitk()
        nearest = sitk.Resample(image, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0, image.GetPixelID())
        return Volume.from_sitk(nearest)

    if not resampled(label.with_array(np.ones(label.array.shape, np.uint8))).array.any():
        raise VesselSegError(f"{what} and the reference do not overlap", "check that both are of the same scan")
    logger.warning("%s lies on another grid: it was resampled to that of the reference", what)
    return resampled(label)
