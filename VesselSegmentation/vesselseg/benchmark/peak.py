"""The most that convolutions reach on this machine: the limit that engines are held against."""

from __future__ import annotations

import importlib.util
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselseg.benchmark.machine import usable_cores
from vesselseg.errors import VesselSegError
from vesselseg.progress import ProgressCallback, no_progress

#: Channels, rows and columns: levels of the half U-Net on a slice of 384 x 448 that convolutions are fastest on.
LEVELS = ((64, 192, 224), (128, 96, 112), (256, 48, 56))
#: Convolutions one after the other, so that bringing the input into a library's own layout hardly counts.
DEPTH = 6

#: Runs a stack a number of times and waits for the results.
Runner = Callable[[int], None]


@dataclass(frozen=True)
class Peak:
    """The fastest stack of convolutions.

    Parameters
    ----------
    precision : str
        "f32" or "bf16".
    flops : float
        Floating-point operations a second; a multiplication and an addition count as two.
    library : str
        That was fastest, "openvino" or "torch".
    level : tuple of int
        Channels, rows and columns of the features.
    """

    precision: str
    flops: float
    library: str
    level: tuple[int, int, int]


def measure_peaks(
    *,
    levels: tuple[tuple[int, int, int], ...] = LEVELS,
    seconds: float = 0.25,
    repeats: int = 3,
    progress: ProgressCallback = no_progress,
) -> list[Peak]:
    """Measure what convolutions reach.

    A stack of six 3 x 3 convolutions with as many channels out as in, each with ReLU, is computed by OpenVINO (one
    stream a core, asynchronously) and by torch (oneDNN, channels last, all cores for one), at several sizes. The best
    of all sizes, libraries and repeats counts: other processes can only make it slower.

    Parameters
    ----------
    levels : tuple of tuple of int
        Channels, rows and columns.
    seconds : float
        How long each measurement takes, about.
    repeats : int
        Measurements of each stack.
    progress : callable

    Returns
    -------
    list of Peak
        One for every precision that a library computes natively here.

    Raises
    ------
    VesselSegError
        If neither library is installed.
    """
    libraries = {name: make for name, make in _LIBRARIES.items() if importlib.util.find_spec(name) is not None}
    if not libraries:
        raise VesselSegError("neither openvino nor torch is installed", "install one of them")
    trials = [(p, name, level) for p in ("f32", "bf16") for name in libraries for level in levels]
    best: dict[str, Peak] = {}
    for number, (precision, library, level) in enumerate(trials):
        progress(number / len(trials), f"peak {precision}, {library}, {level[0]} channels")
        runner = libraries[library](level, precision)
        if runner is None:
            continue
        flops = _stack_flops(level) / _least_seconds(runner, seconds, repeats)
        if precision not in best or flops > best[precision].flops:
            best[precision] = Peak(precision, flops, library, level)
    return list(best.values())


def _stack_flops(level: tuple[int, int, int]) -> float:
    channels, rows, columns = level
    return 2.0 * 9 * channels**2 * rows * columns * DEPTH


def _least_seconds(runner: Runner, seconds: float, repeats: int) -> float:
    """Return the time for one stack, of as many as fill the time, in the fastest of several measurements."""
    runner(1)
    count, best = 1, _seconds(runner, 1)
    for _ in range(repeats):
        count = max(count, 2 * usable_cores(), round(seconds / best))
        best = min(best, _seconds(runner, count) / count)
    return best


def _seconds(runner: Runner, count: int) -> float:
    started = time.perf_counter()
    runner(count)
    return time.perf_counter() - started


def _weights(channels: int) -> Any:
    # Small enough that six layers neither vanish nor overflow.
    values = np.random.default_rng(0).normal(0, (2 / (9 * channels)) ** 0.5, (channels, channels, 3, 3))
    return values.astype(np.float32)


def _openvino_runner(level: tuple[int, int, int], precision: str) -> Runner | None:
    import openvino
    from openvino import opset13

    core = openvino.Core()
    if {"f32": "FP32", "bf16": "BF16"}[precision] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return None
    channels, rows, columns = level
    stack = features = opset13.parameter([1, channels, rows, columns], np.float32)
    for _ in range(DEPTH):
        convolved = opset13.convolution(stack, opset13.constant(_weights(channels)), [1, 1], [1, 1], [1, 1], [1, 1])
        stack = opset13.relu(convolved)
    compiled = core.compile_model(
        openvino.Model([stack], [features]),
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(usable_cores()),
            "INFERENCE_NUM_THREADS": usable_cores(),
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    image = np.random.default_rng(1).random((1, channels, rows, columns), dtype=np.float32)
    requests = [compiled.create_infer_request() for _ in range(2 * usable_cores())]

    def run(count: int) -> None:
        idle, busy = deque(requests), deque[Any]()
        for _ in range(count):
            if not idle:
                busy[0].wait()
                idle.append(busy.popleft())
            busy.append(idle.popleft())
            busy[-1].start_async([image], share_inputs=True)
        for request in busy:
            request.wait()

    return run


def _torch_runner(level: tuple[int, int, int], precision: str) -> Runner | None:
    import torch

    if precision == "bf16":
        # Only recent versions of torch tell; elsewhere bfloat16 is emulated, which is no limit of the machine.
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
            return None
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    channels, rows, columns = level
    weight = torch.from_numpy(_weights(channels)).to(kind).contiguous(memory_format=torch.channels_last)
    image = torch.rand(1, channels, rows, columns).to(kind).contiguous(memory_format=torch.channels_last)

    def run(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                features = image
                for _ in range(DEPTH):
                    features = torch.relu_(torch.conv2d(features, weight, padding=1))

    return run


_LIBRARIES: dict[str, Callable[[tuple[int, int, int], str], Runner | None]] = {
    "openvino": _openvino_runner,
    "torch": _torch_runner,
}
