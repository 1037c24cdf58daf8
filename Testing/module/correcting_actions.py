"""What a reader does in the section Correct."""

from __future__ import annotations

from typing import Any

import numpy as np

import host
from correcting_case import PIECE
from module.panel_actions import rest, vessels


def settle(panel: Any) -> None:
    assert host.wait_for(lambda: not panel.logic.review.pending)
    rest(0.5)


def label(panel: Any) -> np.ndarray:
    return vessels(panel._parameterNode.outputSegmentation, panel._parameterNode.inputVolume).copy()


def click(panel: Any, *voxels: tuple[int, int, int]) -> None:
    """Click in a view, as its markups do: each click ends the placing of one point."""
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import volume_geometry

    matrix = volume_geometry(panel._parameterNode.inputVolume).ijk_to_ras()
    for k, j, i in voxels:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        assert interaction.GetCurrentInteractionMode() == interaction.Place
        selection = slicer.app.applicationLogic().GetSelectionNode()
        node = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
        assert node.GetClassName() == selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsFiducialNode"
        node.AddControlPointWorld(*(matrix @ [i, j, k, 1.0])[:3])
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        rest(0.05)


def press(panel: Any, keys: str) -> None:
    """Press keys as a user does, with the panel in front."""
    import qt
    from PySide6.QtTest import QTest

    panel.parent.resize(400, 900)
    panel.parent.show()
    panel.parent.activateWindow()
    host.wait_for(lambda: panel.parent.isActiveWindow, 2)
    sequence = qt.QKeySequence(keys)[0]
    QTest.keyClick(panel.parent, sequence.key(), sequence.keyboardModifiers())
    rest(0.3)  # a button stays down for a tenth of a second before it acts


def placing() -> bool:
    import slicer

    interaction = slicer.app.applicationLogic().GetInteractionNode()
    return bool(interaction.GetCurrentInteractionMode() == interaction.Place)


def clicks_in_scene() -> int:
    import slicer

    return slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")


def remove_piece(panel: Any) -> None:
    panel.ui.removePieceToolButton.click()
    click(panel, PIECE)
    panel.ui.applyButton.click()
