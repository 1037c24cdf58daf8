"""Vessel trees as branches of points with radii: read from SWC files, moved, deformed and given random calibres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError

Array = NDArray[np.float64]

#: Artery classes of drawn scans. The sides are those of the drawn head: +x is left in LPS.
ARTERIES = {
    1: "internal carotid artery and circle of Willis",
    2: "anterior cerebral artery, left",
    3: "anterior cerebral artery, right",
    4: "middle cerebral artery, left",
    5: "middle cerebral artery, right",
    6: "posterior cerebral artery, left",
    7: "posterior cerebral artery, right",
    8: "basilar, vertebral and cerebellar arteries",
}
#: Node types of BraVa; +x is taken for left, since the database does not say which side is.
_BRAVA_TYPES = {0: 1, 2: 2, 5: 3, 3: 4, 4: 5, 6: 6, 7: 7}
_OTHER_SIDE = {2: 3, 3: 2, 4: 5, 5: 4, 6: 7, 7: 6}
#: Standard deviation of the logarithm of a branch's calibre; no radius is drawn smaller.
_CALIBRE_SPREAD = 0.1
_SMALLEST_MM = 0.3


@dataclass(frozen=True)
class Branch:
    """A piece of a vessel without a fork.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        Centreline x, y, z in mm, LPS.
    radii : ndarray, shape (N,)
        Lumen radius at the points, in mm.
    artery : int
        Key of `ARTERIES`.
    flow : ndarray, shape (N,), optional
        Inflow enhancement at the points, as a share of what calibre and height ask for; None is 1 everywhere.
    """

    points: Array
    radii: Array
    artery: int = 1
    flow: Array | None = None


#: A vessel tree, or several: branches whose first point lies on another branch.
Tree = list[Branch]


def read_swc(path: str | Path) -> Tree:
    """Read a vessel tree of the BraVa database.

    Parameters
    ----------
    path : path-like
        SWC text: id, type, x (lateral), y (superior; negative, larger is higher), z (posterior), radius, parent; mm.

    Returns
    -------
    list of Branch
        In LPS up to a translation. BraVa does not say which side is left.

    Raises
    ------
    VesselSegError
        If the file is missing or no SWC.

    References
    ----------
    Wright SN, et al. Digital reconstruction and morphometric analysis of human brain arterial vasculature from
    magnetic resonance angiography. NeuroImage 2013;82:170-181. doi:10.1016/j.neuroimage.2013.05.089
    """
    try:
        rows = np.loadtxt(path, comments="#", ndmin=2)
    except (OSError, ValueError) as error:
        raise VesselSegError(f"{path} cannot be read as an SWC file", "seven numbers a line are expected") from error
    if rows.shape[1] != 7 or len(rows) < 2:
        raise VesselSegError(f"{path} is not an SWC file", "seven numbers a line and at least two nodes are expected")
    row_of = {int(node): row for row, node in enumerate(rows[:, 0])}
    parents = [row_of.get(int(parent), -1) for parent in rows[:, 6]]
    points = np.stack([rows[:, 2], rows[:, 4], rows[:, 3]], axis=1)
    arteries = [_BRAVA_TYPES.get(int(kind), 1) for kind in rows[:, 1]]
    return _branches(points, rows[:, 5], parents, arteries)


def _branches(points: Array, radii: Array, parents: list[int], arteries: list[int]) -> Tree:
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(node)
    tree = []
    for start, parent in enumerate(parents):
        if parent < 0 or (len(children[parent]) == 1 and parents[parent] >= 0):
            continue  # a root, or in the middle of a branch
        chain = [parent, start]
        while len(children[chain[-1]]) == 1:
            chain.append(children[chain[-1]][0])
        # A fork repeats its position: the radius of the first point is then the child's own.
        moved = np.append(np.linalg.norm(np.diff(points[chain], axis=0), axis=1) > 1e-6, True)
        kept = np.asarray(chain)[moved]
        if len(kept) > 1:
            tree.append(Branch(points[kept], radii[kept], arteries[kept[-1]]))
    return tree


def resampled(tree: Tree, step: float) -> Tree:
    """Interpolate every branch smoothly to points at most `step` mm apart."""
    from scipy.interpolate import PchipInterpolator

    result = []
    for branch in tree:
        lengths = np.linalg.norm(np.diff(branch.points, axis=0), axis=1)
        keep = np.append(True, lengths > 1e-6)
        if keep.sum() < 2:
            continue
        along = np.append(0.0, np.cumsum(lengths))[keep]
        count = max(int(np.ceil(along[-1] / step)), 1) + 1
        flow = np.ones(len(branch.radii)) if branch.flow is None else branch.flow
        values = np.column_stack([branch.points, branch.radii, flow])[keep]
        # Monotone between the nodes: no overshoot where they lie far apart.
        fine = PchipInterpolator(along, values)(np.linspace(0, along[-1], count))
        fine_flow = None if branch.flow is None else fine[:, 4]
        result.append(replace(branch, points=fine[:, :3], radii=fine[:, 3], flow=fine_flow))
    return result


def bounds(tree: Tree) -> tuple[Array, Array]:
    """Return the lowest and the highest x, y, z of a tree, in mm."""
    points = np.concatenate([branch.points for branch in tree])
    return points.min(axis=0), points.max(axis=0)


def mapped(tree: Tree, function: Callable[[Array], Array]) -> Tree:
    """Move the points of a tree; `function` takes and returns points of shape (N, 3)."""
    return [replace(branch, points=function(branch.points)) for branch in tree]


def fitted(tree: Tree, low: Array, high: Array) -> Tree:
    """Scale and move a tree, axis by axis, into a box in mm. Radii stay."""
    old_low, old_high = bounds(tree)
    scale = (np.asarray(high) - low) / (old_high - old_low)
    return mapped(tree, lambda points: (points - old_low) * scale + low)


def deformed(tree: Tree, rng: np.random.Generator) -> Tree:
    """Turn, stretch and bend a tree at random.

    It is turned by about 4 degrees, stretched by about 4 %, and bent by about 2 mm over the head and by about 0.4 mm at
    the scale of a vessel's windings.

    Parameters
    ----------
    tree : list of Branch
    rng : numpy.random.Generator

    Returns
    -------
    list of Branch
    """
    low, high = bounds(tree)
    centre = (low + high) / 2
    matrix = np.eye(3) + rng.normal(0, 0.04, (3, 3))
    angles = np.deg2rad(rng.normal(0, 4, 3))
    turn = np.array([[0, -angles[2], angles[1]], [angles[2], 0, -angles[0]], [-angles[1], angles[0], 0]])
    matrix = matrix @ (np.eye(3) + turn)
    if rng.random() < 0.5:
        matrix[:, 0] *= -1
        tree = [replace(branch, artery=_OTHER_SIDE.get(branch.artery, branch.artery)) for branch in tree]
    bend = _random_waves(rng, count=12, wavelength=(40.0, 110.0), amplitude=2.0)
    wind = _random_waves(rng, count=24, wavelength=(9.0, 22.0), amplitude=0.4)

    def move(points: Array) -> Array:
        points = (points - centre) @ matrix.T + centre
        return points + bend(points) + wind(points)

    return mapped(tree, move)


def _random_waves(
    rng: np.random.Generator, *, count: int, wavelength: tuple[float, float], amplitude: float
) -> Callable[[Array], Array]:
    """Return a smooth random displacement: a sum of plane waves."""
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    waves = directions * (2 * np.pi / rng.uniform(*wavelength, size=(count, 1)))
    phases = rng.uniform(0, 2 * np.pi, count)
    weights = rng.normal(0, amplitude * np.sqrt(2 / count), (count, 3))
    return lambda points: np.sin(points @ waves.T + phases) @ weights


def with_calibres(tree: Tree, rng: np.random.Generator, *, factor: float) -> Tree:
    """Multiply the radii by `factor` and, branch by branch, by a random factor; none falls below `_SMALLEST_MM`."""
    return [
        replace(b, radii=np.maximum(b.radii * factor * np.exp(rng.normal(0, _CALIBRE_SPREAD)), _SMALLEST_MM))
        for b in tree
    ]


def with_lesions(tree: Tree, rng: np.random.Generator, *, aneurysms: float = 1.0, stenoses: float = 0.05) -> Tree:
    """Give a tree stenoses and saccular aneurysms, which a model must neither cut nor leave out.

    Parameters
    ----------
    tree : list of Branch
        With points at most about 1 mm apart.
    rng : numpy.random.Generator
    aneurysms : float
        Their mean number. Diameters are 3 to 8 mm, on arteries of more than 1.2 mm diameter.
    stenoses : float
        Share of the branches that have one, of up to 60 % of the radius; none narrows a vessel below 0.3 mm.

    Returns
    -------
    list of Branch
        An aneurysm is a branch of its own.
    """
    result = []
    for branch in tree:
        radii = branch.radii
        if rng.random() < stenoses:
            along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(branch.points, axis=0), axis=1)))
            place, length = rng.uniform(0, along[-1]), rng.uniform(1.0, 3.0)
            dip = rng.uniform(0.2, 0.6) * np.exp(-0.5 * ((along - place) / length) ** 2)
            radii = np.maximum(radii * (1 - dip), np.minimum(radii, 0.3))
        result.append(replace(branch, radii=radii))
    large = [branch for branch in tree if branch.radii.max() > 0.6]
    for _ in range(int(rng.poisson(aneurysms)) if large else 0):
        parent = large[rng.integers(len(large))]
        k = int(rng.integers(len(parent.points)))
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        radius = rng.uniform(1.5, 4.0)
        neck = parent.points[k] + direction * (parent.radii[k] + 0.4 * radius)
        sac = np.stack([neck, neck + direction * radius * rng.uniform(0.1, 1.0)])
        course = np.concatenate([parent.points[k][None], sac])
        result.append(Branch(course, np.array([0.5, 1.0, 0.9]) * radius, parent.artery))
    return result


def clipped(tree: Tree, inside: Callable[[Array], NDArray[np.bool_]]) -> Tree:
    """Drop what lies outside: each branch is cut into its runs of points for which `inside` is true."""
    result = []
    for branch in tree:
        flags = np.concatenate([[False], inside(branch.points), [False]])
        starts = np.flatnonzero(~flags[:-1] & flags[1:])
        ends = np.flatnonzero(flags[:-1] & ~flags[1:])
        for start, end in zip(starts, ends):
            if end - start > 1:
                run = slice(start, end)
                flow = None if branch.flow is None else branch.flow[run]
                result.append(replace(branch, points=branch.points[run], radii=branch.radii[run], flow=flow))
    return result
