"""Dural sinuses drawn into a head as distractors: bright, large and no artery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vesselseg.geometry import Geometry
from vesselseg.morphology.label_voxels import bounding_box
from vesselseg.synthesis.background import Background, Image, Mask, brain_box
from vesselseg.synthesis.drawing import draw
from vesselseg.synthesis.trees import Array, Branch, Tree


def with_sinuses(background: Background, rng: np.random.Generator) -> Background:
    """Draw a superior sagittal sinus, transverse sinuses and a straight sinus of random calibre and signal.

    Slow blood leaves them dark in many scans, but not in all; a model that never saw them bright takes them for the
    largest arteries of the head. Bright ones get the thin cortical veins that run into them, where nothing is to be
    learnt: in one slice or ten, such a vein looks like an artery.

    Parameters
    ----------
    background : Background
        In axial orientation.
    rng : numpy.random.Generator

    Returns
    -------
    Background
        With the sinuses in the image; its brain and noise are the same.
    """
    # Draws of its own, so that those after it stay what they are for a seed.
    own = rng.spawn(1)[0]
    image = background.image.copy()
    unsure = np.zeros(image.shape, bool) if background.unsure is None else background.unsure.copy()
    size = float(np.mean(np.subtract(*brain_box(background.brain, background.geometry)[::-1]))) / 150
    for course, share in zip(_courses(background, rng), (0.75, 0.4, 0.4, 0.35)):
        calibre = rng.uniform(1.0, 3.2) * size
        signal = rng.uniform(1.2, min(background.ceiling, 3.2))
        if rng.random() >= share:
            continue
        widths = calibre * np.linspace(0.5, 1.0, len(course))
        veins = draw(_tributaries(course, background, rng), background.geometry)
        _add(image, veins.occupancy, signal * rng.uniform(0.7, 1.0), background.noise, own)
        unsure |= veins.label > 0
        drawing = draw([Branch(course, widths)], background.geometry)
        _add(image, drawing.occupancy, signal, background.noise, own)
        unsure &= drawing.label == 0
    return replace(background, image=image, unsure=unsure)


def _add(image: Image, occupancy: Image, signal: float, noise: float, rng: np.random.Generator) -> None:
    """Draw a vein into an image; into a real one, which has noise, as blurred and noisy as that may be.

    Else a model could tell a sinus from an artery by its smoothness. Simulated heads are blurred as a whole later.
    """
    from scipy.ndimage import gaussian_filter

    box = bounding_box(occupancy > 0, margin=3)
    if box is None:
        return
    part, share, lumen = image[box], occupancy[box], np.float32(signal)
    if noise > 0:
        share = gaussian_filter(share, rng.uniform(0.3, 0.75))
        grain = gaussian_filter(rng.standard_normal(part.shape, dtype=np.float32), 0.5)
        lumen = lumen + np.float32(noise / grain.std()) * grain
    part += share * (np.maximum(lumen, part) - part)


def _courses(background: Background, rng: np.random.Generator) -> list[Array]:
    """Return the courses of the sagittal, the two transverse and the straight sinus, from their thin to thick ends."""
    brain, geometry = background.brain, background.geometry
    back = rng.uniform(-0.14, -0.04)  # height of the torcula, as the angle at the centre over pi
    angles = np.linspace(rng.uniform(0.7, 0.98), back, 60) * np.pi
    sideways = rng.normal(0, 0.02)
    sagittal = np.stack([np.full(60, sideways), np.cos(angles), np.sin(angles)], axis=1)
    courses = [_on_surface(brain, geometry, sagittal, rng.uniform(-0.5, 2.0))]
    for side in (-1, 1):
        turn = np.linspace(rng.uniform(0.35, 0.5), 0.0, 40) * np.pi
        height = np.full(40, np.sin(back * np.pi))
        across = np.stack([side * np.sin(turn), np.cos(turn), height], axis=1)
        courses.append(_on_surface(brain, geometry, across, rng.uniform(-0.5, 2.0)))
    low, high = brain_box(brain, geometry)
    galen = low + (high - low) * (0.5, rng.uniform(0.56, 0.64), rng.uniform(0.48, 0.56))
    share = np.linspace(0, 1, 20)[:, None]
    courses.append(galen * (1 - share) + courses[0][-1] * share)
    return courses


def _tributaries(course: Array, background: Background, rng: np.random.Generator) -> Tree:
    """Draw winding veins from the depth of the brain to random places of a sinus."""
    low, high = brain_box(background.brain, background.geometry)
    middle = (low + high) / 2
    tree = []
    for _ in range(int(rng.integers(0, 14))):
        end = course[rng.integers(len(course))]
        # Along the surface for the most part, and a little inwards.
        inwards = (middle - end) / np.linalg.norm(middle - end)
        heading = np.cross(inwards, rng.normal(size=3)) + rng.uniform(0.1, 0.9) * inwards
        heading /= np.linalg.norm(heading)
        points = [end]
        for _ in range(int(rng.integers(6, 22))):
            heading = heading + rng.normal(0, 0.22, 3)
            heading /= np.linalg.norm(heading)
            points.append(points[-1] + 2.0 * heading)
        tree.append(Branch(np.array(points), np.linspace(rng.uniform(0.6, 1.3), rng.uniform(0.3, 0.6), len(points))))
    return tree


def _on_surface(brain: Mask, geometry: Geometry, directions: Array, outward: float) -> Array:
    """Return where rays from the middle of the brain leave it, `outward` mm beyond, smoothed along their order."""
    from scipy.ndimage import gaussian_filter1d

    low, high = brain_box(brain, geometry)
    middle, to_index = (low + high) / 2, np.linalg.inv(geometry.ijk_to_lps())
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    reach = np.arange(0, float(np.linalg.norm(high - low)) / 2 + 5, 0.5)
    points = middle + reach[None, :, None] * directions[:, None]
    indices = np.rint(points @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
    inside = np.all((indices >= 0) & (indices < geometry.size), axis=-1)
    x, y, z = np.moveaxis(np.where(inside[..., None], indices, 0), -1, 0)
    inside &= brain[z, y, x]
    last = reach[inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)]
    surface = middle + (gaussian_filter1d(last, 2.0, mode="nearest") + outward)[:, None] * directions
    return np.asarray(surface, dtype=np.float64)
