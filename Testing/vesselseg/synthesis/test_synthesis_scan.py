"""What a scanner and a head add to drawn vessels: artefacts, windows, distractors; whole scans by seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume
from vesselseg.synthesis import dataset
from vesselseg.synthesis.artefacts import ghosted, slab_steps, with_laminar_cortex
from vesselseg.synthesis.background import Background
from vesselseg.synthesis.dataset import DrawnScan, scan_of, synthesize, write_drawn_scan
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.growth import BRAIN_AXES
from vesselseg.synthesis.outer_vessels import meningeal_arteries, orbital_strands, temporal_arteries
from vesselseg.synthesis.scan import Acquisition, random_acquisition, take_scan
from vesselseg.synthesis.tissue import simulated_head
from vesselseg.synthesis.trees import Branch

GRID = Geometry((40, 50, 30), (0.6, 0.6, 0.6), (-12.0, -15.0, -9.0))
LINE = [Branch(np.array([[-10.0, 0, 0], [10, 0, 0]]), np.array([1.2, 1.2]))]
QUIET = Acquisition(noise=0.0, bias=0.0, patchiness=0.0, slab_loss=0.0)


def flat(geometry: Geometry = GRID, **options) -> Background:
    return Background(np.ones(geometry.shape, np.float32), np.ones(geometry.shape, bool), geometry, **options)


@pytest.mark.parametrize("axis", [1, 2])
def test_ghosts_are_weak_copies_along_the_phase_direction_and_reproducible(axis: int) -> None:
    image = np.zeros((4, 60, 80), np.float32)
    image[:, 28:32, 38:42] = 1.0
    for seed in range(6):
        one, two = (ghosted(image, axis, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.float32
        assert one.min() >= 0
        assert one.shape == image.shape
        # The object stays where it is; what is added lies in line with it, in one direction, and is weak.
        assert one[:, 28:32, 38:42].mean() > 0.7
        ghost = np.where(image == 0, one, 0)
        assert 0.002 < ghost.max() < 0.25
        rows, columns = ghost.max(axis=(0, 2)) > 0.002, ghost.max(axis=(0, 1)) > 0.002
        assert (rows.sum() > 8, columns.sum() > 8) == (axis == 1, axis == 2)


@pytest.mark.parametrize("axis", [1, 2])
def test_ghosts_and_blur_of_a_scan_lie_in_the_same_direction(axis: int) -> None:
    background = flat()
    background.image[:] = 0.05
    background.image[:, 22:28, 17:23] = 1.0
    settings = replace(QUIET, phase_axis=axis, levels=65535, ceiling=2.0)
    plain, ghosted_ = (
        take_scan(background, draw([], GRID), replace(settings, ghosts=wanted), np.random.default_rng(3))[0].array
        for wanted in (False, True)
    )
    changed = np.abs(ghosted_.astype(np.float32) - plain).max(axis=0) > 20
    rows, columns = np.count_nonzero(changed.any(axis=1)), np.count_nonzero(changed.any(axis=0))
    assert (rows > 14, columns > 14) == (axis == 1, axis == 2)


@pytest.mark.parametrize("side", [61, 80])
def test_ghosts_keep_odd_and_even_sizes_and_need_no_torch(side: int) -> None:
    image = np.random.default_rng(0).random((3, side, side + 1), dtype=np.float32)
    assert ghosted(image, 1, np.random.default_rng(0)).shape == image.shape


def test_slabs_darken_towards_their_ends() -> None:
    steps = slab_steps(100, slab=25.0, strength=0.1, offset=5.0)[:, 0, 0]
    assert steps.shape == (100,)
    assert steps.min() == pytest.approx(0.9, abs=0.005)
    assert steps.max() == pytest.approx(1.0, abs=0.005)
    ends = np.flatnonzero(steps < 0.905)
    np.testing.assert_array_equal(ends % 25, 20)  # where the position in the slab is 0
    scan, _ = take_scan(
        flat(), draw([], GRID), replace(QUIET, slab_step=0.2, slab_mm=8.0, blur=0.3), np.random.default_rng(0)
    )
    profile = scan.array.mean(axis=(1, 2))
    assert profile.min() < 0.85 * profile.max()


def test_bright_cortex_is_a_thin_sheet_and_no_label() -> None:
    geometry = Geometry((70, 80, 60), (1.0, 1.0, 1.0))
    z, y, x = np.ogrid[:60, :80, :70]
    brain = ((x - 35) / 28) ** 2 + ((y - 40) / 34) ** 2 + ((z - 30) / 25) ** 2 < 1
    plain = Background(brain.astype(np.float32), brain, geometry)
    seen = 0
    for seed in range(6):
        result = with_laminar_cortex(plain, np.random.default_rng(seed))
        sheet = result.image != plain.image
        seen += sheet.sum()
        assert (result.image[sheet] > 1.1).all()
        assert result.unsure is None
        # Below the surface of the brain, no more than two or three voxels thick.
        assert not (sheet & ~brain).any()
        assert not (sheet & binary_erosion(brain, iterations=10)).any()
        assert not binary_erosion(sheet, np.ones((5, 5, 5))).any()
    assert seen > 500
    _, label = take_scan(with_laminar_cortex(plain, np.random.default_rng(0)), draw([], geometry), QUIET,
                         np.random.default_rng(0))  # fmt: skip
    assert not label.array.any()


def test_blur_is_wider_in_the_phase_direction() -> None:
    drawing = draw([Branch(np.array([[0.0, 0, -9], [0, 0, 9]]), np.array([0.6, 0.6]))], GRID)
    widths = {}
    for axis in (1, 2):
        settings = replace(QUIET, blur=0.7, phase_blur=2.0, phase_axis=axis, levels=65535)
        scan, _ = take_scan(flat(), drawing, settings, np.random.default_rng(0))
        vessel = scan.array[15] - scan.array[15].min()
        widths[axis] = [
            np.sqrt(np.average((np.arange(n) - np.average(np.arange(n), weights=w)) ** 2, weights=w))
            for n, w in ((50, vessel.sum(axis=1)), (40, vessel.sum(axis=0)))
        ]
    assert widths[1][0] > 1.3 * widths[1][1]
    assert widths[2][1] > 1.3 * widths[2][0]


def test_windows_of_more_bits_are_written_as_such(tmp_path: Path) -> None:
    drawing = draw(LINE, GRID)
    for levels, kind in ((255, np.uint8), (4095, np.uint16), (65535, np.uint16)):
        settings = replace(Acquisition(), levels=levels, ceiling=1.5)
        scan, label = take_scan(flat(), drawing, settings, np.random.default_rng(0))
        assert scan.array.max() == levels
        np.testing.assert_array_equal(scan.array, np.rint(scan.array))
        drawn = DrawnScan(scan, label, label.with_array(drawing.radius), label.with_array(drawing.artery), {"index": 0})
        write_drawn_scan(drawn, tmp_path / str(levels))
        stored = read_volume(tmp_path / str(levels) / "tof.nii.gz")
        np.testing.assert_array_equal(stored.array, scan.array)
        import SimpleITK as sitk

        assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / str(levels) / "tof.nii.gz"))).dtype == kind


def test_settings_cover_what_scanners_do() -> None:
    drawn = [random_acquisition(np.random.default_rng(seed), flat(noise=0.05, ceiling=3.0)) for seed in range(200)]
    assert 0.15 < np.mean([a.levels > 255 for a in drawn]) < 0.45
    assert 0.3 < np.mean([a.phase_blur > 1 for a in drawn]) < 0.7
    assert 0.05 < np.mean([a.ghosts for a in drawn]) < 0.25
    assert {a.phase_axis for a in drawn} == {1, 2}
    assert max(a.ceiling for a in drawn) <= 3.0
    assert min(a.lumen for a in drawn) < 1.5
    assert max(a.lumen for a in drawn) > 4


def distance_to_ellipsoid(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Roughly, in mm."""
    return (np.linalg.norm(points / axes, axis=1) - 1) * axes.mean()


def test_outer_vessels_lie_outside_of_the_brain() -> None:
    centre = np.zeros(3)
    sides = set()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for make, low, high in ((meningeal_arteries, 0.9, 2.3), (temporal_arteries, 9.4, 12.6)):
            tree = make(centre, BRAIN_AXES, rng)
            assert len(tree) in (0, 3, 6)
            for branch in tree:
                away = distance_to_ellipsoid(branch.points, BRAIN_AXES)
                assert low < away.min() <= away.max() < high
                assert 0.25 < branch.radii.min() <= branch.radii.max() < 1.2
            # The two branches begin where the stem ends, so that the vessel is one piece.
            for k in range(0, len(tree), 3):
                np.testing.assert_allclose(tree[k].points[-1], tree[k + 1].points[0], atol=1e-6)
                np.testing.assert_allclose(tree[k].points[-1], tree[k + 2].points[0], atol=1e-6)
            sides.add(len(tree))
    assert {3, 6} <= sides


def test_strands_of_the_orbit_meet_behind_the_eye() -> None:
    tips = np.array([branch.points[-1] for branch in orbital_strands(np.array([30.0, -70, -40]), 12.0, 1.0)])
    assert len(tips) == 5
    assert np.ptp(tips, axis=0).max() == 0
    assert tips[0, 1] > -70 + 24  # behind the eye
    assert tips[0, 0] < 30  # and nearer to the midline


def test_simulated_head_has_bright_orbits_and_vessels_outside_of_the_brain() -> None:
    geometry = Geometry((110, 130, 100), (1.4, 1.4, 1.4))
    axes = BRAIN_AXES * 0.85
    centre = np.array([77.0, 91.0, 80.0])
    heads = [simulated_head(geometry, centre, axes, np.random.default_rng(seed)) for seed in range(3)]
    orbit = np.rint((centre + np.array([0.48, -0.9, -0.62]) * axes) / 1.4).astype(int)
    box = tuple(slice(v - 14, v + 14) for v in orbit[::-1])
    assert max(np.percentile(head.image[box], 95) for head in heads) > 1.2
    assert all(np.isfinite(head.image).all() and head.image.min() >= 0 for head in heads)
    # Between brain and scalp, in what is bone otherwise: the meningeal arteries.
    bright = 0
    for head in heads:
        skull = binary_dilation(head.brain, iterations=4) & ~head.brain
        skull[:50] = False
        bright += np.count_nonzero(skull & (head.image > 0.9))
    assert bright > 30


@pytest.fixture
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole scans without data, small enough for a test."""
    monkeypatch.setattr(dataset, "_MOST_VOXELS", 4e5)


def test_whole_scans_are_the_same_for_the_same_seed(small_heads: None) -> None:
    one, two = (list(synthesize(2, seed=11, spacing_mm=(0.9, 0.9))) for _ in range(2))
    for first, second in zip(one, two):
        for name in ("scan", "label", "radius", "artery"):
            np.testing.assert_array_equal(getattr(first, name).array, getattr(second, name).array)
        assert first.description == second.description
    assert one[0].scan.array.shape != one[1].scan.array.shape or (one[0].scan.array != one[1].scan.array).any()
    other = next(synthesize(1, seed=12, spacing_mm=(0.9, 0.9)))
    assert other.scan.array.shape != one[0].scan.array.shape or (other.scan.array != one[0].scan.array).any()
    # A scan does not depend on how many there are.
    alone = next(synthesize(1, seed=11, spacing_mm=(0.9, 0.9)))
    np.testing.assert_array_equal(alone.scan.array, one[0].scan.array)


def test_maps_agree_with_the_label_and_the_spacing_with_the_wish(small_heads: None) -> None:
    drawn = next(synthesize(1, seed=5, spacing_mm=(0.3, 0.9)))
    geometry = drawn.scan.geometry
    assert all(0.3 <= step <= 0.9 for step in geometry.spacing)
    assert drawn.scan.array.size < 1.1 * 4e5
    vessel = drawn.label.array == 1
    for part in (drawn.radius, drawn.artery):
        assert part.geometry.same_grid(geometry)
        assert not part.array[~vessel].any()
    known = drawn.artery.array > 0
    assert (known & vessel).sum() > 0.97 * vessel.sum()
    assert (drawn.radius.array[known] > 0.1).all()


def test_supersampling_makes_thin_vessels_less_full(small_heads: None) -> None:
    thin = [Branch(np.array([[-11.0, -3, 1], [11, 4, 2]]), np.array([0.4, 0.4]))]
    scans = [scan_of(flat(), thin, np.random.default_rng(0), supersampling=n)[2].occupancy.sum() for n in (1, 3)]
    assert 0.75 * scans[0] < scans[1] < 0.95 * scans[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "0 scans"),
        ({"simulated_share": 1.5}, "share"),
        ({"spacing_mm": (0.9, 0.3)}, "0.9 to 0.3 mm"),
        ({"spacing_mm": (0.1, 0.3)}, "0.1 to 0.3 mm"),
        ({"supersampling": 0}, "0 points"),
    ],
)
def test_impossible_wishes_are_refused(options: dict, words: str) -> None:
    with pytest.raises(VesselSegError, match=words):
        synthesize(**{"count": 1, **options})
