"""Vessels drawn as tubes, each also alone, so that a test knows which voxels are whose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inputs import AWKWARD_GRIDS
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.trees import Branch

ISOTROPIC = Geometry((70, 70, 60), (0.5, 0.5, 0.5))
ANISOTROPIC = Geometry((80, 80, 40), (0.45, 0.45, 0.9), (12.0, -40.0, 7.5))
OBLIQUE = Geometry((70, 70, 60), (0.5, 0.6, 0.55), (5.0, 6.0, -90.0), tuple(AWKWARD_GRIDS["oblique"][0].ravel()))
GRIDS = {"isotropic": ISOTROPIC, "anisotropic": ANISOTROPIC, "oblique": OBLIQUE}


def tube(geometry: Geometry, radius: float, *corners: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Draw a tube of a radius in mm; its corners are given as shares of the grid along (z, y, x)."""
    corners_at = np.array([[share * (n - 1) for share, n in zip(corner, geometry.shape)] for corner in corners])
    # Close points, or a curve would be laid through the corners.
    share = np.linspace(0, len(corners) - 1, 60 * (len(corners) - 1) + 1)
    places = np.stack([np.interp(share, range(len(corners)), corners_at[:, axis]) for axis in range(3)], axis=1)
    to_lps = geometry.ijk_to_lps()
    points = places[:, ::-1] @ to_lps[:3, :3].T + to_lps[:3, 3]
    return draw([Branch(points, np.full(len(points), radius))], geometry).label.astype(bool)


def at(geometry: Geometry, *share: float) -> tuple[float, ...]:
    """Return the voxel indices (k, j, i) of a place given as shares of the grid."""
    return tuple(part * (n - 1) for part, n in zip(share, geometry.shape))


def real_vessels(data_folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32], Geometry]:
    """Return label, scan and grid of the middle of a real head: with skull base and circle of Willis."""
    label = read_label(data_folder / "tof" / "MNI_0656_label.nii.gz")
    scan = read_volume(data_folder / "tof" / "MNI_0656_tof.nii.gz")
    box = (slice(20, 130), slice(70, 230), slice(80, 240))
    return (label.array[box] > 0).astype(np.uint8), scan.array[box].astype(np.float32), scan.geometry.cropped(box)
