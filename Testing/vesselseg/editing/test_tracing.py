from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from drawn_tubes import GRIDS, ISOTROPIC, at, real_vessels, tube
from editing_shortcuts import apply_edit, trace, undo_edit
from vesselseg.editing import draw_path, trace_path
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

CUBE = np.ones((3, 3, 3), bool)
CORNERS = ((0.15, 0.15, 0.2), (0.4, 0.6, 0.45), (0.75, 0.55, 0.85))
grids = pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS)


def scan_of(vessels: np.ndarray, geometry: Geometry, *, noise: float = 6.0) -> np.ndarray:
    """Vessels of 200 in tissue of 90, blurred by half a voxel's width, with noise and a slope across the field."""
    image = ndimage.gaussian_filter(np.where(vessels, 200.0, 90.0), 0.4)
    image *= np.linspace(0.8, 1.2, geometry.shape[2])
    return (image + np.random.default_rng(1).normal(0, noise, image.shape)).astype(np.float32)


def distances_from_axis(points: np.ndarray, geometry: Geometry, corners: tuple = CORNERS) -> np.ndarray:
    spacing = np.array(geometry.spacing_zyx)
    ends = [np.array(at(geometry, *corner)) * spacing for corner in corners]
    axis = np.concatenate([np.linspace(a, b, 400) for a, b in zip(ends, ends[1:])])
    return cKDTree(axis).query(points * spacing)[0]


@grids
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.8])
def test_a_vessel_the_network_missed_is_traced_with_its_calibre(geometry: Geometry, radius: float) -> None:
    truth = tube(geometry, radius, *CORNERS)
    label = np.zeros(geometry.shape, np.uint8)
    clicks = [at(geometry, *CORNERS[0]), at(geometry, *CORNERS[-1])]
    path = trace_path(label, geometry, clicks, scan=scan_of(truth, geometry))
    assert distances_from_axis(path.points, geometry).max() < 1.0
    voxel = geometry.voxel_volume ** (1 / 3)
    assert np.median(path.radii_mm) == pytest.approx(radius, abs=max(0.3, 0.5 * voxel))
    assert path.radii_mm.std() < 0.35
    edit = draw_path(label, geometry, path)
    apply_edit(label, edit)
    assert ndimage.label(label, CUBE)[1] == 1
    both = (label != 0) & truth
    assert 2 * both.sum() / (label.sum() + truth.sum()) > (0.7 if radius < 1.5 * voxel else 0.8)
    assert edit.measures["length_mm"] == pytest.approx(path.length_mm, rel=0.02)


@grids
def test_a_gap_that_nobody_sees_is_bridged(geometry: Geometry) -> None:
    vessel = tube(geometry, 0.9, (0.5, 0.5, 0.05), (0.5, 0.5, 0.95))
    gap = np.zeros_like(vessel)
    gap[:, :, int(0.4 * geometry.size[0]) : int(0.55 * geometry.size[0])] = True
    label = (vessel & ~gap).astype(np.uint8)
    scan = scan_of(vessel & ~gap, geometry)
    clicks = [at(geometry, 0.5, 0.5, 0.3), at(geometry, 0.5, 0.5, 0.65)]
    before = label.copy()
    edit = trace(label, geometry, clicks, scan=scan, probability=label.astype(np.float32))
    apply_edit(label, edit)
    assert ndimage.label(before, CUBE)[1] == 2
    assert ndimage.label(label, CUBE)[1] == 1
    added = np.argwhere((label != 0) & (before == 0))
    assert distances_from_axis(added, geometry, ((0.5, 0.5, 0.05), (0.5, 0.5, 0.95))).max() < 2.2
    # What is labelled already does not get thicker.
    assert np.all(gap[tuple(added.T)] | ndimage.binary_dilation(gap, CUBE, 5)[tuple(added.T)])
    gap_mm = np.ptp(np.flatnonzero(gap.any(axis=(0, 1)))) * geometry.spacing_zyx[2]
    assert edit.measures["length_mm"] == pytest.approx(gap_mm, abs=3)
    undo_edit(label, edit)
    np.testing.assert_array_equal(label, before)


def test_a_path_follows_the_bend_and_not_the_shortcut() -> None:
    corners = ((0.2, 0.3, 0.2), (0.2, 0.3, 0.5), (0.2, 0.7, 0.5), (0.2, 0.7, 0.2))
    truth = tube(ISOTROPIC, 0.8, *corners)
    label = np.zeros(ISOTROPIC.shape, np.uint8)
    for given in ({"scan": scan_of(truth, ISOTROPIC)}, {"probability": np.where(truth, 0.4, 0.0).astype(np.float32)}):
        path = trace_path(label, ISOTROPIC, [at(ISOTROPIC, *corners[0]), at(ISOTROPIC, *corners[-1])], **given)
        assert distances_from_axis(path.points, ISOTROPIC, corners).max() < 1.2


@pytest.mark.parametrize("border", [0, 11])
def test_a_vessel_at_the_border_of_the_scan_is_traced_whole(border: int) -> None:
    geometry = Geometry((60, 60, 12), (0.5, 0.5, 0.6))
    vessel = np.zeros(geometry.shape)
    rows = np.linspace(5, 54, 300)
    columns = 30 + 6 * np.sin(rows / 8)
    vessel[border, np.rint(rows).astype(int), np.rint(columns).astype(int)] = 1
    noise = np.random.default_rng(0).normal(100, 8, geometry.shape)
    scan = (noise + 1000 * ndimage.gaussian_filter(vessel, 1.0)).astype(np.float32)
    label = np.zeros(geometry.shape, np.uint8)
    apply_edit(label, trace(label, geometry, [(border, 5, 34), (border, 54, 33)], scan=scan))
    assert ndimage.label(label, CUBE)[1] == 1
    assert np.mean(label[vessel != 0]) > 0.95


def test_a_long_path_on_a_fine_grid_is_found_as_well() -> None:
    fine = Geometry((131, 131, 101), (0.3, 0.3, 0.35))
    corners = ((0.1, 0.1, 0.1), (0.1, 0.5, 0.8), (0.9, 0.5, 0.9), (0.9, 0.9, 0.9))
    truth = tube(fine, 0.3, *corners)
    label = np.zeros(fine.shape, np.uint8)
    # A vessel beside it that leads elsewhere, two voxels away.
    beside = tube(fine, 0.3, (0.1, 0.12, 0.1), (0.1, 0.53, 0.8), (0.1, 0.95, 0.9))
    path = trace_path(label, fine, [at(fine, *corners[0]), at(fine, *corners[-1])], scan=scan_of(truth | beside, fine))
    distances = distances_from_axis(path.points, fine, corners)
    assert np.percentile(distances, 80) < 0.5
    assert distances.max() < 1.5
    assert np.all(np.linalg.norm(np.diff(path.points, axis=0) * fine.spacing_zyx, axis=1) < 0.5)


def test_several_points_make_one_path_through_all() -> None:
    label = np.zeros(ISOTROPIC.shape, np.uint8)
    scan = scan_of(label != 0, ISOTROPIC)
    clicks = [at(ISOTROPIC, *corner) for corner in (*CORNERS, CORNERS[-1], (0.9, 0.9, 1.0))]
    path = trace_path(label, ISOTROPIC, clicks, scan=scan)
    near = cKDTree(path.points * 0.5).query(np.array(clicks) * 0.5)[0]
    assert near.max() < 1.6
    apply_edit(label, draw_path(label, ISOTROPIC, path))
    assert ndimage.label(label, CUBE)[1] == 1


def test_a_given_radius_is_drawn() -> None:
    label = np.zeros(ISOTROPIC.shape, np.uint8)
    clicks = [at(ISOTROPIC, 0.5, 0.5, 0.1), at(ISOTROPIC, 0.5, 0.5, 0.9)]
    scan = scan_of(tube(ISOTROPIC, 1.0, (0.5, 0.5, 0.1), (0.5, 0.5, 0.9)), ISOTROPIC)
    edit = trace(label, ISOTROPIC, clicks, scan=scan, radius_mm=2.0)
    per_mm = edit.measures["volume_mm3"] / edit.measures["length_mm"]
    assert per_mm == pytest.approx(np.pi * 2.0**2, rel=0.2)
    thin = trace(label, ISOTROPIC, clicks, scan=scan, radius_mm=0.01)
    apply_edit(label, thin)
    assert ndimage.label(label, CUBE)[1] == 1
    with pytest.raises(VesselSegError, match="radius"):
        trace(label, ISOTROPIC, clicks, scan=scan, radius_mm=0.0)


def test_what_is_labelled_already_needs_no_tube() -> None:
    label = tube(ISOTROPIC, 1.2, (0.5, 0.5, 0.1), (0.5, 0.5, 0.9)).astype(np.uint8)
    edit = trace(
        label,
        ISOTROPIC,
        [at(ISOTROPIC, 0.5, 0.5, 0.2), at(ISOTROPIC, 0.5, 0.5, 0.8)],
        scan=scan_of(label != 0, ISOTROPIC),
    )
    assert edit.is_empty
    assert edit.measures["length_mm"] == 0


@pytest.mark.parametrize("has_probability", [False, True])
def test_what_a_loop_lacks_is_traced_though_the_label_leads_round(has_probability: bool) -> None:
    one, other, corner = (0.5, 0.35, 0.3), (0.5, 0.35, 0.65), (0.5, 0.48, 0.475)
    rest, lacking = tube(ISOTROPIC, 0.9, one, corner, other), tube(ISOTROPIC, 0.9, one, other)
    edit = trace(
        rest.astype(np.uint8),
        ISOTROPIC,
        [at(ISOTROPIC, *one), at(ISOTROPIC, *other)],
        scan=scan_of(rest | lacking, ISOTROPIC, noise=45.0),
        probability=np.where(rest, 0.9, 0.001).astype(np.float32) if has_probability else None,
    )
    found = np.zeros_like(rest)
    found[edit.box] = edit.added
    assert found[lacking & ~rest].mean() > 0.7
    assert found[~lacking].sum() < 0.1 * lacking.sum()


def test_paths_that_cannot_be_are_said() -> None:
    label = np.zeros(ISOTROPIC.shape, np.uint8)
    for points in ([], [(5, 5, 5)], [(5, 5, 5), (5.2, 5, 5)]):
        with pytest.raises(VesselSegError, match="two different points"):
            trace(label, ISOTROPIC, points, scan=label)
    with pytest.raises(VesselSegError, match="outside the scan"):
        trace(label, ISOTROPIC, [(5, 5, 5), (5, 5, -3)], scan=label)
    with pytest.raises(ValueError, match="scan or a probability"):
        trace(label, ISOTROPIC, [(5, 5, 5), (9, 5, 5)])


def test_a_gap_cut_into_a_real_label_is_closed_again(data_folder: Path) -> None:
    label, scan, geometry = real_vessels(data_folder)
    pieces = ndimage.label(label, CUBE)[1]
    spacing = np.array(geometry.spacing_zyx)
    closed = 0
    places = np.argwhere(label)
    for number in np.random.default_rng(3).choice(len(places), 40, replace=False):
        centre = places[number]
        near = np.linalg.norm((places - centre) * spacing, axis=1)
        cut = label.copy()
        cut[tuple(places[near < 3.0].T)] = 0
        parts, count = ndimage.label(cut, CUBE)
        rim = places[(near >= 3.0) & (near < 4.5)]
        ends = parts[tuple(rim.T)]
        if count != pieces + 1 or len(np.unique(ends)) != 2:
            continue  # no vessel was cut across there
        one, other = (rim[ends == value].mean(axis=0) for value in np.unique(ends))
        apply_edit(cut, trace(cut, geometry, [one, other], scan=scan))
        closed += 1
        assert ndimage.label(cut, CUBE)[1] == pieces
        if closed == 5:
            return
    pytest.fail("too few vessels were cut")
