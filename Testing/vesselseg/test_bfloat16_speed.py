from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from vesselseg.engines import bfloat16_speed, openvino_engine, torch_engine


@pytest.mark.parametrize(("single_s", "half_s", "expected"), [(0.01, 0.002, True), (0.002, 0.01, False)])
def test_the_faster_one_is_found(
    monkeypatch: pytest.MonkeyPatch, single_s: float, half_s: float, expected: bool
) -> None:
    times = {"f32": single_s, "bf16": half_s}
    monkeypatch.setitem(bfloat16_speed._RUNNERS, "openvino", lambda precision: lambda: time.sleep(times[precision]))
    bfloat16_speed.bfloat16_pays.cache_clear()
    assert bfloat16_speed.bfloat16_pays("openvino") is expected
    monkeypatch.undo()
    bfloat16_speed.bfloat16_pays.cache_clear()


@pytest.mark.parametrize(
    ("engine", "native"),
    [("openvino", openvino_engine.computes_natively("bf16")), ("torch", torch_engine.computes_natively("bf16", "cpu"))],
)
def test_it_is_measured_where_there_is_bfloat16(monkeypatch: pytest.MonkeyPatch, engine: str, native: bool) -> None:
    if not native:
        pytest.skip("this CPU does not compute in bfloat16")
    bfloat16_speed.bfloat16_pays.cache_clear()
    made: list[str] = []
    convolution = bfloat16_speed._RUNNERS[engine]

    def counted(precision: str) -> Callable[[], object]:
        made.append(precision)
        return convolution(precision)

    monkeypatch.setitem(bfloat16_speed._RUNNERS, engine, counted)
    assert bfloat16_speed.bfloat16_pays(engine) is bfloat16_speed.bfloat16_pays(engine)
    assert made == ["f32", "bf16"]  # measured once
