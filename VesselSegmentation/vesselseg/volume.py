"""An image as the library passes it around: voxels and geometry, never one without the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vesselseg.geometry import Geometry

if TYPE_CHECKING:
    import SimpleITK


@dataclass(frozen=True)
class Volume:
    """A three-dimensional scalar image.

    Parameters
    ----------
    array : ndarray, shape (Z, Y, X)
        The voxels: float32 for scans, probabilities in [0, 1]; uint8 for labels.
    geometry : Geometry
        Where they lie.

    Raises
    ------
    ValueError
        If the shape of the array is not that of the geometry.
    """

    array: NDArray[Any]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array has shape {self.array.shape}, geometry says {self.geometry.shape}")

    def with_array(self, array: NDArray[Any]) -> Volume:
        """Return another image on the same grid."""
        return Volume(array, self.geometry)

    def to_sitk(self) -> SimpleITK.Image:
        """Return a SimpleITK image with a copy of the voxels."""
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(self.array)
        self.geometry.apply_to_sitk(image)
        return image

    @classmethod
    def from_sitk(cls, image: SimpleITK.Image, dtype: DTypeLike | None = None) -> Volume:
        """Copy a three-dimensional SimpleITK image; its voxels keep their type unless another one is given."""
        import SimpleITK as sitk

        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused where it matters
            voxels = np.array(sitk.GetArrayViewFromImage(image), dtype)
        return cls(voxels, Geometry.from_sitk(image))
