"""How soon editing tools answer in a scene of 3D Slicer: from the click to the preview, and from there to the label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vesselseg.benchmark.timing import Timing, time_calls
from vesselseg.benchmark.tools import BRANCH_LIMIT_S, TOOL_LIMIT_S, Place, ToolCase


def measure_scene_edits(case: ToolCase, *, rounds: int) -> list[Timing]:
    """Measure previews, shown in slices and in 3D, and commits of the panel's logic.

    Parameters
    ----------
    case : ToolCase
    rounds : int

    Returns
    -------
    list of Timing
        The scene exists without a window: drawing it on the screen is not measured.
    """
    import slicer

    from VesselSegmentationLib.correcting.edit_logic import EditLogic
    from VesselSegmentationLib.scene.volume_nodes import set_node_volume

    scene = slicer.vtkMRMLScene()
    # Both make classes of nodes known to the scene, and have to live as long as it.
    application, segmentations = slicer.vtkSlicerApplicationLogic(), slicer.vtkSlicerSegmentationsModuleLogic()
    application.SetMRMLScene(scene)
    segmentations.SetMRMLApplicationLogic(application)
    segmentations.SetMRMLScene(scene)
    scan, probability = (scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode") for _ in range(2))
    set_node_volume(scan, case.scan)
    set_node_volume(probability, case.probability)
    middle, end = (_world(place, case) for place in (case.middle, case.end))
    logic = EditLogic(scene)

    def grow() -> Any:
        growth = logic.prepare_growth(middle)
        return growth.edit(growth.suggested_threshold)

    removing = {
        "remove a piece": (TOOL_LIMIT_S, lambda: logic.preview_remove_piece(middle)),
        "remove a branch": (BRANCH_LIMIT_S, lambda: logic.preview_remove_branch(middle)),
        "threshold brush": (TOOL_LIMIT_S, lambda: logic.preview_threshold_brush(middle, 0.9)),
    }
    adding = {
        "grow": (TOOL_LIMIT_S, grow),
        "trace": (BRANCH_LIMIT_S, lambda: logic.preview_path(logic.trace_path([middle, end]))),
    }
    timings = []
    try:
        # What has been missed is added to a label that has nothing yet.
        for label, tools in ((case.label.array, removing), (np.zeros_like(case.label.array), adding)):
            logic.start(_segmentation(scene, scan, case, label), scan, probability_node=probability)
            for name, (limit, preview) in tools.items():
                timings += _of_tool(logic, name, limit, preview, rounds)
    finally:
        logic.stop()
        scene.Clear(1)
    return timings


def _segmentation(scene: Any, scan: Any, case: ToolCase, label: Any) -> Any:
    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    set_segment_label(node, scan, case.label.with_array(label))
    return node


def _of_tool(logic: Any, name: str, limit: float, preview: Callable[[], Any], rounds: int) -> list[Timing]:
    edit = preview()
    shown = time_calls(
        f"{name}: click to preview in the scene",
        lambda: logic.show_preview(preview()),
        rounds=rounds,
        limit_s=limit,
        after=logic.preview.remove,
    )
    done = time_calls(
        f"{name}: preview to label in the scene",
        lambda: logic.commit(edit),
        rounds=rounds,
        limit_s=TOOL_LIMIT_S,
        before=lambda: logic.show_preview(edit),
        after=logic.undo,
    )
    return [shown, done]


def _world(place: Place, case: ToolCase) -> Place:
    """Return a place given as voxel indices (k, j, i) in mm, RAS."""
    r, a, s, _ = case.label.geometry.ijk_to_ras() @ [*place[::-1], 1.0]
    return float(r), float(a), float(s)
