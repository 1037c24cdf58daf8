"""How much a network has to compute."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def flops_per_voxel(network: torch.nn.Module) -> float:
    """Count the floating-point operations of a network for each voxel of its input.

    A multiplication and an addition count as two. Only convolutions count, plain and transposed, without their bias;
    pooling, up-sampling, normalisation and activations are less than a hundredth of them.

    Parameters
    ----------
    network : torch.nn.Module
        Fully convolutional, with the attribute ``traits``. It is copied; nothing is computed.

    Returns
    -------
    float
        The same for inputs of any size, since every layer keeps or divides the sides exactly. A slice with its
        neighbours counts its own voxels only.

    Examples
    --------
    >>> from vesselseg.networks import build_network
    >>> network = build_network("unet2d", channels=[2, 4])
    >>> flops_per_voxel(network)  # 18 (1x2 + 2x2) + 18 (2x4 + 4x4) / 4 + 18 (6x2 + 2x2) + 2x2
    508.0
    """
    import copy

    import torch

    # Tensors without values: the shapes are all that is asked for.
    probe: Any = copy.deepcopy(network).to("meta").eval()
    total = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        kernel = math.prod(module.kernel_size)
        # Every value of the input of a transposed convolution is multiplied with the whole kernel, else the output's.
        places = inputs[0] if module.transposed else output
        channels = module.out_channels if module.transposed else module.in_channels
        total += 2 * kernel * (channels // module.groups) * places.numel()

    convolutions = [module for module in probe.modules() if isinstance(module, torch.nn.modules.conv._ConvNd)]
    for convolution in convolutions:
        convolution.register_forward_hook(count)
    shape = (probe.traits.divisor,) * probe.traits.dimensions
    with torch.inference_mode():
        probe(torch.empty((1, probe.traits.in_slices, *shape), device="meta"))
    return total / math.prod(shape)


class VoxelCounter:
    """Counts the voxels that a network is given, whoever calls it.

    Parameters
    ----------
    network : torch.nn.Module

    Attributes
    ----------
    voxels : int
        So far; a slice with its neighbours counts its own voxels only.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.voxels = 0
        network.register_forward_pre_hook(self._count)

    def _count(self, module: Any, inputs: Any) -> None:
        batch, _channels, *sides = inputs[0].shape
        self.voxels += batch * math.prod(sides)
