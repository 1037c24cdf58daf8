"""Bringing two images on one grid before they are compared."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.plain_text import percent
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

#: Differences of spacing, as a share, and of places, in voxels, that files make by rounding.
_SAME_SPACING, _SAME_PLACE = 0.01, 1e-3


def on_one_grid(
    segmentation: Volume,
    reference: Volume,
    unsure: Volume | None = None,
    *,
    scan: Volume | None = None,
    what: str = "the segmentation",
    kinds: tuple[str, str] = ("false positive", "false negative"),
) -> tuple[Volume, Volume, Volume | None]:
    """Return two labels on the grid on which they are compared: that of the scan, else that of the reference.

    What lies outside that grid is not compared. Outside its own image a label is background: files with segments are
    often cut down to what is in them. The log tells the shares of both.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels; every voxel other than 0 belongs to them.
    unsure : Volume, optional
        Where the reference says nothing, on its grid; see `vesselseg.image_io.read_reference`.
    scan : Volume, optional
    what : str
        What the segmentation is called in the log and in errors.
    kinds : tuple of str
        What a voxel is called that only the segmentation has, and one that only the reference has.

    Returns
    -------
    segmentation, reference : Volume
        uint8, 0 or 1.
    unsure : Volume or None
        Likewise.

    Raises
    ------
    VesselSegError
        If two of the images have no place in common.
    """
    target, of = (reference, "the reference") if scan is None else (scan, "the scan")
    found, truth = (
        target.with_array(label_on_grid_of(image, target, what=name, of=of).view(np.uint8))
        for image, name in ((segmentation, what), (reference, "the reference"))
    )
    for note in (
        outside_note([segmentation], target.geometry, what=what, of=of),
        outside_note([reference], target.geometry, what="the reference", of=of),
        outside_note([found], reference.geometry, what=what, of="the reference", kind=kinds[0]),
        outside_note([truth], segmentation.geometry, what="the reference", of=what, kind=kinds[1]),
    ):
        if note:
            logger.warning(note)
    return found, truth, None if unsure is None else _resampled(unsure, target.geometry)


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
    grid = target.geometry
    if volume.geometry.same_grid(grid):
        return volume
    if not _resampled(volume.with_array(np.ones(volume.array.shape, np.uint8)), grid).array.any():
        raise VesselSegError(f"{what} and {of} do not overlap", "check that both are of the same scan")
    logger.warning(resampling_note(volume.geometry, grid, what=what, of=of))
    return _resampled(volume, grid)


def _resampled(volume: Volume, grid: Geometry) -> Volume:
    import SimpleITK as sitk

    if volume.geometry.same_grid(grid):
        return volume
    image, target = volume.to_sitk(), sitk.Image(grid.size, sitk.sitkUInt8)
    grid.apply_to_sitk(target)
    smooth = np.issubdtype(volume.array.dtype, np.floating)
    interpolator = sitk.sitkLinear if smooth else sitk.sitkNearestNeighbor
    moved = sitk.Resample(image, target, sitk.Transform(), interpolator, 0.0, image.GetPixelID())
    return Volume(sitk.GetArrayFromImage(moved), grid)


def resampling_note(geometry: Geometry, grid: Geometry, *, what: str, of: str) -> str:
    """Say that an image with this geometry is brought to another grid, and whether it loses detail there.

    Parameters
    ----------
    geometry, grid : Geometry
    what, of : str
        What the image is called, and that which has the grid.
    """
    steps = np.linalg.inv(geometry.ijk_to_ras()) @ grid.ijk_to_ras()
    coarser = np.abs(steps[:3, :3]).max() > 1 + _SAME_SPACING
    lost = ", which is coarser: finer detail is not compared" if coarser else ""
    return f"{what} lies on another grid: it was resampled to that of {of}{lost}"


def outside_note(parts: Sequence[Volume], grid: Geometry, *, what: str, of: str, kind: str = "") -> str:
    """Say which share of a label lies outside an image, and what follows from it; empty where none does.

    Parameters
    ----------
    parts : sequence of Volume
        The label, whole or in parts on grids of their own.
    grid : Geometry
        Of the image.
    what, of : str
        What the label and the image are called.
    kind : str
        What a voxel outside counts as; the default is that it is not compared.

    Returns
    -------
    str
    """
    outside = sum(_voxels_outside(part, grid) for part in parts)
    if not outside:
        return ""
    voxels = sum(int(np.count_nonzero(part.array)) for part in parts)
    consequence = f"counts as {kind}" if kind else "is not compared"
    return f"{percent(outside, voxels)} of {what} lies outside the image of {of} and {consequence}"


def reaches_beyond(geometry: Geometry, grid: Geometry) -> bool:
    """Tell whether an image with this geometry has voxels whose centres lie outside those of a grid."""
    # A box lies inside another one where its corners do.
    return bool(_outside(geometry.corners(), geometry, grid).any())


def _outside(ijk: NDArray[Any], geometry: Geometry, grid: Geometry) -> NDArray[np.bool_]:
    """Tell which voxels, with indices in columns (i, j, k, 1), have their centres outside the voxels of a grid."""
    places = (np.linalg.inv(grid.ijk_to_ras()) @ geometry.ijk_to_ras() @ ijk)[:3].T
    return np.any((places < -0.5 - _SAME_PLACE) | (places > np.array(grid.size) - 0.5 + _SAME_PLACE), axis=1)


def _voxels_outside(label: Volume, grid: Geometry) -> int:
    box = bounding_box(label.array != 0) if reaches_beyond(label.geometry, grid) else None
    if box is None:
        return 0
    ijk = np.argwhere(label.array[box])[:, ::-1]
    columns = np.c_[ijk, np.ones(len(ijk))].T
    return int(np.count_nonzero(_outside(columns, label.geometry.cropped(box), grid)))


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
