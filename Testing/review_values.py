"""Values of a comparison: metrics, and columns of the tables that are made of them."""

from __future__ import annotations

import math

import pytest


def assert_same(values, expected):
    assert set(values) == set(expected)
    for key, value in expected.items():
        assert values[key] == pytest.approx(value) or (math.isnan(value) and math.isnan(values[key])), key


def column(table_node, name):
    return [
        table_node.GetTable().GetColumnByName(name).GetVariantValue(row) for row in range(table_node.GetNumberOfRows())
    ]
