"""What a user does at the panel, and what he then sees, for the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import host


def wait_until_idle(panel: Any) -> None:
    """Let the application run until no segmentation runs."""
    assert host.wait_for(lambda: not panel.ui.cancelButton.isEnabled())


def segment_and_choose_another(panel: Any, add_scan: Callable[..., Any]) -> Any:
    """Segment a scan and choose another one during the run; return the former when it is done."""
    first, second = add_scan("first"), add_scan("second", seed=1)
    panel.ui.inputSelector.setCurrentNode(first)
    panel.ui.segmentButton.click()
    panel.ui.inputSelector.setCurrentNode(second)
    wait_until_idle(panel)
    return first


def wait_for_file(panel: Any) -> None:
    """Let the application run until no figure or report is written."""
    assert host.wait_for(lambda: panel.ui.savingFrame.isHidden(), 240)


def rest(seconds: float = 0.35) -> None:
    """Take the hand off the mouse."""
    host.wait_for(lambda: False, seconds)


def vessels(node: Any, volume_node: Any) -> np.ndarray:
    """Return the vessels of a segmentation on the grid of a volume, as (Z, Y, X) of 0 and 1."""
    from VesselSegmentationLib.scene.segmentation_nodes import segment_label, segment_with_role

    segment_id = segment_with_role(node)
    assert segment_id is not None
    return segment_label(node, segment_id, volume_node).array


def draw_by_hand(node: Any, volume_node: Any) -> np.ndarray:
    """Change the vessels as the Segment Editor does; return them."""
    import slicer

    from VesselSegmentationLib.scene.segment_voxels import oriented_image
    from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role
    from VesselSegmentationLib.scene.volume_nodes import volume_geometry

    array = vessels(node, volume_node).copy()
    array[2:5, 2:5, 2:5] = 1
    image = oriented_image(array != 0, volume_geometry(volume_node).ijk_to_ras(), (0, 0, 0))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, segment_with_role(node))
    return array


def new_nodes(before: set[str]) -> set[str]:
    """Return the IDs of the data nodes that were not there before."""
    return data_nodes() - before


def data_nodes() -> set[str]:
    """Return the IDs of all volumes and segmentations of the scene."""
    import slicer

    kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode")
    return {node.GetID() for kind in kinds for node in slicer.util.getNodesByClass(kind)}
