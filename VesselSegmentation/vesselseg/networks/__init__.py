"""Network architectures by name.

A new architecture is one file beside this one with a builder decorated by `register`, and one line in `_MODULES` below.
Builders are imported only when asked for, so that listing them needs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    import torch

#: Architecture name -> module that registers it.
_MODULES = {"unet2d": "vesselseg.networks.unet2d", "unet3d": "vesselseg.networks.unet3d"}

_builders: dict[str, Callable[..., torch.nn.Module]] = {}


def register(name: str) -> Callable[[Callable[..., torch.nn.Module]], Callable[..., torch.nn.Module]]:
    """Register the decorated class or function as the builder of the architecture `name`."""

    def decorate(builder: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
        _builders[name] = builder
        return builder

    return decorate


def architectures() -> list[str]:
    """Return the names of all known architectures."""
    return sorted(_MODULES | _builders)


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
    if name not in _builders and name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _builders:
        raise VesselSegError(f"unknown network architecture '{name}'", f"known are {', '.join(architectures())}")
    try:
        return _builders[name](**options)
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
    return network.to(memory_format=channels_last_format(network.dimensions, device))
