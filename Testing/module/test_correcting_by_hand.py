"""The Segment Editor inside the section Correct."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import host
from correcting_case import drawn
from module.correcting_actions import label, press, remove_piece
from module.panel_actions import draw_by_hand, rest


def test_the_embedded_editor_works_on_the_vessels(correcting: Any, editor: Any) -> None:
    node, scan = correcting._parameterNode.outputSegmentation, correcting._parameterNode.inputVolume
    assert editor.segmentationNode() is node
    assert editor.sourceVolumeNode() is scan
    assert node.GetSegmentation().GetSegment(editor.currentSegmentID()).GetName() == "Vessels"
    assert not editor.undoEnabled
    assert editor.maximumNumberOfUndoStates == 0
    choices = editor.mrmlSegmentEditorNode()
    assert choices.GetSourceVolumeIntensityMask()
    low, high = choices.GetSourceVolumeIntensityMaskRange()
    assert 105 < low < 120 < high  # vessels have 120, their surroundings 20
    assert float(node.GetSegmentation().GetConversionParameter("Smoothing factor")) == 0.0


def test_the_editor_paints_within_the_range_and_erases_everywhere(editor: Any) -> None:
    choices = editor.mrmlSegmentEditorNode()
    editor.setActiveEffectByName("Erase")
    assert not choices.GetSourceVolumeIntensityMask()
    editor.setActiveEffectByName("Paint")
    assert choices.GetSourceVolumeIntensityMask()
    choices.SetSourceVolumeIntensityMask(False)  # by hand, under Masking
    choices.SetMaskMode(choices.GetMaskMode() + 1)
    assert not choices.GetSourceVolumeIntensityMask()


def test_draw_has_its_keys_for_itself(correcting: Any, editor: Any, slicer_host: host.Host) -> None:
    def keys() -> list[str]:
        buttons = (correcting.ui.acceptButton, correcting.ui.rejectButton, correcting.ui.nextErrorButton)
        return [button.shortcut.toString() for button in buttons]

    editor.setActiveEffectByName("Draw")
    assert keys() == ["", "", "N"]  # a closes its outline, x takes its last point away
    editor.setActiveEffectByName("Paint")
    assert keys() == ["A", "X", "N"]
    editor.setActiveEffectByName("Draw")
    slicer_host.exit_module(correcting)
    slicer_host.enter_module(correcting)
    assert keys() == ["A", "X", "N"]


def test_a_stroke_of_the_editor_is_a_step_of_the_same_history(correcting: Any, editor: Any) -> None:
    remove_piece(correcting)
    editor.setActiveEffectByName("Paint")
    rest(0.05)
    assert not correcting.ui.removePieceToolButton.checked  # one thing in the hand at a time
    stroke = draw_by_hand(editor.segmentationNode(), editor.sourceVolumeNode())
    rest(0.4)
    np.testing.assert_array_equal(label(correcting), stroke)
    assert correcting.logic.edits.target.history.steps[-1].tool == "Segment Editor: Paint"
    press(correcting, "Ctrl+Z")
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), drawn()[0])
    correcting.ui.growToolButton.click()
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == ""


def test_vessels_that_are_deleted_come_back(correcting: Any, editor: Any) -> None:
    node = correcting._parameterNode.outputSegmentation
    assert not editor.addRemoveSegmentButtonsVisible
    remove_piece(correcting)
    edited = label(correcting)
    node.GetSegmentation().RemoveSegment(editor.currentSegmentID())
    correcting._parameterNode.show3D = not correcting._parameterNode.show3D  # anything that brings the panel up to date
    rest(0.3)
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), edited)
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_the_editor_is_opened_on_vessels_that_were_deleted(correcting: Any, slicer_host: host.Host) -> None:
    from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role

    ui, node = correcting.ui, correcting._parameterNode.outputSegmentation
    node.GetSegmentation().RemoveSegment(segment_with_role(node))
    rest(0.3)
    ui.freeHandGroupBox.collapsed = False
    correcting._parameterNode.show3D = not correcting._parameterNode.show3D  # anything that brings the panel up to date
    assert slicer_host.dialogs.shown == []
    assert "deleted: undo that" in ui.freeHandLabel.text
    ui.undoButton.click()
    for collapsed in (True, False):
        ui.freeHandGroupBox.collapsed = collapsed
    assert "Paint affects only voxels" in ui.freeHandLabel.text


def test_the_editor_rests_while_another_module_is_open(correcting: Any, editor: Any, slicer_host: host.Host) -> None:
    editor.setActiveEffectByName("Erase")
    slicer_host.exit_module(correcting)
    assert editor.mrmlSegmentEditorNode().GetActiveEffectName() == ""
    assert not editor.viewsObserved
    slicer_host.enter_module(correcting)
    assert editor.viewsObserved


def test_the_editor_follows_to_the_next_scene(correcting: Any, editor: Any, slicer_host: host.Host) -> None:
    import slicer

    slicer.mrmlScene.Clear(False)
    assert editor.segmentationNode() is None
    assert not editor.isEnabled()
    assert "first" in correcting.ui.freeHandLabel.text


def test_the_brush_is_as_wide_in_every_scene(correcting: Any, editor: Any, add_scan: Callable[..., Any]) -> None:
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    def brush() -> list[str]:
        names = ("BrushSphere", "BrushDiameterIsRelative", "BrushAbsoluteDiameter")
        return [editor.mrmlSegmentEditorNode().GetAttribute(name) for name in names]

    assert brush() == ["1", "0", "3"]
    slicer.mrmlScene.Clear(False)
    scan = add_scan("next")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "next vessels")
    volume = volume_from_node(scan)
    set_segment_label(node, scan, volume.with_array((volume.array > volume.array.mean()).astype(np.uint8)))
    correcting._parameterNode.outputSegmentation = node
    assert editor.segmentationNode() is node
    assert brush() == ["1", "0", "3"]
