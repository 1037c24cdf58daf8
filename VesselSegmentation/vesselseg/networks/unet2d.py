"""The two-dimensional U-Net of the paper, and narrower relatives of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from vesselseg.networks import DEFAULT_CHANNELS
from vesselseg.networks.dropout import Dropout
from vesselseg.networks.traits import unet2d_traits

Norm = Literal["none", "batch"]


class ConvBlock(nn.Sequential):
    """Two 3 x 3 convolutions with ReLU and dropout between them."""

    def __init__(self, inputs: int, outputs: int, dropout: float, norm: Norm) -> None:
        # Module positions are part of the weight file's names: dropout and norm stay in place where they do nothing.
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "none"),
            nn.BatchNorm2d(outputs) if norm == "batch" else nn.Identity(),
            nn.ReLU(inplace=True),
            Dropout(dropout),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=norm == "none"),
            nn.BatchNorm2d(outputs) if norm == "batch" else nn.Identity(),
            nn.ReLU(inplace=True),
        )


class UNet2d(nn.Module):
    """U-Net on axial slices.

    Contracting path of convolution blocks and 2 x 2 max pooling, expanding path of nearest-neighbour up-sampling,
    concatenation with the level's features and a convolution block; a last 1 x 1 convolution. The sigmoid is left to
    the caller: losses are stabler on logits. With the paper's channels and one slice it has the paper's 31,377,793
    (full) and 7,846,081 (half) trainable parameters.

    Parameters
    ----------
    channels : sequence of int
        Feature maps per level, from the full resolution down. The paper's are 64, 128, 256, 512, 1024 (full) and
        32, 64, 128, 256, 512 (half).
    dropout : float
        Share of features dropped between the two convolutions of a block, in [0, 1).
    in_slices : int
        Neighbouring slices given to the network as channels, odd: 1 is the paper's, 5 means two on either side.
        The middle one is segmented.
    norm : {"none", "batch"}
        Normalisation after each convolution of a block. The paper has none.

    References
    ----------
    Livne M, et al. A U-Net deep learning framework for high performance vessel segmentation in patients with
    cerebrovascular disease. Front Neurosci 2019;13:97. doi:10.3389/fnins.2019.00097
    """

    def __init__(
        self,
        channels: Sequence[int] = DEFAULT_CHANNELS["unet2d"],
        dropout: float = 0.0,
        in_slices: int = 1,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        if len(channels) < 2 or min(channels) < 1:
            raise ValueError("channels needs at least two positive numbers")
        if in_slices < 1 or in_slices % 2 == 0:
            raise ValueError("in_slices must be odd and positive")
        if norm not in ("none", "batch"):
            raise ValueError("norm must be 'none' or 'batch'")
        self.traits = unet2d_traits(channels, in_slices)
        inputs = [in_slices, *channels[:-1]]
        self.encoder = nn.ModuleList(ConvBlock(i, o, dropout, norm) for i, o in zip(inputs, channels))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        deep_to_shallow = zip(channels[:0:-1], channels[-2::-1])
        self.decoder = nn.ModuleList(
            ConvBlock(deep + shallow, shallow, dropout, norm) for deep, shallow in deep_to_shallow
        )
        self.head = nn.Conv2d(channels[0], 1, 1)
        if norm == "none":
            # The paper's network starts from Keras's weights: torch's smaller ones let the signal die out on the way
            # through so many layers.
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        """Return logits (N, 1, Y, X) of slices, shape (N, in_slices, Y, X); Y and X multiples of ``traits.divisor``."""
        skips = []
        features = slices
        for level, block in enumerate(self.encoder):
            features = block(features if level == 0 else self.pool(features))
            skips.append(features)
        for block, skip in zip(self.decoder, skips[-2::-1]):
            features = block(torch.cat([skip, self.up(features)], dim=1))
        return self.head(features)
