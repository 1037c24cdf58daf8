"""Tissue for drawn vessels to lie in: real TOF scans whose own vessels are taken out, or simulated heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.volume import Volume

Mask = NDArray[np.bool_]
Image = NDArray[np.float32]

#: Widths, in voxels, of the smoothing of an image, and of what is taken for its surroundings.
_FINE, _COARSE = 0.8, 4.0
#: Share by which a vessel exceeds its surroundings. Low enough to take the faint arteries too: one that stayed would be
#: taught as background.
_VESSEL = 0.14
#: The same for what hangs together with a vessel.
_FAINT = 0.09
#: Radius from which on a vessel is as thick as a sinus.
_THICK_MM = 1.8


@dataclass(frozen=True)
class Background:
    """A head without brain arteries.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X), float32
        Signal; brain tissue lies near 1.
    brain : ndarray of bool, shape (Z, Y, X)
        The brain.
    geometry : Geometry
        The grid.
    noise : float
        Standard deviation of the noise that the image already has, brain tissue = 1.
    ceiling : float
        Signal at which the image was clipped; infinite if it was not.
    unsure : ndarray of bool, shape (Z, Y, X), or None
        Where it cannot be told whether a vessel of the head itself is an artery: nothing should be learnt there.
    """

    image: Image
    brain: Mask
    geometry: Geometry
    noise: float = 0.0
    ceiling: float = float("inf")
    unsure: Mask | None = None


def brain_box(brain: Mask, geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest x, y, z of the brain, in mm, LPS.

    Raises
    ------
    VesselSegError
        If the mask is empty.
    """
    indices = np.argwhere(brain[::2, ::2, ::2])[:, ::-1] * 2
    if len(indices) == 0:
        raise VesselSegError("the brain mask is empty", "check that the mask belongs to the scan")
    matrix = geometry.ijk_to_lps()
    places = indices @ matrix[:3, :3].T + matrix[:3, 3]
    return places.min(axis=0), places.max(axis=0)


def brain_coordinates(brain: Mask, geometry: Geometry) -> tuple[Image, Image, Image]:
    """Return the position of each voxel in the brain's box, one image per axis x, y, z (LPS), broadcastable.

    x is the distance from the middle in mm; y and z run from 0 at the front and the bottom to 1 at the back and the
    top. All three are measured along the voxel axes, which must be near the patient's.

    Raises
    ------
    VesselSegError
        If they are not, or the mask is empty.
    """
    if np.argmax(np.abs(geometry.axes), axis=0).tolist() != [0, 1, 2]:
        raise VesselSegError("the scan is not in axial orientation", "reorder its axes first")
    box = bounding_box(brain[::2, ::2, ::2])
    if box is None:
        raise VesselSegError("the brain mask is empty", "check that the mask belongs to the scan")
    lines = []
    for axis, part in enumerate(reversed(box)):
        step = np.sign(geometry.axes[axis, axis]) * geometry.spacing[axis]
        line = geometry.origin[axis] + step * np.arange(geometry.size[axis])
        low, high = np.sort(line[[2 * part.start, 2 * (part.stop - 1)]])
        lines.append(((line - (low + high) / 2) if axis == 0 else (line - low) / (high - low)).astype(np.float32))
    return lines[0][None, None, :], lines[1][None, :, None], lines[2][:, None, None]


def local_contrast(image: Image, inside: Mask) -> tuple[Image, Image]:
    """Compare a lightly smoothed image with its surroundings.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
    inside : ndarray of bool, shape (Z, Y, X)
        Voxels that count as surroundings.

    Returns
    -------
    contrast, surroundings : ndarray, shape (Z, Y, X)
        The share by which the image exceeds its surroundings, and these. Bright voxels do not count among them.
    """
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image, _FINE)
    weight = inside.astype(np.float32)
    surroundings = np.zeros_like(smooth)
    for _ in range(2):
        total = gaussian_filter(weight, _COARSE)
        surroundings = gaussian_filter(smooth * weight, _COARSE) / np.maximum(total, 1e-3)
        # The second round leaves out what the first showed to be vessel.
        weight *= smooth < 1.12 * surroundings
    contrast = np.where(surroundings > 0.05, smooth / np.maximum(surroundings, 0.05) - 1, 0).astype(np.float32)
    return contrast, surroundings


def find_sinuses(contrast: Image, brain: Mask, geometry: Geometry, *, rim_mm: float = 3.0) -> Mask:
    """Find the dural sinuses and the large deep veins, which a brain artery segmentation must leave out.

    Three places are searched for bright, large pieces: the rim of the brain at the top in the midline (superior
    sagittal sinus), the rim at the back (torcula, transverse and sigmoid sinuses), and the midline between the
    hemispheres at the back (straight sinus, vein of Galen).

    Parameters
    ----------
    contrast : ndarray, shape (Z, Y, X)
        As `local_contrast` gives it, or any image above 0.35 in vessels.
    brain : ndarray of bool, shape (Z, Y, X)
    geometry : Geometry
        In axial orientation.
    rim_mm : float
        Thickness of the rim inside the brain mask that is searched too, in mm.

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
    """
    from scipy.ndimage import binary_dilation

    from vesselseg.postprocessing import remove_small_components

    x, y, z = brain_coordinates(brain, geometry)
    rim = ~shrunken(brain, rim_mm, geometry) if rim_mm > 0 else ~brain
    top = rim & (np.abs(x) < 12) & (z > 0.45)
    back = rim & (y > 0.62) & (z < 0.62)
    deep = (np.abs(x) < 5) & (y > 0.55) & (z > 0.3) & (z < 0.68)
    bright = (contrast > 0.35) & (top | back | deep)
    # 100 mm3: as much as 14 mm of a vessel of 3 mm diameter; cortical arteries at the rim come in smaller pieces.
    large = remove_small_components(bright, int(100 / geometry.voxel_volume))
    return binary_dilation(large, iterations=1)


def _thick(mask: Mask, geometry: Geometry) -> Mask:
    """Return the parts of a mask that a ball of `_THICK_MM` fits into."""
    return grown(shrunken(mask, _THICK_MM, geometry), _THICK_MM + 0.6, geometry) & mask


def _sagittal_sinus(contrast: Image, brain: Mask, geometry: Geometry) -> Mask:
    """Find the superior sagittal sinus down to its thin ends, which look like arteries and are none."""
    from scipy.ndimage import binary_dilation

    from vesselseg.postprocessing import remove_small_components

    x, _, z = brain_coordinates(brain, geometry)
    midline = (np.abs(x) < 4) & (z > 0.4) & grown(brain, 4.0, geometry) & ~shrunken(brain, 1.5, geometry)
    long = remove_small_components(midline & (contrast > 0.3), int(60 / geometry.voxel_volume))
    return binary_dilation(long, iterations=1)


def shrunken(mask: Mask, distance: float, geometry: Geometry) -> Mask:
    """Erode a mask by a distance in mm; what touches the border of the scan stays."""
    return ~grown(~mask, distance, geometry)


def grown(mask: Mask, distance: float, geometry: Geometry) -> Mask:
    """Dilate a mask by a distance in mm."""
    import SimpleITK as sitk

    radius = [max(round(distance / step), 1) for step in geometry.spacing]
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(sitk.BinaryDilate(image, radius, sitk.sitkBall)).astype(bool)


def without_arteries(scan: Volume, brain: Mask, rng: np.random.Generator) -> Background:
    """Take the brain arteries out of a real TOF scan.

    In the brain, 4 mm around it and at the base of the skull, whatever stands out of its surroundings is replaced by
    these, with noise copied from nearby tissue. Dural sinuses, fat, skin, orbits and the vessels of the scalp stay:
    they are what a model must learn to leave out. The thin veins that run into the sinuses go: nothing but their end
    tells them from arteries, and a model that learnt to leave them out would leave arteries out too.

    Parameters
    ----------
    scan : Volume
        A TOF scan in axial orientation.
    brain : ndarray of bool, shape (Z, Y, X)
        Its brain mask, not dilated.
    rng : numpy.random.Generator

    Returns
    -------
    Background

    Raises
    ------
    VesselSegError
        If the scan is not in axial orientation, or the mask is empty.
    """
    from scipy.ndimage import binary_dilation
    from skimage.filters import apply_hysteresis_threshold

    geometry = scan.geometry
    image = np.asarray(scan.array, np.float32) / np.float32(np.median(scan.array[brain]))
    contrast, surroundings = local_contrast(image, image > 0.3)
    x, y, z = brain_coordinates(brain, geometry)
    base = (np.abs(x) < 38) & (y > 0.22) & (y < 0.72) & (z < 0.42)
    near = grown(brain, 4.0, geometry) | base
    inner_contrast, inner_surroundings = local_contrast(image, brain)
    contrast = np.where(brain, inner_contrast, contrast)
    surroundings = np.where(brain, inner_surroundings, surroundings)
    sagittal = _sagittal_sinus(contrast, brain, geometry)
    sinuses = _thick(find_sinuses(contrast, brain, geometry, rim_mm=0.0), geometry) | sagittal
    # In bone and fat, contrast alone says little: a vessel there is bright.
    outside = (contrast > 0.3) & (image > 1.3)
    inside = apply_hysteresis_threshold(np.where(brain, contrast, 0), _FAINT, _VESSEL)
    vessels = np.where(brain, inside, outside) & near & ~sinuses
    vessels = binary_dilation(vessels, iterations=2) & near & ~sinuses
    clean = brain & ~vessels & (np.abs(contrast) < _VESSEL)
    residual = np.where(clean, image - surroundings, 0)
    filled = image.copy()
    filled[vessels] = (surroundings + _borrowed(residual, clean, vessels, rng))[vessels]
    # Left over from the search for sinuses: their tributaries, or cortical arteries beside them.
    unsure = sinuses & ~sagittal & brain & (contrast > _VESSEL)
    return Background(filled, brain, geometry, float(residual[clean].std()), float(image.max()), unsure)


def _borrowed(residual: Image, clean: Mask, wanted: Mask, rng: np.random.Generator) -> Image:
    """Copy noise, with its texture, from clean tissue nearby to the wanted voxels."""
    result = np.zeros_like(residual)
    missing = np.argwhere(wanted)
    for _ in range(60):
        if len(missing) == 0:
            break
        shift = rng.integers(-10, 11, 3)
        source = np.clip(missing + shift, 0, np.array(clean.shape) - 1)
        good = clean[tuple(source.T)]
        result[tuple(missing[good].T)] = residual[tuple(source[good].T)]
        missing = missing[~good]
    # What no shift reached lies far from the brain: plain noise does there.
    result[tuple(missing.T)] = rng.normal(0, residual[clean].std(), len(missing))
    return result
