"""The folder of a case, as ``vesselseg synthesize`` draws it and training and ``vesselseg judge`` take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vesselseg.errors import VesselSegError
from vesselseg.image_io import UNSURE, read_volume
from vesselseg.volume import Volume

#: Files in the folder of a case; the last two where there are any.
SCAN, LABEL, MASK, RADIUS = "tof.nii.gz", "label.nii.gz", "mask.nii.gz", "radius.nii.gz"


def read_sure_label(path: Path) -> Volume:
    """Read a label some of whose voxels may not count.

    Parameters
    ----------
    path : pathlib.Path
        0 none, `UNSURE` not counted, every other value vessel.

    Returns
    -------
    Volume
        uint8: 0, 1 or `UNSURE`.

    Raises
    ------
    VesselSegError
        If it cannot be read, a voxel is no whole number from 0 on, or all that is not 0 is unsure.
    """
    label = read_volume(path)
    values = label.array
    # NaN is refused as well: it equals nothing.
    if not np.array_equal(values, np.abs(np.trunc(values))):
        raise VesselSegError(
            f"{path} is no label: it has voxels that are not whole numbers from 0 on",
            f"save 0 for none, {UNSURE} for unsure and 1 for vessel",
        )
    sure = label.with_array(np.where(values == UNSURE, UNSURE, values != 0).astype(np.uint8))
    if sure.array.any() and not (sure.array == 1).any():
        raise VesselSegError(f"{path} has no vessels: {UNSURE} means unsure here", "save vessels as 1")
    return sure
