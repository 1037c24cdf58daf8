from __future__ import annotations

import networkx as nx
import numpy as np
from scipy import ndimage

from vesselseg.morphology.voxel_neighbours import (
    connected_parts,
    neighbour_pairs,
    neighbour_steps,
    neighbours,
    shortest_tree,
)


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


def test_the_shortest_tree_is_as_long_as_an_independent_one() -> None:
    points = np.argwhere(np.random.default_rng(2).random((9, 8, 7)) < 0.2)
    pairs = neighbour_pairs(neighbours(points))
    lengths = np.linalg.norm(neighbour_steps() * (1.2, 0.5, 0.4), axis=1)[pairs.step]
    tree = shortest_tree(pairs.first, pairs.second, lengths, len(points))
    graph = nx.Graph()
    graph.add_weighted_edges_from(zip(pairs.first.tolist(), pairs.second.tolist(), lengths.tolist()))
    expected = nx.minimum_spanning_tree(graph)
    assert tree.nnz == expected.number_of_edges() > 20
    np.testing.assert_allclose(tree.sum(), expected.size("weight"))
    assert {*zip(tree.row.tolist(), tree.col.tolist())} <= {*zip(pairs.first.tolist(), pairs.second.tolist())}
