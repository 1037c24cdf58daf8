from __future__ import annotations

import numpy as np
import pytest

from vesselseg.boxes import Box
from vesselseg.tiling import Tiling


def field(*sides: int) -> Box:
    z, y, x = (slice(0, side) for side in sides)
    return z, y, x


@pytest.mark.parametrize("limit", [10**9, 200_000, 60_000, 30_000])
def test_parts_cover_each_voxel_once_and_see_no_more_than_the_limit(limit: int) -> None:
    tiling = Tiling(field(64, 96, 48), (8, 16, 1), (8, 10, 3))
    covered = np.zeros([part.stop for part in tiling.field], int)
    parts = tiling.parts(tiling.field, limit)
    for box in parts:
        covered[box] += 1
        assert tiling.voxels_seen(box) <= limit
        assert all(part.start % step == 0 for part, step in zip(box, tiling.step))
        inner = np.zeros([part.stop for part in tiling.field], int)
        inner[tiling.seen(box)][tiling.core(box)] = 1
        assert inner[box].all()
        assert inner.sum() == inner[box].size
    assert (covered == 1).all()
    assert (len(parts) == 1) == (limit == 10**9)


def test_parts_see_their_overlap_up_to_the_grid() -> None:
    tiling = Tiling(field(64, 64, 64), (16, 16, 16), (20, 0, 16))
    seen = tiling.seen((slice(32, 48), slice(16, 32), slice(0, 16)))
    assert seen == (slice(0, 64), slice(16, 32), slice(0, 32))


def test_parts_of_a_part_stay_within_it() -> None:
    tiling = Tiling(field(64, 64, 64), (16, 16, 16), (16, 16, 16))
    box = (slice(16, 48), slice(0, 64), slice(32, 64))
    parts = tiling.parts(box, 64 * 48 * 48)
    assert len(parts) > 1
    covered = np.zeros([part.stop for part in tiling.field], int)
    for part in parts:
        covered[part] += 1
    assert (covered[box] == 1).all()
    assert covered.sum() == covered[box].size


def test_cheapest_cut_is_taken() -> None:
    """Across the axis without overlap, nothing is computed twice."""
    tiling = Tiling(field(10, 64, 64), (1, 16, 16), (0, 32, 32))
    parts = tiling.parts(tiling.field, 4 * 64 * 64)
    assert [(z.start, z.stop) for z, _, _ in parts] == [(0, 4), (4, 8), (8, 10)]
    assert sum(map(tiling.voxels_seen, parts)) == 10 * 64 * 64


def test_too_low_a_limit_is_an_error() -> None:
    tiling = Tiling(field(64, 64, 64), (16, 16, 16), (16, 16, 16))
    with pytest.raises(ValueError, match="1000 voxels"):
        tiling.parts(tiling.field, 1000)


def test_what_is_seen_is_a_multiple_of_the_step_from_the_start_of_the_field() -> None:
    """A field may begin outside the scan, and a box anywhere."""
    tiling = Tiling((slice(-8, 56), slice(16, 48), slice(0, 64)), (16, 16, 16), (3, 3, 3))
    assert tiling.seen((slice(9, 20), slice(20, 44), slice(0, 13))) == (slice(-8, 24), slice(16, 48), slice(0, 16))
    box = (slice(1, 50), slice(19, 47), slice(0, 61))
    parts = tiling.parts(box, 48 * 32 * 64)
    covered = np.zeros((64, 64, 64), int)
    for part in parts:
        covered[part] += 1
        assert tiling.voxels_seen(part) <= 48 * 32 * 64
    assert (covered[box] == 1).all()
    assert covered.sum() == covered[box].size
