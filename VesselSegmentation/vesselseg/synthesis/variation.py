"""Random changes of a tree's branches: some missing, some more, and how well blood flows in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vesselseg.synthesis.trees import Array, Tree


def with_missing_branches(tree: Tree, rng: np.random.Generator, *, share: float = 0.1) -> Tree:
    """Leave out a share of the branches that nothing else hangs on."""
    starts = {_key(branch.points[0]) for branch in tree}
    return [b for b in tree if _key(b.points[-1]) in starts or rng.random() >= share or np.median(b.radii) > 0.8]


def _key(point: Array) -> tuple[int, ...]:
    return tuple(np.rint(point * 100).astype(int))


def with_extra_branches(tree: Tree, rng: np.random.Generator, *, share: float = 0.15) -> Tree:
    """Let copies of thin branches, turned at random, spring from other branches.

    Parameters
    ----------
    tree : list of Branch
    rng : numpy.random.Generator
    share : float
        Number of extra branches, as a share of the branches there are.

    Returns
    -------
    list of Branch
        The extra ones at the end; each begins on another branch and has its artery class.
    """
    from scipy.spatial.transform import Rotation

    thin = [branch for branch in tree if len(branch.points) > 3 and np.median(branch.radii) < 0.8]
    extra = []
    for _ in range(int(rng.poisson(share * len(tree))) if thin else 0):
        model, parent = thin[rng.integers(len(thin))], tree[rng.integers(len(tree))]
        k = int(rng.integers(len(parent.points)))
        turn = Rotation.from_rotvec(rng.normal(0, 0.8, 3))
        course = turn.apply((model.points - model.points[0]) * rng.uniform(0.7, 1.3)) + parent.points[k]
        # No child is wider than its parent.
        radii = model.radii * min(rng.uniform(0.7, 1.1), float(parent.radii[k] / model.radii[0]))
        extra.append(replace(model, points=course, radii=radii, artery=parent.artery))
    return [*tree, *extra]


def with_flow(tree: Tree, rng: np.random.Generator, *, spread: float = 0.15, bend_loss: float = 0.3) -> Tree:
    """Give every branch an inflow enhancement: some carry slower blood, and bends lose signal to turbulence.

    Parameters
    ----------
    tree : list of Branch
        With points at most about 1 mm apart.
    rng : numpy.random.Generator
    spread : float
        Standard deviation of the logarithm of a branch's enhancement.
    bend_loss : float
        Share of the enhancement lost where a vessel's course bends with a radius as small as twice its own.

    Returns
    -------
    list of Branch
    """
    result = []
    for branch in tree:
        flow = np.full(len(branch.points), np.exp(rng.normal(-0.5 * spread, spread)))
        if len(branch.points) > 4:
            flow *= 1 - bend_loss * np.clip(2 * branch.radii * _curvature(branch.points), 0, 1)
        result.append(replace(branch, flow=flow))
    return result


def _curvature(points: Array) -> Array:
    """Return one over the radius of curvature, in 1/mm, shape (N,); smoothed, since tracings are rough."""
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(points, 2.0, axis=0, mode="nearest")
    velocity = np.gradient(smooth, axis=0)
    acceleration = np.gradient(velocity, axis=0)
    speed = np.maximum(np.linalg.norm(velocity, axis=1), 1e-3)
    return np.linalg.norm(np.cross(velocity, acceleration), axis=1) / speed**3
