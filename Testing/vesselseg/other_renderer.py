"""Draw held-out artery trees into held-out heads in another way than `vesselseg.synthesis` does.

A model that learnt from one renderer may have learnt that renderer's habits. This one shares nothing with it but the
reader of SWC files, and serves to judge models only. It needs the data folder that VESSELSEG_DATA names:

    python Testing/vesselseg/other_renderer.py --output cases --count 8 --seed 0

Each case is a folder with ``tof.nii.gz``, ``label.nii.gz``, ``radius.nii.gz`` (mm, at label voxels), ``mask.nii.gz``
(the brain, not dilated) and ``description.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from vesselseg.brain_mask import brain_mask, dilated
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.synthesis.trees import read_swc
from vesselseg.volume import Volume

#: Subjects that no training run may use.
HEADS = ("MNI_0643", "MNI_0656")
TREES = ("BH0032", "BH0033", "BH0034", "BH0035", "BH0037", "BH0038", "BH0039", "BH0040")
#: Signal of the lumen as a multiple of the brain's: drawn from these ranges.
CONTRASTS = {"clear": (2.2, 3.2), "faint": (1.85, 2.25)}
#: The head's own vessels are erased, and models judged, in the brain mask dilated by this much.
MARGIN_MM = 2.0
#: A voxel brighter than its surroundings by this factor is taken for a vessel of the head's own.
_VESSEL_CONTRAST = 1.15
#: Iterations of curvature flow that take some of the noise out of a head.
_DENOISING = 4
#: Distance between the points along the centreline, in mm.
_STEP_MM = 0.1
#: Bounds of the bands of calibre that are drawn one after the other, in mm.
_BANDS_MM = (0.0, 0.55, 0.9, 1.5, np.inf)

Array = NDArray[Any]


@dataclass(frozen=True)
class Lumen:
    """A tree on a grid.

    Parameters
    ----------
    occupancy : ndarray, shape (Z, Y, X)
        Share of each voxel that is lumen, in [0, 1].
    radius : ndarray, shape (Z, Y, X)
        Radius of the vessel in mm where the occupancy is not 0 or the centreline runs; else 0.
    label : ndarray of bool, shape (Z, Y, X)
        Voxels that are lumen for at least a half, and those of the centreline.
    """

    occupancy: Array
    radius: Array
    label: Array


def without_vessels(scan: Volume, brain: Volume, rng: np.random.Generator) -> Array:
    """Return a head whose bright vessels in and near the brain have given way to their surroundings."""
    # These heads were scanned with much noise: a little less of it leaves room for that of the new scan.
    quiet = sitk.CurvatureFlow(sitk.GetImageFromArray(scan.array.astype(np.float32)), 0.0625, _DENOISING)
    image = sitk.GetArrayFromImage(quiet)
    region = dilated(brain, MARGIN_MM).array > 0
    # The median knows brain only: else the dark skull beside it would make the cortex a vessel.
    local = _local_median(np.where(region, image, np.nan))
    # Smoothed: the noise of single voxels exceeds the contrast too.
    bright = region & (ndimage.gaussian_filter(image, 0.8) > _VESSEL_CONTRAST * local)
    bright = ndimage.binary_dilation(_large_pieces(bright), iterations=1) & region
    calm = region & ~bright
    # 1.48 times the median absolute deviation is the standard deviation of noise, whatever fluid lies in between.
    deviation = 1.48 * _local_median(np.where(calm, np.abs(image - local), np.nan))
    # Where tissue and fluid alternate, their difference is no noise.
    deviation = np.minimum(deviation, np.median(deviation[region]))
    # Noise of a scan that was interpolated is correlated.
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), 0.6)
    noise /= noise.std()
    return np.where(bright, local + deviation * noise, image)


def _large_pieces(mask: Array, voxels: int = 12) -> Array:
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    large = np.bincount(pieces.ravel()) >= voxels
    large[0] = False
    return large[pieces]


def _local_median(image: Array, shrink: int = 3, radius: int = 3) -> Array:
    """Median of the known voxels around, on a coarse grid; unknown voxels are NaN and take the nearest known one."""
    coarse = image[::shrink, ::shrink, ::shrink]
    unknown = np.isnan(coarse)
    nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled = coarse[tuple(nearest)]
    median = sitk.GetArrayFromImage(sitk.Median(sitk.GetImageFromArray(filled), [radius] * 3))
    return _refined(median, image.shape, shrink)


def _refined(coarse: Array, shape: tuple[int, ...], shrink: int) -> Array:
    """Interpolate a coarse grid; axis by axis, which is linear interpolation at a fraction of its cost."""
    result = coarse.astype(np.float32)
    for axis, length in enumerate(shape):
        place = np.arange(length) / shrink
        low = np.minimum(place.astype(int), result.shape[axis] - 1)
        high = np.minimum(low + 1, result.shape[axis] - 1)
        share = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        result = np.take(result, low, axis) * (1 - share) + np.take(result, high, axis) * share
    return result


def placed_samples(path: Path, brain: Volume, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return points along a tree that was fitted to a brain, in mm (LPS), shape (N, 3), and their radii, shape (N,).

    A similarity transform and a small random turn. Whatever comes to lie more than 4 mm outside the brain is dropped.
    """
    tree = read_swc(path)
    points, radii = _sampled(tree)
    to_lps = brain.geometry.ijk_to_lps()
    inside = np.argwhere(brain.array[::2, ::2, ::2] > 0)[:, ::-1] * 2 @ to_lps[:3, :3].T + to_lps[:3, 3]
    brain_low, brain_high = np.percentile(inside, 0.1, axis=0), np.percentile(inside, 99.9, axis=0)
    if rng.random() < 0.5:
        points = points * (-1, 1, 1)  # which side is left is not known of these trees
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    turn = Rotation.from_euler("xyz", rng.uniform(-5, 5, 3), degrees=True)
    points = points @ turn.as_matrix().T
    size = points.max(axis=0) - points.min(axis=0)
    # Width and length of the brain decide on one scale for all axes; the tree hangs from the top of the brain.
    scale = float(np.mean((brain_high - brain_low)[:2] / size[:2])) * rng.uniform(0.94, 0.99)
    points *= scale
    radii = radii * rng.uniform(0.9, 1.15)
    middle = (brain_low + brain_high) / 2
    middle[2] = brain_high[2] - points[:, 2].max() - rng.uniform(1, 4)
    points = points + middle + rng.normal(0, 1, 3) * (1, 1, 0)
    near = dilated(brain, 4.0).array > 0
    index = _voxels(points, brain.geometry)
    fits = np.all((index >= 0) & (index < brain.geometry.size), axis=1)
    fits[fits] = near[tuple(index[fits].T[::-1])]
    return points[fits], radii[fits]


def _sampled(tree: list[Any]) -> tuple[Array, Array]:
    """Interpolate the edges of a tree linearly."""
    points, radii = [], []
    for branch in tree:
        length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(branch.points, axis=0), axis=1)))
        along = np.linspace(0, length[-1], int(np.ceil(length[-1] / _STEP_MM)) + 1)
        points.append(np.column_stack([np.interp(along, length, axis) for axis in branch.points.T]))
        radii.append(np.interp(along, length, branch.radii))
    return np.concatenate(points), np.concatenate(radii)


def _voxels(points: Array, geometry: Geometry) -> Array:
    """Return the voxel i, j, k in which each point lies."""
    to_index = np.linalg.inv(geometry.ijk_to_lps())
    return np.rint(points @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)


def draw_lumen(points: Array, radii: Array, geometry: Geometry) -> Lumen:
    """Draw a tree with 3 x 3 x 3 subvoxels: one is lumen within the radius of the nearest point of the centreline.

    The nearest point is looked for in each band of calibre: a thin branch must not carve its origin out of the wide
    vessel that it leaves.
    """
    to_lps = geometry.ijk_to_lps()
    bands = [(points[chosen], radii[chosen]) for chosen in _bands(radii)]
    candidates = np.unique(np.concatenate([_around(p, r.max(), geometry) for p, r in bands]))
    index = np.stack(np.unravel_index(candidates, geometry.shape), axis=1)
    thirds = np.array([-1.0, 0.0, 1.0]) / 3
    offsets = np.stack(np.meshgrid(thirds, thirds, thirds, indexing="ij"), axis=-1).reshape(-1, 3)
    shares = np.zeros(len(index), np.float32)
    widths = np.zeros(len(index), np.float32)
    trees = [(cKDTree(p), r) for p, r in bands]
    chunk = 20_000
    for start in range(0, len(index), chunk):
        part = slice(start, start + chunk)
        fine = (index[part, None, ::-1] + offsets) @ to_lps[:3, :3].T + to_lps[:3, 3]
        lumen = np.zeros(fine.shape[:2], bool)
        for tree, r in trees:
            distance, nearest = tree.query(fine, distance_upper_bound=float(r.max()))
            own = np.append(r, 0.0)[nearest]
            hit = distance <= own
            lumen |= hit
            widths[part] = np.maximum(widths[part], np.where(hit, own, 0).max(axis=1))
        shares[part] = lumen.mean(axis=1)
    occupancy, radius = np.zeros(geometry.shape, np.float32), np.zeros(geometry.shape, np.float32)
    occupancy.ravel()[candidates], radius.ravel()[candidates] = shares, widths
    centre = np.zeros(geometry.shape, bool)
    voxels = tuple(_voxels(points, geometry).T[::-1])
    centre[voxels] = True
    on_line = np.zeros(geometry.shape, np.float32)
    np.maximum.at(on_line, voxels, radii.astype(np.float32))
    return Lumen(occupancy, np.where(radius > 0, radius, on_line), (occupancy >= 0.5) | centre)


def _bands(radii: Array) -> list[Array]:
    chosen = [(radii >= low) & (radii < high) for low, high in zip(_BANDS_MM, _BANDS_MM[1:])]
    return [band for band in chosen if band.any()]


def _around(points: Array, radius: float, geometry: Geometry) -> Array:
    """Return the flat indices of all voxels that a tube of a radius along the points can touch."""
    spacing = np.asarray(geometry.spacing)
    reach = radius + float(np.linalg.norm(spacing))
    steps = [np.arange(-int(reach // s), int(reach // s) + 1) for s in spacing]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    offsets = offsets[np.linalg.norm(offsets * spacing, axis=1) <= reach]
    centres = np.unique(_voxels(points, geometry), axis=0)
    index = (centres[:, None] + offsets).reshape(-1, 3)
    index = index[np.all((index >= 0) & (index < geometry.size), axis=1)]
    return np.unique(np.ravel_multi_index(tuple(index.T[::-1]), geometry.shape))


def scanned(background: Array, lumen: Lumen, brain: Volume, kind: str, rng: np.random.Generator) -> Array:
    """Return the scan of a head with a tree, uint8, shape (Z, Y, X)."""
    geometry = brain.geometry
    inside = brain.array > 0
    tissue = float(np.median(background[inside]))
    surroundings = _smooth_within(background, inside)
    heights = np.flatnonzero(inside.any(axis=(1, 2)))
    height = np.clip((np.arange(geometry.shape[0]) - heights[0]) / (heights[-1] - heights[0]), 0, 1)
    inflow = 1 - rng.uniform(0.05, 0.2) * height[:, None, None]  # spins are saturated on the way up
    power = rng.uniform(0.1, 0.3)
    thin = np.clip(lumen.radius / 0.8, 0.05, 1) ** power
    contrast = rng.uniform(*CONTRASTS[kind])
    level = surroundings * (1 + (contrast - 1) * inflow * thin)
    sigma = rng.uniform(0.4, 0.6)
    occupancy = ndimage.gaussian_filter(lumen.occupancy, sigma)
    vessel = ndimage.gaussian_filter(lumen.occupancy * level.astype(np.float32), sigma)
    signal = background * (1 - occupancy) + vessel
    noise = tissue * rng.uniform(0.05, 0.08)
    real, imaginary = (rng.standard_normal(signal.shape, dtype=np.float32) * noise for _ in range(2))
    window = rng.uniform(60, 120) / tissue  # bright lumen may clip, as in many archives
    return np.clip(np.hypot(signal + real, imaginary) * window, 0, 255).round().astype(np.uint8)


def _smooth_within(image: Array, mask: Array, sigma: float = 4.0, shrink: int = 3) -> Array:
    """Mean of the masked voxels around, weighted by distance: the coil's sensitivity, not the single sulcus."""
    coarse = tuple(slice(None, None, shrink) for _ in range(3))
    part = mask[coarse].astype(np.float32)
    total, weight = (ndimage.gaussian_filter(values, sigma) for values in (image[coarse] * part, part))
    return _refined(
        np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), np.median(image[mask])), image.shape, shrink
    )


def draw_case(
    head: str, tree: str, kind: str, data: Path, masks: Path | None, rng: np.random.Generator
) -> dict[str, Volume]:
    """Return the volumes of a case by the names of their files."""
    scan = read_volume(data / "tof" / f"{head}_tof.nii.gz")
    brain = read_label(masks / f"{head}_mask.nii.gz") if masks else brain_mask(scan)
    background = without_vessels(scan, brain, rng)
    points, radii = placed_samples(data / "arteries" / f"{tree}.swc", brain, rng)
    lumen = draw_lumen(points, radii, scan.geometry)
    return {
        "tof": scan.with_array(scanned(background, lumen, brain, kind, rng)),
        "label": scan.with_array(lumen.label.astype(np.uint8)),
        "radius": scan.with_array(np.where(lumen.label, lumen.radius, 0).astype(np.float32)),
        "mask": brain,
    }


def main(arguments: list[str] | None = None) -> int:
    """Draw cases; half with clear arteries, half with faint ones."""
    parser = argparse.ArgumentParser(description="Draw held-out trees into held-out heads, to judge models by.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=8, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="ready brain masks HEAD_mask.nii.gz, not dilated")
    options = parser.parse_args(arguments)
    if "VESSELSEG_DATA" not in os.environ:
        print("error: VESSELSEG_DATA is not set; it names the folder with heads and trees", file=sys.stderr)
        return 1
    data = Path(os.environ["VESSELSEG_DATA"])
    trees = np.random.default_rng(options.seed).permutation(TREES)
    try:
        for number in range(options.count):
            head, tree = HEADS[number % len(HEADS)], str(trees[number % len(trees)])
            kind = tuple(CONTRASTS)[number // 2 % 2]
            rng = np.random.default_rng([options.seed, number])
            case = draw_case(head, tree, kind, data, options.masks, rng)
            folder = options.output / f"case_{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            for name, volume in case.items():
                write_volume(volume, folder / f"{name}.nii.gz", overwrite=True)
            description = {"head": head, "tree": tree, "arteries": kind, "seed": options.seed, "index": number}
            (folder / "description.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
            print(f"{folder}: {head}, {tree}, {kind}")
    except VesselSegError as error:
        print(f"error: {error.message}; {error.advice}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
