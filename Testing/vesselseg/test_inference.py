from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vesselseg.inference import DeviceOutOfMemoryError, predict_probability
from vesselseg.networks import build_network


class SmallDevice(nn.Module):
    """A network on a device that holds only so many input pixels at once; it fails as torch does."""

    def __init__(self, network: nn.Module, pixels: int) -> None:
        super().__init__()
        self.network, self.pixels = network, pixels
        self.in_slices, self.divisor, self.reach = network.in_slices, network.divisor, network.reach
        self.largest = 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        pixels = batch.shape[0] * batch.shape[2] * batch.shape[3]
        if pixels > self.pixels:
            raise torch.OutOfMemoryError("out of memory")
        self.largest = max(self.largest, pixels)
        return self.network(batch)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build_network("unet2d", channels=(4, 8, 16), in_slices=3).eval()
    with torch.no_grad():
        network.head.weight.mul_(200)  # so that differences between voxels are large
    return network


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return np.random.default_rng(0).random((5, 150, 133), dtype=np.float32)


def test_every_voxel_is_what_the_network_says_of_its_slice(network: nn.Module, array: np.ndarray) -> None:
    probability = predict_probability(network, array)
    assert probability.shape == array.shape
    assert probability.dtype == np.float32
    assert probability.std() > 0.05
    # By hand, slice 2 with its neighbours; sides that 4 divides, so that nothing is padded.
    stack = torch.from_numpy(array[1:4, :148, :132])[None]
    with torch.no_grad():
        expected = torch.sigmoid(network(stack))[0, 0].numpy()
    inner = np.s_[: 148 - network.reach, : 132 - network.reach]
    np.testing.assert_allclose(probability[2][inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize("pixels", [160 * 140, 150 * 120, 128 * 128])
def test_short_memory_gives_the_same_result(
    network: nn.Module, array: np.ndarray, pixels: int, caplog: pytest.LogCaptureFixture
) -> None:
    small = SmallDevice(network, pixels)
    probability = predict_probability(small, array)
    np.testing.assert_allclose(probability, predict_probability(network, array), atol=1e-6)
    assert 0 < small.largest <= pixels
    assert "ran out of memory" in caplog.text


def test_memory_too_short_for_anything_is_an_error(network: nn.Module, array: np.ndarray) -> None:
    with pytest.raises(DeviceOutOfMemoryError):
        predict_probability(SmallDevice(network, 10), array)


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory", "CUDNN_STATUS_ALLOC_FAILED"]
)
def test_short_memory_is_known_by_its_words(network: nn.Module, array: np.ndarray, words: str) -> None:
    class Full(SmallDevice):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(words)

    with pytest.raises(DeviceOutOfMemoryError):
        predict_probability(Full(network, 10**9), array)


def test_a_network_that_does_not_fit_is_short_memory(network: nn.Module, array: np.ndarray) -> None:
    class Unmovable(SmallDevice):
        def to(self, *args: object, **options: object) -> nn.Module:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceOutOfMemoryError, match="network"):
        predict_probability(Unmovable(network, 10**9), array)


def test_other_failures_are_not_taken_for_short_memory(array: np.ndarray) -> None:
    class Broken(SmallDevice):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("expected 3 channels")

    with pytest.raises(RuntimeError, match="expected 3 channels"):
        predict_probability(Broken(build_network("unet2d", channels=(2, 4)), 10**9), array)


def test_progress_rises_to_one(network: nn.Module, array: np.ndarray) -> None:
    seen: list[float] = []
    predict_probability(network, array, progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_half_precision_differs_little(network: nn.Module, array: np.ndarray) -> None:
    exact = predict_probability(network, array)
    rounded = predict_probability(network, array, precision="bfloat16")
    assert 0 < np.abs(exact - rounded).max() < 0.1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_agrees_with_the_cpu(network: nn.Module, array: np.ndarray) -> None:
    exact = predict_probability(network, array)
    on_gpu = predict_probability(network, array, device="cuda", precision="float32")
    np.testing.assert_allclose(on_gpu, exact, atol=5e-3)
