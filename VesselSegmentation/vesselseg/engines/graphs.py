"""The architectures as graphs of few operations, for engines that compute without torch.

Each function repeats the ``forward`` of the module of the same name in `vesselseg.networks`, from the weight file
alone: neither torch nor a conversion is needed to segment, and compiling the graph takes a tenth of a second, so that
nothing has to be kept in a cache. Tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.networks import DEFAULT_CHANNELS
from vesselseg.networks.traits import TRAITS, Traits

Weights = dict[str, NDArray[np.float32]]

#: What torch adds to the variance in batch normalisation.
_EPSILON = 1e-5


class Operations(Protocol):
    """Makes the nodes of an engine's graph."""

    def convolution(self, features: Any, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str) -> Any:
        """Convolve, with zeros around; the weight has the shape (outputs, inputs, [Z,] Y, X), odd sides.

        The name is that of the convolution in the weight file.
        """
        ...

    def max_pool(self, features: Any) -> Any:
        """Take the largest of each 2 x 2 (x 2) values."""
        ...

    def upsample(self, features: Any) -> Any:
        """Repeat each value 2 x 2 (x 2) times."""
        ...

    def relu(self, features: Any) -> Any:
        """Replace negative values by 0."""
        ...

    def add(self, one: Any, other: Any) -> Any:
        """Add the features of two nodes."""
        ...

    def joined_convolution(
        self, skip: Any, below: Any, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str
    ) -> Any:
        """Join the features of a level and, upsampled, those of the level below along the channels, and convolve."""
        ...


class _Layers:
    """Convolutions by the names of their weights, in which batch normalisation is contained."""

    def __init__(self, operations: Operations, weights: Weights) -> None:
        self._operations, self._weights = operations, weights
        self.unused = {name for name in weights if not name.endswith("num_batches_tracked")}

    def convolution(self, features: Any, name: str, norm: str = "") -> Any:
        return self._operations.convolution(features, *self._weight_and_bias(name, norm), name)

    def joined_convolution(self, skip: Any, below: Any, name: str, norm: str = "") -> Any:
        return self._operations.joined_convolution(skip, below, *self._weight_and_bias(name, norm), name)

    def _weight_and_bias(self, name: str, norm: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weight = self._take(f"{name}.weight")
        if not norm:
            return weight, self._take(f"{name}.bias")
        # In double precision, so that nothing is lost: float32 engines then differ from torch by rounding only.
        parts = ("weight", "bias", "running_mean", "running_var")
        gain, shift, mean, variance = (self._take(f"{norm}.{part}").astype(np.float64) for part in parts)
        scale = gain / np.sqrt(variance + _EPSILON)
        folded = (weight * scale.reshape((-1,) + (1,) * (weight.ndim - 1))).astype(np.float32)
        return folded, (shift - mean * scale).astype(np.float32)

    def _take(self, name: str) -> NDArray[np.float32]:
        self.unused.discard(name)
        return self._weights[name]


def _unet2d(
    operations: Operations,
    layers: _Layers,
    slices: Any,
    channels: Sequence[int],
    in_slices: int = 1,
    norm: str = "none",
    dropout: float = 0.0,
) -> Any:
    def names(block: str, position: int) -> tuple[str, str]:
        return f"{block}.{position}", f"{block}.{position + 1}" if norm == "batch" else ""

    def finished(features: Any, block: str) -> Any:
        return operations.relu(layers.convolution(operations.relu(features), *names(block, 4)))

    features, skips = slices, []
    for level in range(len(channels)):
        features = features if level == 0 else operations.max_pool(features)
        features = finished(layers.convolution(features, *names(f"encoder.{level}", 0)), f"encoder.{level}")
        skips.append(features)
    for index, skip in enumerate(skips[-2::-1]):
        joined = layers.joined_convolution(skip, features, *names(f"decoder.{index}", 0))
        features = finished(joined, f"decoder.{index}")
    return layers.convolution(features, "head")


class _UNet3d:
    """The three-dimensional network by its levels; 0 is the full resolution."""

    def __init__(self, operations: Operations, layers: _Layers, channels: Sequence[int]) -> None:
        self._operations, self._layers, self._last = operations, layers, len(channels) - 1

    def rest(self, level: int, features: Any) -> Any:
        """Compute a level and all below it from what comes down to it."""
        if level == self._last:
            return self._upwards(level, self._encoded(level, features))
        skip = self._encoded(level, features)
        return self._decoded(level, skip, self.rest(level + 1, self._operations.max_pool(skip)))

    def enter(self, level: int, features: Any) -> Any:
        """Compute what comes down from a level to the next."""
        return self._operations.max_pool(self._encoded(level, features))

    def leave(self, level: int, features: Any, below: Any) -> Any:
        """Compute a level from what comes down to it and what comes up from the next."""
        return self._decoded(level, self._encoded(level, features), below)

    def _encoded(self, level: int, features: Any) -> Any:
        return self._block(features, f"encoder.{level}")

    def _decoded(self, level: int, skip: Any, below: Any) -> Any:
        joined = self._operations.add(skip, self._operations.upsample(below))
        return self._upwards(level, self._block(joined, f"decoder.{self._last - 1 - level}"))

    def _upwards(self, level: int, features: Any) -> Any:
        return self._layers.convolution(features, f"narrow.{self._last - level}" if level else "head")

    def _block(self, features: Any, name: str) -> Any:
        first = self._operations.relu(self._layers.convolution(features, f"{name}.first.0", f"{name}.first.1"))
        second = self._layers.convolution(first, f"{name}.second.0", f"{name}.second.1")
        return self._operations.relu(self._operations.add(first, second))


def _unet3d(operations: Operations, layers: _Layers, blocks: Any, channels: Sequence[int]) -> Any:
    return _UNet3d(operations, layers, channels).rest(0, blocks)


_GRAPHS: dict[str, Callable[..., Any]] = {"unet2d": _unet2d, "unet3d": _unet3d}


def has_graph(architecture: str) -> bool:
    """Whether an architecture can be computed without torch."""
    return architecture in _GRAPHS


def graph_traits(architecture: str, options: dict[str, Any]) -> Traits:
    """Return what has to be known of a network to cut a scan for it.

    Parameters
    ----------
    architecture : str
        One for which `has_graph` is true.
    options : dict
        As in a model's manifest.

    Raises
    ------
    VesselSegError
        If the architecture does not take these options.
    """
    return _apply(TRAITS[architecture], architecture, options)


def build_graph(architecture: str, options: dict[str, Any], weights: Weights, operations: Operations, scan: Any) -> Any:
    """Make the nodes of a network.

    Parameters
    ----------
    architecture : str
        One for which `has_graph` is true.
    options : dict
        As in a model's manifest.
    weights : dict of ndarray
        By the names of the weight file.
    operations : Operations
        The engine's.
    scan : node
        The engine's node of the input, shape (N, in_slices, Y, X) or (N, 1, Z, Y, X).

    Returns
    -------
    node
        The logits.

    Raises
    ------
    VesselSegError
        If the weights do not fit the architecture and its options.
    """
    layers = _Layers(operations, weights)
    try:
        logits = _apply(_GRAPHS[architecture], architecture, options, operations, layers, scan)
    except (KeyError, RuntimeError, ValueError) as error:
        raise _misfit(architecture) from error
    if layers.unused:
        raise _misfit(architecture)
    return logits


def has_levels(architecture: str) -> bool:
    """Whether an architecture can be computed level by level, see `build_level`."""
    return architecture == "unet3d"


def build_level(
    part: str, level: int, options: dict[str, Any], weights: Weights, operations: Operations, *inputs: Any
) -> Any:
    """Make the nodes of a part of the network "unet3d".

    Parameters
    ----------
    part : {"enter", "rest", "leave"}
        "enter" is from what comes down to a level to what comes down to the next; "rest" from what comes down to a
        level to what comes up from it; "leave" the same, given what comes up from the next level.
    level : int
        0 is the full resolution: the scan comes down to it, and the logits come up from it.
    options, weights, operations
        See `build_graph`.
    *inputs : node
        The engine's nodes: what comes down to the level, shape (N, channels of the level above or 1, Z, Y, X), and for
        "leave" what comes up from the next one, shape (N, channels of the level, Z / 2, Y / 2, X / 2).

    Returns
    -------
    node
    """
    layers = _Layers(operations, weights)
    network = _apply(_UNet3d, "unet3d", options, operations, layers)
    try:
        return getattr(network, part)(level, *inputs)
    except (KeyError, RuntimeError, ValueError) as error:
        raise _misfit("unet3d") from error


def level_channels(options: dict[str, Any]) -> tuple[int, ...]:
    """Return the features of every level of the network "unet3d"."""
    return tuple(options.get("channels", DEFAULT_CHANNELS["unet3d"]))


def _apply(function: Callable[..., Any], architecture: str, options: dict[str, Any], *arguments: Any) -> Any:
    try:
        return function(*arguments, **{"channels": DEFAULT_CHANNELS[architecture], **options})
    except TypeError as error:
        raise VesselSegError(f"the architecture '{architecture}' does not take these options: {error}") from error


def _misfit(architecture: str) -> VesselSegError:
    return VesselSegError(
        f"the weights do not fit the architecture '{architecture}' of their manifest",
        "import the model again from its source",
    )
