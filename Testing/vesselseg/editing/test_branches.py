from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from drawn_tubes import GRIDS, ISOTROPIC, at, real_vessels, tube
from editing_shortcuts import apply_edit, undo_edit
from vesselseg.editing import edit_of, moved_to, remove_branch, remove_piece
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry

CUBE = np.ones((3, 3, 3), bool)
FORK = (0.5, 0.5, 0.5)
grids = pytest.mark.parametrize("geometry", GRIDS.values(), ids=GRIDS)


def y_tree(geometry: Geometry) -> dict[str, np.ndarray]:
    """A trunk that touches the border, and two branches of which one forks again."""
    return {
        "trunk": tube(geometry, 2.0, (0.0, 0.5, 0.45), FORK),
        "large": tube(geometry, 1.7, FORK, (0.95, 0.5, 0.85)),
        "branch": tube(geometry, 1.1, FORK, (0.6, 0.5, 0.3), (0.75, 0.5, 0.15)),
        "twig": tube(geometry, 0.7, (0.6, 0.5, 0.3), (0.7, 0.9, 0.2)),
    }


def together(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.any(list(parts.values()), axis=0).astype(np.uint8)


def after(label: np.ndarray, edit) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Apply an edit to a copy, and hold that undoing it brings the label back."""
    changed = label.copy()
    apply_edit(changed, edit)
    again = changed.copy()
    undo_edit(again, edit)
    np.testing.assert_array_equal(again, label)
    return changed


def check_removal(left: np.ndarray, kept: np.ndarray, gone: np.ndarray, voxel_mm: float) -> None:
    """The kept vessels keep nearly every voxel; of the others only what is at the wall of these stays."""
    assert left[kept].mean() > 0.99
    assert left[ndimage.binary_erosion(kept, CUBE, border_value=1)].mean() > 0.995
    distance = ndimage.distance_transform_edt(~kept, sampling=voxel_mm)
    assert left[gone & (distance > 1.5)].sum() == 0
    assert left[gone & ~kept].mean() < 0.1
    assert ndimage.label(left, CUBE)[1] == 1


@grids
@pytest.mark.parametrize("click", [(0.56, 0.5, 0.38), (0.58, 0.5, 0.35)])
def test_a_branch_goes_with_all_that_comes_after_it(geometry: Geometry, click: tuple[float, ...]) -> None:
    tree = y_tree(geometry)
    label = together(tree)
    edit = remove_branch(label, geometry, at(geometry, *click))
    kept, gone = tree["trunk"] | tree["large"], tree["branch"] | tree["twig"]
    check_removal(after(label, edit), kept, gone, geometry.spacing_zyx)
    assert edit.voxels_added == 0
    assert edit.measures["volume_mm3"] == pytest.approx(edit.voxels_removed * geometry.voxel_volume)
    assert edit.measures["radius_mm"] == pytest.approx(1.0, abs=0.5)


@grids
def test_a_twig_leaves_its_branch(geometry: Geometry) -> None:
    tree = y_tree(geometry)
    label = together(tree)
    edit = remove_branch(label, geometry, at(geometry, 0.67, 0.78, 0.23))
    kept = tree["trunk"] | tree["large"] | tree["branch"]
    check_removal(after(label, edit), kept, tree["twig"], geometry.spacing_zyx)
    length = np.linalg.norm((np.array([0.1, 0.4, -0.1])) * np.array(geometry.shape) * geometry.spacing_zyx)
    assert edit.measures["length_mm"] == pytest.approx(length, rel=0.25)


@grids
def test_at_the_click_the_branch_is_cut_across(geometry: Geometry) -> None:
    trunk = tube(geometry, 1.6, (0.05, 0.5, 0.5), (0.95, 0.5, 0.5)).astype(np.uint8)
    cut = at(geometry, 0.6, 0.5, 0.5)
    left = after(trunk, remove_branch(trunk, geometry, cut, at_click=True))
    top = np.argwhere(left).max(axis=0)[0]
    assert abs(top - cut[0]) * geometry.spacing_zyx[0] <= 1.5
    assert left[: int(cut[0]) - 2].sum() == trunk[: int(cut[0]) - 2].sum()
    other = after(trunk, remove_branch(trunk, geometry, cut, at_click=True, other_side=True))
    np.testing.assert_array_equal(left | other, trunk)
    assert np.ptp(np.argwhere(left & other)[:, 0]) <= 1


def test_the_other_side_is_the_rest_of_the_vessel() -> None:
    tree = y_tree(ISOTROPIC)
    label = together(tree)
    edit = remove_branch(label, ISOTROPIC, at(ISOTROPIC, 0.56, 0.5, 0.38), other_side=True)
    left = after(label, edit)
    assert left[tree["trunk"] & ~tree["branch"]].sum() == 0
    assert left[tree["twig"] & ~tree["branch"]].mean() > 0.99
    with pytest.raises(VesselSegError, match="nothing on its other side"):
        remove_branch(label, ISOTROPIC, at(ISOTROPIC, 0.67, 0.78, 0.23), other_side=True)


def ring(geometry: Geometry) -> dict[str, np.ndarray]:
    """Four vessels in a loop, each corner with a vessel that leads away."""
    a, b, c, d = (0.5, 0.3, 0.3), (0.5, 0.3, 0.7), (0.5, 0.7, 0.7), (0.5, 0.7, 0.3)
    away = {"a": (0.1, 0.1, 0.1), "b": (0.9, 0.1, 0.9), "c": (0.9, 0.9, 0.9), "d": (0.9, 0.9, 0.1)}
    tree = {name: tube(geometry, 1.2, corner, away[name]) for name, corner in zip("abcd", (a, b, c, d))}
    sides = {"ab": (a, b), "bc": (b, c), "cd": (c, d), "da": (d, a)}
    return {**tree, **{name: tube(geometry, 1.2, *ends) for name, ends in sides.items()}}


@grids
def test_of_a_loop_only_the_clicked_stretch_goes(geometry: Geometry) -> None:
    tree = ring(geometry)
    label = together(tree)
    left = after(label, remove_branch(label, geometry, at(geometry, 0.5, 0.3, 0.5)))
    kept = np.any([tree[name] for name in tree if name != "ab"], axis=0)
    check_removal(left, kept, tree["ab"], geometry.spacing_zyx)
    with pytest.raises(VesselSegError, match="part of a loop"):
        remove_branch(label, geometry, at(geometry, 0.5, 0.3, 0.5), at_click=True)


def test_a_ring_alone_has_no_end() -> None:
    k, j, i = np.indices(ISOTROPIC.shape)
    k0, j0, i0 = (n // 2 for n in ISOTROPIC.shape)
    label = ((np.hypot(j - j0, i - i0) - 12) ** 2 + (k - k0) ** 2 <= 4).astype(np.uint8)
    with pytest.raises(VesselSegError, match="part of a loop"):
        remove_branch(label, ISOTROPIC, (k0, j0 + 12, i0), at_click=True)


def test_a_branch_without_a_voxel_of_its_own_is_refused() -> None:
    piece = [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4], [1, 0, 2], [1, 0, 3], [1, 0, 4]]
    geometry = Geometry((9, 6, 6), (0.35, 0.85, 1.0))
    label = np.zeros(geometry.shape, np.uint8)
    label[tuple(np.array(piece).T + 2)] = 1
    refused = []
    for voxel in np.argwhere(label):
        try:
            after(label, remove_branch(label, geometry, tuple(map(float, voxel)), at_click=True))
        except VesselSegError as error:
            refused.append(error.message)
    assert "no voxel belongs to the branch at the click alone" in refused


def test_what_hangs_on_a_loop_goes_without_it() -> None:
    tree = ring(ISOTROPIC)
    label = together(tree)
    left = after(label, remove_branch(label, ISOTROPIC, at(ISOTROPIC, 0.75, 0.8, 0.8)))
    kept = np.any([tree[name] for name in tree if name != "c"], axis=0)
    check_removal(left, kept, tree["c"], ISOTROPIC.spacing_zyx)


@pytest.mark.parametrize("click", [(0.5, 0.3, 0.85), (0.5, 0.5, 0.3)])
def test_a_loop_on_one_stalk_goes_alone_and_so_does_the_stalk(click: tuple[float, ...]) -> None:
    stalk = tube(ISOTROPIC, 1.2, (0.5, 0.5, 0.05), (0.5, 0.5, 0.44))
    loop = tube(
        ISOTROPIC, 1.2, (0.5, 0.5, 0.5), (0.5, 0.3, 0.6), (0.5, 0.3, 0.9), (0.5, 0.7, 0.9), (0.5, 0.7, 0.6), FORK
    )
    label = (stalk | loop).astype(np.uint8)
    left = after(label, remove_branch(label, ISOTROPIC, at(ISOTROPIC, *click)))
    kept, gone = (stalk, loop) if click[2] > 0.5 else (loop, stalk)
    check_removal(left, kept, gone, ISOTROPIC.spacing_zyx)


def test_the_larger_side_stays_where_voxels_are_longer_along_it() -> None:
    geometry = Geometry((64, 64, 40), (0.4, 0.4, 1.0))
    # Of 30 mm the trunk has fewer voxels of skeleton along z than the branch has in its plane.
    trunk = tube(geometry, 1.2, (0.1, 0.5, 0.2), (0.9, 0.5, 0.2))
    stretch = tube(geometry, 0.9, (0.5, 0.5, 0.2), (0.5, 0.5, 0.6))
    branch = tube(geometry, 1.15, (0.5, 0.05, 0.6), (0.5, 0.95, 0.6))
    label = (trunk | stretch | branch).astype(np.uint8)
    assert trunk.sum() > 1.3 * branch.sum()
    left = after(label, remove_branch(label, geometry, at(geometry, 0.5, 0.5, 0.4)))
    check_removal(left, trunk, stretch | branch, geometry.spacing_zyx)


def test_a_thin_branch_leaves_no_dent_in_a_thick_vessel() -> None:
    geometry = ISOTROPIC
    parent = tube(geometry, 4.0, (0.0, 0.5, 0.5), (1.0, 0.5, 0.5))
    branch = tube(geometry, 0.6, (0.5, 0.5, 0.5), (0.5, 0.5, 0.95))
    label = (parent | branch).astype(np.uint8)
    left = after(label, remove_branch(label, geometry, at(geometry, 0.5, 0.5, 0.85)))
    assert left[branch & ~ndimage.binary_dilation(parent, CUBE)].sum() == 0
    assert left[parent].sum() >= parent.sum() - 6


@grids
@pytest.mark.parametrize("at_click", [False, True])
def test_a_branch_is_the_same_once_the_vessel_that_it_comes_from_is_in_another_label(
    geometry: Geometry, at_click: bool
) -> None:
    whole, click = together(y_tree(geometry)), at(geometry, 0.58, 0.5, 0.35)
    parent = after(whole, remove_branch(whole, geometry, click))
    label = whole & ~parent
    expected = remove_branch(whole, geometry, click, at_click=at_click)
    edit = remove_branch(label, geometry, click, at_click=at_click, whole=whole)
    np.testing.assert_array_equal(after(label, edit), label & after(whole, expected))
    other = remove_branch(label, geometry, click, at_click=at_click, other_side=True, whole=whole)
    assert 0 < other.voxels_removed < parent.sum()
    after(label, other)  # holds that it takes nothing from the other label


def test_what_is_left_of_a_fork_goes_as_a_piece() -> None:
    whole = together(y_tree(ISOTROPIC))
    label = whole
    for click in ((0.2, 0.5, 0.47), (0.75, 0.5, 0.7), (0.58, 0.5, 0.35)):
        edit = remove_branch(label, ISOTROPIC, at(ISOTROPIC, *click), whole=whole)
        label = after(label, edit)
    assert 0 < label.sum() < 0.1 * whole.sum()
    left = np.argwhere(label)[0]
    edit = remove_branch(label, ISOTROPIC, left, whole=whole)
    assert not after(label, edit).any()
    assert edit.measures["volume_mm3"] == pytest.approx(label.sum() * ISOTROPIC.voxel_volume)


def test_a_branch_moves_to_another_segment() -> None:
    tree = y_tree(ISOTROPIC)
    label = together(tree)
    edit = remove_branch(label, ISOTROPIC, at(ISOTROPIC, 0.56, 0.5, 0.38))
    target = np.zeros_like(label)
    target[tuple(np.argwhere(tree["twig"])[-1])] = 1
    gained = moved_to(edit, target)
    left, moved = after(label, edit), after(target, gained)
    np.testing.assert_array_equal(left | moved, label)
    assert gained.voxels_added in (edit.voxels_removed, edit.voxels_removed - 1)
    assert "take over a branch" in gained.description


def test_a_piece_goes_as_a_whole_and_nothing_else() -> None:
    tree = y_tree(ISOTROPIC)
    label = together(tree)
    loose = tube(ISOTROPIC, 0.2, (0.1, 0.1, 0.1), (0.3, 0.2, 0.1))
    label[loose] = 1
    edit = remove_piece(label, ISOTROPIC, at(ISOTROPIC, 0.2, 0.13, 0.1))
    np.testing.assert_array_equal(after(label, edit), together(tree))
    assert edit.measures["volume_mm3"] == pytest.approx(loose.sum() * ISOTROPIC.voxel_volume)


def test_a_vessel_without_forks_goes_as_a_whole() -> None:
    line = tube(ISOTROPIC, 0.6, (0.2, 0.2, 0.2), (0.8, 0.6, 0.5)).astype(np.uint8)
    voxel = np.zeros_like(line)
    voxel[12, 14, 13] = 1
    for label in (line, voxel, np.ones_like(line[:3, :3, :3])):
        grid = Geometry(label.shape[::-1], ISOTROPIC.spacing)  # type: ignore[arg-type]
        left = after(label, remove_branch(label, grid, np.argwhere(label)[-1]))
        assert not left.any()


@pytest.mark.parametrize("tool", [remove_piece, remove_branch])
def test_a_click_on_nothing_is_said(tool) -> None:  # type: ignore[no-untyped-def]
    label = together(y_tree(ISOTROPIC))
    with pytest.raises(VesselSegError, match="no vessel within 3 mm") as raised:
        tool(label, ISOTROPIC, (2.0, 2.0, 60.0))
    assert "\n" not in str(raised.value)
    with pytest.raises(VesselSegError, match="outside the scan"):
        tool(label, ISOTROPIC, (-4.0, 2.0, 60.0))
    with pytest.raises(ValueError, match="label has shape"):
        tool(label[1:], ISOTROPIC, (2.0, 2.0, 60.0))


def test_inputs_stay_as_they_are() -> None:
    label = together(y_tree(ISOTROPIC))
    label.setflags(write=False)
    remove_branch(label, ISOTROPIC, at(ISOTROPIC, 0.56, 0.5, 0.38))


def test_every_branch_of_a_real_label_can_be_removed(data_folder: Path) -> None:
    label, _, geometry = real_vessels(data_folder)
    places = np.argwhere(label)
    pieces = ndimage.label(label, CUBE)[1]
    for number in np.random.default_rng(2).choice(len(places), 6, replace=False):
        edit = remove_branch(label, geometry, places[number])
        left = after(label, edit)
        assert 0 < edit.voxels_removed < label.sum()
        # A branch falls off as one; a stretch of a loop does not even that.
        assert ndimage.label(left, CUBE)[1] in (pieces, pieces - 1)
        taken = edit_of(edit.added, edit.removed, tool="", description="").removed
        assert ndimage.label(taken, CUBE)[1] == 1
