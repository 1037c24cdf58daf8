from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import euler_number

from vesselseg.morphology.thinning import thin
from vesselseg.morphology.voxel_neighbours import neighbours


def skeleton(label: np.ndarray) -> np.ndarray:
    points = np.argwhere(label)
    result = np.zeros(label.shape, bool)
    result[tuple(points[thin(points)].T)] = True
    return result


@pytest.mark.parametrize("seed", range(3))
def test_topology_stays(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(32, 30, 28))
    label = np.pad(ndimage.gaussian_filter(noise, 1.5) > 0.05, 1)
    line = skeleton(label)
    assert not np.any(line & ~label)
    assert line.sum() < 0.12 * label.sum()
    cube = np.ones((3, 3, 3))
    assert euler_number(line, 3) == euler_number(label, 3)
    assert ndimage.label(line, cube)[1] == ndimage.label(label, cube)[1]
    assert ndimage.label(~line)[1] == ndimage.label(~label)[1]


@pytest.mark.parametrize("width", range(1, 7))
@pytest.mark.parametrize("height", [1, 2, 4])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_straight_pieces_of_any_width_become_a_line(width: int, height: int, axis: int) -> None:
    label = np.moveaxis(np.ones((30, width, height), bool), 0, axis)
    line = np.moveaxis(skeleton(label), axis, 0)
    assert np.all(line.sum(axis=(1, 2)) <= 1)
    # The ends recede by about the width, as in any thinning.
    assert 30 - width - height <= line.sum() <= 30


def test_a_line_stays_as_it_is() -> None:
    generator = np.random.default_rng(0)
    steps = np.abs(generator.integers(0, 2, (40, 3)))
    steps[steps.sum(axis=1) == 0] = 1
    points = np.cumsum(steps, axis=0)
    line = np.zeros(points.max(axis=0) + 2, bool)
    line[tuple(points.T)] = True
    assert skeleton(line).sum() >= 0.85 * len(points)
    assert thin(np.array([[3, 4, 5]])).all()


def test_a_label_is_thinned_down_to_voxels_that_stay() -> None:
    """Two blocks in a layer with a stalk on it: the stalk is left, and a line from block to block."""
    blocks, layer, stalk = (np.zeros((20, 20, 20), bool) for _ in range(3))
    blocks[3:7, 3:9, 3:17] = blocks[3:7, 11:17, 3:17] = True
    layer[3:8, 3:17, 3:17] = True
    layer &= ~blocks
    stalk[8:16, 14, 5] = True
    points, stay = np.argwhere(layer | stalk), np.argwhere(blocks)
    around = neighbours(np.concatenate([points, stay]))[: len(points)]
    nothing, staying = len(points), len(points) + 1
    around = np.where(around < len(points), around, np.where(around < len(points) + len(stay), staying, nothing))
    line = np.zeros(layer.shape, bool)
    line[tuple(points[thin(points, around)].T)] = True
    assert line[stalk].all()
    assert np.count_nonzero(line & layer) < 6
    cube = np.ones((3, 3, 3))
    assert (ndimage.label(blocks, cube)[1], ndimage.label(blocks | line, cube)[1]) == (2, 1)
