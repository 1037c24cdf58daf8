from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from drawn_tubes import at, tube
from vesselseg.editing import Edit, correct_error_at, grow, remove_branch, remove_piece, rethreshold, trace
from vesselseg.geometry import Geometry

LARGE = Geometry((350, 450, 160), (0.45, 0.45, 0.6))


def comb() -> np.ndarray:
    """A trunk with forty branches on a scan of the size that clinics have."""
    label = tube(LARGE, 2.5, (0.5, 0.05, 0.5), (0.5, 0.95, 0.5))
    for number in range(20):
        y = 0.08 + 0.04 * number
        label |= tube(LARGE, 1.0, (0.5, y, 0.5), (0.95, y + 0.02, 0.9))
        label |= tube(LARGE, 1.0, (0.5, y, 0.5), (0.05, y + 0.02, 0.1))
    return label


@pytest.mark.slow
def test_every_tool_answers_within_a_second_of_processor_time_on_a_large_scan() -> None:
    mask = comb()
    label, nothing = mask.astype(np.uint8), np.zeros(mask.shape, np.uint8)
    probability = np.where(mask, np.float32(0.4), np.float32(0))
    scan = np.where(mask, np.float32(200), np.float32(90))
    scan += np.random.default_rng(0).normal(0, 8, scan.shape).astype(np.float32)
    tip, middle = at(LARGE, 0.95, 0.10, 0.9), at(LARGE, 0.5, 0.5, 0.5)
    tools: dict[str, tuple[float, Callable[[], Edit]]] = {
        "piece": (0.3, lambda: remove_piece(label, LARGE, middle)),
        "branch": (1.0, lambda: remove_branch(label, LARGE, tip)),
        "grow": (0.3, lambda: grow(nothing, probability, LARGE, tip)),
        "brush": (0.3, lambda: rethreshold(label, probability, LARGE, middle, threshold=0.5)),
        "error": (0.3, lambda: correct_error_at(nothing, label * np.uint8(3), LARGE, middle)),
        "trace": (1.0, lambda: trace(nothing, LARGE, [tip, middle], scan=scan, probability=probability)),
    }
    for name, (limit, tool) in tools.items():
        seconds = []
        for _ in range(2):  # the first call imports
            start = time.process_time()
            assert not tool().is_empty
            seconds.append(time.process_time() - start)
        assert min(seconds) < limit, name
