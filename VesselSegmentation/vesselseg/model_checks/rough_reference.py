"""How good a segmentation of a real scan is where its reference is rough: thresholded, with sinuses, not complete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.brain_mask import dilated
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.centreline import centreline
from vesselseg.morphology.label_voxels import pieces
from vesselseg.synthesis.background import find_sinuses, local_contrast
from vesselseg.volume import Volume

#: The brain mask is widened by this much for the comparison, in mm, so that the circle of Willis lies inside.
BRAIN_MARGIN_MM = 2.0
#: A centreline voxel stands out where the lightly smoothed scan exceeds its surroundings by this share.
STANDS_OUT = 0.14


def judge_on_real_scan(scan: Volume, found: Volume, reference: Volume, brain: Volume) -> dict[str, float]:
    """Compare a segmentation with a rough reference of a real scan.

    Counted inside the brain mask widened by `BRAIN_MARGIN_MM`. The dural sinuses of the reference are its large pieces
    along the rim of the brain at the top and at the back and in the midline at the back, as
    `vesselseg.synthesis.background.find_sinuses` finds them; segmentations should leave them out.

    Parameters
    ----------
    scan, found, reference, brain : Volume
        On one grid, in axial orientation; the last three are labels, the brain mask not dilated.

    Returns
    -------
    dict of str to float
        ``centreline_found``: share of the reference's centreline outside the sinuses with a found voxel at most one
        voxel away. ``centreline_found_with_sinuses``: the same for the whole. ``sinus_found``: share of the sinus
        voxels found. ``stands_out``: share of the found centreline whose voxels exceed their surroundings by
        `STANDS_OUT`. ``pieces``: number of 26-connected pieces found. ``found_ml``, ``reference_ml``: volumes outside
        the sinuses. ``dice``: outside the sinuses. ``dice_with_sinuses``: with them. A share of nothing is NaN.

    Raises
    ------
    VesselSegError
        If the images do not lie on one grid.
    """
    from scipy.ndimage import binary_dilation

    geometry: Geometry = scan.geometry
    if not all(geometry.same_grid(other.geometry) for other in (found, reference, brain)):
        raise VesselSegError("the images do not lie on one grid", "resample them to that of the scan")
    mask = brain.array > 0
    # As `vesselseg.model_checks.judging.region_of` does it: those who pick their threshold on the truth pick it there.
    region = dilated(brain, BRAIN_MARGIN_MM).array > 0
    wanted, got = (reference.array > 0) & region, (found.array > 0) & region
    sinuses = find_sinuses((reference.array > 0).astype(np.float32), mask, geometry)
    cube = np.ones((3, 3, 3), bool)
    near = binary_dilation(got, cube)
    line = centreline(wanted)
    arteries = line & ~sinuses
    # In shares of its tissue: scans come in any unit.
    image = np.asarray(scan.array, np.float32) / np.median(scan.array[mask])
    contrast, _ = local_contrast(image, region)
    # The line of a thin vessel may run beside its brightest voxel.
    bright = binary_dilation(contrast > STANDS_OUT, cube)
    own = centreline(got)
    volume = geometry.voxel_volume / 1000
    outside_wanted, outside_got = wanted & ~sinuses, got & ~sinuses
    return {
        "centreline_found": _share(near & arteries, arteries),
        "centreline_found_with_sinuses": _share(near & line, line),
        "sinus_found": _share(got & sinuses & wanted, sinuses & wanted),
        "stands_out": _share(bright & own, own),
        "pieces": float(pieces(got)[1]),
        "found_ml": float(outside_got.sum() * volume),
        "reference_ml": float(outside_wanted.sum() * volume),
        "dice": _dice(outside_got, outside_wanted),
        "dice_with_sinuses": _dice(got, wanted),
    }


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    """Return a share; NaN of nothing, which tables show as "-"."""
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(int(one.sum() + other.sum()), 1))
