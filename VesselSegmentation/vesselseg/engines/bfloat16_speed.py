"""Whether bfloat16 is worth it: some CPUs compute in it natively, and yet more slowly than in single precision."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

#: A convolution that is large enough for its time to be one of multiplying, and small enough to cost nothing.
_CHANNELS, _SIDE = 96, 24
_REPEATS = 8
#: Where both take about as long, it is always the same one that is chosen.
_MARGIN = 0.9


@functools.cache
def bfloat16_pays() -> bool:
    """Measure whether OpenVINO computes faster in bfloat16 on this CPU than in single precision.

    Intel's CPUs with AVX-512 but without AMX, which virtual machines often hide, take nearly twice as long in
    bfloat16; those with AMX a fraction of the time, AMD's from Zen 4 on about half.

    A convolution is measured, which takes about 40 ms the first time; OpenVINO has to offer bfloat16 here.

    Returns
    -------
    bool
    """
    single, half = (_convolution(precision) for precision in ("f32", "bf16"))
    # In turn, and the quickest of each: what else runs on the machine disturbs both alike, and not every time.
    times = [(_seconds(single), _seconds(half)) for _ in range(_REPEATS)]
    return min(b for _, b in times) < _MARGIN * min(a for a, _ in times)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _convolution(precision: str) -> Callable[[], object]:
    import openvino
    from openvino import opset13

    from vesselseg.engines.openvino_engine import cpu_properties

    image = np.ones((1, _CHANNELS, _SIDE, _SIDE), np.float32)
    features = opset13.parameter(image.shape, np.float32)
    weight = opset13.constant(np.ones((_CHANNELS, _CHANNELS, 3, 3), np.float32))
    convolved = opset13.convolution(features, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", **cpu_properties(precision)}
    request = (
        openvino.Core().compile_model(openvino.Model([convolved], [features]), "CPU", hints).create_infer_request()
    )
    return functools.partial(request.infer, [image])
