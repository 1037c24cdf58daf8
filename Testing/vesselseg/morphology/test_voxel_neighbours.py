from __future__ import annotations

import numpy as np
from scipy import ndimage

from vesselseg.morphology.voxel_neighbours import connected_parts, neighbour_pairs, neighbour_steps, neighbours


def test_neighbours_are_those_one_step_away() -> None:
    points = np.argwhere(np.random.default_rng(0).random((6, 7, 8)) < 0.3) + 100
    around = neighbours(points)
    position = {tuple(point): index for index, point in enumerate(points.tolist())}
    for point, found in zip(points, around):
        assert found.tolist() == [position.get(tuple(point + step), len(points)) for step in neighbour_steps()]
    pairs = neighbour_pairs(around)
    np.testing.assert_array_equal(points[pairs.second] - points[pairs.first], neighbour_steps()[pairs.step])
    assert 2 * len(pairs.first) == np.count_nonzero(around < len(points))
    assert len({frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist())}) == len(pairs.first)


def test_parts_are_the_connected_pieces() -> None:
    label = np.random.default_rng(1).random((12, 11, 10)) < 0.05
    pairs = neighbour_pairs(neighbours(np.argwhere(label)))
    parts = connected_parts(pairs.first, pairs.second, int(label.sum()))
    numbers, count = ndimage.label(label, np.ones((3, 3, 3)))
    assert parts.max() + 1 == count > 5
    assert len(set(zip(parts.tolist(), numbers[label].tolist()))) == count
