"""Where a segmentation and a reference agree and disagree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from vesselseg.comparison import on_grid_of
from vesselseg.volume import Volume


class ErrorKind(IntEnum):
    """Values of an error map."""

    TRUE_POSITIVE = 1
    FALSE_POSITIVE = 2
    FALSE_NEGATIVE = 3

    @property
    def title(self) -> str:
        """For people."""
        return self.name.replace("_", " ").lower()


#: Red, green and blue in [0, 1]; the same in slices, 3D views, legends and reports.
ERROR_COLOURS = {
    ErrorKind.TRUE_POSITIVE: (0.90, 0.10, 0.10),
    ErrorKind.FALSE_POSITIVE: (0.10, 0.80, 0.20),
    ErrorKind.FALSE_NEGATIVE: (0.15, 0.35, 1.00),
}


@dataclass(frozen=True)
class ErrorComponent:
    """One connected piece of an error.

    Parameters
    ----------
    kind : ErrorKind
        False positive or false negative.
    voxels : int
        Its size.
    volume_mm3 : float
        Its volume.
    centre_ras : tuple of float
        Position of the voxel nearest to its centroid, in mm, RAS: always inside the piece.
    """

    kind: ErrorKind
    voxels: int
    volume_mm3: float
    centre_ras: tuple[float, float, float]


def error_map(segmentation: Volume, reference: Volume) -> Volume:
    """Mark true positives, false positives and false negatives.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels, 0 or 1. The segmentation is resampled to the grid of the reference where it lies on another one.

    Returns
    -------
    Volume
        uint8 on the grid of the reference: 0 where both are background, else a value of `ErrorKind`.

    Raises
    ------
    VesselSegError
        If the two images have no place in common.
    """
    found = on_grid_of(segmentation, reference).array != 0
    truth = reference.array != 0
    values = np.zeros(truth.shape, dtype=np.uint8)
    values[found] = ErrorKind.FALSE_POSITIVE
    values[truth] = ErrorKind.FALSE_NEGATIVE
    values[found & truth] = ErrorKind.TRUE_POSITIVE
    return reference.with_array(values)


def count_kinds(errors: Volume) -> dict[ErrorKind, int]:
    """Return the number of voxels of each kind in an error map."""
    counts = np.bincount(errors.array.ravel(), minlength=4)
    return {kind: int(counts[kind]) for kind in ErrorKind}


def error_components(errors: Volume) -> list[ErrorComponent]:
    """List the connected pieces (26-connected) of false positives and false negatives, the largest first."""
    from scipy import ndimage

    ijk_to_ras = errors.geometry.ijk_to_ras()
    components = []
    for kind in (ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE):
        pieces, count = ndimage.label(errors.array == kind, structure=np.ones((3, 3, 3)))
        for number, box in enumerate(ndimage.find_objects(pieces, max_label=count), start=1):
            voxels = np.argwhere(pieces[box] == number)
            inside = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
            k, j, i = inside + [part.start for part in box]
            x, y, z = (float(v) for v in (ijk_to_ras @ [i, j, k, 1])[:3])
            volume = len(voxels) * errors.geometry.voxel_volume
            components.append(ErrorComponent(kind, len(voxels), volume, (x, y, z)))
    return sorted(components, key=lambda component: -component.voxels)
