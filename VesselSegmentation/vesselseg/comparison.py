"""Bringing two labels on one grid before they are compared."""

from __future__ import annotations

import logging

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")


def on_grid_of(label: Volume, reference: Volume, *, what: str = "the segmentation") -> Volume:
    """Return a label on the grid of another image.

    Parameters
    ----------
    label : Volume
        uint8, 0 or 1.
    reference : Volume
        Its grid is the one wanted.
    what : str
        What the label is called in the log and in errors.

    Returns
    -------
    Volume
        The label itself if it lies on that grid already; else resampled to the nearest voxel, which is said in the log.

    Raises
    ------
    VesselSegError
        If the two images have no place in common.
    """
    if label.geometry.same_grid(reference.geometry):
        return label
    import SimpleITK as sitk

    def resampled(image: sitk.Image) -> sitk.Image:
        return sitk.Resample(image, reference.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)

    if not sitk.GetArrayViewFromImage(covered := resampled(label.with_array(np.ones_like(label.array)).to_sitk())).any():
        raise VesselSegError(f"{what} and the reference do not overlap in space", "check that both are of the same scan")
    del covered
    logger.warning("%s lies on another grid: it was resampled to that of the reference", what)
    return Volume.from_sitk(resampled(label.to_sitk()))
