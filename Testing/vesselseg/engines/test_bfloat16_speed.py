from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from vesselseg.engines import bfloat16_speed, openvino_engine


@pytest.mark.parametrize(("single_s", "half_s", "expected"), [(0.01, 0.002, True), (0.002, 0.01, False)])
def test_the_faster_one_is_found(
    monkeypatch: pytest.MonkeyPatch, single_s: float, half_s: float, expected: bool
) -> None:
    times = {"f32": single_s, "bf16": half_s}
    monkeypatch.setattr(bfloat16_speed, "_convolution", lambda precision: lambda: time.sleep(times[precision]))
    bfloat16_speed.bfloat16_pays.cache_clear()
    assert bfloat16_speed.bfloat16_pays() is expected
    monkeypatch.undo()
    bfloat16_speed.bfloat16_pays.cache_clear()


def test_it_is_measured_where_there_is_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    if not openvino_engine.computes_natively("bf16"):
        pytest.skip("this CPU does not compute in bfloat16")
    bfloat16_speed.bfloat16_pays.cache_clear()
    made: list[str] = []
    convolution = bfloat16_speed._convolution

    def counted(precision: str) -> Callable[[], object]:
        made.append(precision)
        return convolution(precision)

    monkeypatch.setattr(bfloat16_speed, "_convolution", counted)
    assert bfloat16_speed.bfloat16_pays() is bfloat16_speed.bfloat16_pays()
    assert made == ["f32", "bf16"]  # measured once
