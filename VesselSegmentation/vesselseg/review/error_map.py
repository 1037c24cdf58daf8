"""Where a segmentation and a reference agree and disagree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vesselseg.comparison import label_on_grid_of
from vesselseg.plain_text import counted
from vesselseg.review.error_kinds import STANDARD_PALETTE, WITH_REFERENCE, Colour, ErrorKind, Palette, Wording
from vesselseg.volume import Volume


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend of an error map.

    Parameters
    ----------
    kind : ErrorKind
    title : str
        For people.
    colour : Colour
        Red, green and blue, each in [0, 1].
    voxels : int
    volume_mm3 : float
    """

    kind: ErrorKind
    title: str
    colour: Colour
    voxels: int
    volume_mm3: float

    @property
    def text(self) -> str:
        """The line as it is shown."""
        return f"{self.title}: {counted(self.voxels, 'voxel')}, {self.volume_mm3 / 1000:.2f} ml"


def error_map(segmentation: Volume, reference: Volume, *, scan: Volume | None = None) -> Volume:
    """Mark true positives, false positives and false negatives.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels; every voxel other than 0 belongs to them.
    scan : Volume, optional
        Gives the grid of the map; without it the reference does. What lies on another grid is resampled, which is said
        in the log.

    Returns
    -------
    Volume
        uint8 on the grid of the scan, else of the reference: 0 where both labels are background, else a value of
        `ErrorKind`.

    Raises
    ------
    VesselSegError
        If two of the images have no place in common.
    """
    target, of = (reference, "the reference") if scan is None else (scan, "the scan")
    found = label_on_grid_of(segmentation, target, of=of)
    truth = label_on_grid_of(reference, target, what="the reference", of=of)
    values = np.zeros(truth.shape, dtype=np.uint8)
    values[found] = ErrorKind.FALSE_POSITIVE
    values[truth] = ErrorKind.FALSE_NEGATIVE
    values[found & truth] = ErrorKind.TRUE_POSITIVE
    return target.with_array(values)


def count_kinds(errors: Volume) -> dict[ErrorKind, int]:
    """Return the number of voxels of each kind in an error map."""
    return {kind: int(np.count_nonzero(errors.array == kind)) for kind in ErrorKind}


def legend(
    errors: Volume, *, wording: Wording = WITH_REFERENCE, palette: Palette = STANDARD_PALETTE
) -> list[LegendEntry]:
    """Return what the legend of an error map says.

    Parameters
    ----------
    errors : Volume
        As `error_map` makes it.
    wording : Wording
        What the kinds are called.
    palette : Palette
        Their colours.

    Returns
    -------
    list of LegendEntry
        In the order of `ErrorKind`.
    """
    volume = errors.geometry.voxel_volume
    return [
        LegendEntry(kind, wording.title(kind), palette.colour(kind), count, count * volume)
        for kind, count in count_kinds(errors).items()
    ]
