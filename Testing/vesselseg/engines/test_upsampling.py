from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from vesselseg.engines.upsampling import phases, upsampling_weight


@pytest.mark.parametrize("sides", [(5, 6), (3, 4, 5)])
def test_one_transposed_convolution_is_upsampling_and_convolution(sides: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(2, 4, *sides))).double()
    weight = rng.normal(size=(3, 4, *[3] * len(sides))).astype(np.float32)
    convolve, transposed = (
        (functional.conv2d, functional.conv_transpose2d)
        if len(sides) == 2
        else (functional.conv3d, functional.conv_transpose3d)
    )
    upsampled = functional.interpolate(features, scale_factor=2, mode="nearest")
    expected = convolve(upsampled, torch.from_numpy(weight).double(), padding=1)
    kernel = upsampling_weight(weight)
    found = transposed(features, torch.from_numpy(kernel).double(), stride=2, padding=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_phases_are_all_of_a_weight_once() -> None:
    weight = np.zeros((2, 3, 4, 4), np.float32)
    for phase in phases(weight):
        assert phase.shape == (2, 3, 2, 2)
        phase += 1
    np.testing.assert_array_equal(weight, 1)
