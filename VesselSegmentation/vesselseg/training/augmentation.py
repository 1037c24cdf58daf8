"""Random changes of patches, a whole batch at a time."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from vesselseg.image_io import UNSURE
from vesselseg.training.config import Augmentation


def augment_shape(
    images: torch.Tensor,
    labels: torch.Tensor,
    size: int,
    generator: torch.Generator,
    ranges: Augmentation = Augmentation(),  # noqa: B008 (it cannot be changed)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn, mirror, stretch and shear crops, and cut patches out of their middle.

    Parameters
    ----------
    images : tensor, shape (N, Z, Y, X)
    labels : tensor, shape (N, Z', Y, X)
    size : int
        Side of the patches; the crops are half as large again.
    generator : torch.Generator
    ranges : Augmentation
        How much.

    Returns
    -------
    tuple of tensor
        Images, shape (N, Z, size, size), and labels, shape (N, Z', size, size); all slices are changed alike. Where a
        patch reaches beyond its crop, its label is `vesselseg.image_io.UNSURE`.
    """
    count = images.shape[0]

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    turn, tilt = math.radians(ranges.rotation_deg), math.tan(math.radians(ranges.shear_deg))
    angle = uniform(-turn, turn)
    scale = torch.exp(uniform(math.log(ranges.scale[0]), math.log(ranges.scale[1])))
    stretch = uniform(1 - ranges.stretch, 1 + ranges.stretch)
    mirror = (uniform(0, 1) < 0.5).float() * 2 - 1
    shear = uniform(-tilt, tilt)
    mirror_y = (uniform(0, 1) < 0.5).float() * 2 - 1
    # All numbers are drawn whatever is asked for, so that one entry changes nothing but what it says.
    mirror = mirror if "x" in ranges.flips else torch.ones(count)
    mirror_y = mirror_y if "y" in ranges.flips else torch.ones(count)
    share = size / images.shape[-1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = cos * mirror * scale * stretch, (-sin * scale + shear) * mirror_y
    theta[:, 1, 0], theta[:, 1, 1] = sin * mirror * scale, cos * scale / stretch * mirror_y
    theta[:, :, :2] *= share
    grid = functional.affine_grid(theta, [count, 1, size, size], align_corners=False)
    patches = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # Nearest neighbour: the value for "unsure" must not mix with the others. Outside is 0, so the labels begin at 1.
    targets = functional.grid_sample(labels + 1, grid, mode="nearest", padding_mode="zeros", align_corners=False) - 1
    targets = torch.where(targets < 0, float(UNSURE), targets)
    return patches, targets


def augment_signal(images: torch.Tensor, generator: torch.Generator, ceiling: float = 4.0) -> torch.Tensor:
    """Change brightness, shading, contrast, window, sharpness and noise of normalised patches.

    Parameters
    ----------
    images : tensor, shape (N, Z, Y, X)
    generator : torch.Generator
    ceiling : float
        Highest value of a normalised scan: ``clip`` of its normalisation.

    Returns
    -------
    tensor, shape (N, Z, Y, X)
    """
    count = images.shape[0]

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(count, 1, 1, 1).uniform_(low, high, generator=generator)

    def some(share: float) -> torch.Tensor:
        return uniform(0, 1) < share

    # Heads differ most in the coil's shading: a vessel is what exceeds its surroundings, not a bright voxel.
    images = images * torch.exp(uniform(math.log(0.65), math.log(1.5))) * _shading(images.shape, generator)
    images = torch.where(some(0.4), torch.pow(images.clamp_min(0) + 1e-6, uniform(0.8, 1.25)), images)
    images = torch.where(some(0.3), _blurred(images, float(uniform(0.4, 0.9)[0])), images)
    if images.shape[1] > 2:
        images = torch.where(some(0.2), _mixed_slices(images, float(uniform(0.1, 0.3)[0])), images)
    images = torch.where(some(0.25), torch.minimum(images, uniform(1.6, 4.0)), images)
    noise = torch.empty_like(images).normal_(generator=generator)
    images = images + torch.where(some(0.6), uniform(0.0, 0.15), torch.zeros(1)) * noise
    return images.clamp(0.0, ceiling)


def _shading(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Return smooth random brightness, shape (N, Z, Y, X): a plane and a bowl, each up to about 30 % over a patch."""
    total = torch.zeros(shape[0], 1, 1, 1)
    for axis, length in enumerate(shape[1:], start=1):
        line = torch.linspace(-1, 1, length).reshape([-1 if a == axis else 1 for a in range(4)])
        slope, bowl = torch.empty(2, shape[0], 1, 1, 1).uniform_(-0.15, 0.15, generator=generator)
        total = total + slope * line + bowl * line**2
    return torch.exp(total)


def _mixed_slices(images: torch.Tensor, share: float) -> torch.Tensor:
    """Give every slice a share of its neighbours, as in a scan with thicker slices."""
    result = images.clone()
    result[:, 1:-1] = (1 - 2 * share) * images[:, 1:-1] + share * (images[:, :-2] + images[:, 2:])
    return result


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    offsets = torch.arange(-2, 3, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    for shape in ((1, 1, 5, 1), (1, 1, 1, 5)):
        weight = kernel.reshape(shape).repeat(channels, 1, 1, 1)
        images = functional.conv2d(images, weight, padding=(shape[2] // 2, shape[3] // 2), groups=channels)
    return images
