"""torch: on GPUs, and on the CPU where OpenVINO is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.interface import (
    CPU_BYTES,
    DeviceFailedError,
    DeviceOutOfMemoryError,
    Levels,
    Results,
    tells_of_short_memory,
)
from vesselseg.networks import channels_last_format, in_channels_last
from vesselseg.networks.traits import Traits

if TYPE_CHECKING:
    import torch

#: Slices given to a two-dimensional network at once.
_BATCH = {"cuda": 8, "mps": 8, "cpu": 2}
#: Memory that what a three-dimensional network holds may take. Where a scan has to be split, larger blocks waste less
#: on their overlap. On CUDA no more than a part of what is free: Windows gives more than there is, many times slower.
_BLOCK_BYTES = {"cuda": 6.0e9, "mps": 2.0e9, "cpu": CPU_BYTES}

_FREE_SHARE = 0.7

_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


def computes_natively(precision: str, device: str) -> bool:
    """Whether a device computes in a precision without emulating it."""
    import torch

    if precision == "f32":
        return True
    if precision == "f16":
        # From Volta on: what came before has no units for it. torch has it on MPS since 2.5.
        if _kind(device) == "cuda":
            return torch.cuda.get_device_capability(device) >= (7, 0)
        version = tuple(int(part) for part in torch.__version__.split(".")[:2])
        return _kind(device) == "mps" and version >= (2, 5)
    if precision != "bf16":
        return False
    if _kind(device) == "cuda":
        # From Ampere on. Older versions of torch cannot be asked for what is not emulated.
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Only recent versions of torch tell; on other CPUs bfloat16 is emulated and slower than single precision.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class TorchEngine:
    """A network in torch; see `vesselseg.engines.interface.Engine`.

    Parameters
    ----------
    network : torch.nn.Module
        Has the attribute ``traits``, a `vesselseg.networks.traits.Traits`. With two dimensions it takes (N, in_slices,
        Y, X) and returns logits (N, 1, Y, X), with three it takes and returns (N, 1, Z, Y, X).
    device : str
        As torch names it.
    precision : {"f32", "f16", "bf16"}

    Raises
    ------
    DeviceOutOfMemoryError
        If not even the network fits into the memory of the device.
    DeviceFailedError
        If the device cannot be used.
    """

    name = "torch"
    levels: Levels | None = None

    def __init__(self, network: Any, device: str = "cpu", precision: str = "f32") -> None:
        self.device, self.precision = device, precision
        self.traits: Traits = network.traits
        self.batch = _BATCH[_kind(device)]
        held = self.traits.features_per_voxel * (4 if precision == "f32" else 2)
        with self._trouble("not even the network fits into the memory of the device"):
            self._network = in_channels_last(network.to(device).eval(), device)
            self.block_voxels = int(_block_bytes(device) / held)

    def prepare(self) -> None:
        """Do nothing; see `vesselseg.engines.interface.Engine.prepare`."""

    def run(self, inputs: Iterable[NDArray[np.float32]]) -> Results:
        """Compute the network; see `vesselseg.engines.interface.Engine.run`."""
        waiting = None
        for array in inputs:
            with self._trouble("the memory of the device does not suffice"):
                started = self._start(array)
                finished = None if waiting is None else _fetched(*waiting)
            if finished is not None:
                yield finished
            waiting = started
        if waiting is not None:
            with self._trouble("the memory of the device does not suffice"):
                finished = _fetched(*waiting)
            yield finished

    def _start(self, array: NDArray[np.float32]) -> tuple[torch.Tensor, Any]:
        """Return the logits and, where they are still being computed, the event to wait for."""
        import torch

        batch = torch.from_numpy(array)
        on_cuda = _kind(self.device) == "cuda"
        if on_cuda:
            batch = batch.pin_memory()
        layout = channels_last_format(self.traits.dimensions, self.device)
        with torch.inference_mode(), self._in_precision():
            batch = batch.to(self.device, non_blocking=on_cuda).contiguous(memory_format=layout)
            logits = self._network(batch).float()
        if not on_cuda:
            return logits.cpu(), None
        # The GPU goes on with the next batch while this one is copied and used.
        copied = torch.empty(logits.shape, dtype=logits.dtype, pin_memory=True).copy_(logits, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(logits.device))
        return copied, event

    def _in_precision(self) -> Any:
        import torch

        if self.precision != "f32":
            return torch.autocast(torch.device(self.device).type, dtype=getattr(torch, _TYPES[self.precision]))
        # Older versions know no autocast for some devices, not even a disabled one. What torch takes for single
        # precision on recent GPUs unless told otherwise are the 10 bits of TF32.
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)

    @contextlib.contextmanager
    def _trouble(self, text: str) -> Iterator[None]:
        """Tell short memory, with a text, and a device that fails from errors of the program."""
        import torch

        try:
            yield
        except RuntimeError as error:
            # CUDA has an error class of its own; its libraries, MPS and the allocators of the CPU tell it in words.
            short = isinstance(error, torch.cuda.OutOfMemoryError) or tells_of_short_memory(error)
            if not short and _kind(self.device) == "cpu":
                raise
            with contextlib.suppress(RuntimeError):  # a device that fails does not do this either
                if self.device.startswith("cuda"):
                    torch.cuda.empty_cache()
                elif self.device == "mps":
                    torch.mps.empty_cache()
            if short:
                raise DeviceOutOfMemoryError(text) from error
            raise DeviceFailedError(next(iter(str(error).splitlines()), type(error).__name__)) from error


def _fetched(logits: torch.Tensor, event: Any) -> NDArray[np.float32]:
    if event is not None:
        event.synchronize()
    return logits.numpy()


def _block_bytes(device: str) -> float:
    import torch

    usual = _BLOCK_BYTES[_kind(device)]
    return min(usual, _FREE_SHARE * torch.cuda.mem_get_info(device)[0]) if _kind(device) == "cuda" else usual


def _kind(device: str) -> str:
    """Return "cuda", "mps" or "cpu"; what else torch may know is treated as a CPU."""
    kind = device.partition(":")[0]
    return kind if kind in _BATCH else "cpu"
