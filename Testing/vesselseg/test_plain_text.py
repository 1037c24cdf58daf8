from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from vesselseg.plain_text import counted, csv_text, json_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [math.nan, 1]}, {"a": [None, 1]}),
        ([(math.inf, "b"), {1: -math.inf}], [[None, "b"], {"1": None}]),
        (np.array([[0.5, np.nan], [np.inf, 2.0]]), [[0.5, None], [None, 2.0]]),
        ({"a": np.array(np.nan), "b": np.float32(0.5), "c": np.int64(3)}, {"a": None, "b": 0.5, "c": 3}),
        ([True, None, "nan"], [True, None, "nan"]),
    ],
)
def test_what_json_cannot_hold_becomes_null_however_deep_it_lies(value: Any, expected: Any) -> None:
    assert json.loads(json.dumps(json_value(value), allow_nan=False)) == expected


def test_infinite_and_undefined_numbers_of_every_type_stay_empty_in_csv() -> None:
    assert csv_text([["a", 1, 0.1], [np.float32("nan"), math.inf, np.float64("-inf")]]) == "a,1,0.1\n,,\n"


def test_numbers() -> None:
    assert [counted(number, "voxel") for number in (0, 1, 2, 1500)] == [
        "0 voxels",
        "1 voxel",
        "2 voxels",
        "1,500 voxels",
    ]
