from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vesselseg.morphology.label_voxels import bounding_box, distinct_voxels, nearest_voxels, shell, surface, voxels


@pytest.fixture(params=["empty", "full", "scattered", "blobs", "flat"])
def label(request):
    rng = np.random.default_rng(5)
    if request.param == "blobs":
        return ndimage.gaussian_filter(rng.normal(size=(14, 17, 20)), 2) > 0.02
    if request.param == "flat":
        return rng.random((1, 9, 8)) < 0.5
    return rng.random((9, 11, 13)) < {"empty": 0, "full": 1, "scattered": 0.4}[request.param]


def test_voxels_are_those_of_numpy(label):
    np.testing.assert_array_equal(voxels(label), np.argwhere(label))


def test_bounding_box_is_that_of_scipy(label):
    found = ndimage.find_objects(label.astype(int))
    assert bounding_box(label) == (found[0] if found else None)


def test_bounding_box_with_margin_stays_inside():
    mask = np.zeros((10, 10, 10), bool)
    mask[1, 4:6, 9] = True
    assert bounding_box(mask) == (slice(1, 2), slice(4, 6), slice(9, 10))
    assert bounding_box(mask, 2) == (slice(0, 4), slice(2, 8), slice(7, 10))


def test_surface_is_what_an_erosion_removes(label):
    np.testing.assert_array_equal(surface(label), np.argwhere(label & ~ndimage.binary_erosion(label)))


def test_shell_is_what_a_dilation_adds_beyond_the_border_too(label):
    padded = np.pad(label, 1)
    np.testing.assert_array_equal(shell(label), np.argwhere(ndimage.binary_dilation(padded) & ~padded) - 1)


def test_parts_of_larger_arrays_are_listed_by_their_own_indices(label):
    larger = np.zeros((20, 30, 40), bool)
    part = tuple(slice(2, 2 + n) for n in label.shape)
    larger[part] = label
    np.testing.assert_array_equal(voxels(larger[part]), np.argwhere(label))
    np.testing.assert_array_equal(surface(larger[part]), surface(label))


def test_nearest_voxels_are_those_of_a_distance_transform():
    listed, others = np.argwhere(np.ones((6, 7, 8), bool)), np.random.default_rng(2).integers(0, 6, (5, 3))
    away = np.ones((6, 7, 8), bool)
    away[tuple(others.T)] = False
    spacing = (0.8, 0.5, 0.3)
    distances, positions = nearest_voxels(listed, others, spacing)
    np.testing.assert_allclose(distances, ndimage.distance_transform_edt(away, spacing).ravel())
    np.testing.assert_allclose(np.linalg.norm((others[positions] - listed) * spacing, axis=1), distances)


def test_distinct_voxels_are_those_of_numpy():
    listed = np.random.default_rng(4).integers(-3, 3, (60, 3))
    distinct, positions = distinct_voxels(listed)
    np.testing.assert_array_equal(distinct, np.unique(listed, axis=0))
    np.testing.assert_array_equal(distinct[positions], listed)
