"""Running a network over a whole scan without seams: slice by slice, or in blocks as large as memory allows."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.networks import in_channels_last
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.tiling import Box, Tiling

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("vesselseg")

#: Slices given to a two-dimensional network at once, to begin with.
_BATCH = {"cuda": 16, "mps": 8, "cpu": 2}
#: Bytes that the features of a block may take in a three-dimensional network, to begin with. Where a scan has to be
#: split, larger blocks waste less on their overlap; on the CPU the machine has to stay usable.
_BLOCK_BYTES = {"cuda": 6.0e9, "mps": 2.0e9, "cpu": 1.5e9}

_OUT_OF_MEMORY_WORDS = ("out of memory", "allocate memory", "not enough memory", "status_alloc_failed")


class DeviceOutOfMemoryError(RuntimeError):
    """Not even the smallest tile fits into the memory of the device."""


def default_precision(device: str) -> str:
    """Return the precision a device computes in.

    Half precision on CUDA; bfloat16 on CPUs that compute in it natively, where it is nearly three times as fast; single
    precision elsewhere.
    """
    if device.startswith("cuda"):
        return "float16"
    return "bfloat16" if device == "cpu" and _cpu_has_bfloat16() else "float32"


def _cpu_has_bfloat16() -> bool:
    import torch

    # Only recent versions of torch tell; on other CPUs bfloat16 is emulated and slower than single precision.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def predict_probability(
    network: torch.nn.Module,
    array: NDArray[np.float32],
    *,
    device: str = "cpu",
    precision: str | None = None,
    progress: ProgressCallback = no_progress,
) -> NDArray[np.float32]:
    """Compute the probability of a vessel in every voxel.

    The network is fully convolutional and sees whole slices, or the whole scan, where memory allows; no voxel is left
    out and there are no seams. Otherwise a two-dimensional network is given fewer slices at once, then tiles that
    overlap by its reach, so that the result is the same. A three-dimensional one is given blocks that overlap by its
    ``overlap``, which is less than its reach: the result is that of the whole scan to a few hundredths in single
    voxels next to the faces of the blocks, to 0.01 in all but one of 10,000; bfloat16 changes more.

    Parameters
    ----------
    network : torch.nn.Module
        With ``dimensions`` 2: takes (N, in_slices, Y, X), returns logits (N, 1, Y, X), and has the attributes
        ``in_slices``, ``divisor`` (Y and X must be multiples of it) and ``reach`` (how far, in voxels, an output
        depends on the input). With ``dimensions`` 3: takes and returns (N, 1, Z, Y, X), and has the attributes
        ``divisor`` (of Z, Y and X), ``overlap`` (how far, in voxels, the input matters to an output) and ``held``
        (numbers it holds at once per voxel).
    array : ndarray, shape (Z, Y, X), float32
        A normalised scan, axial: z across the slices.
    device : str
        As torch names it.
    precision : {"float32", "float16", "bfloat16"}, optional
        The default is `default_precision`.
    progress : callable
        Told the share of voxels done, after every batch of slices or block; may raise to stop.

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        In [0, 1].

    Raises
    ------
    DeviceOutOfMemoryError
        If not even the smallest tile fits into the memory of the device.
    """
    import torch

    try:
        network = network.to(device).eval()
    except RuntimeError as error:
        if _is_out_of_memory(error):
            raise DeviceOutOfMemoryError("not even the network fits into the memory of the device") from error
        raise
    in_channels_last(network)
    precision = precision or default_precision(device)
    runner: _Slices | _Blocks
    runner = (_Blocks if network.dimensions == 3 else _Slices)(network, array, device, precision)
    tiling, limit = runner.tiling, runner.limit
    probability = np.zeros(tiling.shape, dtype=np.float32)
    todo, done = tiling.parts(tiling.whole, limit), 0
    autocast = _autocast(device, precision)
    while todo:
        box = todo[0]
        try:
            with torch.inference_mode(), autocast:
                probability[box] = runner.predict(box)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            # What is done stays; what is left is cut smaller.
            limit = tiling.voxels_seen(box) * 2 // 3
            try:
                todo = [part for rest in todo for part in tiling.parts(rest, limit)]
            except ValueError:
                text = "not even the smallest tile fits into the memory of the device"
                raise DeviceOutOfMemoryError(text) from error
            _free_cache(device)
            logger.warning("%s ran out of memory: going on with at most %d voxels at a time", device, limit)
            continue
        del todo[0]
        done += 1
        share = 1 - sum(probability[rest].size for rest in todo) / probability.size
        progress(share, f"part {done} of {done + len(todo)}")
    return np.ascontiguousarray(probability[runner.inner])


class _Slices:
    """Batches of slices, each with its neighbours as channels, for a two-dimensional network."""

    def __init__(self, network: Any, array: NDArray[np.float32], device: str, precision: str) -> None:
        self.network, self.device = network, device
        half = network.in_slices // 2
        depth, rows, columns = array.shape
        # The border is repeated: neighbours for the outer slices, and sides that the network's poolings divide.
        y, x = -rows % network.divisor, -columns % network.divisor
        self.padded = _padded(array, ((half, half), (0, y), (0, x)))
        self.tiling = Tiling(
            (depth, rows + y, columns + x), (1, network.divisor, network.divisor), (0, network.reach, network.reach)
        )
        self.limit = _BATCH[_kind(device)] * (rows + y) * (columns + x)
        self.inner = np.s_[:, :rows, :columns]

    def predict(self, box: Box) -> NDArray[np.float32]:
        """Return the probability in a box of the tiling."""
        import torch

        z, y, x = self.tiling.seen(box)
        neighbours = self.network.in_slices
        # unfold gives (N, Y, X, in_slices): each slice with its neighbours, without a copy.
        stacks = self.padded[z.start : z.stop + neighbours - 1, y, x].unfold(0, neighbours, 1).permute(0, 3, 1, 2)
        batch = stacks.to(self.device).contiguous(memory_format=torch.channels_last)
        return _probability(self.network(batch)[:, 0][self.tiling.core(box)])


class _Blocks:
    """Blocks of voxels, the whole scan if it is small enough, for a three-dimensional network."""

    def __init__(self, network: Any, array: NDArray[np.float32], device: str, precision: str) -> None:
        self.network, self.device = network, device
        # Half a step on either side beyond the scan: its first and last voxels too have surroundings.
        before = network.divisor // 2
        sides = [before + side + before for side in array.shape]
        after = [before + -side % network.divisor for side in sides]
        self.padded = _padded(array, tuple((before, rest) for rest in after))
        overlap, step = network.overlap, network.divisor
        z, y, x = self.padded.shape
        self.tiling = Tiling((z, y, x), (step, step, step), (overlap, overlap, overlap))
        bytes_per_voxel = network.held * (4 if precision == "float32" else 2)
        # However wide the network, a block is worth its overlap.
        self.limit = max(int(_BLOCK_BYTES[_kind(device)] / bytes_per_voxel), (4 * overlap) ** 3)
        self.inner = tuple(slice(before, before + side) for side in array.shape)

    def predict(self, box: Box) -> NDArray[np.float32]:
        """Return the probability in a box of the tiling."""
        import torch

        block = self.padded[self.tiling.seen(box)][None, None].to(self.device)
        logits = self.network(block.contiguous(memory_format=torch.channels_last_3d))
        return _probability(logits[0, 0][self.tiling.core(box)])


def _padded(array: NDArray[np.float32], widths: Any) -> torch.Tensor:
    """Repeat the border. The scan is held once; what the network sees are views into it, and only they travel."""
    import torch

    return torch.from_numpy(np.pad(array, widths, mode="edge"))


def _probability(logits: torch.Tensor) -> NDArray[np.float32]:
    import torch

    return torch.sigmoid(logits.float()).cpu().numpy()


def _kind(device: str) -> str:
    """Return "cuda", "mps" or "cpu"; what else torch may know is treated as a CPU."""
    kind = device.partition(":")[0]
    return kind if kind in _BATCH else "cpu"


def _autocast(device: str, precision: str) -> Any:
    import torch

    if precision == "float32":  # older versions of torch know no autocast for some devices, not even a disabled one
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=getattr(torch, precision))


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    # CUDA has an error class of its own; its libraries, MPS and the allocators of the CPU tell it only in words.
    text = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in text for words in _OUT_OF_MEMORY_WORDS)


def _free_cache(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
