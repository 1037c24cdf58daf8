"""Vessels outside of the brain, drawn into simulated heads as distractors: of the meninges, the temples, the scalp.

Heads are ellipsoids here: a course is a sequence of directions from the centre, and its depth a distance from the
surface of the brain.
"""

from __future__ import annotations

import numpy as np

from vesselseg.synthesis.trees import Array, Branch, Tree

#: Courses on the left, as directions in units of the brain's half axes: up to the fork, then the two branches.
_MIDDLE_MENINGEAL = (
    [(0.5, -0.15, -0.85), (0.8, -0.3, -0.55), (0.93, -0.32, -0.2)],
    [(0.93, -0.32, -0.2), (0.83, -0.45, 0.3), (0.5, -0.4, 0.75)],
    [(0.93, -0.32, -0.2), (0.95, 0.1, 0.1), (0.75, 0.5, 0.4), (0.5, 0.75, 0.4)],
)
_SUPERFICIAL_TEMPORAL = (
    [(0.85, 0.1, -0.75), (0.95, 0.02, -0.4), (0.98, -0.03, -0.1)],
    [(0.98, -0.03, -0.1), (0.85, -0.45, 0.2), (0.6, -0.6, 0.5)],
    [(0.98, -0.03, -0.1), (0.9, 0.1, 0.4), (0.6, 0.25, 0.75)],
)


def meningeal_arteries(centre: Array, axes: Array, rng: np.random.Generator) -> Tree:
    """Draw the middle meningeal arteries, which run along the inside of the skull.

    Parameters
    ----------
    centre, axes : ndarray, shape (3,)
        Centre and half axes x, y, z of the brain, in mm, LPS.
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
        None, those of one side, or of both; 1 to 2.2 mm outside of the brain.
    """
    return _on_both_sides(_MIDDLE_MENINGEAL, (1.0, 2.2), (0.4, 0.8), centre, axes, rng)


def temporal_arteries(centre: Array, axes: Array, rng: np.random.Generator) -> Tree:
    """Draw the superficial temporal arteries, which run in the fat below the skin; see `meningeal_arteries`."""
    return _on_both_sides(_SUPERFICIAL_TEMPORAL, (9.5, 12.5), (0.5, 1.1), centre, axes, rng)


def _on_both_sides(
    courses: tuple[list[tuple[float, float, float]], ...], depth: tuple[float, float], calibre: tuple[float, float],
    centre: Array, axes: Array, rng: np.random.Generator,
) -> Tree:  # fmt: skip
    tree = []
    for side in (-1.0, 1.0):
        reach = 1 + rng.uniform(*depth) / axes.mean()
        radius = rng.uniform(*calibre)
        shift = rng.normal(0, 0.05, 3)
        if rng.random() < 0.2:
            continue  # too slow a flow to be seen
        for course, share in zip(courses, (1.0, 0.8, 0.7)):
            directions = _winding(np.array(course) * (side, 1.0, 1.0) + shift, rng)
            radii = np.linspace(radius * share, max(radius * share * 0.6, 0.3), len(directions))
            tree.append(Branch(directions * axes * reach + centre, radii))
    return tree


def _winding(corners: Array, rng: np.random.Generator) -> Array:
    """Return unit vectors along a smooth course through the corners, with small windings between its ends."""
    from scipy.interpolate import CubicSpline

    along = np.linspace(0, len(corners) - 1, 40)
    directions = CubicSpline(np.arange(len(corners)), corners)(along)
    waves = rng.uniform(4, 12, 3) * along[:, None] + rng.uniform(0, 6, 3)
    # None at the ends: branches have to begin where their stem ends.
    directions += 0.015 * np.sin(waves) * np.sin(np.pi * along / along[-1])[:, None]
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def scalp_vessels(centre: Array, axes: Array, rng: np.random.Generator) -> Tree:
    """Draw thin winding vessels outside of the skull of an ellipsoidal head; they are no brain arteries either."""
    tree = []
    for _ in range(int(rng.integers(6, 20))):
        course = rng.normal((0.0, 0.0, 0.6))
        points = [course / np.linalg.norm(course)]
        step = rng.normal(0, 0.03, 3)
        for _ in range(40):
            step = 0.9 * step + rng.normal(0, 0.006, 3)
            points.append((points[-1] + step) / np.linalg.norm(points[-1] + step))
        reach = 1 + rng.uniform(8, 12) / axes.mean()
        tree.append(Branch(np.array(points) * axes * reach + centre, np.full(41, rng.uniform(0.3, 0.8))))
    return tree


def orbital_strands(eye: Array, radius: float, side: float) -> Tree:
    """Draw the optic nerve and the four straight muscles of an eye, which run to the tip of the orbit.

    Parameters
    ----------
    eye : ndarray, shape (3,)
        Centre of the eye, in mm, LPS.
    radius : float
        Of the eye, in mm.
    side : float
        1 on the left, -1 on the right.

    Returns
    -------
    list of Branch
    """
    tip = eye + radius * np.array([-0.7 * side, 2.6, 0.1])
    starts = [(0.0, 1.0, 0.0), (1.0, 0.4, 0.0), (-1.0, 0.4, 0.0), (0.0, 0.4, 1.0), (0.0, 0.4, -1.0)]
    tree = []
    for start in starts:
        first = eye + radius * np.array(start)
        # Muscles bulge outwards on their way.
        middle = (first + tip) / 2 + 0.15 * radius * np.array(start) * (1.0, 0.0, 1.0)
        tree.append(Branch(np.stack([first, middle, tip]), np.full(3, 0.13 * radius)))
    return tree
