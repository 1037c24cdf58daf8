"""What has to be known of a network to cut a scan for it, told without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """What has to be known of a network to cut a scan for it.

    Parameters
    ----------
    dimensions : int
        2 for a network of slices, 3 for one of blocks.
    divisor : int
        The sides of the input must be multiples of it.
    overlap : int
        How far, in voxels, the input matters to an output.
    features_per_voxel : int
        Numbers per voxel of the input that are held at once while it is computed and nothing is kept for training.
    in_slices : int
        Neighbouring slices that a two-dimensional network takes as channels, odd.
    """

    dimensions: int
    divisor: int
    overlap: int
    features_per_voxel: int
    in_slices: int = 1


def reach(divisor: int) -> int:
    """Return how far an output depends on the input at most, in voxels, in a U-Net whose poolings need this divisor.

    At each level there are two convolutions 3 voxels wide on the way down and two on the way up, and the extent of the
    pooling windows.
    """
    return 4 * (divisor - 1) + 2 * divisor + (divisor - 1)


def unet2d_traits(channels: Sequence[int], in_slices: int = 1, norm: str = "none", dropout: float = 0.0) -> Traits:
    """Return the traits of `vesselseg.networks.unet2d.UNet2d`, given its options."""
    divisor = 2 ** (len(channels) - 1)
    return Traits(2, divisor, reach(divisor), 8 * channels[0], in_slices)


def unet3d_traits(channels: Sequence[int]) -> Traits:
    """Return the traits of `vesselseg.networks.unet3d.UNet3d`, given its options."""
    divisor = 2 ** (len(channels) - 1)
    # What is farther away hardly matters. Measured with five trained levels: without it, the probability changes by
    # 0.034 at most and by 0.007 in all but one of 10,000 voxels (16: 0.16 and 0.014; 48: 0.012 and 0.003).
    overlap = min(2 * max(divisor, 16), reach(divisor))
    return Traits(3, divisor, overlap, 7 * channels[0])  # the last is measured


#: Architecture -> its traits by its options. A network that is registered from elsewhere brings its own.
TRAITS: dict[str, Callable[..., Traits]] = {"unet2d": unet2d_traits, "unet3d": unet3d_traits}
