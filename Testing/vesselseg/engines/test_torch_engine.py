"""torch as an engine, on devices that are not at hand: their answers are played."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vesselseg import devices
from vesselseg.engines import DeviceFailedError, DeviceOutOfMemoryError, plan_run, torch_engine
from vesselseg.models import find_model
from vesselseg.networks import in_channels_last
from vesselseg.networks.traits import Traits


def test_torch_knows_which_gpu_computes_in_half_precision(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = devices.Device("cuda:0", "A GPU", 8 << 30)
    monkeypatch.setattr(devices, "available_devices", lambda *_: [gpu, devices.cpu_device()])
    for capability, expected in [((6, 1), "f32"), ((7, 0), "f16"), ((9, 0), "f16")]:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, capability=capability: capability)
        assert plan_run(find_model(tiny_model), device="cuda").precision == expected
    monkeypatch.setattr(torch, "__version__", "2.3.1")
    assert not torch_engine.computes_natively("f16", "mps")


class Failing(torch.nn.Module):
    """A network on a device that answers with an error: no GPU is at hand."""

    traits = Traits(3, 2, 2, 4)

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("device", "error", "expected", "text"),
    [
        ("mps", NotImplementedError("aten::max_pool3d\nsecond line"), DeviceFailedError, "^aten::max_pool3d$"),
        ("mps", RuntimeError("Invalid buffer size: 9 GB"), DeviceOutOfMemoryError, "does not suffice"),
        ("mps", RuntimeError("GET was unable to find an engine to execute"), DeviceOutOfMemoryError, "not suffice"),
        ("cpu", RuntimeError("a mistake of ours"), RuntimeError, "^a mistake of ours$"),
    ],
)
def test_devices_that_fail_are_told_from_short_memory(
    device: str, error: Exception, expected: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = torch_engine.TorchEngine(Failing(error), "cpu")
    engine.device = device
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)  # as if it were on the device
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    with pytest.raises(expected, match=text) as caught:
        list(engine.run([np.zeros((1, 1, 8, 8, 8), np.float32)]))
    assert type(caught.value) is expected


def test_blocks_fit_into_what_is_free_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2_000_000_000, 4_000_000_000))
    assert torch_engine._block_bytes("cuda:1") == pytest.approx(1.4e9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20_000_000_000, 24_000_000_000))
    assert torch_engine._block_bytes("cuda:1") == 6e9


def test_channels_are_innermost_but_on_apples_gpus() -> None:
    network = torch.nn.Conv3d(4, 4, 3)
    network.traits = Traits(3, 1, 1, 4)  # type: ignore[assignment]
    layouts = {}
    for device in ("mps", "cpu", "cuda:0"):
        weights = in_channels_last(copy.deepcopy(network), device).weight
        layouts[device] = weights.is_contiguous(memory_format=torch.channels_last_3d)
    assert layouts == {"mps": False, "cpu": True, "cuda:0": True}
