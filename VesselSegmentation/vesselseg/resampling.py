"""Turning and resampling images, for a network that knows one orientation and one spacing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from vesselseg.formats.itk_messages import tell_short_memory
from vesselseg.geometry import Geometry
from vesselseg.volume import Volume


@dataclass(frozen=True)
class AxialView:
    """How the axes of an image must be swapped and flipped so that they run to the patient's left, back and head.

    For an oblique image the nearest axes are taken: no voxel is interpolated, and what is written through the view
    lands on the very voxels it belongs to.

    Parameters
    ----------
    order : tuple of int
        For each axis (z, y, x) of the axial view the axis of the array that runs along it.
    flipped : tuple of int
        Axes of the axial view that run the other way in the array.
    """

    order: tuple[int, int, int]
    flipped: tuple[int, ...]

    @classmethod
    def of(cls, geometry: Geometry) -> AxialView:
        """Find the axial view of an image with this geometry."""
        axes = geometry.axes  # column i: the i-th index axis (x, y, z) in LPS
        best = max(itertools.permutations(range(3)), key=lambda p: sum(abs(axes[lps, p[lps]]) for lps in range(3)))
        # best[lps] is the index axis nearest to that patient axis; arrays count their axes from z to x.
        order = (2 - best[2], 2 - best[1], 2 - best[0])
        flipped = tuple(2 - lps for lps in (2, 1, 0) if axes[lps, best[lps]] < 0)
        return cls(order, flipped)

    def apply(self, volume: Volume) -> Volume:
        """Turn an image into the axial view; the voxels are a view of the same memory."""
        array = self.turn(volume.array)
        old = volume.geometry
        axes, origin = old.axes * np.asarray(old.spacing), np.asarray(old.origin)
        columns, spacing, size = [], [], []
        for view_axis in (2, 1, 0):  # x, y, z
            index_axis = 2 - self.order[view_axis]
            step = axes[:, index_axis]
            if view_axis in self.flipped:
                origin = origin + step * (old.size[index_axis] - 1)
                step = -step
            columns.append(step / old.spacing[index_axis])
            spacing.append(old.spacing[index_axis])
            size.append(old.size[index_axis])
        direction = tuple(float(v) for v in np.stack(columns, axis=1).ravel())
        return Volume(
            array,
            Geometry(
                (size[0], size[1], size[2]),
                (spacing[0], spacing[1], spacing[2]),
                (float(origin[0]), float(origin[1]), float(origin[2])),
                direction,
            ),
        )

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Turn an array into the axial view; a view of the same memory, so that writing to it writes to the array."""
        return np.flip(array.transpose(self.order), self.flipped)


def network_spacing(
    spacing: tuple[float, float, float], trained: tuple[float, float, float], tolerance: float
) -> tuple[float, float, float]:
    """Return the spacing at which a network should see a scan.

    Parameters
    ----------
    spacing : tuple of float
        Of the scan, x, y, z, in mm.
    trained : tuple of float
        What the network was trained at, in mm.
    tolerance : float
        An axis keeps its spacing where it differs by at most this share.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> network_spacing((0.5, 0.5, 1.2), (0.6, 0.6, 0.6), 0.25)
    (0.5, 0.5, 0.6)
    """
    limit = 1 + tolerance + 1e-6
    x, y, z = (own if max(own / wish, wish / own) <= limit else wish for own, wish in zip(spacing, trained))
    return x, y, z


@tell_short_memory()
def resample(volume: Volume, target: Geometry) -> Volume:
    """Interpolate an image linearly on another grid.

    Where the target is coarser the image is smoothed first, so that thin vessels are averaged and not skipped.

    Parameters
    ----------
    volume : Volume
        float32.
    target : Geometry
        Points outside the image take the value of its nearest voxel.

    Returns
    -------
    Volume
        float32.

    Raises
    ------
    MemoryError
        If the memory does not suffice.
    """
    import SimpleITK as sitk

    image = volume.to_sitk()
    ratios = [new / old for new, old in zip(target.spacing, volume.geometry.spacing)]
    for axis, ratio in enumerate(ratios):
        if ratio > 1.1 and volume.geometry.size[axis] >= 4:
            # The Gaussian that, added to the old voxel's width, gives the new voxel's.
            sigma = 0.5 * volume.geometry.spacing[axis] * float(np.sqrt(ratio**2 - 1))
            image = sitk.RecursiveGaussian(image, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(target.size)
    resampler.SetOutputSpacing(target.spacing)
    resampler.SetOutputOrigin(target.origin)
    resampler.SetOutputDirection(target.direction)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    resampler.SetUseNearestNeighborExtrapolator(True)
    return Volume(sitk.GetArrayFromImage(resampler.Execute(image)), target)
