"""Grow what the network saw but not clearly enough: a connected region of lower probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box
from vesselseg.editing.edit import Edit, Mask, edit_of
from vesselseg.editing.picking import Point, box_around, check_grids, distances_mm, voxel_at
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.postprocessing import check_threshold

#: How far from a click the region may begin.
REACH_MM = 2.0
#: Probabilities below this are background everywhere, and would grow into all of it.
LOWEST_PROBABILITY = 0.005


@dataclass(frozen=True)
class Growth:
    """What can grow from a click, ready to be tried at one threshold after another; made by `prepare_growth`.

    Parameters
    ----------
    box : tuple of slice
        Around the click; nothing grows beyond it.
    probability : ndarray, float
        In the box.
    inside : ndarray of bool
        The label in the box.
    rim : ndarray of bool
        Voxels outside the label that touch it.
    distance : ndarray of float
        From the click, in mm.
    spacing : tuple of float
        Along z, y, x, in mm.
    length_mm : float
        Farthest way from the click through the region.
    highest : float
        Nothing grows at a threshold above this probability, the highest near the click.
    """

    box: Box
    probability: NDArray[np.floating]
    inside: Mask
    rim: Mask
    distance: NDArray[np.float64]
    spacing: tuple[float, float, float]
    length_mm: float
    highest: float

    @property
    def suggested_threshold(self) -> float:
        """A threshold to begin with: half of the highest near the click, `LOWEST_PROBABILITY` at least."""
        return max(self.highest / 2, LOWEST_PROBABILITY)

    def edit(self, threshold: float) -> Edit:
        """Grow the region at a threshold.

        Parameters
        ----------
        threshold : float
            Lowest probability, in (0, 1]; one below `LOWEST_PROBABILITY` is raised to it.

        Returns
        -------
        Edit
            With the measures ``volume_mm3``, ``threshold``, the one used, and ``length_mm``, the longest way from the
            click; empty if nothing grows.

        Raises
        ------
        VesselSegError
            If the threshold is out of range.
        """
        from scipy.ndimage import binary_dilation
        from skimage.graph import MCP_Geometric

        check_threshold(threshold)
        threshold = max(threshold, LOWEST_PROBABILITY)
        likely = (self.probability >= threshold) & ~self.inside
        near = self.distance <= REACH_MM
        # Along the wall of what is labelled already, a lower threshold would creep everywhere and thicken it; only at
        # the click is the label a way, so that a vessel goes on from where it ends.
        ways = np.where(near, likely | self.inside, likely & ~self.rim)
        grown = np.zeros_like(ways)
        length = 0.0
        if (likely & near).any():
            search = MCP_Geometric(np.where(ways, 1.0, -1.0), sampling=self.spacing)
            # From the label it may not be reached: then a gap lies between it and what grows.
            for starts in (ways, likely & near):
                start = np.unravel_index(int(np.argmin(np.where(starts, self.distance, np.inf))), ways.shape)
                lengths = search.find_costs([start])[0]
                reached = (lengths <= self.length_mm) & likely
                if reached.any():
                    break
            grown = _joined(reached, self.rim, likely, binary_dilation)
            length = float(lengths[reached].max(initial=0.0))
        volume = float(np.count_nonzero(grown) * np.prod(self.spacing))
        return edit_of(
            grown,
            np.zeros_like(grown),
            tool="grow",
            description=f"add {volume:.1f} mm³ with a probability of {threshold:.2g} or more",
            box=self.box,
            measures={"volume_mm3": volume, "length_mm": length, "threshold": float(threshold)},
        )


def _joined(reached: Mask, rim: Mask, likely: Mask, binary_dilation: Any) -> Mask:
    """Leave out the rim of the label but where the region meets it."""
    beyond = reached & ~rim
    if not beyond.any():
        return reached  # a gap so narrow that all of it touches the label
    grown: Mask = beyond | (binary_dilation(beyond, np.ones((3, 3, 3))) & likely & rim)
    return grown


def prepare_growth(
    label: NDArray[Any],
    probability: NDArray[np.floating],
    geometry: Geometry,
    point: Point,
    *,
    length_mm: float = 20.0,
) -> Growth:
    """Prepare to grow from a click.

    Parameters
    ----------
    label : ndarray, shape (Z, Y, X)
        bool, or 0 and 1.
    probability : ndarray of float, shape (Z, Y, X)
        In [0, 1].
    geometry : Geometry
        Their grid.
    point : Point
        The click, as voxel indices (k, j, i); on a vessel that the label lacks, or at the end of a labelled one.
    length_mm : float
        Farthest way from the click through the region, in mm, above 0.

    Returns
    -------
    Growth

    Raises
    ------
    VesselSegError
        If the probability near the click is below `LOWEST_PROBABILITY` wherever the label is not, the click is outside
        the scan, or the length is not above 0.
    ValueError
        If an array does not have the shape of the grid.
    """
    from scipy.ndimage import binary_dilation

    check_grids(geometry, label=label, probability=probability)
    voxel_at(point, geometry)
    if not length_mm > 0:
        raise VesselSegError(f"a length of {length_mm:g} mm lets nothing grow", "give for example 20 mm")
    box = box_around([point], max(length_mm, REACH_MM), geometry)
    inside = label[box] != 0
    distance = distances_mm(point, box, geometry)
    chances = probability[box]
    highest = float(chances[(distance <= REACH_MM) & ~inside].max(initial=0.0))
    if highest < LOWEST_PROBABILITY:
        raise VesselSegError(
            f"nothing within {REACH_MM:g} mm of the click has a probability of {LOWEST_PROBABILITY:g} or more",
            "trace the vessel instead",
        )
    rim = binary_dilation(inside, np.ones((3, 3, 3))) & ~inside
    return Growth(box, chances.copy(), inside.copy(), rim, distance, geometry.spacing_zyx, length_mm, highest)
