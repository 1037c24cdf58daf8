"""What makes drawn scans differ: branches, flow, calibre and classes in the tree; exactness of its drawing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vesselseg.geometry import Geometry
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.growth import grow_tree
from vesselseg.synthesis.trees import ARTERIES, Branch, Tree, clipped, deformed, read_swc, resampled
from vesselseg.synthesis.variation import with_extra_branches, with_flow, with_missing_branches

SIDES = {2: 3, 4: 5, 6: 7}


@pytest.fixture(scope="module")
def tree() -> Tree:
    return grow_tree(np.random.default_rng(0))


def test_only_thin_branches_that_nothing_hangs_on_are_left_out(tree: Tree) -> None:
    fewer = with_missing_branches(tree, np.random.default_rng(0), share=0.5)
    kept = {id(branch) for branch in fewer}
    gone = [branch for branch in tree if id(branch) not in kept]
    forks = {tuple(np.round(branch.points[0], 2)) for branch in tree}
    ends = [b for b in tree if tuple(np.round(b.points[-1], 2)) not in forks and np.median(b.radii) <= 0.8]
    assert 0.35 * len(ends) < len(gone) < 0.65 * len(ends)
    assert {id(branch) for branch in gone} <= {id(branch) for branch in ends}
    assert with_missing_branches(tree, np.random.default_rng(0), share=0.0) == tree


def test_extra_branches_spring_from_others_and_are_thinner(tree: Tree) -> None:
    more = with_extra_branches(tree, np.random.default_rng(1), share=0.3)
    extra = more[len(tree) :]
    assert [id(branch) for branch in more[: len(tree)]] == [id(branch) for branch in tree]
    assert 0.15 * len(tree) < len(extra) < 0.45 * len(tree)
    points = np.concatenate([branch.points for branch in tree])
    radii = np.concatenate([branch.radii for branch in tree])
    arteries = np.concatenate([np.full(len(branch.radii), branch.artery) for branch in tree])
    for branch in extra:
        origins = np.flatnonzero(np.linalg.norm(points - branch.points[0], axis=1) < 1e-6)
        assert ((branch.radii[0] <= radii[origins] + 1e-9) & (branch.artery == arteries[origins])).any()


def test_blood_flows_differently_in_each_branch_and_loses_signal_in_bends() -> None:
    angle = np.linspace(0, np.pi, 40)
    bend = Branch(np.stack([3 * np.cos(angle), 3 * np.sin(angle), 0 * angle], axis=1), np.full(40, 1.0))
    line = Branch(np.stack([np.linspace(0, 20, 40), np.zeros(40), np.zeros(40)], axis=1), np.full(40, 1.0))
    rng = np.random.default_rng(0)
    straight, bent = with_flow([line, bend], rng, spread=0.0, bend_loss=0.6)
    np.testing.assert_allclose(straight.flow, 1.0)
    # Bent with three times its own radius: two thirds of the loss.
    np.testing.assert_allclose(bent.flow[10:30], 1 - 0.6 * 2 / 3, atol=0.03)
    flows = [branch.flow[0] for branch in with_flow([line] * 500, rng, spread=0.2, bend_loss=0.0)]
    assert np.std(np.log(flows)) == pytest.approx(0.2, rel=0.1)


def test_flow_survives_resampling_and_clipping() -> None:
    line = Branch(np.array([[0.0, 0, 0], [10, 0, 0]]), np.array([1.0, 1.0]), flow=np.array([0.5, 1.5]))
    fine = resampled([line], 0.5)[0]
    np.testing.assert_allclose(fine.flow, 0.5 + fine.points[:, 0] / 10)
    part = clipped([fine], lambda points: points[:, 0] > 5)[0]
    np.testing.assert_allclose(part.flow, 0.5 + part.points[:, 0] / 10)


def test_drawing_shows_flow_and_artery_of_each_vessel() -> None:
    geometry = Geometry((40, 40, 20), (0.5, 0.5, 0.5))
    lines = [
        Branch(np.array([[0.0, y, 5], [20, y, 5]]), np.array([r, r]), artery, np.array([flow, flow]))
        for y, r, artery, flow in [(5.0, 1.0, 4, 0.6), (14.0, 2.0, 7, 1.2)]
    ]
    for supersampling in (1, 3):
        drawing = draw(lines, geometry, supersampling=supersampling)
        for y, r, artery, flow in [(10, 1.0, 4, 0.6), (28, 2.0, 7, 1.2)]:
            inside = (slice(8, 13), slice(y - 1, y + 2), slice(5, 35))
            assert (drawing.label[10, y, 5:35] == 1).all()
            assert (drawing.artery[inside] == artery).all()
            np.testing.assert_allclose(drawing.flow[inside], flow)
            np.testing.assert_allclose(drawing.radius[inside], r, rtol=1e-6)


@pytest.mark.parametrize("supersampling", [1, 3])
def test_radius_map_holds_the_true_radius_at_every_label_voxel(supersampling: int) -> None:
    """A vessel that tapers from 2 to 0.4 mm: the radius is that of its axis nearby, less than a radius away."""
    geometry = Geometry((50, 24, 24), (0.6, 0.5, 0.7), (-15.0, -6.0, -8.4))
    start, end = np.array([-13.0, -1.0, 0.5]), np.array([13.0, 1.0, -0.5])
    drawing = draw([Branch(np.array([start, end]), np.array([2.0, 0.4]))], geometry, supersampling=supersampling)
    indices = np.argwhere(drawing.label == 1)[:, ::-1]
    points = indices * geometry.spacing + np.array(geometry.origin)
    share = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
    found, expected = drawing.radius[drawing.label == 1], 2.0 - 1.6 * share
    assert len(found) > 500
    taper = 1.6 / np.linalg.norm(end - start)
    assert np.abs(found - expected).max() < 2.0 * taper
    assert np.abs(found - expected).mean() < 0.05


def counted(start: np.ndarray, end: np.ndarray, radius: float, geometry: Geometry, points: int = 8) -> np.ndarray:
    """Share of each voxel that a cylinder with round ends fills, by counting points: the reference."""
    offsets = (np.arange(points) + 0.5) / points - 0.5
    total = np.zeros(geometry.shape)
    grids = [geometry.origin[a] + geometry.spacing[a] * np.arange(geometry.size[a]) - start[a] for a in range(3)]
    axis = end - start
    for shift in np.stack(np.meshgrid(offsets, offsets, offsets), axis=-1).reshape(-1, 3):
        x, y, z = (grids[a] + shift[a] * geometry.spacing[a] for a in range(3))
        x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
        along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / (axis @ axis), 0, 1)
        total += sum((v - along * a) ** 2 for v, a in zip((x, y, z), axis)) <= radius**2
    return total / points**3


@pytest.mark.parametrize("radius", [0.3, 0.4, 0.6, 1.0, 2.0])
def test_partial_volume_is_close_to_counted_points(radius: float) -> None:
    geometry = Geometry((24, 24, 18), (0.6, 0.6, 0.6), (-6.9, -6.9, -5.1))
    fast, sampled, means = [], [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        direction = rng.normal(size=3)
        direction *= 3 / np.linalg.norm(direction)
        centre = rng.uniform(-0.3, 0.3, 3)
        line = [Branch(np.stack([centre - direction, centre + direction]), np.full(2, radius))]
        reference = counted(centre - direction, centre + direction, radius, geometry)
        fast.append(draw(line, geometry).occupancy.sum() / reference.sum())
        fine = draw(line, geometry, supersampling=3).occupancy
        sampled.append(fine.sum() / reference.sum())
        means.append(np.abs(fine - reference)[(fine > 0) | (reference > 0)].mean())
    # The fast way overfills; how much by is in the documentation of `draw`.
    assert 1.0 < np.mean(fast) < 1.23
    assert np.mean(sampled) == pytest.approx(1, abs=0.03)
    assert np.mean(means) < 0.03


@pytest.mark.parametrize("spacing", [(0.4, 0.4, 0.9), (0.9, 0.9, 0.4)])
@pytest.mark.parametrize("axis", range(3))
def test_thin_vessels_keep_their_volume_along_thick_voxels(spacing: tuple[float, float, float], axis: int) -> None:
    """The course is cut into pieces shorter than a voxel, which fill it together."""
    size = tuple(round(14 / step) for step in spacing)
    geometry = Geometry(size, spacing, tuple(-step * (n - 1) / 2 for n, step in zip(size, spacing)))
    radius, volumes, expected = 0.3, [], []
    rng = np.random.default_rng(0)
    for _ in range(30):
        end = np.eye(3)[axis] * 4
        centre = rng.uniform(-0.5, 0.5, 3) * spacing
        line = [Branch(np.stack([centre - end, centre + end]), np.full(2, radius))]
        volumes.append(draw(line, geometry, supersampling=3).occupancy.sum())
        expected.append((np.pi * radius**2 * 8 + 4 / 3 * np.pi * radius**3) / np.prod(spacing))
    assert np.mean(volumes) == pytest.approx(np.mean(expected), rel=0.06)


def trunk(tree: Tree, artery: int) -> np.ndarray:
    """Return the course of an artery's widest branch; thin ones may cross the midline."""
    return max((branch for branch in tree if branch.artery == artery), key=lambda b: b.radii.max()).points


def test_where_vessels_meet_the_widest_owns_the_voxel() -> None:
    geometry = Geometry((40, 40, 30), (0.5, 0.5, 0.5))
    wide = Branch(np.array([[2.0, 10, 7], [18, 10, 7]]), np.array([2.0, 2.0]), artery=1)
    thin = Branch(np.array([[10.0, 10, 7], [10, 18, 7]]), np.array([0.6, 0.6]), artery=4)
    for order in ([wide, thin], [thin, wide]):
        drawing = draw(order, geometry)
        assert drawing.radius[14, 20, 20] == 2.0
        assert drawing.artery[14, 20, 20] == 1
        assert drawing.artery[14, 32, 20] == 4


def test_arteries_have_classes_by_side_and_mirror_with_the_tree(tree: Tree) -> None:
    assert {branch.artery for branch in tree} == set(ARTERIES)
    for left, right in SIDES.items():
        assert trunk(tree, left)[:, 0].mean() > 1
        assert trunk(tree, right)[:, 0].mean() < -1
    mirrored = set()
    for seed in range(8):
        changed = deformed(tree, np.random.default_rng(seed))
        before = [branch.artery for branch in tree]
        after = [branch.artery for branch in changed]
        mirrored.add(before != after)
        # Whatever happened to the points, left arteries lie on the left.
        for left, right in SIDES.items():
            assert trunk(changed, left)[:, 0].mean() > trunk(changed, right)[:, 0].mean()
    assert mirrored == {True, False}


def test_classes_of_a_traced_tree_come_from_its_node_types(tmp_path) -> None:
    path = tmp_path / "tree.swc"
    path.write_text(
        "1 0 0 -90 0 1.5 -1\n2 0 0 -80 0 1.5 1\n"
        "3 3 0 -80 0 1 2\n4 3 20 -75 0 1 3\n5 7 0 -80 0 0.8 2\n6 7 -5 -78 30 0.8 5\n",
        encoding="utf-8",
    )
    assert sorted(branch.artery for branch in read_swc(path)) == [1, 4, 7]


def test_nothing_is_changed_in_place(tree: Tree) -> None:
    copy = [replace(branch, points=branch.points.copy(), radii=branch.radii.copy()) for branch in tree]
    rng = np.random.default_rng(0)
    with_flow(with_extra_branches(with_missing_branches(tree, rng), rng), rng)
    for before, after in zip(copy, tree):
        np.testing.assert_array_equal(before.points, after.points)
        np.testing.assert_array_equal(before.radii, after.radii)
