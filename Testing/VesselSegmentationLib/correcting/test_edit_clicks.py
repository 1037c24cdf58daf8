from __future__ import annotations

import pytest
import slicer

from VesselSegmentationLib.correcting.edit_clicks import EditClicks


@pytest.fixture
def singletons(scene):
    nodes = slicer.vtkMRMLInteractionNode(), slicer.vtkMRMLSelectionNode()
    return tuple(scene.AddNode(node) for node in nodes)


def test_a_removed_node_leaves_no_observer(scene, singletons):
    calls = []
    clicks = EditClicks(scene, lambda: calls.append(1))
    clicks.start()
    scene.RemoveNode(clicks.node)
    clicks.start()
    assert clicks.placing
    calls.clear()
    singletons[0].SetCurrentInteractionMode(singletons[0].ViewTransform)
    assert calls == [1]
    clicks.stop()
    singletons[0].SetCurrentInteractionMode(singletons[0].Place)
    assert calls == [1]


@pytest.mark.parametrize("removed", [False, True])
def test_what_was_placed_before_is_placed_again(scene, singletons, removed):
    interaction, selection = singletons
    other = scene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode")
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsCurveNode")
    selection.SetActivePlaceNodeID(other.GetID())
    interaction.SetPlaceModePersistence(1)
    clicks = EditClicks(scene, lambda: None)
    clicks.start()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)  # as each click does
    clicks.start()
    assert interaction.GetPlaceModePersistence() == 0
    if removed:
        scene.RemoveNode(other)
    clicks.stop()
    assert interaction.GetPlaceModePersistence() == 1
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert selection.GetActivePlaceNodeID() == (None if removed else other.GetID())
    if not removed:
        assert selection.GetActivePlaceNodeClassName() == "vtkMRMLMarkupsCurveNode"
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0


def test_what_the_user_has_chosen_meanwhile_stays(scene, singletons):
    interaction, selection = singletons
    clicks = EditClicks(scene, lambda: None)
    clicks.start()
    other = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    selection.SetActivePlaceNodeID(other.GetID())
    interaction.SwitchToPersistentPlaceMode()
    clicks.stop()
    assert selection.GetActivePlaceNodeID() == other.GetID()
    assert interaction.GetPlaceModePersistence() == 1
    assert interaction.GetCurrentInteractionMode() == interaction.Place
