from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.geometry import Geometry
from vesselseg.resampling import AxialView, network_spacing, resample
from vesselseg.volume import Volume

ORIENTATIONS = [
    np.diag(signs)[:, list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


@pytest.mark.parametrize("index", range(48))
def test_axial_view_agrees_with_simpleitk_and_comes_back(index: int) -> None:
    geometry = Geometry((5, 6, 7), (0.5, 0.7, 0.9), (1.0, -2.0, 3.0), tuple(ORIENTATIONS[index].ravel()))
    volume = Volume(np.random.default_rng(index).random(geometry.shape, dtype=np.float32), geometry)
    view = AxialView.of(geometry)
    axial = view.apply(volume)
    independent = sitk.DICOMOrient(volume.to_sitk(), "LPS")
    np.testing.assert_array_equal(axial.array, sitk.GetArrayFromImage(independent))
    assert axial.geometry.same_grid(Geometry.from_sitk(independent))
    # Writing through the view reaches the array itself.
    back = np.zeros_like(volume.array)
    view.turn(back)[:] = axial.array
    np.testing.assert_array_equal(back, volume.array)


def test_axial_view_of_oblique_grids_comes_back(awkward_geometry: Geometry, make_scan: Callable[..., Volume]) -> None:
    scan = make_scan(awkward_geometry)
    view = AxialView.of(awkward_geometry)
    axial = view.apply(scan)
    assert np.all(np.diag(axial.geometry.axes) > 0.9)
    back = np.zeros_like(scan.array)
    view.turn(back)[:] = axial.array
    np.testing.assert_array_equal(back, scan.array)


def test_scans_near_the_trained_spacing_are_left_alone() -> None:
    assert network_spacing((0.5, 0.55, 0.74), (0.6, 0.6, 0.6), 0.25) == (0.5, 0.55, 0.74)
    assert network_spacing((0.3, 0.55, 1.2), (0.6, 0.6, 0.6), 0.25) == (0.6, 0.55, 0.6)


@pytest.mark.parametrize("spacing", [(0.4, 0.4, 0.4), (0.9, 1.1, 0.6)])
def test_resampling_keeps_things_where_they_are(
    spacing: tuple[float, float, float], awkward_geometry: Geometry
) -> None:
    # A smooth bump: its centre of mass in the patient is the same before and after.
    centre = awkward_geometry.ijk_to_lps() @ [20, 17, 13, 1]

    def positions(geometry: Geometry) -> np.ndarray:
        k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
        return np.stack([i, j, k, np.ones_like(i)], -1) @ geometry.ijk_to_lps().T[:, :3]

    def bump(geometry: Geometry) -> np.ndarray:
        return np.exp(-((positions(geometry) - centre[:3]) ** 2).sum(-1) / 8).astype(np.float32)

    new = awkward_geometry.resampled(spacing)
    again = resample(Volume(bump(awkward_geometry), awkward_geometry), new)
    assert again.geometry == new
    weights = again.array / again.array.sum()
    found = (positions(new) * weights[..., None]).sum((0, 1, 2))
    expected_weights = bump(new) / bump(new).sum()
    expected = (positions(new) * expected_weights[..., None]).sum((0, 1, 2))
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_grid_that_is_too_large_for_the_memory_is_told_as_that() -> None:
    """ITK raises a `RuntimeError`."""
    volume = Volume(np.zeros((4, 4, 4), np.float32), Geometry((4, 4, 4)))
    with pytest.raises(MemoryError):
        resample(volume, Geometry((100_000, 100_000, 100_000), (1e-4, 1e-4, 1e-4)))
