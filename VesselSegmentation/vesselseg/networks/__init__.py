"""Network architectures by name.

A new architecture is one file beside this one, one function in ``traits.py`` and one line in `_builders` below, or one
call of `register`. Builders are imported only when asked for, so that listing them needs no torch. What they build has
the attribute ``traits``, a `vesselseg.networks.traits.Traits`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    import torch

#: Feature maps per level, from the full resolution down, of networks whose options do not say.
DEFAULT_CHANNELS = {"unet2d": (32, 64, 128, 256, 512), "unet3d": (16, 32, 64, 128)}

#: Architecture name -> its builder, or where that is: "module:name".
_builders: dict[str, str | Callable[..., torch.nn.Module]] = {
    "unet2d": "vesselseg.networks.unet2d:UNet2d",
    "unet3d": "vesselseg.networks.unet3d:UNet3d",
}


def register(name: str, builder: str | Callable[..., torch.nn.Module]) -> None:
    """Make an architecture known: a class or function that builds it, or where that is, as "module:name"."""
    _builders[name] = builder


def architectures() -> list[str]:
    """Return the names of all known architectures."""
    return sorted(_builders)


def build_network(name: str, **options: Any) -> torch.nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    name : str
        A registered architecture.
    **options
        Passed to its builder, as a model's manifest holds them.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    VesselSegError
        If the architecture is unknown or does not take these options.
    """
    if name not in _builders:
        raise VesselSegError(f"unknown network architecture '{name}'", f"known are {', '.join(architectures())}")
    builder = _builders[name]
    if isinstance(builder, str):
        module, _, attribute = builder.partition(":")
        builder = getattr(importlib.import_module(module), attribute)
    try:
        return builder(**options)
    except (TypeError, ValueError) as error:
        raise VesselSegError(f"the architecture '{name}' does not take these options: {error}") from error


def channels_last_format(dimensions: int, device: str) -> Any:
    """Return how torch shall lay out what a network takes: channels innermost, which convolutions are fastest with.

    Not on Apple's GPUs: several versions of torch compute other values there with it (pytorch issues 175189, 192212).
    """
    import torch

    if device.startswith("mps"):
        return torch.contiguous_format
    return {2: torch.channels_last, 3: torch.channels_last_3d}[dimensions]


def in_channels_last(network: Any, device: str) -> Any:
    """Lay the weights out as `channels_last_format` says."""
    return network.to(memory_format=channels_last_format(network.traits.dimensions, device))
