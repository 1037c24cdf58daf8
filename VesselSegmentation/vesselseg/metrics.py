"""How well a segmentation agrees with a reference: overlap, distance, topology and calibre.

Spacing is always used. The surface of a label are the voxels that one 6-connected erosion removes; distances are
between voxel centres, in mm.

Where a label is empty the values are defined as follows. Both empty: perfect agreement (overlaps 1, distances 0). One
empty: overlaps 0 and distances infinite.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vesselseg.comparison import counted_places, on_grid_of, on_one_grid
from vesselseg.errors import VesselSegError
from vesselseg.morphology.calibre import CALIBRE_NAMES, calibre_classes, radii
from vesselseg.morphology.centreline import centreline
from vesselseg.morphology.label_voxels import Indices, bounding_box, nearest_distances, pieces, surface, voxels
from vesselseg.volume import Volume

logger = logging.getLogger("vesselseg")

BoolArray = NDArray[np.bool_]

#: What is said where `nothing_counted` inside a mask, lest the values be taken for a finding.
NOTHING_INSIDE = "there are no vessels of either label inside the mask"


def check_tolerance(nsd_tolerance_mm: float) -> None:
    """Refuse a tolerance of the normalised surface Dice that is negative or not a number."""
    if not nsd_tolerance_mm >= 0:  # nor is NaN
        raise VesselSegError(f"surfaces cannot be compared within {nsd_tolerance_mm:g} mm", "give 0 mm or more")


def overlap_of_counts(both: int, only_found: int, only_truth: int) -> dict[str, float]:
    """Return ``dice``, ``precision`` and ``sensitivity``, in [0, 1], as `evaluate` defines them.

    Parameters
    ----------
    both, only_found, only_truth : int
        Voxels that both labels have, that only the segmentation has, and that only the reference has.
    """
    total = 2 * both + only_found + only_truth
    return {
        "dice": 2 * both / total if total else 1.0,
        "precision": _share(both, both + only_found, only_truth == 0),
        "sensitivity": _share(both, both + only_truth, only_found == 0),
    }


def evaluate(
    segmentation: Volume,
    reference: Volume,
    *,
    mask: Volume | None = None,
    unsure: Volume | None = None,
    nsd_tolerance_mm: float = 0.5,
    radius: Volume | None = None,
    distances: bool = True,
) -> dict[str, float]:
    """Compare a segmentation with a reference.

    Parameters
    ----------
    segmentation, reference : Volume
        Labels; every voxel other than 0 belongs to them. The segmentation is resampled to the grid of the reference
        where it lies on another one, as `vesselseg.comparison.on_one_grid` does.
    mask : Volume, optional
        Only voxels inside it count: both labels are cut by it. The log tells where neither has a vessel there.
    unsure : Volume, optional
        Where the reference says nothing, see `vesselseg.image_io.read_reference`. It is taken to say what the
        segmentation says there, so that neither is cut, and nothing there is counted: no voxel, no piece of a
        centreline, no distance from there.
    nsd_tolerance_mm : float
        Tolerance of the normalised surface Dice, in mm; 0 or more.
    radius : Volume, optional
        True radius of the vessels at the voxels of the reference, in mm, where it is known: it decides on the calibre.
        The default is the distance from the centreline to the nearest voxel outside the reference, which the mask does
        not cut for this.
    distances : bool
        Whether distances are measured as well, which takes most of the time; without, ``nsd`` and what is in mm or in
        voxels is left out.

    Returns
    -------
    dict
        ``dice``, ``precision``, ``sensitivity``, ``cldice``, ``topology_precision``, ``topology_sensitivity`` and
        ``nsd`` in [0, 1]; ``sensitivity_small``, ``sensitivity_medium`` and ``sensitivity_large``, the share of the
        reference's centreline found, by calibre, in [0, 1], NaN where the reference has no such vessel;
        ``hd95_mm``, ``assd_mm``, ``balanced_avd_mm`` in mm; ``taha_hd95_voxels`` and ``taha_avd_voxels`` in voxels,
        over all voxels of the labels and not their surfaces, the larger of both directions (the program
        EvaluateSegmentation of Taha and Hanbury tells the mean of both average distances instead, and takes the
        percentile over voxels in error only); ``betti0_error``, ``true_positives``,
        ``false_positives`` and ``false_negatives`` as counts; ``segmentation_ml`` and ``reference_ml`` in ml.
        ``cldice`` is computed on skeletons of scikit-image, to which `vesselseg.morphology.centreline` adds lines only
        where that loses straight pieces or limbs of even width (its issue 3757).

    Raises
    ------
    VesselSegError
        If the images do not overlap in space, there is nothing to count, or the tolerance is negative or not a number.

    References
    ----------
    Taha AA, Hanbury A. Metrics for evaluating 3D medical image segmentation. BMC Med Imaging 2015;15:29.
    doi:10.1186/s12880-015-0068-x

    Shit S, et al. clDice: a novel topology-preserving loss function for tubular structure segmentation. CVPR 2021.
    doi:10.1109/CVPR46437.2021.01629

    Nikolov S, et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. J Med Internet Res
    2021;23:e26151. doi:10.2196/26151

    Aydin OU, et al. On the usage of average Hausdorff distance for segmentation performance assessment. Eur Radiol Exp
    2021;5:4. doi:10.1186/s41747-020-00200-2
    """
    check_tolerance(nsd_tolerance_mm)
    segmentation, reference, unsure = on_one_grid(segmentation, reference, unsure)
    found, truth = segmentation.array != 0, reference.array != 0
    inside, sure = counted_places(reference, mask, unsure)
    if sure is not None:
        truth = np.where(sure, truth, found)
    uncut = truth
    if inside is not None:
        found, truth = found & inside, truth & inside
    spacing = reference.geometry.spacing_zyx
    voxel_ml = reference.geometry.voxel_volume / 1000
    # Nothing outside the box of both labels has an influence on any of the values.
    box = bounding_box(found | truth)
    if box is None:
        box = (slice(1), slice(1), slice(1))
    found, truth = np.ascontiguousarray(found[box]), np.ascontiguousarray(truth[box])
    sure = None if sure is None else sure[box]
    counted_found, counted_truth = _counted(found, sure), _counted(truth, sure)
    both = int(np.count_nonzero(counted_found & counted_truth))
    # Where the reference is unsure the two never differ.
    only_found, only_truth = (int(np.count_nonzero(m)) for m in (found & ~truth, truth & ~found))
    values = overlap_of_counts(both, only_found, only_truth)
    found_pieces, true_pieces = pieces(found), pieces(truth)
    lines = _counted(centreline(found, found_pieces), sure), _counted(centreline(truth, true_pieces), sure)
    values |= _topology(counted_found, counted_truth, lines)
    if radius is not None:
        true_radii = on_grid_of(radius, reference, what="the map of radii").array[box][lines[1]].astype(float)
    elif inside is None:
        true_radii = radii(truth, lines[1], spacing)
    else:
        true_radii = _radii_in(uncut, box, lines[1], spacing)
    values |= _sensitivity_by_calibre(found, lines[1], true_radii)
    if distances:
        counts = both, only_found, only_truth
        values |= _distances(found, truth, counts, sure, spacing, nsd_tolerance_mm)
    values |= {
        "betti0_error": abs(found_pieces[1] - true_pieces[1]),
        "true_positives": both,
        "false_positives": only_found,
        "false_negatives": only_truth,
        "segmentation_ml": (both + only_found) * voxel_ml,
        "reference_ml": (both + only_truth) * voxel_ml,
    }
    if inside is not None and nothing_counted(values):
        logger.warning(NOTHING_INSIDE)
    return values


def nothing_counted(values: Mapping[str, float]) -> bool:
    """Tell whether neither label had a voxel where it was compared: then agreement is perfect by definition."""
    return not (values["segmentation_ml"] or values["reference_ml"])


def _counted(label: BoolArray, sure: BoolArray | None) -> BoolArray:
    return label if sure is None else label & sure


def _share(part: int, whole: int, nothing_missed: bool) -> float:
    """Return a share; of nothing it is 1 where the other label is empty too, else 0."""
    return part / whole if whole else float(nothing_missed)


def _share_on(line: BoolArray, label: BoolArray) -> float:
    """Return the share of a centreline that lies in a label."""
    return _share(int(np.count_nonzero(line & label)), int(np.count_nonzero(line)), not label.any())


def _topology(found: BoolArray, truth: BoolArray, lines: tuple[BoolArray, BoolArray]) -> dict[str, float]:
    precision, sensitivity = _share_on(lines[0], truth), _share_on(lines[1], found)
    return {
        "cldice": 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0,
        "topology_precision": precision,
        "topology_sensitivity": sensitivity,
    }


def _radii_in(
    label: BoolArray, box: tuple[slice, ...], line: BoolArray, spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return the radii of a label at a line that was found in a box of it."""
    whole_line = np.zeros(label.shape, bool)
    whole_line[box] = line
    around = bounding_box(label)
    return np.empty(0) if around is None else radii(label[around], whole_line[around], spacing)


def _sensitivity_by_calibre(
    found: BoolArray, true_line: BoolArray, true_radii: NDArray[np.float64]
) -> dict[str, float]:
    hit, calibre = found[true_line], calibre_classes(true_radii)
    chosen = [hit[calibre == index] for index in range(len(CALIBRE_NAMES))]
    return {
        f"sensitivity_{name}": float(hits.mean()) if hits.size else math.nan
        for name, hits in zip(CALIBRE_NAMES, chosen)
    }


def _distances(
    found: BoolArray,
    truth: BoolArray,
    counts: tuple[int, int, int],
    sure: BoolArray | None,
    spacing: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    both, only_found, only_truth = counts
    if not both and not (only_found and only_truth):  # one of the labels is empty, where it is counted
        distance = math.inf if only_found or only_truth else 0.0
        in_mm = {"hd95_mm": distance, "assd_mm": distance, "nsd": float(distance == 0), "balanced_avd_mm": distance}
        return in_mm | {"taha_hd95_voxels": distance, "taha_avd_voxels": distance}
    walls = surface(found), surface(truth)
    in_mm = _surface_distances(walls, sure, spacing, tolerance_mm)
    return in_mm | _voxel_distances(found, truth, both, walls, spacing)


def _surface_distances(
    walls: tuple[Indices, Indices],
    sure: BoolArray | None,
    spacing: tuple[float, float, float],
    tolerance_mm: float,
) -> dict[str, float]:
    found_wall, true_wall = walls if sure is None else tuple(wall[sure[tuple(wall.T)]] for wall in walls)
    to_truth = nearest_distances(found_wall, walls[1], spacing)
    to_found = nearest_distances(true_wall, walls[0], spacing)
    every = np.concatenate([to_truth, to_found])
    if not every.size:  # all walls lie where the reference is unsure
        return {"hd95_mm": 0.0, "assd_mm": 0.0, "nsd": 1.0}
    return {
        "hd95_mm": max(float(np.percentile(each, 95)) for each in (to_truth, to_found) if each.size),
        "assd_mm": float(every.mean()),
        # The allowance is for distances that equal the tolerance but for rounding: NIfTI holds spacings in 32 bits.
        "nsd": float(np.mean(every <= tolerance_mm + 1e-6)),
    }


def _voxel_distances(
    found: BoolArray,
    truth: BoolArray,
    both: int,
    walls: tuple[Indices, Indices],
    spacing: tuple[float, float, float],
) -> dict[str, float]:
    """Distances over all counted voxels of the labels: the paper's, in voxels, and their balanced mean, in mm."""
    # The voxels that both labels share are at no distance, and the nearest of the other label lies on its surface.
    only_found, only_truth = voxels(found & ~truth), voxels(truth & ~found)
    found_wall, true_wall = walls
    unit = (1.0, 1.0, 1.0)
    shared = np.zeros(both)
    to_truth = np.concatenate([shared, nearest_distances(only_found, true_wall, unit)])
    to_found = np.concatenate([shared, nearest_distances(only_truth, found_wall, unit)])
    total_mm = nearest_distances(only_found, true_wall, spacing).sum()
    total_mm += nearest_distances(only_truth, found_wall, spacing).sum()
    return {
        "taha_hd95_voxels": float(max(np.percentile(to_truth, 95), np.percentile(to_found, 95))),
        "taha_avd_voxels": float(max(to_truth.mean(), to_found.mean())),
        "balanced_avd_mm": float(total_mm / (2 * (both + len(only_truth)))),
    }
