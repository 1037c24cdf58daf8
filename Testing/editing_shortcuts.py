"""What tests of editing do in one call: writing an edit into an array, and tools from the click to the edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from vesselseg.editing import Edit, draw_path, prepare_growth, trace_path
from vesselseg.editing.picking import Point
from vesselseg.geometry import Geometry


def apply_edit(array: NDArray[Any], edit: Edit) -> None:
    """Change a label in place."""
    edit.apply(array)


def undo_edit(array: NDArray[Any], edit: Edit) -> None:
    """Change a label in place back to what it was before `apply_edit`."""
    edit.reversed().apply(array)


def grow(
    label: NDArray[Any],
    probability: NDArray[Any],
    geometry: Geometry,
    point: Point,
    *,
    threshold: float | None = None,
    length_mm: float = 20.0,
) -> Edit:
    """Grow from a click, at the suggested threshold unless another is given."""
    growth = prepare_growth(label, probability, geometry, point, length_mm=length_mm)
    return growth.edit(growth.suggested_threshold if threshold is None else threshold)


def trace(
    label: NDArray[Any],
    geometry: Geometry,
    points: Sequence[Point],
    *,
    scan: NDArray[Any] | None = None,
    probability: NDArray[Any] | None = None,
    radius_mm: float | None = None,
) -> Edit:
    """Find the path through points and draw it."""
    path = trace_path(label, geometry, points, scan=scan, probability=probability)
    return draw_path(label, geometry, path, radius_mm=radius_mm)


def grown_from(logic: Any, point: Point, *, threshold: float | None = None) -> Edit:
    """Return what the grow tool adds at a click (mm, RAS) in the scene; as `grow`."""
    growth = logic.prepare_growth(point)
    return growth.edit(growth.suggested_threshold if threshold is None else threshold)


def traced_through(logic: Any, points: Sequence[Point], *, radius_mm: float | None = None) -> Edit:
    """Return what the trace tool draws through clicks (mm, RAS) in the scene; as `trace`."""
    return logic.preview_path(logic.trace_path(points), radius_mm=radius_mm)
