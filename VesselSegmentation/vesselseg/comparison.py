"""Bringing two images on one grid before they are compared."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")


def on_grid_of(volume: Volume, target: Volume, *, what: str = "the segmentation", of: str = "the reference") -> Volume:
    """Return an image on the grid of another one.

    Parameters
    ----------
    volume : Volume
        Label, scan or probability.
    target : Volume
        Its grid is the one wanted.
    what, of : str
        What the two images are called in the log and in errors.

    Returns
    -------
    Volume
        The image itself if it lies on that grid already; else resampled, which is said in the log: labels (whole
        numbers) to the nearest voxel, scans and probabilities linearly. Outside the image it is 0.

    Raises
    ------
    VesselSegError
        If the two images have no place in common.
    """
    if volume.geometry.same_grid(target.geometry):
        return volume
    import SimpleITK as sitk

    grid = sitk.Image(target.geometry.size, sitk.sitkUInt8)
    target.geometry.apply_to_sitk(grid)

    def resampled(image: Volume, interpolator: int) -> Volume:
        source = image.to_sitk()
        return Volume(
            sitk.GetArrayFromImage(
                sitk.Resample(source, grid, sitk.Transform(), interpolator, 0.0, source.GetPixelID())
            ),
            target.geometry,
        )

    everywhere = volume.with_array(np.ones(volume.array.shape, np.uint8))
    if not resampled(everywhere, sitk.sitkNearestNeighbor).array.any():
        raise VesselSegError(f"{what} and {of} do not overlap", "check that both are of the same scan")
    logger.warning("%s lies on another grid: it was resampled to that of %s", what, of)
    smooth = np.issubdtype(volume.array.dtype, np.floating)
    return resampled(volume, sitk.sitkLinear if smooth else sitk.sitkNearestNeighbor)


def check_probability(probability: Volume) -> None:
    """Refuse an image that cannot be a probability map: values outside 0 to 1, none between them, or no numbers."""
    values, advice = probability.array, "give what 'segment --probability' wrote"
    if not (values.min() >= 0 and values.max() <= 1):
        raise VesselSegError("the probability map has values outside 0 to 1", advice)
    # Where nothing is found, a map may be 0 everywhere.
    if values.any() and np.isin(values, (0, 1)).all():
        raise VesselSegError("what is given as the probability is a label, not a probability map", advice)


def without(volume: Volume, unsure: Volume | None) -> Volume:
    """Return an image that is 0 where a reference is unsure, on whatever grid that lies; see `read_reference`."""
    if unsure is None:
        return volume
    uncounted = label_on_grid_of(unsure, volume, what="the reference", of="the map")
    return volume.with_array(np.where(uncounted, volume.array.dtype.type(0), volume.array))


def counted_places(
    reference: Volume, mask: Volume | None, unsure: Volume | None
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """Return where a mask lies and where a reference is sure, both on its grid; None for everywhere.

    Raises
    ------
    VesselSegError
        If there is nothing to count.
    """
    inside = None if mask is None else label_on_grid_of(mask, reference, what="the mask")
    sure = None if unsure is None else ~label_on_grid_of(unsure, reference, what="what is unsure")
    if inside is not None and not inside.any():
        raise VesselSegError("the mask is empty", "give another one, or none")
    if sure is not None and not (sure if inside is None else sure & inside).any():
        where = "everywhere" if inside is None else "everywhere inside the mask"
        raise VesselSegError(f"the reference is unsure {where}", "give another one")
    return inside, sure


def label_on_grid_of(
    label: Volume, target: Volume, *, what: str = "the segmentation", of: str = "the reference"
) -> NDArray[np.bool_]:
    """Return where a label lies, shape (Z, Y, X), on the grid of another image; see `on_grid_of`."""
    return on_grid_of(label.with_array((label.array != 0).view(np.uint8)), target, what=what, of=of).array != 0
