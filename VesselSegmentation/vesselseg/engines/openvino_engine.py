"""OpenVINO: the fastest on CPUs, and needs no torch."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.graphs import Weights, level_channels
from vesselseg.engines.interface import (
    CPU_BYTES,
    DeviceOutOfMemoryError,
    Levels,
    Results,
    tells_of_short_memory,
)
from vesselseg.models import bfloat16
from vesselseg.networks.traits import Traits

#: Share of the numbers that torch holds which OpenVINO holds: it joins activations and additions to the convolutions.
_HELD = 0.5
#: Features of a level that its computing holds at once for every voxel, in multiples of its channels; measured.
_LEVEL_HELD = 4.5
_PATIENCE_MS = 200
#: Voxels of a large slice: as many slices at once as fit into memory where the CPU has very many cores.
_SLICE = 512 * 512


def computes_natively(precision: str) -> bool:
    """Whether OpenVINO computes in a precision on this CPU, and rightly.

    bfloat16 it offers wherever there is AVX-512, and emulates it on some of those CPUs: whether it is worth it,
    `vesselseg.engines.bfloat16_speed.bfloat16_pays` tells.
    """
    import openvino

    if precision == "int8":
        return _multiplies_bytes()
    capability = {"f32": "FP32", "bf16": "BF16"}.get(precision)
    return capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@functools.cache
def _multiplies_bytes() -> bool:
    """Whether sums of products of bytes are right: without the instructions VNNI or AMX they are cut off at 16 bits."""
    import openvino

    from vesselseg.engines.openvino_graph import byte_convolution

    channels = 64
    network = openvino.Core().compile_model(byte_convolution(channels), "CPU", cpu_properties("f32"))
    found = network([np.ones((1, channels, 8, 8), np.float32)])[0]
    return bool(np.allclose(found[..., 1:-1, 1:-1], 9 * channels, rtol=1e-3))


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
        "int8" needs a model with ranges for 8 bits.
    rest : {"f32", "bf16"}
        In which is computed what "int8" leaves out.
    levels : OpenVinoLevels, optional
        The same network, level by level.
    """

    name = "openvino"
    device = "cpu"
    batch = 1

    def __init__(
        self, model: Any, traits: Traits, precision: str, *, rest: str = "f32", levels: OpenVinoLevels | None = None
    ) -> None:
        self.traits, self.precision = traits, precision
        self.levels: Levels | None = levels
        self._model = model
        self._takes_parts = model.input().partial_shape[1] == bfloat16.PARTS * traits.in_slices
        floats = rest if precision == "int8" else precision
        bytes_per_voxel = traits.features_per_voxel * _HELD * (4 if floats == "f32" else 2)
        self.block_voxels = int(CPU_BYTES / bytes_per_voxel)
        threads = _threads()
        # In single precision two cores share a slice: as fast as a slice each, and half as much is held. Features of 16
        # bits need half of that, and waiting for each other costs more where computing takes less. All share a block.
        sharing = 2 if floats == "f32" else 1
        streams = min(max(1, threads // sharing), max(1, self.block_voxels // _SLICE)) if traits.dimensions == 2 else 1
        hint = "THROUGHPUT" if traits.dimensions == 2 else "LATENCY"
        self._properties = {"PERFORMANCE_HINT": hint, "NUM_STREAMS": str(streams), **cpu_properties(floats)}
        # Twice the streams for slices: while a result is fetched, the next slice is already being computed.
        self._count = streams * 2 if traits.dimensions == 2 else 1

    @functools.cached_property
    def _requests(self) -> list[Any]:
        import openvino

        compiled = openvino.Core().compile_model(self._model, "CPU", self._properties)
        requests = [compiled.create_infer_request() for _ in range(self._count)]
        self._model = None  # its weights are held twice otherwise; but not before: short of memory, it is tried again
        return requests

    def prepare(self) -> None:
        """Compile what is not computed level by level; see `vesselseg.engines.interface.Engine.prepare`."""
        if self.levels is None:
            with contextlib.suppress(RuntimeError, MemoryError):  # `run` tries again, and tells of it
                _ = self._requests

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
        except (RuntimeError, MemoryError) as error:
            if tells_of_short_memory(error):
                raise DeviceOutOfMemoryError("the memory does not suffice") from error
            raise
        finally:
            # After an error or a cancel: nobody fetches what is still being computed.
            for request in busy:
                request.cancel()
            for request in busy:
                _finish(request)


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

        from vesselseg.engines.openvino_graph import openvino_level

        model = openvino_level(part, level, self._options, self._weights)
        properties = {"PERFORMANCE_HINT": "LATENCY", **cpu_properties("f32")}
        return openvino.Core().compile_model(model, "CPU", properties).create_infer_request()


def cpu_properties(precision: str) -> dict[str, Any]:
    """Return how networks are to be computed in a precision, "f32" or "bf16", whatever their shape."""
    properties: dict[str, Any] = {
        # Otherwise OpenVINO takes bfloat16 by itself where the CPU has it.
        "INFERENCE_PRECISION_HINT": precision,
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
