from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vesselseg.engines import DeviceOutOfMemoryError
from vesselseg.engines.torch_engine import TorchEngine
from vesselseg.errors import Cancelled
from vesselseg.networks import build_network
from vesselseg.prediction.inference import predict_probability


def predict(
    network: nn.Module, array: np.ndarray, precision: str = "f32", device: str = "cpu", **options: object
) -> np.ndarray:
    return predict_probability(TorchEngine(network, device, precision), array, **options)  # type: ignore[arg-type]


class SmallDevice(nn.Module):
    """A network on a device that holds only so many input pixels at once; it fails as torch does."""

    def __init__(self, network: nn.Module, pixels: int) -> None:
        super().__init__()
        self.network, self.pixels = network, pixels
        self.traits = network.traits
        self.largest = 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        pixels = batch.shape[0] * math.prod(batch.shape[2:])
        if pixels > self.pixels:
            raise torch.OutOfMemoryError("out of memory")
        self.largest = max(self.largest, pixels)
        return self.network(batch)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build_network("unet2d", channels=(4, 8, 16), in_slices=3).eval()
    with torch.no_grad():
        network.head.weight.mul_(4)  # so that differences between voxels are large
    return network


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return np.random.default_rng(0).random((5, 150, 133), dtype=np.float32)


def test_every_voxel_is_what_the_network_says_of_its_slice(network: nn.Module, array: np.ndarray) -> None:
    probability = predict(network, array)
    assert probability.shape == array.shape
    assert probability.dtype == np.float32
    assert probability.std() > 0.01
    # By hand, slice 2 with its neighbours; sides that 4 divides, so that nothing is padded.
    stack = torch.from_numpy(array[1:4, :148, :132])[None]
    with torch.no_grad():
        expected = torch.sigmoid(network(stack))[0, 0].numpy()
    inner = np.s_[: 148 - network.traits.overlap, : 132 - network.traits.overlap]
    np.testing.assert_allclose(probability[2][inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize("pixels", [160 * 140, 150 * 120, 128 * 128])
def test_short_memory_gives_the_same_result(
    network: nn.Module, array: np.ndarray, pixels: int, caplog: pytest.LogCaptureFixture
) -> None:
    small = SmallDevice(network, pixels)
    probability = predict(small, array)
    np.testing.assert_allclose(probability, predict(network, array), atol=1e-6)
    assert 0 < small.largest <= pixels
    assert "ran out of memory" in caplog.text


def test_memory_too_short_for_anything_is_an_error(network: nn.Module, array: np.ndarray) -> None:
    with pytest.raises(DeviceOutOfMemoryError):
        predict(SmallDevice(network, 10), array)


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory", "CUDNN_STATUS_ALLOC_FAILED"]
)
def test_short_memory_is_known_by_its_words(network: nn.Module, array: np.ndarray, words: str) -> None:
    class Full(SmallDevice):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(words)

    with pytest.raises(DeviceOutOfMemoryError):
        predict(Full(network, 10**9), array)


def test_a_network_that_does_not_fit_is_short_memory(network: nn.Module, array: np.ndarray) -> None:
    class Unmovable(SmallDevice):
        def to(self, *args: object, **options: object) -> nn.Module:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceOutOfMemoryError, match="network"):
        predict(Unmovable(network, 10**9), array)


def test_other_failures_are_not_taken_for_short_memory(array: np.ndarray) -> None:
    class Broken(SmallDevice):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("expected 3 channels")

    with pytest.raises(RuntimeError, match="expected 3 channels"):
        predict(Broken(build_network("unet2d", channels=(2, 4)), 10**9), array)


def test_progress_rises_to_one(network: nn.Module, array: np.ndarray) -> None:
    seen: list[float] = []
    predict(network, array, progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_half_precision_differs_little(network: nn.Module, array: np.ndarray) -> None:
    exact = predict(network, array)
    rounded = predict(network, array, "bf16")
    assert 0 < np.abs(exact - rounded).max() < 0.1


@pytest.fixture(scope="module")
def network_3d() -> nn.Module:
    torch.manual_seed(1)
    network = build_network("unet3d", channels=(4, 4, 8, 8, 8)).eval()
    with torch.no_grad():
        network.head.weight.mul_(60)
    return network


@pytest.fixture(scope="module")
def block() -> np.ndarray:
    """Tissue with bright lines through it, and noise."""
    generator = np.random.default_rng(1)
    array = generator.normal(1.0, 0.1, (190, 45, 41)).astype(np.float32)
    for _ in range(40):
        y, x = generator.integers(0, (45, 41))
        array[:, y, x] += 1.5
        array[generator.integers(0, 190), y] += 1.5
    return array


def test_a_whole_volume_is_what_the_network_says_of_it(network_3d: nn.Module, block: np.ndarray) -> None:
    probability = predict(network_3d, block)
    assert probability.shape == block.shape
    assert probability.std() > 0.05
    # By hand, with the border repeated by half the divisor and up to a multiple of it.
    padded = np.pad(block, ((8, 8 + 2), (8, 8 + 3), (8, 8 + 7)), mode="edge")
    assert all(side % network_3d.traits.divisor == 0 for side in padded.shape)
    with torch.no_grad():
        logits = network_3d(torch.from_numpy(padded)[None, None])[0, 0, 8:198, 8:53, 8:49]
    np.testing.assert_allclose(probability, torch.sigmoid(logits).numpy(), atol=1e-5)


@pytest.mark.parametrize("voxels", [700_000, 450_000])
def test_blocks_leave_no_seam(
    network_3d: nn.Module, block: np.ndarray, voxels: int, caplog: pytest.LogCaptureFixture
) -> None:
    small = SmallDevice(network_3d, voxels)
    whole = predict(network_3d, block)
    difference = np.abs(predict(small, block) - whole)
    assert 0 < small.largest <= voxels
    assert "ran out of memory" in caplog.text
    assert difference.max() < 0.01
    assert np.quantile(difference, 0.999) < 0.001
    # What would show as a seam: a step between neighbours that the whole volume does not have.
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        assert difference.mean(axis=other).max() < 0.0005


def test_blocks_without_overlap_would_leave_seams(network_3d: nn.Module, block: np.ndarray) -> None:
    """The bound above means something: it does not hold by itself."""
    small = SmallDevice(network_3d, 450_000)
    small.traits = replace(small.traits, overlap=0)
    whole = predict(network_3d, block)
    assert np.abs(predict(small, block) - whole).max() > 0.1


def test_blocks_fit_the_memory_set_aside_for_them(
    network_3d: nn.Module, block: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    """On the CPU nothing runs out: the blocks are small enough from the start."""
    small = SmallDevice(network_3d, 10**9)
    small.traits = replace(small.traits, overlap=16)
    engine = TorchEngine(small)
    engine.block_voxels = 450_000
    seen: list[float] = []
    predict_probability(engine, block, progress=lambda fraction, message: seen.append(fraction))
    assert 300_000 < small.largest <= 450_000
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert not caplog.text


@pytest.fixture(scope="module")
def ball() -> np.ndarray:
    """A mask within the 5 x 150 x 133 scan that leaves the outer slices and much of the others out."""
    z, y, x = np.ogrid[:5, :150, :133]
    return (z > 0) & (z < 4) & ((y - 90) ** 2 + (x - 60) ** 2 < 15**2)


def test_a_window_around_the_mask_gives_what_the_whole_slices_give(
    network: nn.Module, array: np.ndarray, ball: np.ndarray
) -> None:
    """The reach of this network is 23 voxels, of which the last hardly matter: the margin of 16 suffices."""
    small = SmallDevice(network, 10**9)
    found = predict(small, array, mask=ball)
    assert small.largest < 0.4 * 2 * array[0].size
    assert not found[[0, 4]].any()
    difference = np.abs(found - predict(network, array))[ball]
    assert np.quantile(difference, 0.99) < 2e-3
    # Well inside it makes no difference at all.
    assert difference.min() == 0
    inner = np.zeros_like(ball)
    inner[2, 83:97, 53:67] = True
    np.testing.assert_allclose(found[inner], predict(network, array)[inner], atol=1e-6)


def test_a_region_is_what_the_whole_scan_has_there(network: nn.Module, array: np.ndarray, ball: np.ndarray) -> None:
    region = (slice(2, 5), slice(70, 95), slice(40, 133))
    for mask in (None, ball):
        found, whole = predict(network, array, mask=mask, region=region), predict(network, array, mask=mask)
        np.testing.assert_allclose(found[region], whole[region] * (1 if mask is None else found[region] > 0), atol=1e-6)
        assert (found[region] > 0)[ball[region]].all()
        outside = found.copy()
        outside[region] = 0
        assert not outside.any()


def test_a_mask_without_a_voxel_needs_no_network(network: nn.Module, array: np.ndarray) -> None:
    small = SmallDevice(network, 0)
    assert not predict(small, array, mask=np.zeros(array.shape, bool)).any()


def test_blocks_without_mask_are_skipped(network_3d: nn.Module, block: np.ndarray) -> None:
    mask = np.zeros(block.shape, bool)
    mask[:20, 10:30, 10:30] = mask[150:, 10:30, 10:30] = True
    small = SmallDevice(network_3d, 10**9)
    small.traits = replace(small.traits, overlap=16)
    engine = TorchEngine(small)
    engine.block_voxels = 1  # as small as blocks get
    found, whole = predict_probability(engine, block, mask=mask), predict(network_3d, block)
    assert small.largest <= 64**3
    assert not found[64:128].any()
    assert np.quantile(np.abs(found - whole)[mask], 0.99) < 0.01
    region = (slice(0, 15), slice(12, 20), slice(0, 41))
    part = predict_probability(engine, block, mask=mask, region=region)
    np.testing.assert_array_equal(np.argwhere(part.any(axis=(1, 2))).ravel(), np.arange(15))
    assert np.quantile(np.abs(part - whole)[region][mask[region]], 0.99) < 0.01


def test_a_volume_smaller_than_the_divisor_is_predicted(network_3d: nn.Module) -> None:
    for shape in [(3, 5, 4), (1, 9, 30)]:
        assert predict(network_3d, np.ones(shape, np.float32)).shape == shape


def test_blocks_can_be_cancelled_and_run_out_of_memory(network_3d: nn.Module, block: np.ndarray) -> None:
    def cancel(fraction: float, message: str) -> None:
        if fraction < 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict(SmallDevice(network_3d, 450_000), block, progress=cancel)
    with pytest.raises(DeviceOutOfMemoryError):
        predict(SmallDevice(network_3d, 1000), block)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_agrees_with_the_cpu(network: nn.Module, array: np.ndarray) -> None:
    exact = predict(network, array)
    on_gpu = predict(network, array, device="cuda")
    np.testing.assert_allclose(on_gpu, exact, atol=5e-3)
