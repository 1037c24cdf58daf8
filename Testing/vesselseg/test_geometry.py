from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.geometry import Geometry
from vesselseg.volume import Volume


def points_by_sitk(geometry: Geometry, indices: list[tuple[int, int, int]]) -> np.ndarray:
    image = sitk.Image(*geometry.size, sitk.sitkUInt8)
    geometry.apply_to_sitk(image)
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices])


def test_matrices_agree_with_simpleitk(awkward_geometry: Geometry) -> None:
    indices = [(0, 0, 0), (5, 0, 0), (0, 7, 0), (0, 0, 9), (39, 35, 27)]
    lps = points_by_sitk(awkward_geometry, indices)
    ours = np.array([awkward_geometry.ijk_to_lps() @ [*index, 1] for index in indices])[:, :3]
    np.testing.assert_allclose(ours, lps, atol=1e-9)
    ras = np.array([awkward_geometry.ijk_to_ras() @ [*index, 1] for index in indices])[:, :3]
    np.testing.assert_allclose(ras, lps * [-1, -1, 1], atol=1e-9)


def test_round_trip_through_slicers_matrix(awkward_geometry: Geometry) -> None:
    again = Geometry.from_ijk_to_ras(awkward_geometry.ijk_to_ras(), awkward_geometry.size)
    assert again.same_grid(awkward_geometry, tolerance=1e-9)
    np.testing.assert_allclose(again.spacing, awkward_geometry.spacing)


def test_cropped_keeps_voxels_in_place(awkward_geometry: Geometry) -> None:
    box = (slice(3, 20), slice(5, 30), slice(7, 33))
    cropped = awkward_geometry.cropped(box)
    assert cropped.shape == (17, 25, 26)
    np.testing.assert_allclose(
        points_by_sitk(cropped, [(0, 0, 0), (2, 3, 4)]),
        points_by_sitk(awkward_geometry, [(7, 5, 3), (9, 8, 7)]),
        atol=1e-9,
    )


def test_corners_are_those_of_the_voxels_or_of_their_edges() -> None:
    grid = Geometry((3, 4, 5))
    wanted = {(i, j, k, 1) for i in (0, 2) for j in (0, 3) for k in (0, 4)}
    assert {tuple(corner) for corner in grid.corners().T} == wanted
    assert grid.corners().shape == (4, 8)
    edges = {(i, j, k, 1) for i in (-0.5, 2.5) for j in (-0.5, 3.5) for k in (-0.5, 4.5)}
    assert {tuple(corner) for corner in grid.corners(0.5).T} == edges


def test_resampled_covers_the_same_extent(awkward_geometry: Geometry) -> None:
    new = awkward_geometry.resampled((0.5, 0.45, 0.9))
    # The outer corner of the first voxel stays; the far edge is reached, by less than one voxel too far.
    corner = [-0.5, -0.5, -0.5, 1]
    np.testing.assert_allclose(new.ijk_to_lps() @ corner, awkward_geometry.ijk_to_lps() @ corner, atol=1e-9)
    excess = np.multiply(new.size, new.spacing) - np.multiply(awkward_geometry.size, awkward_geometry.spacing)
    assert np.all(excess > -1e-5)
    assert np.all(excess < new.spacing)


@pytest.mark.parametrize("change", ["origin", "spacing", "size", "direction"])
def test_same_grid_sees_any_difference(change: str) -> None:
    base = Geometry((20, 20, 20), (0.5, 0.5, 0.5))
    other = {
        "origin": Geometry((20, 20, 20), (0.5, 0.5, 0.5), (0.1, 0, 0)),
        "spacing": Geometry((20, 20, 20), (0.5, 0.5, 0.51)),
        "size": Geometry((20, 20, 21), (0.5, 0.5, 0.5)),
        "direction": Geometry((20, 20, 20), (0.5, 0.5, 0.5), direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1)),
    }[change]
    assert base.same_grid(base)
    assert not base.same_grid(other)


def test_volume_refuses_voxels_that_do_not_fit_the_grid() -> None:
    with pytest.raises(ValueError, match="geometry says"):
        Volume(np.zeros((4, 5, 6), np.float32), Geometry((4, 5, 6)))
