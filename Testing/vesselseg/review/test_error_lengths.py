from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label
from vesselseg.review.error_components import ErrorComponent, error_components
from vesselseg.review.error_kinds import ErrorKind
from vesselseg.review.error_map import error_map
from vesselseg.volume import Volume

Label = NDArray[np.bool_]

CUBE = np.ones((3, 3, 3), bool)
SPACING = 0.6
k, j, i = np.indices((60, 44, 44))
#: Distance to a line along k, in voxels.
away = np.hypot(j - 20, i - 20)


def listed(found: Label, truth: Label, *, along: float = SPACING) -> list[ErrorComponent]:
    """List the errors, on a grid that may have another spacing along k."""
    geometry = Geometry(found.shape[::-1], (SPACING, SPACING, along))
    return error_components(error_map(*(Volume(label.astype(np.uint8), geometry) for label in (found, truth))))


@functools.lru_cache
def helix(radius: float) -> Label:
    """Draw a turn and a half of a vessel; its radius in voxels."""
    turn = np.linspace(0, 3 * np.pi, 1000)
    line = np.stack([10 + 36 * turn / turn.max(), 22 + 14 * np.sin(turn), 22 + 14 * np.cos(turn)], axis=1)
    return np.isfinite(cKDTree(line).query(np.stack([k, j, i], axis=-1), distance_upper_bound=radius + 1e-6)[0])


@pytest.mark.parametrize("along", [0.6, 2.5], ids=["isotropic", "thick slices"])
@pytest.mark.parametrize("kind", [ErrorKind.FALSE_NEGATIVE, ErrorKind.FALSE_POSITIVE], ids=["gap", "bridge"])
@pytest.mark.parametrize("radius", [0, 1, 1.5, 2.5, 5])
def test_what_parts_or_joins_a_vessel_counts_its_length_or_width(radius: float, kind: ErrorKind, along: float) -> None:
    whole = (away <= radius) & (k > 3) & (k < 56)
    before = 0.0
    for slices in (1, 2, 3, 6, 12):
        parted = whole & ((k < 30) | (k >= 30 + slices))
        pair = (parted, whole) if kind == ErrorKind.FALSE_NEGATIVE else (whole, parted)
        (component,) = listed(*pair, along=along)
        assert component.kind == kind
        assert not component.is_boundary
        length, width = slices * along, (2 * radius + 1) * SPACING
        assert max(length, width - 2 * SPACING) - 1e-6 <= component.affected_mm <= max(length, width) + 1e-6
        assert component.affected_mm >= before
        before = component.affected_mm


def test_a_gap_in_a_thick_artery_comes_before_a_speck() -> None:
    truth = (away <= 5) & (k > 3) & (k < 56)
    for slices in (2, 4, 6, 8, 10):
        found = truth & ((k < 30) | (k >= 30 + slices))
        found[50, 40, 36:40] = True
        assert [component.kind for component in listed(found, truth)] == [3, 2]


def test_a_gap_in_a_ring_is_no_hole_in_a_wall() -> None:
    """The number of pieces stays: a whole label has such rings in the circle of Willis."""
    ring = (np.hypot(np.hypot(j - 20, i - 20) - 14, k - 30) <= 2.5) & (k < 60)
    found = ring & ~((i > 20) & (np.abs(j - 20) < 1))
    assert ndimage.label(found, CUBE)[1] == ndimage.label(ring, CUBE)[1] == 1
    (component,) = listed(found, ring)
    assert not component.is_boundary
    assert component.affected_mm >= 4 * SPACING


def test_a_vessel_that_is_joined_to_its_neighbour_is_listed() -> None:
    truth = ((away <= 3) | (np.hypot(j - 20, i - 28) <= 3)) & (k > 3) & (k < 56)
    found = truth.copy()
    found[30, 20, 24] = True
    (component,) = listed(found, truth)
    assert (component.is_boundary, component.affected_mm) == (False, pytest.approx(SPACING))


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("wall", ["round", "flat"])
def test_a_missed_artery_that_lies_against_a_thick_one_is_listed_by_its_length(width: int, wall: str) -> None:
    thick = (away <= 4) if wall == "round" else (np.abs(j - 20) <= 4) & (np.abs(i - 20) <= 4)
    found = thick & (k > 3) & (k < 56)
    truth = found.copy()
    truth[10:50, 20 : 20 + width, 25 : 25 + width] = True
    found[30, 40, 10:30] = True  # as long as half of it, and in nobody's way
    first, second = listed(found, truth)
    assert (first.kind, second.kind) == (ErrorKind.FALSE_NEGATIVE, ErrorKind.FALSE_POSITIVE)
    assert not first.is_boundary
    assert first.affected_mm == pytest.approx(39 * SPACING, abs=SPACING)


@pytest.mark.parametrize("radius", [3, 5, 7, 9])
def test_a_missed_aneurysm_counts_its_diameter(radius: int) -> None:
    vessel = away <= 3
    ball = (i - 22 - radius) ** 2 + (j - 20) ** 2 + (k - 30) ** 2 <= radius**2
    (component,) = listed(vessel, vessel | ball)
    assert not component.is_boundary
    assert component.affected_mm == pytest.approx(2 * radius * SPACING, abs=SPACING)


def test_a_missed_branch_counts_its_centreline() -> None:
    trunk, way = (away <= 4) & (k > 3) & (k < 56), i - 20
    branch = (np.hypot(k - 30 - way / 3, j - 20 - way / 2) <= 1.6) & (i > 20) & (i < 42)
    truth = trunk | branch
    (component,) = listed(trunk, truth)
    inside = skeletonize(truth) & ~trunk
    assert component.affected_mm == pytest.approx(
        SPACING * np.count_nonzero(inside) * np.sqrt(1 + 1 / 9 + 1 / 4), rel=0.15
    )
    # What both have of its root does not count.
    shorter = trunk | (branch & (i < 34))
    (component,) = listed(shorter, truth)
    assert component.affected_mm == pytest.approx(8 * SPACING * np.sqrt(1 + 1 / 9 + 1 / 4), rel=0.3)


WALLS = {
    "moved along k": lambda label: np.roll(label, 1, 0),
    "moved along i": lambda label: np.roll(label, 1, 2),
    "moved across": lambda label: np.roll(label, (1, 1), (1, 2)),
    "thicker": ndimage.binary_dilation,
    "thinner": ndimage.binary_erosion,
    "thicker at corners": lambda label: ndimage.binary_dilation(label, CUBE),
}


@pytest.mark.parametrize("along", [0.6, 1.5], ids=["isotropic", "thick slices"])
@pytest.mark.parametrize("change", WALLS)
@pytest.mark.parametrize("radius", [3, 5])
def test_walls_that_are_one_voxel_off_are_folded_along_the_whole_vessel(radius: int, change: str, along: float) -> None:
    truth = helix(radius)
    components = listed(WALLS[change](truth), truth, along=along)
    assert components
    assert max(component.length_mm for component in components) > 40  # as long as they are
    assert all(component.is_boundary for component in components)
    assert {component.affected_mm for component in components} == {0.0}


def test_thin_arteries_that_are_one_voxel_off_are_missed() -> None:
    truth = helix(0.7)
    length = SPACING * np.hypot(36, 3 * np.pi * 14)
    components = listed(np.roll(truth, 1, 0), truth)
    for kind in (ErrorKind.FALSE_NEGATIVE, ErrorKind.FALSE_POSITIVE):
        assert sum(c.affected_mm for c in components if c.kind == kind) == pytest.approx(length, rel=0.2)


def test_a_wall_that_is_two_voxels_off_is_listed_by_its_extent() -> None:
    truth, ends = away <= 4, (k > 3) & (k < 56)
    (component,) = listed((away <= 6.01) & ends, truth & ends)
    assert not component.is_boundary
    assert component.affected_mm == pytest.approx(51 * SPACING)


def test_holes_in_a_vessel_are_folded() -> None:
    truth = (away <= 4) & (k > 3) & (k < 56)
    found = truth.copy()
    found[20, 20, 20] = False  # a cavity
    found[30, 21:, 20] = False  # a pit
    components = listed(found, truth)
    assert [component.voxels for component in components] == [4, 1]
    assert components[-1].is_boundary


def test_vessels_that_run_out_of_the_image_have_walls_there_too() -> None:
    truth = away <= 4
    (component,) = listed(truth & (k < 59), truth)
    assert component.is_boundary
    (component,) = listed(truth & (k != 58), truth)
    assert not component.is_boundary
    cut = np.hypot(j - 20, i - 41) <= 4
    (component,) = listed(cut & (i < 43), cut)
    assert component.is_boundary


def test_an_interrupted_carotid_is_listed_on_a_real_label(data_folder: Path) -> None:
    label = read_label(data_folder / "tof" / "MNI_0656_label.nii.gz")
    truth = label.array != 0
    found = truth.copy()
    for number in (36, 37):
        pieces, _ = ndimage.label(truth[number])
        found[number] &= pieces != pieces[132, 178]
    (component,) = error_components(error_map(label.with_array(found.astype(np.uint8)), label))
    assert (component.voxels, component.is_boundary) == (104, False)
    assert component.affected_mm > 2.5
