"""The test that 3D Slicer runs in itself: the phantom is segmented and compared with its exact truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from VesselSegmentationLib.scene.phantom_nodes import add_phantom, overlap_with_truth


def check_phantom(logic: Any, parameters: Any, say: Callable[[str], Any]) -> None:
    """Segment the phantom; the vessels found overlap with the true ones, follow the threshold, and show in 3D.

    Parameters
    ----------
    logic : VesselSegmentationLogic
    parameters : VesselSegmentationParameterNode
    say : callable
        Called with what is being done.

    Raises
    ------
    AssertionError
        If they do not.
    """
    say("Making the phantom")
    volume_node, truth_node = add_phantom(parameters.parameterNode.GetScene())
    parameters.inputVolume = volume_node
    parameters.model = logic.models()[0].name
    parameters.threshold, parameters.minimumComponent = logic.recommendedThreshold(parameters.model) or (0.5, 0.0)
    say("Segmenting it")
    job = logic.startSegmentation(parameters)
    job.wait(600)
    _check(job.state == "done", job.message)
    overlap = overlap_with_truth(job.segmentation_node, truth_node, volume_node)
    _check(overlap > 0.6, f"Dice with the truth is {overlap:.2f}")
    _check(not logic.isEdited(job.segmentation_node), "fresh vessels count as edited")
    logic.setSurfaceShown(job.segmentation_node, True)
    logic.applyThreshold(job.segmentation_node, 0.9, 0.0)
    _check(logic.threshold(job.segmentation_node) == (0.9, 0.0), "the threshold was not applied")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
