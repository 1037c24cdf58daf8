"""Where the voxels of an image lie in the patient."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import SimpleITK

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Geometry:
    """Grid of a three-dimensional image.

    Everything is in the order x, y, z and in the patient's LPS system, as in SimpleITK and DICOM. The arrays that
    belong to a geometry are indexed (z, y, x).

    Parameters
    ----------
    size : tuple of int
        Voxels along x, y, z.
    spacing : tuple of float
        Distance between voxel centres along x, y, z, in mm.
    origin : tuple of float
        Position of the centre of the first voxel, in mm, LPS.
    direction : tuple of float
        Row-major 3 x 3 matrix whose columns are the unit vectors of the x, y, z axes, LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (z, y, x) of an array on this grid."""
        x, y, z = self.size
        return z, y, x

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Spacing in the axis order of arrays, in mm."""
        x, y, z = self.spacing
        return z, y, x

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, in mm3."""
        return float(np.prod(self.spacing))

    @property
    def axes(self) -> NDArray[np.float64]:
        """The direction as a 3 x 3 matrix."""
        return np.asarray(self.direction, dtype=float).reshape(3, 3)

    def ijk_to_lps(self) -> NDArray[np.float64]:
        """Return the 4 x 4 matrix from voxel indices (i, j, k) to millimetres in LPS."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    def ijk_to_ras(self) -> NDArray[np.float64]:
        """Return the 4 x 4 matrix from voxel indices (i, j, k) to millimetres in RAS, the system of 3D Slicer."""
        return _LPS_TO_RAS @ self.ijk_to_lps()

    @classmethod
    def from_ijk_to_ras(cls, matrix: NDArray[np.float64], size: tuple[int, int, int]) -> Geometry:
        """Build a geometry from a matrix as MRML volume nodes hold it.

        Parameters
        ----------
        matrix : ndarray, shape (4, 4)
            From voxel indices (i, j, k) to millimetres in RAS.
        size : tuple of int
            Voxels along x, y, z.

        Returns
        -------
        Geometry
        """
        lps = _LPS_TO_RAS @ np.asarray(matrix, dtype=float)
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        direction = lps[:3, :3] / spacing
        return cls(size, _triple(spacing), _triple(lps[:3, 3]), tuple(float(v) for v in direction.ravel()))

    @classmethod
    def from_sitk(cls, image: SimpleITK.Image | SimpleITK.ImageFileReader) -> Geometry:
        """Read the geometry of a three-dimensional SimpleITK image, or of a file whose information was read."""
        x, y, z = image.GetSize()
        return cls((x, y, z), _triple(image.GetSpacing()), _triple(image.GetOrigin()), tuple(image.GetDirection()))

    def apply_to_sitk(self, image: SimpleITK.Image) -> None:
        """Write spacing, origin and direction into a SimpleITK image of this size."""
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)

    def corners(self, margin: float = 0.0) -> NDArray[np.float64]:
        """Return the indices of the eight corner voxels' centres, to be multiplied with a matrix from the left.

        Parameters
        ----------
        margin : float
            How far outside these the corners lie on every side, in voxels: 0.5 gives the outer edges of the voxels.

        Returns
        -------
        ndarray, shape (4, 8)
            A column (i, j, k, 1) for each corner.
        """
        ends = [(-margin, size - 1 + margin) for size in self.size]
        return np.array([*itertools.product(*ends, (1.0,))], dtype=float).T

    def same_grid(self, other: Geometry, tolerance: float = 1e-3) -> bool:
        """Tell whether two grids put every voxel at the same place.

        Parameters
        ----------
        other : Geometry
            The grid to compare with.
        tolerance : float
            Largest allowed distance between corresponding corner voxels, as a share of the smallest spacing. Files
            store geometry in single precision, hence not zero.

        Returns
        -------
        bool
        """
        if self.size != other.size:
            return False
        distance = np.linalg.norm((self.ijk_to_lps() - other.ijk_to_lps()) @ self.corners(), axis=0).max()
        return bool(distance <= tolerance * min(self.spacing))

    def cropped(self, box: tuple[slice, slice, slice]) -> Geometry:
        """Return the grid of a box cut out of this one.

        Parameters
        ----------
        box : tuple of slice
            Along z, y, x, with explicit start and stop and no step.

        Returns
        -------
        Geometry
        """
        start = np.array([part.start for part in box[::-1]], dtype=float)
        z, y, x = (int(part.stop - part.start) for part in box)
        origin = self.ijk_to_lps() @ np.append(start, 1.0)
        return Geometry((x, y, z), self.spacing, _triple(origin[:3]), self.direction)

    def resampled(self, spacing: tuple[float, float, float]) -> Geometry:
        """Return a grid over the same extent with another spacing.

        The outer edges of the first voxels coincide, so that no part of the scan is lost; the far edge may reach beyond
        the scan by less than one new voxel.

        Parameters
        ----------
        spacing : tuple of float
            New spacing along x, y, z, in mm.

        Returns
        -------
        Geometry
        """
        old, new = np.asarray(self.spacing), np.asarray(spacing, dtype=float)
        size = np.maximum(np.ceil(np.asarray(self.size) * old / new - 1e-6), 1).astype(int)
        origin = np.asarray(self.origin) + self.axes @ ((new - old) / 2)
        return Geometry((int(size[0]), int(size[1]), int(size[2])), _triple(new), _triple(origin), self.direction)


def _triple(values: object) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)  # type: ignore[attr-defined]
    return x, y, z
