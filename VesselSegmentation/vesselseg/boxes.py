"""Boxes: parts of an array along z, y, x, as its index."""

from __future__ import annotations

from collections.abc import Iterable

Triple = tuple[int, int, int]
#: Along z, y, x, with explicit start and stop and no step.
Box = tuple[slice, slice, slice]


def box_between(start: Iterable[int], stop: Iterable[int]) -> Box:
    """Return the box from its first voxel (k, j, i) to the one behind its last."""
    z, y, x = (slice(int(first), int(end)) for first, end in zip(start, stop))
    return z, y, x


def whole_box(shape: Iterable[int]) -> Box:
    """Return the box that is all of an array of a shape (Z, Y, X)."""
    return box_between((0, 0, 0), shape)


def shifted_box(box: Box, by: Iterable[int]) -> Box:
    """Return a box moved by so many voxels along z, y, x."""
    z, y, x = (slice(part.start + shift, part.stop + shift) for part, shift in zip(box, by))
    return z, y, x


def box_start(box: Box) -> Triple:
    """Return the first voxel (k, j, i) of a box."""
    z, y, x = box
    return z.start, y.start, x.start


def box_voxels(box: Box) -> int:
    """Return the number of voxels in a box."""
    z, y, x = box
    return (z.stop - z.start) * (y.stop - y.start) * (x.stop - x.start)
