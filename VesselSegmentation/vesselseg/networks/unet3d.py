"""A three-dimensional residual U-Net, which sees a thin artery in all of its neighbours at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from vesselseg.networks import DEFAULT_CHANNELS
from vesselseg.networks.traits import unet3d_traits


class ResidualBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions with batch normalisation and ReLU, and a short cut around the second."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(nn.Conv3d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features, shape (N, outputs, Z, Y, X)."""
        features = self.first(features)
        return torch.relu(features + self.second(features))


class UNet3d(nn.Module):
    """Residual U-Net on blocks of voxels.

    Contracting path of residual blocks and 2 x 2 x 2 max pooling, expanding path of a 1 x 1 x 1 convolution that halves
    the features, nearest-neighbour up-sampling, addition of the level's features and a residual block; a last
    1 x 1 x 1 convolution. Adding instead of concatenating halves the work at the full resolution, where most of it is.

    Parameters
    ----------
    channels : sequence of int
        Feature maps per level, from the full resolution down.

    References
    ----------
    Cicek O, et al. 3D U-Net: learning dense volumetric segmentation from sparse annotation. MICCAI 2016:424-432.
    doi:10.1007/978-3-319-46723-8_49
    """

    def __init__(self, channels: Sequence[int] = DEFAULT_CHANNELS["unet3d"]) -> None:
        super().__init__()
        if len(channels) < 2 or min(channels) < 1:
            raise ValueError("channels needs at least two positive numbers")
        self.traits = unet3d_traits(channels)
        self.encoder = nn.ModuleList(ResidualBlock(i, o) for i, o in zip([1, *channels[:-1]], channels))
        self.pool = nn.MaxPool3d(2)
        self.narrow = nn.ModuleList(nn.Conv3d(o, i, 1) for i, o in zip(channels[-2::-1], channels[:0:-1]))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.decoder = nn.ModuleList(ResidualBlock(i, i) for i in channels[-2::-1])
        self.head = nn.Conv3d(channels[0], 1, 1)

    def forward(self, blocks: torch.Tensor) -> torch.Tensor:
        """Return logits of blocks, both of the shape (N, 1, Z, Y, X); sides multiples of ``traits.divisor``."""
        skips = []
        features = blocks
        for level, block in enumerate(self.encoder):
            features = block(features if level == 0 else self.pool(features))
            skips.append(features)
        for narrow, block, skip in zip(self.narrow, self.decoder, skips[-2::-1]):
            features = block(skip + self.up(narrow(features)))
        return self.head(features)
