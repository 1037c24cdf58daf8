from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume
from vesselseg.review.error_components import VoxelExtent, components_csv, error_components, update_components
from vesselseg.review.error_kinds import ErrorKind, wording_of_two
from vesselseg.review.error_map import error_map
from vesselseg.volume import Volume

CUBE = np.ones((3, 3, 3), bool)


def random_map(seed: int, geometry: Geometry) -> Volume:
    """Vessel-like wavy agreement with loose and touching errors, up to the border."""
    generator = np.random.default_rng(seed)
    truth, found = (ndimage.gaussian_filter(generator.normal(size=geometry.shape), 1.2) > 0.12 for _ in range(2))
    found = np.where(generator.random(geometry.shape) < 0.5, truth, found)
    return error_map(Volume(found.astype(np.uint8), geometry), Volume(truth.astype(np.uint8), geometry))


def lines(*runs: tuple[ErrorKind, tuple[slice | int, slice | int, slice | int]], spacing: float = 0.5) -> Volume:
    array = np.zeros((30, 30, 30), np.uint8)
    for kind, where in runs:
        array[where] = kind
    return Volume(array, Geometry((30, 30, 30), (spacing, spacing, spacing)))


def test_pieces_agree_with_an_independent_computation(awkward_geometry: Geometry) -> None:
    errors = random_map(4, awkward_geometry)
    probability = errors.with_array(np.random.default_rng(0).random(errors.array.shape).astype(np.float32))
    components = error_components(errors, probability=probability)
    agreed = ndimage.binary_dilation(errors.array == 1, CUBE)
    expected = []
    for kind in (ErrorKind.FALSE_POSITIVE, ErrorKind.FALSE_NEGATIVE):
        mask = errors.array == kind
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=awkward_geometry.spacing_zyx)[1:-1, 1:-1, 1:-1]
        pieces, count = ndimage.label(mask, CUBE)
        for number in range(1, count + 1):
            piece = pieces == number
            low, high = (f(np.argwhere(piece), axis=0)[::-1] for f in (np.min, np.max))
            expected.append(
                (kind, piece.sum(), depth[piece].max(), agreed[piece].mean(), probability.array[piece].mean(),
                 *low, *high)
            )  # fmt: skip
    found = [
        (c.kind, c.voxels, c.radius_mm, c.boundary_share, c.mean_probability, *c.box[0], *c.box[1]) for c in components
    ]
    assert len(found) > 20
    np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-5)
    for component in components:
        assert component.volume_mm3 == pytest.approx(component.voxels * awkward_geometry.voxel_volume)
        i, j, k = np.rint(np.linalg.inv(errors.geometry.ijk_to_ras()) @ [*component.centre_ras, 1])[:3].astype(int)
        assert errors.array[k, j, i] == component.kind


@pytest.mark.parametrize(
    ("voxels", "length"),
    [
        ([(5, 5, x) for x in range(5, 15)], 9 * 0.5),
        ([(x, x, x) for x in range(5, 15)], 9 * 0.5 * 3**0.5),
        ([(5, 5, x) for x in range(5, 10)] + [(5, y, 9) for y in range(6, 10)], None),
        ([(3, 4, 5)], 0.0),
    ],
    ids=["straight", "diagonal", "corner", "one-voxel"],
)
def test_length_runs_along_the_skeleton(voxels: list[tuple[int, int, int]], length: float | None) -> None:
    errors = lines(*((ErrorKind.FALSE_NEGATIVE, voxel) for voxel in voxels))
    (component,) = error_components(errors)
    assert component.affected_mm == component.length_mm
    if length is None:  # the corner may be cut, but never counted twice
        assert 6 * 0.5 + 0.5 * 2**0.5 <= component.length_mm + 1e-9 <= 8 * 0.5 + 1e-6
    else:
        assert component.length_mm == pytest.approx(length)


def test_length_of_a_thick_vessel_is_that_of_its_centreline() -> None:
    errors = lines((ErrorKind.FALSE_POSITIVE, (slice(10, 13), slice(10, 13), slice(2, 28))))
    (component,) = error_components(errors)
    assert component.length_mm == pytest.approx(12.5, abs=1.5)
    assert component.radius_mm == pytest.approx(1.0)


def test_a_rim_is_boundary_and_comes_after_a_missed_vessel() -> None:
    vessel = (slice(10, 14), slice(10, 14), slice(2, 28))
    rim = (slice(14, 15), slice(10, 14), slice(2, 28))
    missed = (20, 20, slice(10, 14))
    errors = lines(
        (ErrorKind.TRUE_POSITIVE, vessel), (ErrorKind.FALSE_POSITIVE, rim), (ErrorKind.FALSE_NEGATIVE, missed)
    )
    first, second = error_components(errors)
    assert (first.kind, first.is_boundary, first.boundary_share) == (ErrorKind.FALSE_NEGATIVE, False, 0)
    assert (second.kind, second.is_boundary, second.affected_mm) == (ErrorKind.FALSE_POSITIVE, True, 0)
    assert second.voxels > first.voxels
    assert second.length_mm > first.length_mm


def test_a_rim_with_a_missed_branch_or_a_bulge_is_no_boundary() -> None:
    vessel = (slice(10, 14), slice(10, 14), slice(2, 28))
    rim = (slice(14, 15), slice(10, 14), slice(2, 28))
    branch = (slice(15, 25), 12, 15)
    errors = lines(*((kind, where) for kind, where in ((1, vessel), (3, rim), (3, branch))))
    (component,) = error_components(errors)
    assert not component.is_boundary
    assert component.affected_mm == pytest.approx(10 * 0.5, abs=1.0)
    assert component.boundary_share > 0.8
    bulge = (slice(14, 20), slice(9, 15), slice(12, 18))
    (component,) = error_components(lines((ErrorKind(1), vessel), (ErrorKind(3), bulge)))
    assert not component.is_boundary


def some_box(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[VoxelExtent, tuple[slice, ...]]:
    start = np.array([generator.integers(0, n) for n in shape])
    stop = np.minimum(start + generator.integers(1, 6, 3), shape)
    k, j, i = (int(v) for v in start)
    c, b, a = (int(v) - 1 for v in stop)
    return ((i, j, k), (a, b, c)), tuple(slice(int(p), int(q)) for p, q in zip(start, stop))


def tubes_map(geometry: Geometry) -> Volume:
    """Vessels of several calibres, thicker in one label, with gaps of a few slices in both."""
    k, j, i = np.indices(geometry.shape)
    found, truth = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.uint8)
    for number, radius in enumerate((0.5, 1.5, 2.5, 4.5)):
        away = np.hypot(j - 6 - 2 * number, i - 4 - 8 * number + 0.2 * k)
        truth[(away <= radius) & ~((k >= 8) & (k < 8 + number))] = 1
        found[(away <= radius + 0.7) & ~((k >= 15) & (k < 17 + number))] = 1
    return error_map(Volume(found, geometry), Volume(truth, geometry))


@pytest.mark.parametrize("vessels", ["wavy", "tubes"])
@pytest.mark.parametrize("seed", range(6))
def test_following_an_edit_gives_what_a_fresh_look_gives(seed: int, vessels: str) -> None:
    geometry = Geometry((34, 30, 26), (0.5, 0.6, 0.9))
    errors = random_map(seed, geometry) if vessels == "wavy" else tubes_map(geometry)
    generator = np.random.default_rng(seed)
    components = error_components(errors)
    for _ in range(8):
        box, slices = some_box(generator, errors.array.shape)
        array = errors.array.copy()
        array[slices] = generator.integers(0, 4, array[slices].shape) * (generator.random() < 0.7)
        errors = errors.with_array(array)
        components = update_components(components, errors, box)
        assert components == error_components(errors)


def test_marks_are_found_again_after_an_edit_elsewhere() -> None:
    errors = random_map(1, Geometry((34, 30, 26), (0.5, 0.6, 0.9)))
    before = {c.component_id: c for c in error_components(errors)}
    assert len(before) == len(error_components(errors))
    array = errors.array.copy()
    array[:5, :5, :5] = 0
    after = {c.component_id: c for c in error_components(errors.with_array(array))}
    elsewhere = [c for c in before.values() if any(low > 5 for low in c.box[0])]
    assert len(elsewhere) > 10
    for component in elsewhere:
        again = after[component.component_id]
        assert (again.kind, again.voxels, again.box) == (component.kind, component.voxels, component.box)


def test_csv_holds_the_list_in_the_words_asked_for() -> None:
    errors = lines((ErrorKind.FALSE_POSITIVE, (3, 4, slice(5, 9))), (ErrorKind.FALSE_NEGATIVE, (20, 4, 5)))
    probability = errors.with_array(np.full(errors.array.shape, 0.25, np.float32))
    text = components_csv(error_components(errors, probability=probability), wording=wording_of_two("Ann", "Bob"))
    first, second = csv.DictReader(io.StringIO(text))
    assert list(first)[:6] == ["kind", "voxels", "volume_mm3", "r_mm", "a_mm", "s_mm"]
    assert (first["kind"], first["voxels"], first["length_mm"]) == ("only Ann", "4", "1.500")
    assert (first["id"], first["boundary"], first["mean_probability"]) == ("FP-5-4-3", "no", "0.2500")
    assert second["kind"] == "only Bob"
    assert components_csv([]).count("\n") == 1
    (at_the_border,) = csv.DictReader(io.StringIO(components_csv(error_components(lines((ErrorKind(2), (0, 0, 0)))))))
    assert at_the_border["r_mm"] == at_the_border["a_mm"] == at_the_border["s_mm"] == "0.00"


def test_real_scan_is_listed_within_a_moment(data_folder: Path) -> None:
    reference = read_label(data_folder / "tof" / "MNI_0656_label.nii.gz")
    scan = read_volume(data_folder / "tof" / "MNI_0656_tof.nii.gz")
    errors = error_map(scan.with_array((scan.array > 235).astype(np.uint8)), reference)
    started = time.perf_counter()
    components = error_components(errors)
    seconds = time.perf_counter() - started
    expected = sum(ndimage.label(errors.array == kind, CUBE)[1] for kind in (2, 3))
    assert len(components) == expected > 1000
    assert sum(c.voxels for c in components) == np.count_nonzero(errors.array >= 2)
    assert seconds < 5
    assert not components[0].is_boundary
    assert components[-1].is_boundary
