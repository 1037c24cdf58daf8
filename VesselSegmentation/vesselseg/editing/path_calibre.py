"""The calibre of a vessel along a path through it, and where its middle is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

#: Lumen radii, in mm, between which arteries and veins of the brain lie that a path may be drawn through.
SMALLEST_RADIUS_MM = 0.3
LARGEST_RADIUS_MM = 3.0
#: Where nothing along a path stands out of its surroundings: a small artery.
_USUAL_RADIUS_MM = 0.6
#: Length over which the calibre is taken to change little, in mm.
_SMOOTH_MM = 1.5
#: Half width, in voxels, of what a scan shows of a vessel without any: its points are about a voxel wide.
_BLUR = 0.5
#: A vessel's middle is at least this much above its surroundings, in local standard deviations.
_LOWEST_CONTRAST = 1.0
_DIRECTIONS = 16


def even_points(places: Numbers, step_mm: float) -> Numbers:
    """Return points at even distances on a polyline, from its first to its last point; shape (N, 3), in mm."""
    way = _way(places)
    even = np.linspace(0.0, way[-1], max(int(np.ceil(way[-1] / step_mm)), 1) + 1)
    return np.stack([np.interp(even, way, places[:, axis]) for axis in range(3)], axis=1)


def smoothed(values: Numbers, width: float) -> Numbers:
    """Smooth along the first axis by a Gaussian of a width in points; the ends stay where they are."""
    from scipy.ndimage import gaussian_filter1d

    if len(values) < 3:
        return values
    # An odd reflection keeps a straight line straight up to its ends.
    reach = min(int(np.ceil(4 * width)), len(values) - 1)
    before = 2 * values[0] - values[reach:0:-1]
    after = 2 * values[-1] - values[-2 : -2 - reach : -1]
    wide = gaussian_filter1d(np.concatenate([before, values, after]), width, axis=0, truncate=4)
    return np.concatenate([values[:1], wide[reach + 1 : reach + len(values) - 1], values[-1:]])


def measure_calibre(contrast: NDArray[np.floating], places: Numbers, spacing: Numbers) -> tuple[Numbers, Numbers]:
    """Find the middle of a vessel along a path, and its radius at half maximum.

    In the plane across the path, rays from the path end where the contrast falls below the mean of the value in the
    middle and of that around the vessel; their median is the radius. The path is moved to their middle, and the rays
    are cast anew from there.

    Parameters
    ----------
    contrast : ndarray of float, shape (Z, Y, X)
        How bright a voxel is within its surroundings, in standard deviations of these.
    places : ndarray, shape (N, 3)
        Points on the path at even distances, along (z, y, x) in mm from the centre of the first voxel.
    spacing : ndarray, shape (3,)
        Along z, y, x, in mm.

    Returns
    -------
    places : ndarray, shape (N, 3)
        Points in the middle of the vessel; the first and the last stay where they are.
    radii : ndarray, shape (N,)
        In mm, between `SMALLEST_RADIUS_MM` and `LARGEST_RADIUS_MM`, smoothed along the path. Where nothing stands out
        they are interpolated.
    """
    step = float(np.linalg.norm(np.diff(places, axis=0), axis=1).mean()) if len(places) > 1 else 1.0
    width = _SMOOTH_MM / step
    for _ in range(2):
        rays, across = _rays(contrast, places, spacing)
        # A circle seen from a point off its middle by d has the radius R + d cos(angle), the mean of which times
        # cos(angle) is d / 2.
        shift = 2 * np.nanmean(np.where(np.isnan(rays), 0.0, rays)[..., None] * across, axis=1)
        reach = np.linalg.norm(shift, axis=1, keepdims=True)
        shift *= np.minimum(1.0, float(spacing.max()) / np.maximum(reach, 1e-9))
        shift[[0, -1]] = 0.0
        # Beyond the border the last slice seems to go on for ever: without a limit the path would leave the scan.
        places = np.clip(smoothed(places + shift, width / 2), 0.0, (np.array(contrast.shape) - 1) * spacing)
    rays, _ = _rays(contrast, places, spacing)
    blur = _BLUR * float(np.prod(spacing) ** (1 / 3))
    # A blurred vessel is wider by about the root of the sum of squares; that counts for the thin ones only.
    radii = np.sqrt(np.maximum(np.median(rays, axis=1) ** 2 - blur**2, SMALLEST_RADIUS_MM**2))
    return places, _smooth_radii(radii, width)


def _rays(contrast: NDArray[np.floating], places: Numbers, spacing: Numbers) -> tuple[Numbers, Numbers]:
    """Cast rays across the path; return their lengths, shape (N, R), NaN without contrast, and their directions."""
    from scipy.ndimage import map_coordinates

    fine = float(spacing.min()) / 3
    along = np.arange(0.0, LARGEST_RADIUS_MM + float(spacing.max()) + fine, fine)
    across = _across(places)
    samples = places[:, None, None] + along[None, None, :, None] * across[:, :, None]
    values = map_coordinates(contrast, (samples / spacing).reshape(-1, 3).T, order=1, mode="nearest")
    values = values.reshape(samples.shape[:3])
    middle = values[:, :, along <= float(spacing.min())].max(axis=(1, 2))
    around = np.median(values.min(axis=2), axis=1)
    below = values < ((middle + around) / 2)[:, None, None]
    below[:, :, -1] = True
    # The first sample below, and how far between the one before and it the half maximum lies.
    end = np.maximum(below.argmax(axis=2), 1)
    inner, outer = (np.take_along_axis(values, (end - n)[..., None], axis=2)[..., 0] for n in (1, 0))
    half = ((middle + around) / 2)[:, None]
    share = np.clip((inner - half) / np.maximum(inner - outer, 1e-9), 0.0, 1.0)
    lengths = along[end - 1] + share * fine
    lengths[middle - around < _LOWEST_CONTRAST] = np.nan
    return lengths, across


def _across(places: Numbers) -> Numbers:
    """Return directions all around in the planes across a path, shape (N, R, 3)."""
    tangent = np.gradient(places, axis=0) if len(places) > 1 else np.array([[1.0, 0.0, 0.0]])
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    least = np.eye(3)[np.abs(tangent).argmin(axis=1)]
    one = np.cross(tangent, least)
    one /= np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-9)
    other = np.cross(tangent, one)
    angle = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    directions: Numbers = np.cos(angle)[None, :, None] * one[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    return directions


def _smooth_radii(radii: Numbers, width: float) -> Numbers:
    from scipy.ndimage import gaussian_filter1d, median_filter

    known = np.flatnonzero(np.isfinite(radii))
    if not known.size:
        return np.full(len(radii), _USUAL_RADIUS_MM)
    # Forks and neighbours make single places too wide: the median goes first.
    steady = median_filter(radii[known], size=max(int(2 * width) | 1, 3), mode="nearest")
    whole = np.interp(np.arange(len(radii)), known, steady)
    return np.clip(gaussian_filter1d(whole, width, mode="nearest"), SMALLEST_RADIUS_MM, LARGEST_RADIUS_MM)


def _way(places: Numbers) -> Numbers:
    return np.append(0.0, np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1)))
