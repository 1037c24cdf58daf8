"""Vessels drawn as tubes, each also alone, so that a test knows which voxels are whose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inputs import AWKWARD_GRIDS
from vesselseg.geometry import Geometry
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.trees import Branch

ISOTROPIC = Geometry((70, 70, 60), (0.5, 0.5, 0.5))
ANISOTROPIC = Geometry((80, 80, 40), (0.45, 0.45, 0.9), (12.0, -40.0, 7.5))
OBLIQUE = Geometry((70, 70, 60), (0.5, 0.6, 0.55), (5.0, 6.0, -90.0), tuple(AWKWARD_GRIDS["oblique"][0].ravel()))
GRIDS = {"isotropic": ISOTROPIC, "anisotropic": ANISOTROPIC, "oblique": OBLIQUE}


def tube(geometry: Geometry, radius: float, *corners: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Draw a tube of a radius in mm; its corners are given as shares of the grid along (z, y, x)."""
    places = np.array([[share * (n - 1) for share, n in zip(corner, geometry.shape)] for corner in corners])
    to_lps = geometry.ijk_to_lps()
    points = places[:, ::-1] @ to_lps[:3, :3].T + to_lps[:3, 3]
    return draw([Branch(points, np.full(len(points), radius))], geometry).label.astype(bool)


def at(geometry: Geometry, *share: float) -> tuple[float, ...]:
    """Return the voxel indices (k, j, i) of a place given as shares of the grid."""
    return tuple(part * (n - 1) for part, n in zip(share, geometry.shape))
