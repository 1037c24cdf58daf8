"""ONNX Runtime: a second choice on CPUs, for machines on which OpenVINO does not run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.graphs import Weights, build_graph, graph_traits
from vesselseg.engines.interface import (
    CPU_BYTES,
    DeviceOutOfMemoryError,
    Levels,
    Results,
    tells_of_short_memory,
)
from vesselseg.networks.traits import Traits

#: Of the operations below, and of the file format; ONNX Runtime reads them since version 1.13.
_OPSET, _FORMAT = 17, 8


class OnnxEngine:
    """A network in ONNX Runtime on the CPU, in single precision; see `vesselseg.engines.interface.Engine`.

    Parameters
    ----------
    architecture, options, weights
        See `vesselseg.engines.graphs.build_graph`.

    Raises
    ------
    VesselSegError
        If the weights do not fit the architecture.
    """

    name = "onnx"
    device = "cpu"
    precision = "f32"
    batch = 1
    levels: Levels | None = None

    def __init__(self, architecture: str, options: dict[str, Any], weights: Weights) -> None:
        import onnxruntime

        self.traits = graph_traits(architecture, options)
        self.block_voxels = int(CPU_BYTES / (self.traits.features_per_voxel * 4))
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        limit = os.environ.get("OMP_NUM_THREADS", "")
        if limit.isdigit():  # which ONNX Runtime does not look at
            settings.intra_op_num_threads = int(limit)
        model = onnx_model(architecture, options, weights, self.traits)
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def prepare(self) -> None:
        """Do nothing; see `vesselseg.engines.interface.Engine.prepare`."""

    def run(self, inputs: Iterable[NDArray[np.float32]]) -> Results:
        """Compute the network; see `vesselseg.engines.interface.Engine.run`."""
        for array in inputs:
            try:
                (logits,) = self._session.run(None, {"scan": array})
            except Exception as error:  # those of ONNX Runtime derive from nothing narrower
                if tells_of_short_memory(error):
                    raise DeviceOutOfMemoryError("the memory does not suffice") from error
                raise
            yield logits


def onnx_model(architecture: str, options: dict[str, Any], weights: Weights, traits: Traits) -> bytes:
    """Return a network as an ONNX file.

    Parameters
    ----------
    architecture, options, weights
        See `vesselseg.engines.graphs.build_graph`.
    traits : Traits
        Of the network.

    Returns
    -------
    bytes
        With the input "scan" and the output "logits".
    """
    from onnx import TensorProto, helper

    operations = _Operations(traits.dimensions)
    logits = build_graph(architecture, options, weights, operations, "scan")
    sides = ["z", "y", "x"][3 - traits.dimensions :]
    graph = helper.make_graph(
        operations.nodes,
        architecture,
        [helper.make_tensor_value_info("scan", TensorProto.FLOAT, ["n", traits.in_slices, *sides])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["n", 1, *sides])],
        operations.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_FORMAT)
    return model.SerializeToString()


class _Operations:
    """The nodes of a graph in ONNX; see `vesselseg.engines.graphs.Operations`."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def convolution(self, features: str, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str) -> str:
        around = [side // 2 for side in weight.shape[2:]] * 2
        return self._node("Conv", features, self._constant(weight), self._constant(bias), pads=around)

    def max_pool(self, features: str) -> str:
        twos = [2] * self._dimensions
        return self._node("MaxPool", features, kernel_shape=twos, strides=twos)

    def upsample(self, features: str) -> str:
        scales = self._constant(np.array([1, 1] + [2] * self._dimensions, np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._node("Resize", features, "", scales, **how)

    def relu(self, features: str) -> str:
        return self._node("Relu", features)

    def add(self, one: str, other: str) -> str:
        return self._node("Add", one, other)

    def joined_convolution(
        self, skip: str, below: str, weight: NDArray[np.float32], bias: NDArray[np.float32], name: str
    ) -> str:
        return self.convolution(self._node("Concat", skip, self.upsample(below), axis=1), weight, bias, name)

    def _node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"features_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [output], **attributes))
        return output

    def _constant(self, values: NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name
