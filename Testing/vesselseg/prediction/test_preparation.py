from __future__ import annotations

import numpy as np
import pytest

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.models import Manifest
from vesselseg.prediction.preparation import check_size, on_scan, prepare_scan
from vesselseg.resampling import network_spacing
from vesselseg.volume import Volume

OBLIQUE = tuple(np.array([[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, -1.0]]).ravel())  # and upside down


@pytest.fixture
def scan() -> Volume:
    rng = np.random.default_rng(1)
    geometry = Geometry((40, 44, 36), (0.5, 0.5, 0.6), (3.0, -7.0, 11.0), OBLIQUE)
    array = rng.uniform(80, 120, geometry.shape).astype(np.float32)
    array[:, :4] = 0.0  # air
    return Volume(array, geometry)


def model(spacing: tuple[float, float, float]) -> Manifest:
    normalisation = {"method": "foreground_median", "clip": 4.0}
    return Manifest("mine", "title", "unet2d", {}, normalisation, spacing, 0.5, "", "MIT")


def test_what_comes_back_lies_on_the_voxels_it_came_from(scan: Volume) -> None:
    mask = np.zeros(scan.array.shape, bool)
    mask[18:22, 20:25, 10:30] = True
    region = slice(0, 20), slice(0, 44), slice(15, 40)
    notes: list[str] = []
    prepared = prepare_scan(scan, mask, region, model((0.5, 0.5, 0.6)), notes)
    assert not notes
    assert prepared.seen.array.size < scan.array.size  # the brain's box only
    back = on_scan(prepared.seen.array.copy(), prepared, scan.geometry, mask, region)
    asked = np.zeros_like(mask)
    asked[region] = True
    median = np.median(scan.array[scan.array > 0])
    np.testing.assert_allclose(back.array, np.where(mask & asked, scan.array / median, 0), rtol=1e-6)


@pytest.mark.parametrize("spacing", [0.06, 0.3])
@pytest.mark.parametrize("side", [1, 20])
def test_a_mask_hardly_grows_on_a_coarser_grid(spacing: float, side: int) -> None:
    """The filter that smooths it for that grid reaches far, with values next to nothing."""
    geometry = Geometry((150, 160, 140), (spacing,) * 3)
    scan = Volume(np.random.default_rng(0).uniform(80, 120, geometry.shape).astype(np.float32), geometry)
    mask = np.zeros(geometry.shape, bool)
    mask[0, 0, 0] = True  # so that the box is wide
    start = np.array([70, 65, 75])
    mask[tuple(slice(first, first + side) for first in start)] = True
    wanted = prepare_scan(scan, mask, None, model((0.6, 0.6, 0.6)), []).wanted
    assert wanted is not None
    # The first and last voxel of the mask on the other grid, which begins at the same edge.
    low, high = ((start + shift + 0.5) * spacing / 0.6 - 0.5 for shift in (0, side - 1))
    # What the mask's voxels are interpolated from is all there, and little more.
    assert wanted[tuple(slice(a, b + 1) for a, b in zip(np.floor(low).astype(int), np.ceil(high).astype(int)))].all()
    wanted[:3, :3, :3] = False
    found = np.argwhere(wanted)
    assert np.all(found.min(axis=0) > low - 4)
    assert np.all(found.max(axis=0) < high + 4)


def test_a_scan_of_another_spacing_is_resampled_and_comes_back(scan: Volume) -> None:
    notes: list[str] = []
    prepared = prepare_scan(scan, None, None, model((1.0, 1.0, 1.0)), notes)
    assert len(notes) == 1
    assert "resampled to 1" in notes[0]
    assert prepared.seen.geometry.spacing == pytest.approx((1.0, 1.0, 1.0), rel=0.1)
    back = on_scan(np.full_like(prepared.seen.array, 0.25), prepared, scan.geometry, None, None)
    assert back.geometry == scan.geometry
    np.testing.assert_allclose(back.array, 0.25, atol=1e-6)


def test_a_scan_that_is_impossibly_large_for_the_network_is_refused() -> None:
    geometry = Geometry((192, 192, 192), (5.0, 5.0, 5.0))
    scan = Volume(np.random.default_rng(1).uniform(80, 120, geometry.shape).astype(np.float32), geometry)
    with pytest.raises(VesselSegError, match=r"5 x 5 x 5 mm .* too large: .* 0.6 mm .* 4,096,000,000") as raised:
        prepare_scan(scan, None, None, model((0.6, 0.6, 0.6)), [])
    assert "spacing in its header" in raised.value.advice


@pytest.mark.parametrize(
    ("size", "spacing"),
    [((1024, 1024, 500), (0.2, 0.2, 0.4)), ((1024, 1024, 500), (0.5, 0.5, 0.5)), ((512, 512, 300), (1.0, 1.0, 1.0))],
)
def test_the_largest_scans_there_are_are_not_too_large(
    size: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    scan = Geometry(size, spacing)
    check_size(scan, scan.resampled(network_spacing(spacing, (0.6, 0.6, 0.6), 0.25)))
