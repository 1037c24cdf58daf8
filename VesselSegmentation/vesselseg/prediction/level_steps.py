"""Computing a three-dimensional U-Net level by level.

Tiles that go through the whole network need surroundings as wide as the lowest level sees, and most of the work is done
there, again and again. Level by level, a tile needs no more than what two or four convolutions reach: the lower levels,
an eighth of the voxels each, are computed whole in between. The result is that of the whole, without a seam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.boxes import Box, whole_box
from vesselseg.engines.interface import Levels
from vesselseg.tiling import Tiling

#: How far two convolutions reach, down to the next level; and four, down again and up.
_REACH = {"enter": 2, "leave": 4}
#: Bytes that a level and all below it may hold, computed at once, and those of a tile. More is slower rather than
#: faster, since memory that was not used before has to be had first; and small tiles follow the mask more closely.
_REST_BYTES, _TILE_BYTES = 5e8, 1.5e8


@dataclass(frozen=True)
class Step:
    """A part of the network on a part of a level.

    Parameters
    ----------
    part, level
        See `vesselseg.engines.graphs.build_level`.
    box : tuple of slice
        What is computed, along z, y, x of the level.
    work : float
        How much there is to compute, as `work_per_voxel` counts it.
    """

    part: str
    level: int
    box: Box
    work: float


def level_steps(levels: Levels, size: tuple[int, int, int], box: Box, tight: Callable[[Box], Box | None]) -> list[Step]:
    """Return the steps that compute a box.

    Parameters
    ----------
    levels : Levels
    size : tuple of int
        Of what the network is given, along z, y, x: multiples of its divisor.
    box : tuple of slice
        What is wanted of it.
    tight : callable
        Returns what is wanted in a box, None if nothing is.

    Returns
    -------
    list of Step
        In their order.
    """
    # Of every level that is cut into tiles, and of the first that fits into memory whole.
    sizes, wanted = [size], [box]
    for level in range(len(levels.channels) - 1):
        if math.prod(sizes[level]) * levels.bytes_per_voxel(level) <= _REST_BYTES:
            break
        z, y, x = sizes[level]
        sizes.append((z // 2, y // 2, x // 2))
        wanted.append(_halved(_tiling("leave", sizes[level]).seen(wanted[level])))
    depth = len(sizes) - 1

    def tiles(part: str, level: int, whole: Box) -> Iterator[Step]:
        tiling = _tiling(part, sizes[level])
        for tile in tiling.parts(whole, int(_TILE_BYTES / levels.bytes_per_voxel(level))):
            own = tight(tile) if (part, level) == ("leave", 0) else tile
            if own is not None:
                yield Step(part, level, own, tiling.voxels_seen(own) * _work(levels, part, level))

    steps = [step for level in range(depth) for step in tiles("enter", level, whole_box(sizes[level]))]
    whole = whole_box(sizes[depth]) if depth else box
    steps.append(Step("rest", depth, whole, math.prod(sizes[depth]) * _work(levels, "rest", depth)))
    return steps + [step for level in range(depth - 1, -1, -1) for step in tiles("leave", level, wanted[level])]


def compute_steps(
    levels: Levels, block: NDArray[np.float32], steps: list[Step]
) -> Iterator[tuple[Step, NDArray[np.float32] | None]]:
    """Compute steps.

    Parameters
    ----------
    levels : Levels
    block : ndarray, shape (1, 1, Z, Y, X), float32
        What the network is given.
    steps : list of Step
        As `level_steps` returns them for its size.

    Yields
    ------
    step : Step
        That was done.
    logits : ndarray, shape (Z, Y, X), or None
        Of its box, where it was one of those that leave the full resolution. Valid until the next step.

    Raises
    ------
    vesselseg.engines.DeviceOutOfMemoryError
        If the memory does not suffice for a step.
    """
    try:
        yield from _computed(levels, block, steps)
    finally:
        # After an error or a cancel, too.
        for step in steps:
            levels.release(step.part, step.level)


def _computed(
    levels: Levels, block: NDArray[np.float32], steps: list[Step]
) -> Iterator[tuple[Step, NDArray[np.float32] | None]]:
    downwards, upwards = {0: block}, dict[int, NDArray[np.float32]]()
    for step, following in zip(steps, [*steps[1:], None]):
        part, level, box = step.part, step.level, step.box
        logits = None
        if part == "rest":
            result = levels.run(part, level, downwards[level])
            if level == 0:
                logits = result[(0, 0, *box)]
            else:
                upwards[level] = result.copy()
                del downwards[level]
        else:
            features = downwards[level]
            tiling = _tiling(part, features.shape[2:])
            seen, core = tiling.seen(box), tiling.core(box)
            inputs = [np.ascontiguousarray(features[(..., *seen)])]
            if part == "leave":
                inputs.append(np.ascontiguousarray(upwards[level + 1][(..., *_halved(seen))]))
            result = levels.run(part, level, *inputs)
            if part == "enter":
                target = _array(downwards, level + 1, result.shape[1], [side // 2 for side in features.shape[2:]])
                target[(..., *_halved(box))] = result[(..., *_halved(core))]
            elif level == 0:
                logits = result[(0, 0, *core)]
            else:
                target = _array(upwards, level, result.shape[1], features.shape[2:])
                target[(..., *box)] = result[(..., *core)]
        yield step, logits
        if following is None or (following.part, following.level) != (part, level):
            levels.release(part, level)
            if part == "leave":
                del downwards[level], upwards[level + 1]


def _array(
    arrays: dict[int, NDArray[np.float32]], level: int, channels: int, sides: Sequence[int]
) -> NDArray[np.float32]:
    if level not in arrays:
        arrays[level] = np.empty((1, channels, *sides), np.float32)
    return arrays[level]


def _tiling(part: str, size: tuple[int, ...]) -> Tiling:
    reach = _REACH[part]
    return Tiling(whole_box(size), (2, 2, 2), (reach, reach, reach))


def _halved(box: Box) -> Box:
    z, y, x = (slice(part.start // 2, part.stop // 2) for part in box)
    return z, y, x


def work_per_voxel(levels: Levels) -> float:
    """Return how many products of features and weights the network has for a voxel of the full resolution."""
    return _work(levels, "rest", 0)


def _work(levels: Levels, part: str, level: int) -> float:
    """Return the products of a part for each voxel of its level."""
    above = levels.channels[level - 1] if level else 1
    here = levels.channels[level]
    enter = 27.0 * (above * here + here**2)
    if part == "enter":
        return enter
    if level + 1 == len(levels.channels):
        return enter
    # What comes up has been narrowed on its own level; the logits are one number more.
    below = levels.channels[level + 1]
    leave = enter + here * below / 8 + 27 * 2 * here**2 + (0 if level else here)
    # "leave" enters its level once more, which is cheaper than to keep what "enter" found there.
    return leave if part == "leave" else leave + _work(levels, "rest", level + 1) / 8
