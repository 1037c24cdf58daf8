from __future__ import annotations

import numpy as np
import pytest
import torch

from vesselseg.engines.openvino_engine import OpenVinoEngine, computes_natively
from vesselseg.engines.openvino_graph import openvino_model
from vesselseg.models import bfloat16
from vesselseg.models.bfloat16 import PARTS, rounded, rounded_weight, split_scan, split_weight
from vesselseg.networks import build_network


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def by_torch(values: np.ndarray) -> np.ndarray:
    return torch.from_numpy(values).to(torch.bfloat16).to(torch.float32).numpy()


def test_rounding_is_that_of_torch(rng: np.random.Generator) -> None:
    values = rng.normal(size=10_000).astype(np.float32) * np.float32(10.0) ** rng.integers(-20, 20, 10_000)
    # Halfway between two neighbours: the even one is taken. And where the mantissa overflows.
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 255 / 128 + 2**-8, 0.0, -0.0], np.float32)
    values = np.concatenate([values.astype(np.float32), ties])
    np.testing.assert_array_equal(rounded(values), by_torch(values))


@pytest.mark.parametrize("sides", [(12, 14), (6, 8, 7)])
def test_split_convolution_in_bfloat16_is_that_in_single_precision(
    rng: np.random.Generator, sides: tuple[int, ...]
) -> None:
    scan = rng.random((1, 2, *sides), dtype=np.float32) * 4
    weight = rng.normal(size=(5, 2, *[3] * len(sides))).astype(np.float32)
    convolve = torch.nn.functional.conv2d if len(sides) == 2 else torch.nn.functional.conv3d

    def convolved(scan: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return convolve(torch.from_numpy(scan).double(), torch.from_numpy(weight).double()).numpy()

    exact = convolved(scan, weight)
    # Factors in bfloat16 and exact sums, as the CPU's instructions compute them but for the single precision of sums.
    parts, kernels = split_scan(scan), split_weight(weight)
    assert parts.shape[1] == kernels.shape[1] == PARTS * 2
    found = convolved(by_torch(parts), by_torch(kernels))
    plain = convolved(by_torch(scan), by_torch(weight))
    assert np.abs(found - exact).max() < np.abs(plain - exact).max() / 50


def test_rounded_kernels_keep_their_sums(rng: np.random.Generator) -> None:
    weight = rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
    found = rounded_weight(weight)
    np.testing.assert_array_equal(found, by_torch(found))
    # Each is one of the two neighbours in bfloat16, or takes over what a larger one has left.
    largest = np.abs(weight).max(axis=(2, 3), keepdims=True)
    assert np.all(np.abs(found - weight) <= np.abs(weight) * 2**-8 + largest * 2**-8)

    def drift(values: np.ndarray) -> np.ndarray:
        return np.abs((values.astype(np.float64) - weight).sum(axis=(2, 3)))

    assert drift(found).mean() < drift(by_torch(weight)).mean() / 10


def test_kernels_that_bfloat16_holds_stay_as_they_are(rng: np.random.Generator) -> None:
    weight = rounded(rng.normal(size=(8, 4, 3, 3)).astype(np.float32))
    np.testing.assert_array_equal(rounded_weight(weight), weight)


@pytest.mark.skipif(not computes_natively("bf16"), reason="this CPU does not compute in bfloat16")
def test_features_in_two_parts_lose_less(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        network = build_network("unet2d", channels=[16, 32])
        # Weights and shifts as trained ones are, rather than as training starts from them.
        torch.manual_seed(0)
        kernels = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
        for kernel in kernels:
            kernel.reset_parameters()
        for kernel in kernels[:-1]:
            torch.nn.init.kaiming_normal_(kernel.weight, nonlinearity="relu")
    weights = {name: rounded(value.numpy()) for name, value in network.state_dict().items()}
    # What enters the second level is large beside what becomes of it: as tissue is beside arteries.
    weights["encoder.1.0.weight"] -= weights["encoder.1.0.weight"].mean(axis=(1, 2, 3), keepdims=True)
    weights["encoder.0.4.bias"] += 1.0
    slices = [rng.random((1, 1, 64, 64), dtype=np.float32) for _ in range(4)]

    def logits(precision: str) -> np.ndarray:
        model, traits = openvino_model("unet2d", {"channels": [16, 32]}, weights, for_bfloat16=precision == "bf16")
        return np.concatenate(list(OpenVinoEngine(model, traits, precision).run(slices)))

    exact = logits("f32")
    with_parts = logits("bf16") - exact
    monkeypatch.setattr(bfloat16, "SPLIT_FEATURES", -1)
    without = logits("bf16") - exact
    assert with_parts.std() < 0.8 * without.std()
