"""The section Correct: what a reader presses, clicks in the views, and then sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import draw_by_hand, rest, vessels

#: Voxels (k, j, i) of what is clicked.
TRUNK, BRANCH, PIECE, MISSED = (12, 20, 10), (12, 34, 24), (4, 6, 10), (18, 8, 24)
SHAPE = (24, 44, 48)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return what was found, a trunk with a branch and a loose piece, and the truth: no piece, but a missed vessel."""
    found = np.zeros(SHAPE, np.uint8)
    found[11:14, 19:22, 2:46] = 1
    found[11:14, 22:40, 23:26] = 1
    truth = found.copy()
    found[3:6, 5:8, 4:16] = 1
    truth[17:20, 7:10, 4:44] = 1
    return found, truth


@pytest.fixture
def correcting(panel: Any, add_scan: Callable[..., Any]) -> Any:
    """The panel with vessels that a model found, their probability, and the section Correct open."""
    import slicer

    from VesselSegmentationLib.run_record import record_probability, record_threshold
    from VesselSegmentationLib.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.volume_nodes import set_node_volume, volume_from_node

    scan = add_scan()
    found, truth = drawn()
    volume = volume_from_node(scan)
    noise = np.random.default_rng(0).normal(20, 2, SHAPE)
    set_node_volume(scan, volume.with_array((noise + 100 * (truth | found)).astype(np.float32)))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "TOF vessels")
    set_segment_label(node, scan, volume.with_array(found))
    probability = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF vessel probability")
    values = np.where(found, 0.9, np.where(truth, 0.4, 0.001)).astype(np.float32)
    set_node_volume(probability, volume.with_array(values))
    record_probability(node, probability)
    record_threshold(node, 0.5, 0.0)
    panel._parameterNode.inputVolume = scan
    panel._parameterNode.outputSegmentation = node
    panel._parameterNode.probabilityVolume = probability
    panel.ui.correctCollapsibleButton.collapsed = False
    panel.ui.readerLineEdit.text = "Dr. Reader"
    return panel


@pytest.fixture
def comparing(correcting: Any) -> Any:
    """The panel with the vessels compared with the truth."""
    import slicer

    from VesselSegmentationLib.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.volume_nodes import volume_from_node

    scan = correcting._parameterNode.inputVolume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 1")
    set_segment_label(node, scan, volume_from_node(scan).with_array(drawn()[1]), name="Manual", role="manual")
    correcting.ui.referenceSelector.setCurrentNode(node)
    correcting.ui.compareButton.click()
    settle(correcting)
    return correcting


def settle(panel: Any) -> None:
    assert host.wait_for(lambda: not panel.logic.review.pending)
    rest(0.5)


def label(panel: Any) -> np.ndarray:
    return vessels(panel._parameterNode.outputSegmentation, panel._parameterNode.inputVolume).copy()


def click(panel: Any, *voxels: tuple[int, int, int]) -> None:
    """Click in a view, as its markups do: each click ends the placing of one point."""
    import slicer

    from VesselSegmentationLib.volume_nodes import volume_geometry

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
    ui.applyButton.click()
    node = correcting._parameterNode.outputSegmentation
    assert node.GetSegmentation().GetSegmentIdBySegmentName("Basilar artery")
    assert not label(correcting)[11:14, 26:40, 23:26].any()
    press(correcting, "Ctrl+Z")
    assert not node.GetSegmentation().GetSegmentIdBySegmentName("Basilar artery")
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_accepting_an_error_corrects_label_and_map(comparing: Any) -> None:
    ui = comparing.ui
    assert ui.errorsTable.rowCount == 2
    kinds = [ui.errorsTable.item(row, 0).text() for row in range(2)]
    ui.errorsTable.setCurrentCell(kinds.index("false positive"), 0)
    ui.acceptButton.click()
    settle(comparing)
    assert not label(comparing)[3:6, 5:8, 4:16].any()
    assert ui.errorsTable.rowCount == 1
    assert ui.errorsTable.item(0, 0).text() == "false negative"
    ui.rejectButton.click()  # the list went on to it
    settle(comparing)
    assert ui.errorsTable.item(0, 3).text() == "rejected"
    assert not label(comparing)[18, 8].any()
    ui.undoButton.click()
    ui.undoButton.click()
    settle(comparing)
    np.testing.assert_array_equal(label(comparing), drawn()[0])
    assert [ui.errorsTable.item(row, 3).text() for row in range(2)] == ["", ""]
    steps = comparing.logic.edits.log.entries
    assert [entry["event"] for entry in steps] == ["done", "done", "undone", "undone"]
    assert {entry["reader"] for entry in steps} == {"Dr. Reader"}
    assert steps[0]["metrics_after"]["precision"] == 1.0


def test_an_error_is_corrected_by_a_click(comparing: Any) -> None:
    comparing.ui.errorToolButton.click()
    click(comparing, MISSED)
    comparing.ui.applyButton.click()
    settle(comparing)
    assert label(comparing)[17:20, 7:10, 4:44].all()
    assert comparing.ui.errorsTable.rowCount == 1


def test_many_errors_at_once(comparing: Any) -> None:
    ui = comparing.ui
    ui.batchVolumeSlider.value = 30.0  # mm³: the loose piece has 23, the missed vessel 78
    ui.previewBatchButton.click()
    assert "1 false positives to remove, 0 false negatives" in ui.toolHintLabel.text
    ui.batchVolumeSlider.value = 0.0
    ui.previewBatchButton.click()
    np.testing.assert_array_equal(label(comparing), drawn()[0])
    ui.applyButton.click()
    np.testing.assert_array_equal(label(comparing), drawn()[1])
    settle(comparing)
    assert ui.errorsTable.rowCount == 0
    ui.previewBatchButton.click()
    assert ui.toolHintLabel.text == "There are no such errors."
    ui.undoButton.click()
    np.testing.assert_array_equal(label(comparing), drawn()[0])


def test_leaving_and_coming_back_keeps_everything(correcting: Any, slicer_host: host.Host) -> None:
    remove_piece(correcting)
    correcting.ui.growToolButton.click()
    slicer_host.exit_module(correcting)
    assert not placing()
    assert clicks_in_scene() == 0
    # Meanwhile the module Segment Editor.
    edited = draw_by_hand(correcting._parameterNode.outputSegmentation, correcting._parameterNode.inputVolume)
    slicer_host.enter_module(correcting)
    np.testing.assert_array_equal(label(correcting), edited)
    assert not correcting.ui.growToolButton.checked
    rest(0.3)
    assert "not saved" in correcting.ui.editedLabel.text
    correcting.ui.undoButton.click()
    correcting.ui.undoButton.click()
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_undo_works_while_the_section_is_closed(correcting: Any) -> None:
    remove_piece(correcting)
    correcting.ui.correctCollapsibleButton.collapsed = True
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), drawn()[0])


def test_another_choice_for_the_mouse_puts_the_tool_down(correcting: Any) -> None:
    import slicer

    correcting.ui.growToolButton.click()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    rest(0.05)
    assert not correcting.ui.growToolButton.checked


def remove_piece(panel: Any) -> None:
    panel.ui.removePieceToolButton.click()
    click(panel, PIECE)
    panel.ui.applyButton.click()


def recovered(panel: Any) -> str:
    return "" if panel.ui.recoveryFrame.isHidden() else str(panel.ui.recoveryLabel.text)


def test_closing_the_scene_asks_and_edits_can_be_restored(
    correcting: Any, slicer_host: host.Host, add_scan: Callable[..., Any]
) -> None:
    import slicer

    remove_piece(correcting)
    edited = label(correcting)
    slicer.mrmlScene.Clear(False)
    assert "not saved" in slicer_host.dialogs.shown[-1]
    assert "TOF vessels" in slicer_host.dialogs.shown[-1]
    assert "TOF vessels of TOF" in recovered(correcting)
    assert "1 edit" in recovered(correcting)
    correcting.ui.restoreButton.click()
    assert "Load the scan 'TOF' first" in slicer_host.dialogs.shown[-1]
    add_scan()
    correcting.ui.restoreButton.click()
    assert recovered(correcting) == ""
    assert correcting.ui.segmentationSelector.currentNode().GetName() == "TOF vessels (recovered)"
    np.testing.assert_array_equal(label(correcting), edited)
    # Still unsaved, and still safe.
    slicer_host.dialogs.answer = False
    slicer.mrmlScene.Clear(False)
    assert len(slicer_host.dialogs.shown) == 3
    assert recovered(correcting) == ""


def test_a_scene_without_edits_is_closed_without_a_question(correcting: Any, slicer_host: host.Host) -> None:
    import slicer

    remove_piece(correcting)
    correcting.ui.undoButton.click()
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_a_threshold_is_a_step_but_no_edit(correcting: Any, slicer_host: host.Host) -> None:
    import slicer

    ui = correcting.ui
    correcting._parameterNode.threshold = 0.5
    rest(0.4)
    ui.thresholdSlider.value = 0.3
    rest(0.5)
    assert label(correcting)[18, 8, 24]
    press(correcting, "Ctrl+Z")
    np.testing.assert_array_equal(label(correcting), drawn()[0])
    assert ui.thresholdSlider.value == 0.5
    press(correcting, "Ctrl+Shift+Z")
    assert ui.thresholdSlider.value == 0.3
    rest(0.4)
    assert label(correcting)[18, 8, 24]
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_edits_that_slicer_has_saved_are_saved(correcting: Any, slicer_host: host.Host, tmp_path: Path) -> None:
    import slicer

    remove_piece(correcting)
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    rest(0.3)
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_what_the_last_session_left_is_offered(correcting: Any, slicer_host: host.Host) -> None:
    """The panel goes without the scene being saved: as when 3D Slicer ends."""
    import slicer

    remove_piece(correcting)
    correcting.logic.edits.save_against_crash()
    slicer_host.unload_module("VesselSegmentation")
    slicer.mrmlScene.Clear(False)
    panel = slicer_host.load_module(host.module_file("VesselSegmentation"))
    assert "1 edit" in recovered(panel)
    slicer_host.dialogs.answer = False
    panel.ui.discardButton.click()
    assert "lost for good" in slicer_host.dialogs.shown[-1]
    assert recovered(panel) != ""
    slicer_host.dialogs.answer = True
    panel.ui.discardButton.click()
    assert recovered(panel) == ""


@pytest.fixture
def editor(correcting: Any) -> Any:
    """The embedded Segment Editor, opened by its group box."""
    import slicer

    correcting.ui.freeHandGroupBox.collapsed = False
    (widget,) = correcting.parent.findChildren(slicer.qMRMLSegmentEditorWidget)
    return widget


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


def test_the_label_is_saved_with_log_and_first_result(correcting: Any, slicer_host: host.Host, tmp_path: Path) -> None:
    ui = correcting.ui
    remove_piece(correcting)
    ui.signedKindComboBox.currentIndex = ui.signedKindComboBox.findText("NIfTI")
    ui.signedSurfaceCheckBox.checked = True
    slicer_host.dialogs.path = str(tmp_path / "signed.nii.gz")
    ui.saveSignedButton.click()
    slicer_host.dialogs.path = ""
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"signed.nii.gz", "signed.stl", "signed_edits.json", "signed_automatic.nii.gz"}
    assert json.loads((tmp_path / "signed_edits.json").read_text())["signed_by"] == "Dr. Reader"
    assert slicer_host.dialogs.suggestion.endswith("TOF vessels.nii.gz")
    assert "signed.nii.gz" in ui.savingStatusLabel.text
    rest(0.3)
    assert "not saved" not in ui.editedLabel.text
    assert slicer_host.dialogs.shown == []


def test_dicom_without_dicom_images_is_refused(
    correcting: Any, slicer_host: host.Host, tmp_path: Path, errors: list[BaseException]
) -> None:
    ui = correcting.ui
    remove_piece(correcting)
    ui.signedKindComboBox.currentIndex = ui.signedKindComboBox.findText("DICOM SEG")
    slicer_host.dialogs.path = str(tmp_path / "signed.dcm")
    ui.saveSignedButton.click()
    slicer_host.dialogs.path = ""
    assert "could not be saved" in slicer_host.dialogs.shown[-1]
    assert "DICOM images of 'TOF' are not known" in str(errors.pop())
    assert list(tmp_path.iterdir()) == []
    assert correcting.logic.edits.unsaved_edits
