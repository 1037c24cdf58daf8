"""Cutting a scan into overlapping tiles that each fit into memory, with the least work lost on the overlap."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from vesselseg.boxes import Box, Triple, box_start, box_voxels, shifted_box


@dataclass(frozen=True)
class Tiling:
    """How a part of a scan may be cut.

    Parameters
    ----------
    field : tuple of slice
        Along z, y, x: what tiles may see. Its sides are multiples of `step`. It may reach beyond the scan.
    step : tuple of int
        What a tile sees starts and ends at multiples of it from the start of the field, so that the network's poolings
        fall on the same voxels in each.
    overlap : tuple of int
        How far beyond its own voxels a tile must see, rounded up to `step`.
    """

    field: Box
    step: Triple
    overlap: Triple

    def seen(self, box: Box) -> Box:
        """Return what has to be seen to compute a box, as far as the field goes."""
        z, y, x = (self._seen(axis, box[axis].start, box[axis].stop) for axis in range(3))
        return z, y, x

    def core(self, box: Box) -> Box:
        """Return where in what is seen a box lies."""
        return shifted_box(box, [-start for start in box_start(self.seen(box))])

    def voxels_seen(self, box: Box) -> int:
        """Return the number of voxels that have to be seen to compute a box."""
        return box_voxels(self.seen(box))

    def parts(self, box: Box, limit: int) -> list[Box]:
        """Cut a box into parts of which none has to see more than `limit` voxels.

        Among all regular cuts the one is taken that computes the fewest voxels, then the one with the fewest parts.

        Raises
        ------
        ValueError
            If not even the smallest part is small enough.
        """
        best, lowest = None, (math.inf, math.inf)
        for cuts in itertools.product(*(self._cuts(axis, box[axis]) for axis in range(3))):
            largest, work, count = (math.prod(values) for values in zip(*(cut[:3] for cut in cuts)))
            if largest <= limit and (work, count) < lowest:
                best, lowest = cuts, (work, count)
        if best is None:
            raise ValueError(f"no part of the scan can be computed from {limit} voxels")
        return [(z, y, x) for z, y, x in itertools.product(*(cut[3] for cut in best))]

    def _seen(self, axis: int, start: int, stop: int) -> slice:
        step, field, overlap = self.step[axis], self.field[axis], self.overlap[axis]
        first = (start - overlap - field.start) // step * step
        last = -(-(stop + overlap - field.start) // step) * step
        return slice(field.start + max(first, 0), min(field.start + last, field.stop))

    def _cuts(self, axis: int, part: slice) -> list[tuple[int, int, int, list[slice]]]:
        """Return the ways to cut along an axis: the largest length seen, the sum of them, and the parts."""
        step, origin = self.step[axis], self.field[axis].start
        # Cut where the field's steps are, so that no part sees one step more than it needs.
        first = origin + (part.start - origin) // step * step
        steps = -(-(part.stop - first) // step)
        cuts = []
        # Different numbers of parts can come to the same length of a part.
        for length in sorted({-(-steps // count) * step for count in range(1, steps + 1)}):
            starts = range(first, part.stop, length)
            parts = [slice(max(start, part.start), min(start + length, part.stop)) for start in starts]
            seen = [self._seen(axis, own.start, own.stop) for own in parts]
            lengths = [own.stop - own.start for own in seen]
            cuts.append((max(lengths), sum(lengths), len(parts), parts))
        return cuts
