from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vesselseg.morphology.label_voxels import shell, surface, voxels


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
