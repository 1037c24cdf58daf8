"""OpenVINO: the fastest on CPUs, and needs no torch."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines import bfloat16
from vesselseg.engines.graphs import Weights, build_graph, build_level, graph_traits, level_channels
from vesselseg.engines.interface import (
    CPU_BYTES,
    DeviceOutOfMemoryError,
    Levels,
    Results,
    Traits,
    tells_of_short_memory,
)
from vesselseg.engines.upsampling import phases, upsampling_weight
from vesselseg.errors import VesselSegError

#: Share of the numbers that torch holds which OpenVINO holds: it joins activations and additions to the convolutions.
_HELD = 0.5
#: Features of a level that its computing holds at once for every voxel, in multiples of its channels; measured.
_LEVEL_HELD = 4.5
_PATIENCE_MS = 200
#: Voxels of a large slice: as many slices at once as fit into memory where the CPU has very many cores.
_SLICE = 512 * 512


def computes_natively(precision: str) -> bool:
    """Whether this CPU computes in a precision without emulating it."""
    import openvino

    capability = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}.get(precision)
    return capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """A network in OpenVINO on the CPU; see `vesselseg.engines.interface.Engine`.

    Nothing is kept in a cache folder: from the weight file to the compiled graph it takes about a tenth of a second,
    and a stored graph saves half of that, then needs more memory. Shapes are dynamic, which costs nothing measurable.

    Parameters
    ----------
    model : openvino.Model
        Its input has the shape (N, channels, [Z,] Y, X) with all sides dynamic; its output are logits. It may take the
        scan split for bfloat16.
    traits : Traits
        Of the network.
    precision : {"f32", "bf16", "int8"}
        "int8" needs a model that has been quantised.
    levels : OpenVinoLevels, optional
        The same network, level by level.
    """

    name = "openvino"
    device = "cpu"
    batch = 1

    def __init__(self, model: Any, traits: Traits, precision: str, *, levels: OpenVinoLevels | None = None) -> None:
        self.traits, self.precision = traits, precision
        self.levels: Levels | None = levels
        self._model = model
        self._takes_parts = model.input().partial_shape[1] == bfloat16.PARTS * traits.in_slices
        bytes_per_voxel = traits.held * _HELD * (4 if precision == "f32" else 2)
        self.block_voxels = int(CPU_BYTES / bytes_per_voxel)
        threads = _threads()
        # In single precision two cores share a slice: as fast as a slice each, and half as much is held. Features of 16
        # bits need half of that, and waiting for each other costs more where computing takes less. All share a block.
        sharing = 2 if precision == "f32" else 1
        streams = min(max(1, threads // sharing), max(1, self.block_voxels // _SLICE)) if traits.dimensions == 2 else 1
        hint = "THROUGHPUT" if traits.dimensions == 2 else "LATENCY"
        self._properties = {"PERFORMANCE_HINT": hint, "NUM_STREAMS": str(streams), **cpu_properties(precision)}
        # Twice the streams for slices: while a result is fetched, the next slice is already being computed.
        self._count = streams * 2 if traits.dimensions == 2 else 1

    @functools.cached_property
    def _requests(self) -> list[Any]:
        import openvino

        model, self._model = self._model, None  # its weights are held twice otherwise
        compiled = openvino.Core().compile_model(model, "CPU", self._properties)
        return [compiled.create_infer_request() for _ in range(self._count)]

    def run(self, inputs: Iterable[NDArray[np.float32]]) -> Results:
        """Compute the network; see `vesselseg.engines.interface.Engine.run`."""
        idle, busy = deque[Any](), deque[Any]()
        try:
            idle.extend(self._requests)
            for array in inputs:
                if not idle:
                    yield _logits(busy[0])
                    idle.append(busy.popleft())
                request = idle.popleft()
                busy.append(request)
                request.start_async([bfloat16.split_scan(array) if self._takes_parts else array], share_inputs=True)
            while busy:
                yield _logits(busy[0])
                busy.popleft()
        except RuntimeError as error:
            if tells_of_short_memory(error):
                raise DeviceOutOfMemoryError("the memory does not suffice") from error
            raise
        finally:
            # After an error or a cancel: nobody fetches what is still being computed.
            for request in busy:
                request.cancel()
            for request in busy:
                _finish(request)


def openvino_model(
    architecture: str, options: dict[str, Any], weights: Weights, *, for_bfloat16: bool = False
) -> tuple[Any, Traits]:
    """Build a network in OpenVINO.

    Parameters
    ----------
    architecture, options, weights
        See `vesselseg.engines.graphs.build_graph`.
    for_bfloat16 : bool
        Whether it takes the scan split and has rounded weights, see `vesselseg.engines.bfloat16`.

    Returns
    -------
    model : openvino.Model
    traits : Traits

    Raises
    ------
    VesselSegError
        If the weights do not fit the architecture.
    """
    import openvino
    from openvino import opset13

    traits = graph_traits(architecture, options)
    channels = traits.in_slices * (bfloat16.PARTS if for_bfloat16 else 1)
    scan = opset13.parameter([-1, channels] + [-1] * traits.dimensions, np.float32, name="scan")
    operations = (_Bfloat16Operations if for_bfloat16 else _Operations)(opset13, traits.dimensions)
    logits = build_graph(architecture, options, weights, operations, scan)
    results = [opset13.result(node.output(0)) for node in (logits, *operations.beside)]
    return openvino.Model(results, [scan], architecture), traits


def read_openvino_model(path: Path) -> Any:
    """Read a model that OpenVINO wrote.

    Raises
    ------
    VesselSegError
        If it cannot be read.
    """
    import openvino

    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        raise VesselSegError(f"the network {path} cannot be read", "make it anew or import the model again") from error


class _Operations:
    """The nodes of a graph in OpenVINO; see `vesselseg.engines.graphs.Operations`."""

    def __init__(self, opset: Any, dimensions: int) -> None:
        self._opset, self._dimensions = opset, dimensions
        #: Nodes that have to be outputs beside the logits.
        self.beside: list[Any] = []

    def convolution(self, features: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
        ones, around = [1] * self._dimensions, [side // 2 for side in weight.shape[2:]]
        convolved = self._opset.convolution(features, self._opset.constant(weight), ones, around, around, ones)
        return self._opset.add(convolved, self._opset.constant(bias.reshape((1, -1, *ones))))

    def max_pool(self, features: Any) -> Any:
        ones, twos = [1] * self._dimensions, [2] * self._dimensions
        zeros = [0] * self._dimensions
        return self._opset.max_pool(features, twos, ones, zeros, zeros, twos).output(0)

    def upsample(self, features: Any) -> Any:
        return self._opset.interpolate(
            features,
            self._opset.constant(np.full(self._dimensions, 2, np.float32)),
            mode="nearest",
            shape_calculation_mode="scales",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            axes=self._opset.constant(np.arange(2, 2 + self._dimensions)),
        )

    def relu(self, features: Any) -> Any:
        return self._opset.relu(features)

    def add(self, one: Any, other: Any) -> Any:
        return self._opset.add(one, other)

    def joined_convolution(self, skip: Any, below: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
        # A quarter faster as a whole: neither upsampled nor joined features are made, and there is less to multiply.
        own = weight.shape[1] - below.get_output_partial_shape(0)[1].get_length()
        kernel = self._opset.constant(self._raising(upsampling_weight(weight[:, own:])))
        ones, twos = [1] * self._dimensions, [2] * self._dimensions
        raised = self._opset.convolution_backprop_data(below, kernel, twos, None, ones, ones, ones)
        return self._opset.add(self.convolution(skip, weight[:, :own], bias), raised)

    def _raising(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        return weight


class _Bfloat16Operations(_Operations):
    """The same, such that bfloat16 loses little."""

    def __init__(self, opset: Any, dimensions: int) -> None:
        super().__init__(opset, dimensions)
        self._convolutions = 0

    def convolution(self, features: Any, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Any:
        number = self._convolutions
        self._convolutions += 1
        if number == 0:
            return super().convolution(features, bfloat16.split_weight(weight), bias)
        weight = bfloat16.rounded_weight(weight)
        if number != bfloat16.SPLIT_FEATURES:
            return super().convolution(features, weight, bias)
        return super().convolution(self._split(features), np.concatenate([weight, weight], axis=1), bias)

    def _split(self, features: Any) -> Any:
        larger = self._opset.multiply(features, self._opset.constant(np.float32(bfloat16.SPLITTER)))
        coarse = self._opset.subtract(larger, self._opset.subtract(larger, features))
        rest = self._opset.subtract(features, coarse)
        # OpenVINO computes in single precision what lies between the last convolution and an output, and nothing else.
        axes = np.arange(2 + self._dimensions)
        ends = [self._opset.constant(np.full(axes.size, end)) for end in (0, 1, 1)]
        self.beside.append(self._opset.slice(rest, *ends, self._opset.constant(axes)))
        return self._opset.concat([coarse, rest], 1)

    def _raising(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        for phase in phases(weight):
            phase[...] = bfloat16.rounded_weight(phase)
        return weight


class OpenVinoLevels:
    """A three-dimensional network in OpenVINO, level by level; see `vesselseg.engines.interface.Levels`.

    Parameters
    ----------
    options, weights
        See `vesselseg.engines.graphs.build_graph`.
    """

    def __init__(self, options: dict[str, Any], weights: Weights) -> None:
        self.channels = level_channels(options)
        self._options, self._weights = options, weights
        self._requests: dict[tuple[str, int], Any] = {}

    def run(self, part: str, level: int, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute a part; see `vesselseg.engines.interface.Levels.run`."""
        try:
            if (part, level) not in self._requests:
                self._requests[part, level] = self._request(part, level)
            request = self._requests[part, level]
            request.start_async(list(inputs), share_inputs=True)
            return _output(request)
        except (RuntimeError, MemoryError) as error:
            if tells_of_short_memory(error):
                raise DeviceOutOfMemoryError("the memory does not suffice") from error
            raise

    def release(self, part: str, level: int) -> None:
        """Give back the memory of a part."""
        self._requests.pop((part, level), None)

    def bytes_per_voxel(self, level: int) -> float:
        """Return how much memory a voxel of a level takes."""
        return 4 * _LEVEL_HELD * self.channels[level]

    def _request(self, part: str, level: int) -> Any:
        import openvino
        from openvino import opset13

        down = self.channels[level - 1] if level else 1
        nodes = [
            opset13.parameter([-1, count, -1, -1, -1], np.float32)
            for count in ((down, self.channels[level]) if part == "leave" else (down,))
        ]
        result = build_level(part, level, self._options, self._weights, _Operations(opset13, 3), *nodes)
        properties = {"PERFORMANCE_HINT": "LATENCY", **cpu_properties("f32")}
        return openvino.Core().compile_model(openvino.Model([result], nodes), "CPU", properties).create_infer_request()


def cpu_properties(precision: str) -> dict[str, Any]:
    """Return how networks are to be computed in a precision, whatever their shape."""
    properties: dict[str, Any] = {
        # Otherwise OpenVINO takes bfloat16 by itself where the CPU has it.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        # Two processes would be bound to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if "OMP_NUM_THREADS" in os.environ:
        properties["INFERENCE_NUM_THREADS"] = _threads()
    return properties


def _logits(request: Any) -> NDArray[np.float32]:
    return _output(request).copy()


def _output(request: Any) -> NDArray[np.float32]:
    # Not waiting for ever: in between, Python answers Ctrl-C.
    while not request.wait_for(_PATIENCE_MS):
        pass
    return request.get_output_tensor(0).data


def _finish(request: Any) -> None:
    try:
        request.wait()
    except RuntimeError:  # that it was cancelled, or the error that is being raised already
        return


def _threads() -> int:
    """Return how many cores may be used: those this process is bound to, or fewer where the user says so."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
