"""Between a scan and the network: into the brain's box, normalised, on the network's grid, and back."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, whole_box
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.models import Manifest
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.preprocessing import normalise
from vesselseg.resampling import AxialView, network_spacing, resample
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

#: Voxels around the brain that the network sees beside it.
_MARGIN = 16
#: Of a mask of 0 and 1 that was smoothed for a coarser grid: smaller values are the filter's tails, which never end. A
#: single voxel leaves more, even if the grid is ten times as coarse.
_TOUCHED = 1e-4
#: On the grid of the network: a cube of 30 cm has as many at 0.3 mm, the largest TOF scans have half of them.
_MOST_VOXELS = 1_000_000_000


@dataclass(frozen=True)
class PreparedScan:
    """What the network is given, and the way back to the scan.

    Parameters
    ----------
    seen : Volume
        The normalised scan in the brain's box, axial, on the network's grid.
    wanted : ndarray of bool, optional
        Voxels of it that are inside the mask.
    region : tuple of slice, optional
        The only voxels of it that are asked for.
    part : Geometry
        Of the box on the grid of the scan.
    box : tuple of slice
        Of the axial scan.
    view : AxialView
    """

    seen: Volume
    wanted: NDArray[np.bool_] | None
    region: Box | None
    part: Geometry
    box: Box
    view: AxialView


def prepare_scan(
    scan: Volume, mask: NDArray[np.bool_] | None, region: Box | None, manifest: Manifest, notes: list[str]
) -> PreparedScan:
    """Normalise a scan in the brain's box and bring it to the network's grid.

    Parameters
    ----------
    scan : Volume
        TOF-MRA, float32.
    mask : ndarray of bool, shape (Z, Y, X), or None
        On its grid: where vessels are looked for; None is everywhere.
    region : tuple of slice or None
        Along z, y, x of the scan: the only voxels that are asked for; None is all.
    manifest : Manifest
        Of the model.
    notes : list of str
        Is given a note where the scan was resampled.

    Returns
    -------
    PreparedScan

    Raises
    ------
    VesselSegError
        If the scan has no contrast, or would be impossibly large on the network's grid.
    """
    view = AxialView.of(scan.geometry)
    whole = view.apply(scan)
    box = bounding_box(view.turn(mask), _MARGIN) if mask is not None else None
    if box is None:
        box = whole_box(whole.array.shape)
    part = Volume(normalise(whole.array, manifest.normalisation, box), whole.geometry.cropped(box))
    wanted = view.turn(mask)[box] if mask is not None else None
    asked = None
    if region is not None:
        asked = np.zeros(scan.array.shape, dtype=bool)
        asked[region] = True
        asked = view.turn(asked)[box]
    spacing = network_spacing(part.geometry.spacing, manifest.spacing_mm, manifest.spacing_tolerance)
    seen = part
    if spacing != part.geometry.spacing:
        grid = part.geometry.resampled(spacing)
        check_size(part.geometry, grid)
        notes.append(f"resampled to {_in_mm(spacing)} for the network")
        logger.info("%s", notes[-1])
        seen = resample(part, grid)
        wanted, asked = (_touched(each, part, grid) for each in (wanted, asked))
    within = bounding_box(asked) if asked is not None else None
    return PreparedScan(seen, wanted, within, part.geometry, box, view)


def check_size(own: Geometry, seen: Geometry) -> None:
    """Refuse a scan that would fill the memory, before anything of it is resampled.

    Parameters
    ----------
    own : Geometry
        Of the scan, or of its part with the brain.
    seen : Geometry
        The same at the spacing of the network.

    Raises
    ------
    VesselSegError
        If the network would see more voxels than any scan of a head has.
    """
    voxels = math.prod(seen.size)
    if voxels > _MOST_VOXELS:
        raise VesselSegError(
            f"with voxels of {_in_mm(own.spacing)} the scan is too large: at the {_in_mm(seen.spacing)} of the network "
            f"it would have {voxels:,}",
            "check the spacing in its header",
        )


def _in_mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{value:g}" for value in spacing) + " mm"


def on_scan(
    values: NDArray[np.float32],
    prepared: PreparedScan,
    geometry: Geometry,
    mask: NDArray[np.bool_] | None,
    region: Box | None,
) -> Volume:
    """Bring the network's probability to the grid of the scan.

    Parameters
    ----------
    values : ndarray, shape (Z, Y, X), float32
        On the grid of the prepared scan; may be written to.
    prepared : PreparedScan
    geometry : Geometry
        Of the scan.
    mask, region
        As they were given to `prepare_scan`.

    Returns
    -------
    Volume
        float32 in [0, 1]; 0 outside the mask and the region.
    """
    if prepared.seen.geometry.spacing != prepared.part.spacing:
        values = np.clip(resample(prepared.seen.with_array(values), prepared.part).array, 0.0, 1.0)
    if mask is not None:
        values *= prepared.view.turn(mask)[prepared.box]  # the box holds all of the mask
    probability = np.zeros(geometry.shape, dtype=np.float32)
    prepared.view.turn(probability)[prepared.box] = values
    if region is not None:
        inside = probability[region].copy()
        probability[:] = 0.0
        probability[region] = inside
    return Volume(probability, geometry)


def _touched(mask: NDArray[np.bool_] | None, part: Volume, grid: Geometry) -> NDArray[np.bool_] | None:
    """Return the voxels of the network's grid that matter to those of a mask when they are resampled to the scan's."""
    if mask is None:
        return None
    from scipy import ndimage  # where the network has a grid of its own only

    # A neighbour for the interpolation; and, where the scan is coarser, what is averaged: four standard deviations.
    ratios = [max(old / new, 1.0) for old, new in zip(part.geometry.spacing, grid.spacing)]
    reach = [1 + math.ceil(2 * math.sqrt(ratio**2 - 1)) for ratio in ratios[::-1]]
    touched = resample(part.with_array(mask.astype(np.float32)), grid).array > _TOUCHED
    return ndimage.maximum_filter(touched, size=[2 * side + 1 for side in reach])
