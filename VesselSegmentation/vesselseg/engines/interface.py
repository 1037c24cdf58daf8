"""What every engine offers: one way to compute a network, whatever computes it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vesselseg.networks.traits import Traits

#: Memory that what a network holds may take on a CPU, in bytes: the machine has to stay usable.
CPU_BYTES = 1.5e9

#: What an engine computes; closed where not all of it is wanted.
Results = Generator[NDArray[np.float32], None, None]

_OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "allocate memory",
    "failed to allocate",
    "not enough memory",
    "status_alloc_failed",
    "bad_alloc",
    "bad allocation",
    # cuDNN, where none of its ways has the memory that it needs; the libraries of CUDA, where they cannot even start.
    "unable to find an engine",
    "unable to find a valid cudnn algorithm",
    "cudnn_status_not_initialized",
    "cublas_status_not_initialized",
    "invalid buffer size",  # MPS
)


class DeviceOutOfMemoryError(RuntimeError):
    """What was asked for does not fit into the memory of the device."""


class DeviceFailedError(RuntimeError):
    """A GPU does not compute: it is in use by others alone, was lost, or its driver does not go with the library."""


def tells_of_short_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: most libraries tell it only in words."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY_WORDS)


class Levels(Protocol):
    """The parts of a three-dimensional U-Net, level by level: what a level needs from around it is little.

    Attributes
    ----------
    channels : tuple of int
        Features of every level, from the full resolution down.
    """

    channels: tuple[int, ...]

    def run(self, part: str, level: int, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a part of the network.

        Parameters
        ----------
        part, level
            See `vesselseg.engines.graphs.build_level`.
        *inputs : ndarray, float32

        Returns
        -------
        ndarray, float32
            Valid until the part is computed again or released.

        Raises
        ------
        DeviceOutOfMemoryError
            If it does not fit into the memory.
        """
        ...

    def release(self, part: str, level: int) -> None:
        """Give back the memory of a part that is not needed any more."""
        ...

    def bytes_per_voxel(self, level: int) -> float:
        """Return how much memory a voxel of a level takes while a part is computed."""
        ...


class Engine(Protocol):
    """A network that is ready to be computed on a device.

    Attributes
    ----------
    name : str
        "openvino", "onnx" or "torch".
    device : str
        As torch names it.
    precision : str
        In which it computes: "f32", "bf16", "f16" or "int8".
    traits : Traits
        Of the network.
    batch : int
        Slices to give to it at once.
    block_voxels : int
        Voxels to give to it at once, to begin with: what fits into memory.
    levels : Levels or None
        The same network, level by level, where it is three-dimensional and the engine can.
    """

    name: str
    device: str
    precision: str
    traits: Traits
    batch: int
    block_voxels: int
    levels: Levels | None

    def prepare(self) -> None:
        """Do what can be done before the first input, so that it need not wait; may fail in silence."""
        ...

    def run(self, inputs: Iterable[NDArray[np.float32]]) -> Results:
        """Compute the network.

        Parameters
        ----------
        inputs : iterable of ndarray, shape (N, in_slices, Y, X) or (N, 1, Z, Y, X), float32
            Taken as they are needed, several before the first result if the engine works on several at once.

        Yields
        ------
        ndarray, shape (N, 1, Y, X) or (N, 1, Z, Y, X), float32
            Logits, in the order of the inputs.

        Raises
        ------
        DeviceOutOfMemoryError
            If an input does not fit into the memory of the device. What was yielded before is right.
        """
        ...
