from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.postprocessing import threshold_probability
from vesselseg.volume import Volume


def by_simpleitk(probability: Volume, threshold: float, min_voxels: int) -> np.ndarray:
    image = sitk.BinaryThreshold(probability.to_sitk(), threshold, 2.0)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(image, True), minimumObjectSize=min_voxels)
    return sitk.GetArrayFromImage(pieces) > 0


@pytest.mark.parametrize("min_component", [0.0, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("threshold", [0.8, 0.9])
def test_agrees_with_simpleitk(threshold: float, min_component: float) -> None:
    geometry = Geometry((31, 29, 23), (0.5, 0.5, 0.8))
    probability = Volume(np.random.default_rng(1).random(geometry.shape, dtype=np.float32), geometry)
    label = threshold_probability(probability, threshold, min_component)
    assert label.array.dtype == np.uint8
    expected = by_simpleitk(probability, float(np.float32(threshold)), int(np.ceil(min_component / 0.2)))
    np.testing.assert_array_equal(label.array, expected)
    assert label.geometry == geometry


def test_a_piece_of_exactly_the_smallest_volume_stays() -> None:
    geometry = Geometry((9, 9, 9), (0.1, 0.1, 0.1))
    array = np.zeros(geometry.shape, np.float32)
    array[2, 2, 2:5] = 1.0  # 3 voxels: 0.003 mm3, which binary numbers do not hold exactly
    assert threshold_probability(Volume(array, geometry), 0.5, 0.003).array.sum() == 3
    assert threshold_probability(Volume(array, geometry), 0.5, 0.0031).array.sum() == 0


def test_a_piece_of_exactly_the_smallest_volume_stays_though_nifti_rounds_spacings() -> None:
    spacing = float(np.float32(0.7))  # 0.69999998808
    array = np.zeros((12, 12, 12), np.float32)
    array[1, 1:11, 1:11] = 1.0
    volume = Volume(array, Geometry((12, 12, 12), (spacing,) * 3))
    assert threshold_probability(volume, 0.5, 100 * 0.7**3).array.sum() == 100
    assert threshold_probability(volume, 0.5, 100.5 * 0.7**3).array.sum() == 0


def test_diagonal_neighbours_hang_together() -> None:
    array = np.zeros((5, 5, 5), np.float32)
    array[1, 1, 1] = array[2, 2, 2] = array[3, 3, 3] = 1.0
    assert threshold_probability(Volume(array, Geometry((5, 5, 5))), 0.5, 3.0).array.sum() == 3


def test_nothing_above_the_threshold() -> None:
    volume = Volume(np.zeros((4, 4, 4), np.float32), Geometry((4, 4, 4)))
    assert not threshold_probability(volume, 0.5, 1.0).array.any()


@pytest.mark.parametrize(
    ("threshold", "component"), [(0, 1), (1.1, 1), (float("nan"), 1), (0.5, -1), (0.5, float("inf"))]
)
def test_impossible_settings_are_refused(threshold: float, component: float) -> None:
    volume = Volume(np.ones((4, 4, 4), np.float32), Geometry((4, 4, 4)))
    with pytest.raises(VesselSegError):
        threshold_probability(volume, threshold, component)
