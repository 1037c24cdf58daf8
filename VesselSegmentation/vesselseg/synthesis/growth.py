"""Vessel trees out of nothing: the large arteries along their known courses, and trees that branch by Murray's law.

Lengths are those of an adult head; the origin lies at the middle of the circle of Willis, +x to the left, +y to the
back, +z up (LPS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vesselseg.synthesis.trees import Array, Branch, Tree, resampled

#: Vessels thinner than this are not grown: a TOF scan does not show them. Millimetres.
SMALLEST_RADIUS = 0.3
#: Centre and half axes of the brain, in mm, around the origin described above.
BRAIN_CENTRE = np.array([0.0, 14.0, 22.0])
BRAIN_AXES = np.array([65.0, 85.0, 62.0])

_STEP = 2.0


def grow_carotids(rng: np.random.Generator) -> Tree:
    """Draw both internal carotids with their siphons, from the neck to the circle of Willis.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
        Two branches with radii of 1.3 to 3 mm: the largest arteries of the head.
    """
    tree = []
    carotid = rng.uniform(1.6, 2.8)
    for side in (-1.0, 1.0):
        siphon = rng.uniform(0.8, 1.25)  # from stretched to tightly wound
        course = [
            (11, 0, 0), (10, 3 * siphon, -4), (10, -6 * siphon, -8), (11, -9 * siphon, -13), (12, -2, -17),
            (13, 7 * siphon, -19), (16, 9, -25), (22, 6, -30), (25, 8, -36), (26, 10, -48), (25, 12, -70),
        ]  # fmt: skip
        radius = carotid * rng.uniform(0.85, 1.1)
        tree.append(_along(course, side, (radius * 0.8, radius), rng))
    return tree


def grow_vertebrobasilar(rng: np.random.Generator) -> Tree:
    """Draw the basilar artery and the vertebral arteries that join to it.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
        The basilar and one or two vertebrals, with radii of 0.5 to 2.1 mm.
    """
    basilar = rng.uniform(1.1, 2.1)
    sway = rng.normal(0, 3)
    trunk = [(0, 13, 0), (sway / 2, 11, -10), (sway, 14, -20), (sway / 2, 18, -30)]
    tree = [_along(trunk, 1.0, (basilar, basilar), rng)]
    for side in (-1.0, 1.0):
        if rng.random() < 0.06:
            continue  # one that ends before it reaches the basilar
        course = [
            (side * sway / 2, 18, -30), (5, 22, -37), (9, 27, -45), (14, 36, -53), (20, 38, -58), (22, 30, -64),
            (20, 26, -74),
        ]  # fmt: skip
        tree.append(_along(course, side, (basilar * rng.uniform(0.5, 0.95),) * 2, rng))
    return [replace(branch, artery=8) for branch in tree]


def grow_tree(rng: np.random.Generator, *, density: float = 1.0) -> Tree:
    """Grow a whole cerebral artery tree.

    The circle of Willis and the trunks of the anterior, middle and posterior cerebral and the cerebellar arteries
    follow fixed courses with random bends; side branches and forks grow from them as random walks that keep their
    direction, are drawn to the surface of the brain and run along it. At a fork the radii obey Murray's law,
    r0^3 = r1^3 + r2^3.

    Parameters
    ----------
    rng : numpy.random.Generator
    density : float
        Side branches, in relation to the usual number.

    Returns
    -------
    list of Branch
        With the feeding arteries of the neck.

    References
    ----------
    Murray CD. The physiological principle of minimum work. Proc Natl Acad Sci USA 1926;12:207-214.
    doi:10.1073/pnas.12.3.207
    """
    tree = grow_carotids(rng) + grow_vertebrobasilar(rng)
    for side in (-1.0, 1.0):
        for course, radii, spacing, artery in _trunks(rng):
            trunk = _along(course, side, radii, rng)
            grown = [trunk, *_side_branches(trunk, spacing / density, rng)]
            grown += _fork(trunk.points[-1], trunk.points[-1] - trunk.points[-3], radii[1], rng)
            tree += [replace(branch, artery=artery + (artery in (2, 4, 6) and side < 0)) for branch in grown]
    bridge = [(-2, -11, 3), (2, -11, 3)]  # the anterior communicating artery
    tree.append(_along(bridge, 1.0, (rng.uniform(0.4, 0.9),) * 2, rng))
    return [branch for branch in tree if len(branch.points) > 1]


def _trunks(
    rng: np.random.Generator,
) -> list[tuple[list[tuple[float, float, float]], tuple[float, float], float, int]]:
    """Return course (right side mirrored), radii at both ends, distance of the side branches, in mm, and artery."""
    a1, m1, p1 = rng.uniform(0.9, 1.3), rng.uniform(1.2, 1.7), rng.uniform(0.9, 1.3)
    up = rng.uniform(0.9, 1.1)
    return [
        ([(11, 0, 0), (7, -6, 2), (2, -11, 3)], (a1, a1), 1e9, 2),
        ([(2, -11, 3), (2, -22, 9 * up), (2, -32, 20 * up), (2.5, -30, 34 * up), (3, -14, 45 * up), (3, 10, 48 * up),
          (3, 35, 44 * up)], (a1, 0.55), 9.0, 2),
        ([(11, 0, 0), (18, -3, 1), (26, -2, 3), (33, -3, 1)], (m1, m1 * 0.9), 12.0, 4),
        ([(33, -3, 1), (38, 4, 8), (40, 14, 16), (46, 26, 24), (56, 36, 28)], (m1 * 0.75, 0.6), 6.0, 4),
        ([(33, -3, 1), (39, -6, 8), (42, -6, 18), (50, -4, 28), (57, 0, 36)], (m1 * 0.7, 0.6), 6.0, 4),
        ([(33, -3, 1), (41, 4, -2), (50, 14, 2), (58, 28, 8)], (m1 * 0.6, 0.5), 7.0, 4),
        ([(0, 13, 0), (6, 12, 2), (13, 18, 2), (16, 28, 3), (13, 40, 5), (12, 58, 6), (8, 76, 10)], (p1, 0.6), 8.0, 6),
        ([(11, 1, -1), (9, 7, 0), (7, 12, 1)], (rng.uniform(0.3, 0.9),) * 2, 1e9, 1),
        ([(0, 14, -2), (8, 18, -3), (15, 28, -4), (14, 42, -4), (10, 52, -10)], (0.75, 0.45), 14.0, 8),
        ([(1, 17, -22), (12, 24, -22), (24, 36, -22), (32, 50, -24)], (0.7, 0.4), 16.0, 8),
        ([(12, 32, -50), (14, 44, -44), (8, 54, -40), (6, 66, -34)], (0.75, 0.4), 14.0, 8),
    ]  # fmt: skip


def _along(
    course: Sequence[tuple[float, float, float]], side: float, radii: tuple[float, float], rng: np.random.Generator
) -> Branch:
    """Run a smooth vessel along a course whose inner points are moved at random."""
    from scipy.interpolate import CubicSpline

    points = np.array(course, dtype=float) * (side, 1.0, 1.0)
    points[1:-1] += rng.normal(0, 1.0, points[1:-1].shape)
    along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    fine = np.linspace(0, along[-1], max(int(along[-1] / 1.5), 3) + 1)
    # Taper, with slow irregularity of the wall.
    wave = 1 + 0.06 * np.sin(fine / rng.uniform(4, 9) + rng.uniform(0, 6))
    return Branch(CubicSpline(along, points)(fine), np.linspace(radii[0], radii[1], len(fine)) * wave)


def _side_branches(trunk: Branch, spacing: float, rng: np.random.Generator) -> Tree:
    tree: Tree = []
    position = rng.uniform(0.3, 1.0) * spacing
    fine = resampled([trunk], _STEP)[0]
    tangents = np.gradient(fine.points, axis=0)
    for k in range(1, len(fine.points) - 1):
        position -= _STEP
        if position > 0:
            continue
        position = spacing * rng.uniform(0.6, 1.4)
        # A side branch takes a small share of the flow, so that the trunk need not be made thinner at once.
        radius = float(np.clip(fine.radii[k] * rng.uniform(0.4, 0.8), SMALLEST_RADIUS, 0.75))
        across = np.cross(tangents[k], rng.normal(size=3))
        tree += _walk(fine.points[k], _unit(0.5 * _unit(tangents[k]) + _unit(across)), radius, rng)
    return tree


def _fork(point: Array, direction: Array, radius: float, rng: np.random.Generator) -> Tree:
    """Split a vessel in two by Murray's law; a child that would be too thin is left out."""
    share = rng.uniform(0.25, 0.75)
    across = _unit(np.cross(direction, rng.normal(size=3)))
    tree: Tree = []
    for part, sign in ((share, 1.0), (1 - share, -1.0)):
        child = radius * part ** (1 / 3)
        # The thinner child leaves at the wider angle.
        angle = np.deg2rad(rng.uniform(15, 35) + 45 * (1 - part))
        if child >= SMALLEST_RADIUS:
            tree += _walk(point, np.cos(angle) * _unit(direction) + sign * np.sin(angle) * across, child, rng)
    return tree


def _walk(point: Array, direction: Array, radius: float, rng: np.random.Generator) -> Tree:
    length = rng.uniform(12, 32) * np.sqrt(radius / 0.5)
    points, direction, bend = [point], _unit(direction), np.zeros(3)
    for _ in range(max(int(length / _STEP), 2)):
        outward = (points[-1] - BRAIN_CENTRE) / BRAIN_AXES
        depth = float(np.linalg.norm(outward))
        bend = 0.7 * bend + rng.normal(0, 0.16, 3)
        direction = direction + bend + 0.06 * _unit(outward / BRAIN_AXES) + (0.0, 0.0, 0.04)
        if depth > 0.93:  # at the surface: run along it
            normal = _unit(outward / BRAIN_AXES)
            direction = direction - normal * (float(direction @ normal) + (0.5 if depth > 1.0 else 0.0))
        direction = _unit(direction)
        points.append(points[-1] + _STEP * direction)
    end = radius * 0.93
    branch = Branch(np.array(points), np.linspace(radius, end, len(points)))
    if end < SMALLEST_RADIUS * 1.05:
        return [branch]
    return [branch, *_fork(points[-1], direction, end, rng)]


def _unit(vector: Array) -> Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
