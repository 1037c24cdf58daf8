"""Running a network over a whole scan, slice by slice, without seams."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.networks import in_channels_last
from vesselseg.progress import ProgressCallback, no_progress

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("vesselseg")

#: Slices given to the network at once, to begin with.
_BATCH = {"cuda": 16, "mps": 8, "cpu": 2}
#: Sides of the tiles tried in turn where not even one whole slice fits into the memory of the device.
_TILE_SIDES = (256, 128, 64)


_OUT_OF_MEMORY_WORDS = ("out of memory", "allocate memory", "not enough memory", "status_alloc_failed")


class DeviceOutOfMemoryError(RuntimeError):
    """Not even the smallest tile fits into the memory of the device."""


@dataclass(frozen=True)
class _Plan:
    """How much is given to the network at once: so many slices, whole or in tiles of this side."""

    batch: int
    tile: int | None = None

    def smaller(self) -> _Plan:
        if self.batch > 1:
            return _Plan(self.batch // 2)
        for side in _TILE_SIDES:
            if self.tile is None or side < self.tile:
                return _Plan(1, side)
        raise DeviceOutOfMemoryError("not even the smallest tile fits into the memory of the device")

    def __str__(self) -> str:
        return f"{self.batch} slice(s)" if self.tile is None else f"tiles of {self.tile} x {self.tile}"


def default_precision(device: str) -> str:
    """Return the precision a device computes in: half precision on CUDA, single precision elsewhere."""
    return "float16" if device.startswith("cuda") else "float32"


def predict_probability(
    network: torch.nn.Module,
    array: NDArray[np.float32],
    *,
    device: str = "cpu",
    precision: str | None = None,
    progress: ProgressCallback = no_progress,
) -> NDArray[np.float32]:
    """Compute the probability of a vessel in every voxel.

    The network is fully convolutional and sees whole slices; no voxel is left out and there are no seams. Where the
    memory of the device does not suffice, fewer slices are taken at once, then tiles that overlap by the reach of the
    network, so that the result is the same.

    Parameters
    ----------
    network : torch.nn.Module
        Takes (N, in_slices, Y, X), returns logits (N, 1, Y, X), and has the attributes ``in_slices``, ``divisor``
        (Y and X must be multiples of it) and ``reach`` (how far, in voxels, an output depends on the input).
    array : ndarray, shape (Z, Y, X), float32
        A normalised scan, axial: z across the slices.
    device : str
        As torch names it.
    precision : {"float32", "float16", "bfloat16"}, optional
        The default is `default_precision`.
    progress : callable
        Told the share of slices done.

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
    # The scan is held once; batches are views into it, and only they travel to the device.
    padded = torch.from_numpy(_pad(array, network))
    probability = np.zeros(array.shape, dtype=np.float32)
    plan = _Plan(_BATCH.get(torch.device(device).type, 2))
    autocast = _autocast(device, precision or default_precision(device))
    first = 0
    while first < array.shape[0]:
        try:
            last = min(first + plan.batch, array.shape[0])
            with torch.inference_mode(), autocast:
                probability[first:last] = _predict_slices(network, padded, first, last, plan, device)[
                    :, : array.shape[1], : array.shape[2]
                ]
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            plan = plan.smaller()
            _free_cache(device)
            logger.warning("%s ran out of memory: going on with %s at a time", device, plan)
            continue
        first = last
        progress(first / array.shape[0], f"slice {first} of {array.shape[0]}")
    return probability


def _pad(array: NDArray[np.float32], network: Any) -> NDArray[np.float32]:
    """Repeat the border: neighbours for the outer slices, and sides that the network's poolings divide."""
    half = network.in_slices // 2
    y, x = (-side % network.divisor for side in array.shape[1:])
    return np.pad(array, ((half, half), (0, y), (0, x)), mode="edge")


def _predict_slices(
    network: Any, padded: torch.Tensor, first: int, last: int, plan: _Plan, device: str
) -> NDArray[np.float32]:
    import torch

    # unfold gives (N, Y, X, in_slices): each slice with its neighbours, without a copy.
    stacks = padded[first : last + network.in_slices - 1].unfold(0, network.in_slices, 1).permute(0, 3, 1, 2)
    result = np.empty((last - first, *stacks.shape[2:]), dtype=np.float32)
    for inner, outer, core in _tiles(stacks.shape[2], stacks.shape[3], plan.tile, network):
        batch = stacks[:, :, outer[0], outer[1]].to(device).contiguous(memory_format=torch.channels_last)
        logits = network(batch)[:, 0, core[0], core[1]]
        result[:, inner[0], inner[1]] = torch.sigmoid(logits.float()).cpu().numpy()
    return result


def _tiles(
    rows: int, columns: int, side: int | None, network: Any
) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice], tuple[slice, slice]]]:
    """Yield for each tile: where its result goes, what the network sees, and where in that the result lies.

    Tiles start at multiples of the network's divisor, so that its poolings fall on the same pixels as on the whole
    slice, and see as far as the network reaches: the result is that of the whole slice.
    """
    if side is None:
        whole = (slice(0, rows), slice(0, columns))
        yield whole, whole, whole
        return
    halo = -(-network.reach // network.divisor) * network.divisor

    def parts(length: int) -> list[tuple[slice, slice, slice]]:
        found = []
        for start in range(0, length, side):
            stop = min(start + side, length)
            low, high = max(start - halo, 0), min(stop + halo, length)
            found.append((slice(start, stop), slice(low, high), slice(start - low, stop - low)))
        return found

    for row, column in itertools.product(parts(rows), parts(columns)):
        yield (row[0], column[0]), (row[1], column[1]), (row[2], column[2])


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
