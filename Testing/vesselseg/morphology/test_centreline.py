from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselseg.morphology.centreline import centreline

CUBE = np.ones((3, 3, 3))


def tube(radius: float, *, slope: float = 0.0, row: float = 20.0) -> np.ndarray:
    k, j, i = np.meshgrid(*(np.arange(n, dtype=float) for n in (40, 90, 60)), indexing="ij")
    inside = (j - row - slope * i) ** 2 + (k - 20) ** 2 <= radius**2
    return inside & (i >= 2) & (i < 58)


def test_it_is_the_skeleton_where_that_erases_no_piece() -> None:
    label = tube(2.3, slope=0.4) | tube(3.1, slope=-0.3, row=40)
    line = centreline(label)
    assert np.array_equal(line, skeletonize(label))
    assert ndimage.label(line, CUBE)[1] == ndimage.label(label, CUBE)[1]


@pytest.mark.parametrize("width", [2, 4, 6])
def test_straight_pieces_of_even_width_have_one_too(width: int) -> None:
    label = tube(3.1, row=60)
    label[10 : 10 + width, 20 : 20 + width, 2:58] = True
    piece = np.zeros_like(label)
    piece[:, :50] = label[:, :50]
    line = centreline(label)
    assert not (line & ~label).any()
    own = line & piece
    assert 50 - width <= own.sum() <= 60  # a line along its 56 voxels
    assert ndimage.label(own, CUBE)[1] == 1
    other = label & ~piece
    assert np.array_equal(line & other, skeletonize(other))  # the others keep theirs


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [2, 4])
def test_straight_limbs_of_even_width_have_one_too(width: int, axis: int) -> None:
    bar, stem = np.zeros((2, 30, 70, 70), bool)
    bar[10 : 10 + width, 30 : 30 + width, 5:60] = True
    stem[10 : 10 + width, 5:30, 20 : 20 + width] = True
    bar, stem = np.moveaxis(bar, 0, axis), np.moveaxis(stem, 0, axis)
    line = centreline(bar | stem)
    assert not (line & ~(bar | stem)).any()
    # All but what lies at the ends and at the fork.
    assert 55 - 4 * width <= (line & bar).sum() <= 60
    assert 25 - 2 * width <= (line & stem).sum() <= 30


def test_a_sheet_has_no_line_beside_its_skeleton() -> None:
    """Such as the falx in a label that was drawn by a threshold; its skeleton runs along an edge."""
    k, j, i = np.indices((30, 40, 90))
    middle = 20 + 6 * np.sin(i / 14)
    label = (np.abs(j - middle) <= 1) & (k >= 8) & (k < 20) & (i >= 4) & (i < 86)
    assert np.array_equal(centreline(label), skeletonize(label))


def test_every_piece_has_one() -> None:
    label = np.random.default_rng(0).random((20, 30, 25)) < 0.05
    label |= np.roll(label, 1, axis=2)
    pieces, count = ndimage.label(label, CUBE)
    assert len(np.unique(pieces[centreline(label)])) == count


def test_nothing_has_none() -> None:
    assert not centreline(np.zeros((4, 5, 6), bool)).any()
