from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from vesselseg.errors import VesselSegError
from vesselseg.preprocessing import foreground_threshold, normalise


def head_in_air(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    air, head = rng.rayleigh(12.0, 60_000), rng.normal(60.0 + 20 * seed, 25.0, 40_000)
    array = rng.permutation(np.concatenate([air, head])).astype(np.float32).reshape(50, 40, 50)
    array[3, 7, ::2] = 4000.0  # vessels
    return array


@pytest.mark.parametrize("seed", range(5))
def test_head_and_air_are_told_apart_as_scikit_image_does(seed: int) -> None:
    array = head_in_air(seed)
    sample = array[::2, ::2, ::2]
    assert foreground_threshold(array) == threshold_otsu(np.minimum(sample, np.percentile(sample, 99.5)))
    small = array[:9, :9, :9]  # is taken whole
    assert foreground_threshold(small) == threshold_otsu(np.minimum(small, np.percentile(small, 99.5)))


def test_tissue_lies_near_one_whatever_the_unit() -> None:
    scan = head_in_air(1)
    found = normalise(scan, {"method": "foreground_median", "clip": 4.0})
    assert found.dtype == np.float32
    assert np.median(found[scan > foreground_threshold(scan)]) == pytest.approx(1.0)
    assert found.min() >= 0.0
    assert found.max() <= 4.0
    np.testing.assert_allclose(normalise(scan * 7, {"method": "foreground_median", "clip": 4.0}), found, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_scale_is_the_median_of_the_head(seed: int) -> None:
    scan = np.round(head_in_air(seed)[..., :-1] if seed % 2 else head_in_air(seed))
    head = scan[scan > foreground_threshold(scan)]
    for array, values in ((scan, head), (np.where(scan == head.max(), 0, scan), head[head < head.max()])):
        found = normalise(array, {"method": "foreground_median", "clip": 1e6})
        np.testing.assert_array_equal(found, np.clip(array, 0, None) / np.float32(np.median(values)))


def test_a_box_is_what_it_is_in_the_whole_scan() -> None:
    scan = head_in_air(1)
    box = np.s_[3:20, 10:30, 5:25]
    for normalisation in ({"method": "foreground_median"}, {"method": "zscore", "mean": 90.0, "std": 30.0}):
        whole, part = normalise(scan, normalisation), normalise(scan, normalisation, box)
        np.testing.assert_array_equal(part, whole[box])
        part[:] = -1  # memory of its own
        np.testing.assert_array_equal(normalise(scan, normalisation), whole)


def test_scans_that_cannot_be_normalised_are_refused() -> None:
    flat = (1e6 + np.random.default_rng(0).random((20, 20, 20)) * 4).astype(np.float32)
    with pytest.raises(VesselSegError, match="next to no contrast"):
        normalise(flat, {"method": "foreground_median"})
    with pytest.raises(VesselSegError, match="no positive signal"):
        normalise(np.full((8, 8, 8), -3.0, np.float32), {"method": "foreground_median"})
    with pytest.raises(VesselSegError, match="lacks 'std'"):
        normalise(np.ones((8, 8, 8), np.float32), {"method": "zscore", "mean": 1.0})
    with pytest.raises(VesselSegError, match="unknown normalisation"):
        normalise(np.ones((8, 8, 8), np.float32), {"method": "histogram"})
