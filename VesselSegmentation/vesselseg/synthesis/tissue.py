"""Simulated heads: a plain picture of the tissues that a TOF scan shows, for use without any data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesselseg.geometry import Geometry
from vesselseg.synthesis.background import Background, Image, Mask
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.outer_vessels import meningeal_arteries, orbital_strands, scalp_vessels, temporal_arteries
from vesselseg.synthesis.sinuses import with_sinuses


def random_field(shape: tuple[int, int, int], scale: float, rng: np.random.Generator) -> Image:
    """Return smooth noise of mean 0 and standard deviation 1 whose bumps are about `scale` voxels wide."""
    coarse = [max(int(np.ceil(n / scale)) + 3, 4) for n in shape]
    field: Image = rng.normal(size=coarse).astype(np.float32)
    first = 1.0 + rng.uniform(0, 0.5, 3)[::-1]  # drawn along x, y, z
    for axis, subscripts in enumerate(("az,zyx->ayx", "by,zyx->zbx", "cx,zyx->zyc")):
        places = first[axis] + np.arange(shape[axis]) / scale
        field = np.einsum(subscripts, _spline_weights(coarse[axis], places), field, optimize=True)
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def _spline_weights(count: int, places: NDArray[np.float64]) -> Image:
    """Return what a row of values is multiplied with to interpolate it by cubic splines, shape (places, count).

    Axis by axis that is a hundred times as fast as an interpolation of each voxel from its 64 neighbours.
    """
    from scipy.ndimage import map_coordinates

    rows = [map_coordinates(unit, [places], order=3, mode="mirror") for unit in np.eye(count)]
    return np.stack(rows, axis=1).astype(np.float32)


def simulated_head(
    geometry: Geometry, centre: NDArray[np.float64], axes: NDArray[np.float64], rng: np.random.Generator
) -> Background:
    """Simulate a head: brain, ventricles, cerebrospinal fluid, skull, fat, skin, orbits, skull base, sinuses and air.

    Its distractors are bright fat, the arteries of meninges, temples and scalp, and the dural sinuses.

    Parameters
    ----------
    geometry : Geometry
        In axial orientation.
    centre, axes : ndarray, shape (3,)
        Centre and half axes x, y, z of the brain, in mm, LPS.
    rng : numpy.random.Generator
        Draws the shape of the surfaces and the signal of every tissue.

    Returns
    -------
    Background
        Without noise.
    """
    x, y, z = (
        (geometry.origin[a] + geometry.spacing[a] * np.arange(geometry.size[a]) - centre[a]).astype(np.float32)
        for a in range(3)
    )
    x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
    size = float(axes.mean())
    shape = geometry.shape
    lumps = 0.015 * random_field(shape, 0.25 * size / geometry.spacing[0], rng)
    depth = np.sqrt((x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2) + lumps

    csf, skull, skin = rng.uniform(0.55, 0.85), rng.uniform(0.05, 0.3), rng.uniform(0.7, 1.3)
    fat = rng.uniform(0.5, 1.7)
    image = np.zeros(shape, np.float32)
    # Thicknesses in mm, from the outside in, so that each layer overwrites the former.
    for thickness, signal in ((15.0, skin), (13.0, fat), (8.0, skull), (2.0, csf)):
        image[depth < 1 + thickness / size] = signal
    brain = depth < 1
    cortex = random_field(shape, 5.0, rng)
    image[brain] = (1 + rng.uniform(-0.08, 0.02) * (cortex > 0.2))[brain]
    image[brain & (np.abs(x) < 0.7) & (z > 0)] = csf  # the fissure between the hemispheres
    for side in (-1, 1):
        ventricle = ((x - 0.14 * side * axes[0]) / 0.1) ** 2 / axes[0] ** 2 + (y / 0.33) ** 2 / axes[1] ** 2
        image[(ventricle + ((z - 0.1 * axes[2]) / 0.14) ** 2 / axes[2] ** 2) < 1] = csf
    _add_skull_base(image, x, y, z, axes, fat, skull, rng)
    scalp = draw(scalp_vessels(centre, axes, rng), geometry)
    image += scalp.occupancy * (rng.uniform(0.8, 2.5) - image)
    # Draws of its own, so that those after it stay what they are for a seed.
    own = rng.spawn(1)[0]
    # Sulci: winding dark sheets in the outer fifth of the brain.
    folds = np.abs(random_field(shape, 7.0 / geometry.spacing[0], own)) < own.uniform(0.05, 0.2)
    image[brain & folds & (depth > 0.8)] = own.uniform(csf, 1.0)
    _add_orbits(image, geometry, ~brain, centre, axes, fat, own)
    for tree in (meningeal_arteries(centre, axes, own), temporal_arteries(centre, axes, own)):
        signal = own.uniform(1.0, 2.5)
        image += np.where(brain, 0, draw(tree, geometry).occupancy) * (np.maximum(signal, image) - image)
    return with_sinuses(Background(image, brain, geometry), rng)


def _add_skull_base(
    image: Image, x: Image, y: Image, z: Image, axes: NDArray[np.float64], fat: float, skull: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Put bone, fat, muscle and air below the front of the brain."""
    kinds = random_field(image.shape, 9.0, rng)
    below = (image > 0) & (z < (-0.55 - 0.3 * (y > 0.15 * axes[1])) * axes[2] + 2 * (y / axes[1]) ** 2)
    spine = (np.abs(x) < 0.2 * axes[0]) & (y > 0.05 * axes[1]) & (y < 0.5 * axes[1])
    below &= ~spine
    for low, high, signal in ((-9, -0.9, 0.02), (-0.9, 0.0, skull), (0.0, 1.1, 0.75), (1.1, 9, fat)):
        image[below & (kinds >= low) & (kinds < high)] = signal


def _add_orbits(
    image: Image, geometry: Geometry, outside: Mask, centre: NDArray[np.float64], axes: NDArray[np.float64], fat: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Put the eyes, with the fat behind them and the muscles and the nerve in it; that fat is often the brightest."""
    fat = min(fat * rng.uniform(1.0, 1.6), 2.4)
    texture = fat * (1 + 0.08 * random_field(image.shape, 4.0, rng))
    muscle, eyeball = rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.55)
    radius = 0.18 * float(axes.mean())
    for side in (-1, 1):
        eye = centre + np.array([0.48 * side, -0.9, -0.62]) * axes
        x, y, z = (
            (geometry.origin[a] + geometry.spacing[a] * np.arange(geometry.size[a]) - eye[a]).astype(np.float32)
            / radius
            for a in range(3)
        )
        x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
        # A cone towards the middle of the head, rounded in front.
        behind = np.clip(y, 0, None)
        width = np.sqrt((x + 0.27 * side * behind) ** 2 + z**2 + np.minimum(y, 0) ** 2)
        orbit = (width < 1.4 - 0.45 * behind) & (behind < 2.7) & outside
        image[orbit] = texture[orbit]
        strands = draw(orbital_strands(eye, radius, side), geometry)
        image += np.where(orbit, strands.occupancy, 0) * (muscle - image)
        image[x**2 + y**2 + z**2 < 1] = eyeball
