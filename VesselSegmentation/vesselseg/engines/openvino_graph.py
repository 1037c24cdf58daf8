"""Networks as graphs of OpenVINO, built straight from the weights, for every precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Model, opset13

from vesselseg.engines.graphs import Weights, build_graph, build_level, graph_traits, level_channels
from vesselseg.engines.upsampling import phases, upsampling_weight
from vesselseg.errors import VesselSegError
from vesselseg.models import bfloat16
from vesselseg.networks.traits import Traits

FloatArray = NDArray[np.float32]

#: Ends the name of the features that a convolution takes from the level below, beside those of its own level.
BELOW = ".below"
#: Steps of features, which begin at 0, and of weights, which are as many below 0 as above.
_FEATURE_STEPS, _WEIGHT_STEPS = 256, 255


def openvino_model(
    architecture: str,
    options: dict[str, Any],
    weights: Weights,
    *,
    for_bfloat16: bool = False,
    ranges: dict[str, float] | None = None,
) -> tuple[Model, Traits]:
    """Build a network in OpenVINO.

    Parameters
    ----------
    architecture, options, weights
        See `vesselseg.engines.graphs.build_graph`.
    for_bfloat16 : bool
        Whether it takes the scan split and has rounded weights, see `vesselseg.models.bfloat16`.
    ranges : dict of float, optional
        The largest values of the features of those convolutions that are to be computed in 8 bits, by the names that
        `observing_model` gives; larger values are cut off.

    Returns
    -------
    model : openvino.Model
        Its input has the shape (N, channels, [Z,] Y, X) with all sides dynamic; its first output are the logits.
    traits : Traits

    Raises
    ------
    VesselSegError
        If the weights or the ranges do not fit the architecture.
    """
    traits = graph_traits(architecture, options)
    scan = _parameter(traits.in_slices * (bfloat16.PARTS if for_bfloat16 else 1), traits.dimensions)
    operations = (_Bfloat16Operations if for_bfloat16 else _Operations)(traits.dimensions, ranges)
    logits = build_graph(architecture, options, weights, operations, scan)
    if operations.ranges_left:
        raise VesselSegError(
            f"the ranges for 8 bits do not fit the architecture '{architecture}'",
            "make the int8 form anew with 'vesselseg models quantise NAME --cases DIR --overwrite'",
        )
    return _model([logits, *operations.beside], [scan]), traits


def observing_model(architecture: str, options: dict[str, Any], weights: Weights) -> tuple[Model, Traits, list[str]]:
    """Build a network that tells the smallest and the largest value of the features that each convolution takes.

    Parameters
    ----------
    architecture, options, weights
        See `vesselseg.engines.graphs.build_graph`.

    Returns
    -------
    model : openvino.Model
        Its outputs are the logits and then, for each name, two numbers.
    traits : Traits
    names : list of str
        Of the convolutions, as the ranges of `openvino_model` take them; not of the first, which takes the scan.
    """
    traits = graph_traits(architecture, options)
    scan = _parameter(traits.in_slices, traits.dimensions)
    operations = _ObservingOperations(traits.dimensions)
    logits = build_graph(architecture, options, weights, operations, scan)
    extremes = [end for ends in operations.extremes.values() for end in ends]
    return _model([logits, *extremes], [scan]), traits, list(operations.extremes)


def openvino_level(part: str, level: int, options: dict[str, Any], weights: Weights) -> Model:
    """Build a part of a three-dimensional network in OpenVINO, in single precision.

    Parameters
    ----------
    part, level, options, weights
        See `vesselseg.engines.graphs.build_level`.

    Returns
    -------
    openvino.Model
    """
    channels = level_channels(options)
    down = channels[level - 1] if level else 1
    inputs = [_parameter(count, 3) for count in ((down, channels[level]) if part == "leave" else (down,))]
    return _model([build_level(part, level, options, weights, _Operations(3), *inputs)], inputs)


def byte_convolution(channels: int) -> Model:
    """Build a 3 x 3 convolution in 8 bits that adds up features between 0 and 1: of all channels, for each of them."""
    features = _parameter(channels, 2)
    weight, bias = np.ones((channels, channels, 3, 3), np.float32), np.zeros(channels, np.float32)
    name = "sum"
    return _model([_Operations(2, {name: 1.0}).convolution(features, weight, bias, name)], [features])


def _parameter(channels: int, dimensions: int) -> Any:
    return opset13.parameter([-1, channels] + [-1] * dimensions, np.float32)


def _model(outputs: list[Any], inputs: list[Any]) -> Model:
    return Model([opset13.result(node) for node in outputs], inputs)


class _Operations:
    """The nodes of a graph in OpenVINO; see `vesselseg.engines.graphs.Operations`."""

    def __init__(self, dimensions: int, ranges: dict[str, float] | None = None) -> None:
        self._dimensions = dimensions
        #: The largest values of the features that are taken in 8 bits.
        self._ranges = ranges or {}
        #: Names among the ranges that no convolution has had yet.
        self.ranges_left = set(self._ranges)
        #: Nodes that have to be outputs beside the logits.
        self.beside: list[Any] = []

    def convolution(self, features: Any, weight: FloatArray, bias: FloatArray, name: str) -> Any:
        ones, around = [1] * self._dimensions, [side // 2 for side in weight.shape[2:]]
        kernel = self._kernel(weight, 0, name)
        convolved = opset13.convolution(self._features(features, name), kernel, ones, around, around, ones)
        return opset13.add(convolved, opset13.constant(bias.reshape((1, -1, *ones))))

    def max_pool(self, features: Any) -> Any:
        ones, twos = [1] * self._dimensions, [2] * self._dimensions
        zeros = [0] * self._dimensions
        return opset13.max_pool(features, twos, ones, zeros, zeros, twos).output(0)

    def upsample(self, features: Any) -> Any:
        return opset13.interpolate(
            features,
            opset13.constant(np.full(self._dimensions, 2, np.float32)),
            mode="nearest",
            shape_calculation_mode="scales",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            axes=opset13.constant(np.arange(2, 2 + self._dimensions)),
        )

    def relu(self, features: Any) -> Any:
        return opset13.relu(features)

    def add(self, one: Any, other: Any) -> Any:
        return opset13.add(one, other)

    def joined_convolution(self, skip: Any, below: Any, weight: FloatArray, bias: FloatArray, name: str) -> Any:
        # A quarter faster as a whole: neither upsampled nor joined features are made, and there is less to multiply.
        own = weight.shape[1] - below.get_output_partial_shape(0)[1].get_length()
        kernel = self._kernel(self._raising(upsampling_weight(weight[:, own:]), name + BELOW), 1, name + BELOW)
        ones, twos = [1] * self._dimensions, [2] * self._dimensions
        below = self._features(below, name + BELOW)
        raised = opset13.convolution_backprop_data(below, kernel, twos, None, ones, ones, ones)
        return opset13.add(self.convolution(skip, weight[:, :own], bias, name), raised)

    def _features(self, features: Any, name: str) -> Any:
        if name not in self._ranges:
            return features
        self.ranges_left.discard(name)
        ones = np.ones((1, 1, *[1] * self._dimensions), np.float32)
        low, high = opset13.constant(0 * ones), opset13.constant(self._ranges[name] * ones)
        return opset13.fake_quantize(features, low, high, low, high, _FEATURE_STEPS)

    def _kernel(self, weight: FloatArray, outputs_axis: int, name: str) -> Any:
        kernel = opset13.constant(weight)
        if name not in self._ranges:
            return kernel
        others = tuple(axis for axis in range(weight.ndim) if axis != outputs_axis)
        largest = np.maximum(np.abs(weight).max(axis=others, keepdims=True), np.finfo(np.float32).tiny)
        low, high = opset13.constant(-largest), opset13.constant(largest)
        return opset13.fake_quantize(kernel, low, high, low, high, _WEIGHT_STEPS)

    def _raising(self, weight: FloatArray, name: str) -> FloatArray:
        return weight


class _ObservingOperations(_Operations):
    """The same, telling between which values the features of each convolution lie."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions)
        self.extremes: dict[str, tuple[Any, Any]] = {}
        self._takes_scan = True

    def _features(self, features: Any, name: str) -> Any:
        if not self._takes_scan:
            axes = opset13.constant(np.arange(2 + self._dimensions))
            self.extremes[name] = opset13.reduce_min(features, axes), opset13.reduce_max(features, axes)
        self._takes_scan = False
        return features


class _Bfloat16Operations(_Operations):
    """The same, such that bfloat16 loses little."""

    def __init__(self, dimensions: int, ranges: dict[str, float] | None = None) -> None:
        super().__init__(dimensions, ranges)
        self._convolutions = 0

    def convolution(self, features: Any, weight: FloatArray, bias: FloatArray, name: str) -> Any:
        number = self._convolutions
        self._convolutions += 1
        if name in self._ranges:
            return super().convolution(features, weight, bias, name)
        if number == 0:
            return super().convolution(features, bfloat16.split_weight(weight), bias, name)
        weight = bfloat16.rounded_weight(weight)
        if number != bfloat16.SPLIT_FEATURES:
            return super().convolution(features, weight, bias, name)
        return super().convolution(self._split(features), np.concatenate([weight, weight], axis=1), bias, name)

    def _split(self, features: Any) -> Any:
        larger = opset13.multiply(features, opset13.constant(np.float32(bfloat16.SPLITTER)))
        coarse = opset13.subtract(larger, opset13.subtract(larger, features))
        rest = opset13.subtract(features, coarse)
        # OpenVINO computes in single precision what lies between the last convolution and an output, and nothing else.
        axes = np.arange(2 + self._dimensions)
        ends = [opset13.constant(np.full(axes.size, end)) for end in (0, 1, 1)]
        self.beside.append(opset13.slice(rest, *ends, opset13.constant(axes)))
        return opset13.concat([coarse, rest], 1)

    def _raising(self, weight: FloatArray, name: str) -> FloatArray:
        if name in self._ranges:
            return weight
        for phase in phases(weight):
            phase[...] = bfloat16.rounded_weight(phase)
        return weight
