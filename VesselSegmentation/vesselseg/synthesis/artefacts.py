"""What a scanner adds to the picture: bright cortex, ghosts of moving vessels, steps between slabs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vesselseg.synthesis.background import Background, Image, shrunken
from vesselseg.synthesis.tissue import random_field


def with_laminar_cortex(background: Background, rng: np.random.Generator) -> Background:
    """Brighten a patch of the cortex, as laminar necrosis does: a thin sheet that is no vessel.

    Parameters
    ----------
    background : Background
    rng : numpy.random.Generator

    Returns
    -------
    Background
    """
    geometry = background.geometry
    depth, thickness = rng.uniform(1.0, 5.0), rng.uniform(0.7, 1.5)
    sheet = shrunken(background.brain, depth, geometry) & ~shrunken(background.brain, depth + thickness, geometry)
    step = geometry.spacing[2]
    patch = random_field(background.image.shape, rng.uniform(12, 30) / step, rng) > rng.uniform(0.6, 1.6)
    winding = random_field(background.image.shape, 4.0 / step, rng) > -0.5
    brightness = rng.uniform(1.15, 1.7)
    image = np.where(sheet & patch & winding, background.image * np.float32(brightness), background.image)
    return replace(background, image=image)


def ghosted(image: Image, axis: int, rng: np.random.Generator) -> Image:
    """Add ghosts along the phase direction, as pulsation and motion leave them: every few lines of k-space are weaker.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X), float32
    axis : {1, 2}
        The phase direction: 1 for y, 2 for x.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        Not negative.
    """
    from scipy.fft import irfft, rfft

    ghosts, strength = int(rng.integers(2, 8)), rng.uniform(0.05, 0.3)
    length = image.shape[axis]
    # Only the phase direction is concerned, so that a transform along it does.
    lines = np.arange(length // 2 + 1)
    weaker = (lines % ghosts == 0) & (lines > 0.01 * length)
    weights = np.where(weaker, 1 - strength, 1).astype(np.float32)
    spectrum = rfft(image, axis=axis) * (weights[:, None] if axis == 1 else weights)
    return np.maximum(irfft(spectrum, n=length, axis=axis), 0).astype(np.float32)


def slab_steps(depth: int, slab: float, strength: float, offset: float) -> NDArray[np.float32]:
    """Return the signal of still tissue over the slices, shape (depth, 1, 1): it falls towards the ends of each slab.

    Parameters
    ----------
    depth : int
        Number of slices.
    slab : float
        Height of a slab, in slices.
    strength : float
        Share of the signal lost at a slab's ends.
    offset : float
        Where in its slab the first slice lies, in slices.
    """
    position = ((np.arange(depth) + offset) % slab) / slab
    return (1 - strength * np.abs(2 * position - 1) ** 4).astype(np.float32)[:, None, None]
