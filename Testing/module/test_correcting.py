"""The tools of the section Correct: what a reader presses, clicks in the views, and then sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import host
from correcting_case import BRANCH, MISSED, PIECE, drawn
from module.correcting_actions import click, clicks_in_scene, label, placing, press
from module.panel_actions import rest, wait_until_idle
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.scene.segmentation_nodes import segment_label


def test_without_vessels_every_button_says_why(panel: Any) -> None:
    for name in ("removePiece", "removeBranch", "grow", "trace", "threshold", "name", "error"):
        button = getattr(panel.ui, f"{name}ToolButton")
        assert not button.isEnabled()
        assert "segment a scan first" in button.toolTip
    for button in (panel.ui.applyButton, panel.ui.undoButton, panel.ui.redoButton, panel.ui.saveSignedButton):
        assert not button.isEnabled()
        assert "first" in button.toolTip


def test_what_a_tool_needs_is_said_on_its_button(correcting: Any) -> None:
    import slicer

    ui = correcting.ui
    assert ui.growToolButton.isEnabled()
    assert not ui.errorToolButton.isEnabled()
    assert "Compare" in ui.errorToolButton.toolTip
    assert "nothing to undo" in ui.undoButton.toolTip
    slicer.mrmlScene.RemoveNode(ui.probabilitySelector.currentNode())
    assert not ui.growToolButton.isEnabled()
    assert "probability" in ui.growToolButton.toolTip
    assert ui.traceToolButton.isEnabled()


def test_tools_come_back_when_a_transform_was_put_right(correcting: Any) -> None:
    import slicer

    ui, node = correcting.ui, correcting.ui.segmentationSelector.currentNode()
    warp = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    correcting._parameterNode.outputSegmentation = None
    node.SetAndObserveTransformNodeID(warp.GetID())
    correcting._parameterNode.outputSegmentation = node
    assert not ui.growToolButton.isEnabled()
    assert "transform" in ui.growToolButton.toolTip
    node.SetAndObserveTransformNodeID(None)
    assert host.wait_for(ui.growToolButton.isEnabled)
    assert correcting.logic.edits.target.node is node


def test_click_preview_apply_undo_and_redo_by_key(correcting: Any, slicer_host: host.Host) -> None:
    ui = correcting.ui
    before = label(correcting)
    ui.removePieceToolButton.click()
    click(correcting, PIECE)
    assert correcting.logic.edits.preview.shown
    assert "108 removed" in ui.toolHintLabel.text
    np.testing.assert_array_equal(label(correcting), before)
    press(correcting, "Return")
    after = label(correcting)
    assert before.sum() - after.sum() == 108
    assert not correcting.logic.edits.preview.shown
    assert placing()  # the tool stays in the hand
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), before)
    press(correcting, "Ctrl+Shift+Z")
    np.testing.assert_array_equal(label(correcting), after)
    ui.undoButton.click()
    np.testing.assert_array_equal(label(correcting), before)
    assert not ui.undoButton.isEnabled()
    assert ui.redoButton.isEnabled()
    assert "Ctrl+Y" in ui.redoButton.toolTip
    assert slicer_host.dialogs.shown == []


def test_escape_takes_the_preview_back_and_then_the_tool(correcting: Any) -> None:
    ui, before = correcting.ui, label(correcting)
    press(correcting, "2")
    assert ui.removeBranchToolButton.checked
    click(correcting, BRANCH)
    assert ui.applyButton.isEnabled()
    press(correcting, "Esc")
    assert not ui.applyButton.isEnabled()
    assert not correcting.logic.edits.preview.shown
    assert placing()
    press(correcting, "Esc")
    assert not ui.removeBranchToolButton.checked
    assert not placing()
    assert clicks_in_scene() == 0
    np.testing.assert_array_equal(label(correcting), before)


def test_a_segmentation_that_begins_puts_the_tool_down(correcting: Any, pretend: Callable[[str], None]) -> None:
    ui = correcting.ui
    ui.removePieceToolButton.click()
    click(correcting, PIECE)
    assert ui.applyButton.isEnabled()
    pretend("sleep")
    ui.segmentButton.click()
    assert not ui.removePieceToolButton.checked
    assert not placing()
    assert clicks_in_scene() == 0
    assert not correcting.logic.edits.preview.shown
    ui.cancelButton.click()
    wait_until_idle(correcting)
    assert not ui.applyButton.isEnabled()
    assert ui.removePieceToolButton.isEnabled()


def test_a_click_beside_the_vessels_is_said_without_a_dialogue(correcting: Any, slicer_host: host.Host) -> None:
    correcting.ui.removePieceToolButton.click()
    click(correcting, (20, 40, 4))
    assert not correcting.ui.applyButton.isEnabled()
    assert "click" in correcting.ui.toolHintLabel.text
    assert slicer_host.dialogs.shown == []
    assert placing()
    click(correcting, PIECE)  # the next click begins anew
    assert correcting.ui.applyButton.isEnabled()


def test_a_branch_goes_and_its_trunk_stays(correcting: Any) -> None:
    correcting.ui.removeBranchToolButton.click()
    click(correcting, BRANCH)
    correcting.ui.applyButton.click()
    after = label(correcting)
    assert not after[11:14, 26:40, 23:26].any()
    assert after[11:14, 19:22, 2:46].all()


def test_growing_follows_its_slider(correcting: Any) -> None:
    ui = correcting.ui
    ui.growToolButton.click()
    assert not ui.toolThresholdSlider.isHidden()
    assert ui.toolRadiusSlider.isHidden()
    click(correcting, MISSED)
    assert ui.toolThresholdSlider.value == pytest.approx(0.2, abs=0.01)  # half of the highest near the click
    assert ui.applyButton.isEnabled()
    ui.toolThresholdSlider.value = 0.6
    rest(0.3)
    assert not ui.applyButton.isEnabled()
    assert "Nothing would change" in ui.toolHintLabel.text
    ui.toolThresholdSlider.value = 0.3
    rest(0.3)
    ui.applyButton.click()
    np.testing.assert_array_equal(label(correcting)[17:20, 7:10, 14:34], 1)


def test_tracing_waits_for_the_second_click(correcting: Any) -> None:
    ui = correcting.ui
    ui.traceToolButton.click()
    click(correcting, (18, 8, 6))
    assert not ui.applyButton.isEnabled()
    assert "next place" in ui.toolHintLabel.text
    click(correcting, (18, 8, 40))
    assert ui.applyButton.isEnabled()
    ui.applyButton.click()
    assert label(correcting)[18, 8, 6:41].all()
    ui.undoButton.click()
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_the_brush_applies_another_threshold_around_a_click(correcting: Any) -> None:
    ui = correcting.ui
    ui.thresholdToolButton.click()
    ui.toolThresholdSlider.value = 0.3
    ui.toolRadiusSlider.value = 4.0
    click(correcting, MISSED)
    ui.applyButton.click()
    after = label(correcting)
    assert after[18, 8, 20:29].all()
    assert not after[18, 8, :14].any()


def test_a_branch_is_moved_to_an_artery(correcting: Any) -> None:
    ui = correcting.ui
    ui.nameToolButton.click()
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("basilar")
    click(correcting, BRANCH)
    assert ui.toolHintLabel.text.startswith("Move")
    assert "to Basilar artery" in ui.toolHintLabel.text
    assert "voxels" not in ui.toolHintLabel.text  # it stays a vessel
    ui.applyButton.click()
    node = correcting._parameterNode.outputSegmentation
    assert node.GetSegmentation().GetSegmentIdBySegmentName("Basilar artery")
    assert not label(correcting)[11:14, 26:40, 23:26].any()
    press(correcting, "Ctrl+Z")
    assert not node.GetSegmentation().GetSegmentIdBySegmentName("Basilar artery")
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_another_choice_for_the_mouse_puts_the_tool_down(correcting: Any) -> None:
    import slicer

    correcting.ui.growToolButton.click()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    rest(0.05)
    assert not correcting.ui.growToolButton.checked


@pytest.mark.parametrize(
    ("change", "threshold", "other", "place"), [("add", 0.3, 0.95, MISSED), ("remove", 0.95, 0.3, BRANCH)]
)
def test_the_brush_may_be_told_to_only_add_or_remove(
    correcting: Any, change: str, threshold: float, other: float, place: tuple[int, int, int]
) -> None:
    ui, before = correcting.ui, label(correcting)
    ui.thresholdToolButton.click()
    assert not ui.toolChangeComboBox.isHidden()
    ui.toolChangeComboBox.currentIndex = ui.toolChangeComboBox.findData(change)
    ui.toolThresholdSlider.value = threshold
    click(correcting, place)
    ui.applyButton.click()
    after = label(correcting)
    assert after[place] != before[place]
    ui.toolThresholdSlider.value = other
    click(correcting, place)
    assert "Nothing would change" in ui.toolHintLabel.text


def named(panel: Any, name: str) -> np.ndarray:
    node = panel._parameterNode.outputSegmentation
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return segment_label(node, segment_id, panel._parameterNode.inputVolume).array


def test_a_named_artery_is_edited_named_anew_and_given_back(correcting: Any, slicer_host: host.Host) -> None:
    ui = correcting.ui
    ui.nameToolButton.click()
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("basilar")
    click(correcting, BRANCH)
    ui.applyButton.click()
    artery = named(correcting, "Basilar artery").copy()
    assert artery[BRANCH]
    click(correcting, BRANCH)
    assert "in 'Basilar artery' already" in ui.toolHintLabel.text
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("PCom left")
    click(correcting, BRANCH)
    assert "from Basilar artery to Left posterior communicating artery" in ui.toolHintLabel.text
    ui.applyButton.click()
    np.testing.assert_array_equal(named(correcting, "Left posterior communicating artery"), artery)
    assert not named(correcting, "Basilar artery").any()
    ui.removePieceToolButton.click()
    click(correcting, BRANCH)
    assert "from Left posterior communicating artery" in ui.toolHintLabel.text
    ui.applyButton.click()
    assert not named(correcting, "Left posterior communicating artery").any()
    ui.undoButton.click()
    ui.nameToolButton.click()
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("unnamed")
    click(correcting, BRANCH)
    assert "back to the vessels" in ui.toolHintLabel.text
    ui.applyButton.click()
    np.testing.assert_array_equal(label(correcting), drawn()[0])
    click(correcting, BRANCH)
    assert "has no name yet" in ui.toolHintLabel.text
    for _ in range(3):
        ui.undoButton.click()
    np.testing.assert_array_equal(label(correcting), drawn()[0])
    assert slicer_host.dialogs.shown == []


def test_tools_ask_for_the_packages_that_they_need(
    correcting: Any, slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui = correcting.ui
    asked: list[bool] = []

    def ensure() -> None:
        asked.append(slicer_host.dialogs.answer)
        if not slicer_host.dialogs.answer:
            raise VesselSegError("scikit-image is not installed", "agree to install it")

    monkeypatch.setattr(correcting.logic, "ensureRequirements", ensure)
    slicer_host.dialogs.answer = False
    ui.growToolButton.click()
    assert asked == [False]
    assert not ui.growToolButton.isChecked()
    assert ui.toolHintLabel.text == "Scikit-image is not installed. Agree to install it."
    assert not placing()
    slicer_host.dialogs.answer = True
    ui.growToolButton.click()
    assert ui.growToolButton.isChecked()
    click(correcting, MISSED)
    assert asked == [False, True]
    assert slicer_host.dialogs.shown == []


def test_a_scene_that_is_closed_while_packages_are_installed(
    correcting: Any, slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    monkeypatch.setattr(correcting.logic, "ensureRequirements", lambda: slicer.mrmlScene.Clear(False))
    correcting.ui.removePieceToolButton.click()
    assert not correcting.ui.removePieceToolButton.isChecked()
    assert not placing()
    assert clicks_in_scene() == 0


def test_packages_that_cannot_be_installed(
    correcting: Any, slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch, errors: list[BaseException]
) -> None:
    def ensure() -> None:
        raise RuntimeError("pip: no network")

    monkeypatch.setattr(correcting.logic, "ensureRequirements", ensure)
    correcting.ui.traceToolButton.click()
    assert not correcting.ui.traceToolButton.isChecked()
    assert not placing()
    assert "no network" in slicer_host.dialogs.shown[0]
    assert str(errors.pop()) == "pip: no network"
