"""How soon metrics and editing tools answer on a case of the size that clinics have."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.benchmark.timing import Timing, time_calls
from vesselseg.geometry import Geometry
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.volume import Volume

#: 350 x 450 x 160 voxels, centred on the arteries' tree.
TOOL_GEOMETRY = Geometry((350, 450, 160), (0.45, 0.45, 0.6), (-78.5, -87.0, -40.0))

#: Promised for all metrics of a case, for most tools, and for those that follow a branch, in seconds.
METRICS_LIMIT_S, TOOL_LIMIT_S, BRANCH_LIMIT_S = 3.0, 0.3, 1.0

Place = tuple[float, float, float]


@dataclass(frozen=True)
class ToolCase:
    """A drawn tree of arteries, and where to click.

    Parameters
    ----------
    label : Volume
        uint8, the tree.
    found : Volume
        uint8, the tree moved by a voxel, without every tenth branch.
    probability, scan : Volume
        float32; what a network and a scanner could have seen.
    middle, end : tuple of float
        In the middle of a branch of medium calibre and near its end, as fractional voxel indices (k, j, i).
    """

    label: Volume
    found: Volume
    probability: Volume
    scan: Volume
    middle: Place
    end: Place

    @classmethod
    def draw(cls, geometry: Geometry = TOOL_GEOMETRY) -> ToolCase:
        """Draw the case: always the same for a grid."""
        from vesselseg.synthesis.drawing import draw
        from vesselseg.synthesis.growth import grow_tree

        rng = np.random.default_rng(2019)
        tree = grow_tree(rng)
        drawn = draw(tree, geometry)
        label = (drawn.label != 0).astype(np.uint8)
        fewer = draw([branch for number, branch in enumerate(tree) if number % 10], geometry).label
        noise = rng.normal(0, 8, geometry.shape).astype(np.float32)
        from_lps = np.linalg.inv(geometry.ijk_to_lps())
        branches = [(b.points @ from_lps[:3, :3].T + from_lps[:3, 3])[:, ::-1] for b in tree if _is_medium(b.radii)]
        clicked = max((b for b in branches if _lies_inside(b, geometry)), key=len)
        return cls(
            label=Volume(label, geometry),
            found=Volume(np.roll((fewer != 0).astype(np.uint8), 1, axis=2), geometry),
            probability=Volume(0.95 * drawn.occupancy, geometry),
            scan=Volume(90 + 120 * drawn.occupancy + noise, geometry),
            middle=_place(clicked[len(clicked) // 2]),
            end=_place(clicked[-2]),
        )


def _is_medium(radii: NDArray[np.float64]) -> bool:
    return 0.5 <= float(np.median(radii)) <= 1.2


def _lies_inside(places: NDArray[np.float64], geometry: Geometry) -> bool:
    return bool((places > 4).all() and (places < np.asarray(geometry.shape) - 5).all())


def _place(place: NDArray[np.float64]) -> Place:
    k, j, i = (float(v) for v in place)
    return k, j, i


def measure_metrics(case: ToolCase, *, rounds: int) -> list[Timing]:
    """Measure how long all metrics of ``vesselseg evaluate`` take, without reading."""
    from vesselseg.metrics import evaluate

    return [time_calls("all metrics", lambda: evaluate(case.found, case.label), rounds=rounds, limit_s=METRICS_LIMIT_S)]


def measure_edits(case: ToolCase, *, rounds: int, progress: ProgressCallback = no_progress) -> list[Timing]:
    """Measure how long every editing tool takes: on arrays, and in the scene from click to preview and to the label.

    Parameters
    ----------
    case : ToolCase
    rounds : int
    progress : callable

    Returns
    -------
    list of Timing
        Those in the scene are skipped where slicer-core is not installed.
    """
    timings = []
    tools = _array_tools(case)
    for number, (name, (limit, tool)) in enumerate(tools.items()):
        progress(0.5 * number / len(tools), name)
        timings.append(time_calls(name, tool, rounds=rounds, limit_s=limit))
    progress(0.5, "scene")
    if importlib.util.find_spec("slicer") is None:
        return [*timings, Timing("in the scene", skipped="slicer-core is not installed")]
    from vesselseg.benchmark.scene_tools import measure_scene_edits

    return timings + measure_scene_edits(case, rounds=rounds)


def _array_tools(case: ToolCase) -> dict[str, tuple[float, Callable[[], Any]]]:
    from vesselseg.editing import (
        correct_error_at,
        draw_path,
        prepare_growth,
        remove_branch,
        remove_piece,
        rethreshold,
        trace_path,
    )

    label, probability, scan = case.label.array, case.probability.array, case.scan.array
    grid, nothing = case.label.geometry, np.zeros_like(case.label.array)
    missed = label * np.uint8(3)
    clicks = [case.middle, case.end]

    def grow() -> Any:
        growth = prepare_growth(nothing, probability, grid, case.middle)
        return growth.edit(growth.suggested_threshold)

    def trace() -> Any:
        return draw_path(nothing, grid, trace_path(nothing, grid, clicks, scan=scan, probability=probability))

    return {
        "remove a piece": (TOOL_LIMIT_S, lambda: remove_piece(label, grid, case.middle)),
        "remove a branch": (BRANCH_LIMIT_S, lambda: remove_branch(label, grid, case.middle)),
        "grow": (TOOL_LIMIT_S, grow),
        "threshold brush": (TOOL_LIMIT_S, lambda: rethreshold(label, probability, grid, case.middle, threshold=0.9)),
        "correct an error": (TOOL_LIMIT_S, lambda: correct_error_at(nothing, missed, grid, case.middle)),
        "trace": (BRANCH_LIMIT_S, trace),
    }
