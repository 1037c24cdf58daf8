"""Running a network over a scan without seams, and only where there is something to find."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, box_start, box_voxels, shifted_box, whole_box
from vesselseg.engines.interface import DeviceOutOfMemoryError, Engine, Levels
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.networks.traits import Traits
from vesselseg.prediction.level_steps import compute_steps, level_steps, work_per_voxel
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.tiling import Tiling

logger = logging.getLogger("vesselseg")

_Part = tuple[Tiling, Box]

#: Voxels around the brain that a two-dimensional network sees of each slice.
_MARGIN = 16
#: Slices that share a window: an engine prepares itself for every shape that it has not seen yet.
_SLAB = 8


class NoNumbersError(RuntimeError):
    """What a network computes is no number: in a low precision features may exceed what it holds."""


@dataclass
class NetworkEffort:
    """What a network was given, and how long it took: of interest where engines are compared.

    Parameters
    ----------
    voxels : int
        That it was given, those of margins and overlaps again and again; level by level, as many as the whole network
        computes with the same work.
    seconds : float
        From the first input to the last output.
    """

    voxels: int = 0
    seconds: float = 0.0


def predict_probability(
    engine: Engine,
    array: NDArray[np.float32],
    *,
    mask: NDArray[np.bool_] | None = None,
    region: Box | None = None,
    progress: ProgressCallback = no_progress,
    effort: NetworkEffort | None = None,
) -> NDArray[np.float32]:
    """Compute the probability of a vessel in every voxel that is asked for.

    The network is fully convolutional and sees as much as memory allows at once; no voxel is left out and there are no
    seams. A two-dimensional network is given, in each slab of 8 slices, the window of the mask with a margin of 16
    voxels; where memory is short it is given fewer slices at once, then tiles that overlap by its reach, so that the
    result is the same. A three-dimensional one is computed level by level where the engine can, see
    `vesselseg.prediction.level_steps`. Elsewhere it is given blocks that overlap by what its `Traits` say, which is
    less than its reach: then the result is that of the whole scan to a few hundredths in single voxels next to the
    faces of the blocks, to 0.01 in all but one of 10,000; bfloat16 changes more. Slices and blocks without mask are
    skipped.

    Parameters
    ----------
    engine : Engine
        See `vesselseg.engines.make_engine`.
    array : ndarray, shape (Z, Y, X), float32
        A normalised scan, axial: z across the slices.
    mask : ndarray of bool, shape (Z, Y, X), optional
        Where vessels are looked for; the default is everywhere.
    region : tuple of slice, optional
        Along z, y, x: the only voxels that are computed. What the network sees around them is what it would see
        without a region, as far as it matters.
    progress : callable
        Told the share of the work done, after every batch of slices, step of the levels or block; may raise to stop.
    effort : NetworkEffort, optional
        What it took is added to it.

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        In [0, 1]; 0 where nothing was computed. Near the mask some voxels outside it are computed as well.

    Raises
    ------
    vesselseg.engines.DeviceOutOfMemoryError
        If not even the smallest tile fits into the memory of the device.
    NoNumbersError
        If a value is NaN.
    """
    probability = np.zeros(array.shape, dtype=np.float32)
    region = region or whole_box(array.shape)
    effort = NetworkEffort() if effort is None else effort
    started = time.perf_counter()
    reached, finished = 0.0, False
    if engine.levels is not None:

        def remember(share: float, part: str) -> None:
            nonlocal reached
            reached = share
            progress(share, part)

        try:
            _compute_levels(engine.levels, engine.traits, array, mask, region, probability, remember, effort)
            finished = True
        except (DeviceOutOfMemoryError, MemoryError):
            logger.warning("%s ran out of memory: going on block by block", engine.device)
    cut = _slices if engine.traits.dimensions == 2 else _blocks
    # The largest first: engines then take their memory once, and do not hold on to what was too small for the next.
    todo = [] if finished else sorted(cut(engine, array.shape, mask, region), key=_seen, reverse=True)
    whole = sum(box_voxels(box) for _tiling, box in todo)
    done = 0
    while todo:
        try:
            parts = tuple(todo)
            inputs = (_input(engine.traits, array, tiling.seen(box)) for tiling, box in parts)
            with contextlib.closing(engine.run(inputs)) as results:
                for (tiling, box), logits in zip(parts, results):
                    values = logits[:, 0] if engine.traits.dimensions == 2 else logits[0, 0]
                    probability[box] = _sigmoid(values[tiling.core(box)])
                    effort.voxels += tiling.voxels_seen(box)
                    del todo[0]
                    done += 1
                    share = 1 - sum(box_voxels(rest) for _tiling, rest in todo) / whole
                    progress(max(reached, share), f"part {done} of {done + len(todo)}")
        except DeviceOutOfMemoryError as error:
            todo = _cut_smaller(todo, engine.device, error)
    effort.seconds += time.perf_counter() - started
    if np.isnan(probability.min(initial=0)):
        raise NoNumbersError("the network computed values that are no numbers")
    return probability


def _compute_levels(
    levels: Levels, traits: Traits, array: NDArray[np.float32], mask: NDArray[np.bool_] | None, region: Box,
    probability: NDArray[np.float32], progress: ProgressCallback, effort: NetworkEffort,
) -> None:  # fmt: skip
    """Compute a scan level by level; raises where the memory does not suffice even for that."""
    wanted, tiling = _tight(mask, region), _field(traits, array.shape)
    if wanted is None:
        return
    seen = tiling.seen(wanted)
    start = box_start(seen)
    back = [-voxel for voxel in start]

    def tight(box: Box) -> Box | None:
        own = _tight(mask, shifted_box(box, start))
        return None if own is None else shifted_box(own, back)

    block = _input(traits, array, seen)
    z, y, x = block.shape[2:]
    steps = level_steps(levels, (z, y, x), shifted_box(wanted, back), tight)
    whole, done = sum(step.work for step in steps), 0.0
    for number, (step, logits) in enumerate(compute_steps(levels, block, steps), start=1):
        if logits is not None:
            probability[shifted_box(step.box, start)] = _sigmoid(logits)
        done += step.work
        progress(done / whole, f"part {number} of {len(steps)}")
    # Not those of the block: the full resolution is left only where the mask is.
    effort.voxels += round(whole / work_per_voxel(levels))


def _cut_smaller(
    todo: list[tuple[Tiling, Box]], device: str, error: DeviceOutOfMemoryError
) -> list[tuple[Tiling, Box]]:
    """Cut what is left into parts smaller than the first, which did not fit. What is done stays."""
    tiling, box = todo[0]
    failed = tiling.voxels_seen(box)
    # Where a third less cannot be had for the overlap, a little less may do.
    for limit in (failed * 2 // 3, failed - 1):
        with contextlib.suppress(ValueError):
            smaller = [(tiling, part) for tiling, rest in todo for part in tiling.parts(rest, limit)]
            logger.warning("%s ran out of memory: going on with at most %d voxels at a time", device, limit)
            return smaller
    raise DeviceOutOfMemoryError("not even the smallest tile fits into the memory of the device") from error


def _slices(engine: Engine, shape: tuple[int, ...], mask: NDArray[np.bool_] | None, region: Box) -> Iterator[_Part]:
    """Cut a scan into batches of slices, each within the window of its slab."""
    divisor, reach = engine.traits.divisor, engine.traits.overlap
    rows, columns = slice(0, shape[1]), slice(0, shape[2])
    for start in range(0, shape[0], _SLAB):
        slab = slice(start, min(start + _SLAB, shape[0]))
        core, wanted = (rows, columns), list(range(slab.start, slab.stop))
        if mask is not None:
            brain = bounding_box(mask[slab])
            if brain is None:
                continue
            core, wanted = brain[1:], [index for index in wanted if mask[index].any()]
        window = [_window(part, side, divisor) for part, side in zip(core, shape[1:])]
        tiling = Tiling((slab, window[0], window[1]), (1, divisor, divisor), (0, reach, reach))
        y, x = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(core, region[1:]))
        wanted = [index for index in wanted if region[0].start <= index < region[0].stop]
        if y.start >= y.stop or x.start >= x.stop:
            continue
        for first, last in _runs(wanted, engine.batch):
            yield tiling, (slice(first, last), y, x)


def _window(part: slice, side: int, divisor: int) -> slice:
    """Return the window of a brain along an axis: with its margin, from and to multiples of the divisor."""
    end = -(-side // divisor) * divisor
    start = max(part.start - _MARGIN, 0) // divisor * divisor
    return slice(start, min(-(-(part.stop + _MARGIN) // divisor) * divisor, end))


def _runs(indices: list[int], longest: int) -> Iterator[tuple[int, int]]:
    """Group rising indices into runs without a gap, of a largest length."""
    for _gap, run in itertools.groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        members = [index for _position, index in run]
        for start in range(0, len(members), longest):
            part = members[start : start + longest]
            yield part[0], part[-1] + 1


def _blocks(engine: Engine, shape: tuple[int, ...], mask: NDArray[np.bool_] | None, region: Box) -> Iterator[_Part]:
    """Cut a scan into blocks of voxels, without those that hold nothing of the mask."""
    tiling, overlap = _field(engine.traits, shape), engine.traits.overlap
    wanted = _tight(mask, region)
    if wanted is None:
        return
    # However wide the network, a block is worth its overlap.
    limit = max(engine.block_voxels, (4 * overlap) ** 3)
    for part in tiling.parts(wanted, limit):
        tight = _tight(mask, part)
        if tight is not None:
            yield tiling, tight


def _field(traits: Traits, shape: tuple[int, ...]) -> Tiling:
    """Return how a scan may be cut into blocks."""
    step, overlap = traits.divisor, traits.overlap
    # Half a step on either side beyond the scan: its first and last voxels too have surroundings.
    before = step // 2
    z, y, x = (slice(-before, -before + -(-(side + 2 * before) // step) * step) for side in shape)
    return Tiling((z, y, x), (step, step, step), (overlap, overlap, overlap))


def _tight(mask: NDArray[np.bool_] | None, box: Box) -> Box | None:
    """Return the smallest box around the mask within a box."""
    if mask is None:
        return box
    found = bounding_box(mask[box])
    return None if found is None else shifted_box(found, box_start(box))


def _input(traits: Traits, array: NDArray[np.float32], seen: Box) -> NDArray[np.float32]:
    """Return what the network is given to see a box: slices with their neighbours as channels, or a block."""
    if traits.dimensions == 3:
        return _cut(array, seen)[None, None]
    half = traits.in_slices // 2
    z, y, x = seen
    slices = _cut(array, (slice(z.start - half, z.stop + half), y, x))
    neighbours = np.lib.stride_tricks.sliding_window_view(slices, traits.in_slices, axis=0)
    return np.array(np.moveaxis(neighbours, -1, 1), order="C")  # copied: torch takes no memory that is read-only


def _cut(array: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """Copy a box that may reach beyond the array, whose border is repeated there."""
    inside = tuple(slice(max(part.start, 0), min(part.stop, side)) for part, side in zip(box, array.shape))
    beyond: Any = [(own.start - part.start, part.stop - own.stop) for part, own in zip(box, inside)]
    if not np.any(beyond):
        return np.ascontiguousarray(array[inside])
    return np.pad(array[inside], beyond, mode="edge")


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Not by the engine, which may round a probability near 1 to the 8 bits of bfloat16. Below -80 exp would overflow.
    values = np.negative(np.maximum(logits, -80, dtype=np.float32))
    np.exp(values, out=values)
    values += 1
    return np.reciprocal(values, out=values)


def _seen(part: _Part) -> int:
    tiling, box = part
    return tiling.voxels_seen(box)
