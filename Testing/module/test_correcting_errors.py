"""Errors of a comparison accepted and rejected, from the list, by a click and many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from correcting_case import BRANCH, MISSED, TRUNK, drawn
from module.correcting_actions import click, label, press, settle
from module.panel_actions import wait_until_idle


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


def test_nothing_is_decided_while_a_segmentation_runs(comparing: Any, pretend: Callable[[str], None]) -> None:
    ui = comparing.ui
    ui.errorsTable.setCurrentCell(0, 0)
    pretend("sleep")
    ui.segmentButton.click()
    ui.hideMarkedCheckBox.click()  # the list is shown anew
    for button in (ui.acceptButton, ui.rejectButton, ui.reviewedButton):
        assert not button.isEnabled()
        assert "Wait until the segmentation is done" in button.toolTip
    assert ui.nextErrorButton.isEnabled()
    press(comparing, "A")
    np.testing.assert_array_equal(label(comparing), drawn()[0])
    ui.cancelButton.click()
    wait_until_idle(comparing)
    ui.errorsTable.setCurrentCell(0, 0)
    press(comparing, "A")
    assert not np.array_equal(label(comparing), drawn()[0])


def test_buttons_tell_whether_the_vessels_are_corrected(comparing: Any) -> None:
    ui = comparing.ui
    settle(comparing)
    assert "match the reference" in ui.acceptButton.toolTip
    assert "reference is wrong" in ui.rejectButton.toolTip
    assert "stay as they are" in ui.reviewedButton.toolTip
    ui.referenceIsTruthCheckBox.click()
    ui.compareButton.click()
    settle(comparing)
    assert "stay as they are" in ui.acceptButton.toolTip
    assert "reference" not in ui.rejectButton.toolTip


def test_an_error_is_corrected_by_a_click(comparing: Any) -> None:
    comparing.ui.errorToolButton.click()
    click(comparing, MISSED)
    comparing.ui.applyButton.click()
    settle(comparing)
    assert label(comparing)[17:20, 7:10, 4:44].all()
    assert comparing.ui.errorsTable.rowCount == 1


@pytest.mark.parametrize("way", ["click", "many at once"])
def test_another_comparison_takes_back_what_is_shown(comparing: Any, way: str) -> None:
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    ui, scan = comparing.ui, comparing._parameterNode.inputVolume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 2")
    found, truth = drawn()
    truth[:, :, : MISSED[2]] &= found[:, :, : MISSED[2]]
    set_segment_label(node, scan, volume_from_node(scan).with_array(truth), name="Manual", role="manual")
    if way == "click":
        ui.errorToolButton.click()
        click(comparing, MISSED)
    else:
        ui.batchVolumeSlider.value = 0.0
        ui.previewBatchButton.click()
    assert ui.applyButton.isEnabled()
    ui.referenceSelector.setCurrentNode(node)
    ui.compareButton.click()
    assert not comparing.logic.edits.preview.shown
    assert not ui.applyButton.isEnabled()
    np.testing.assert_array_equal(label(comparing), found)
    if way == "click":  # the tool is still in the hand
        click(comparing, MISSED)
        assert ui.applyButton.isEnabled()


def test_many_errors_at_once(comparing: Any) -> None:
    ui = comparing.ui
    ui.batchVolumeSlider.value = 30.0  # mm³: the loose piece has 23, the missed vessel 78
    ui.previewBatchButton.click()
    assert "1 false positive to remove, 0 false negatives" in ui.toolHintLabel.text
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


def test_naming_an_artery_makes_no_errors(comparing: Any) -> None:
    ui = comparing.ui
    ui.nameToolButton.click()
    click(comparing, BRANCH)
    ui.applyButton.click()
    settle(comparing)
    assert not label(comparing)[BRANCH]
    assert ui.errorsTable.rowCount == 2
    assert ui.errorToolButton.isEnabled()
    ui.toolVesselComboBox.currentIndex = ui.toolVesselComboBox.findData("veins left")
    click(comparing, TRUNK)
    ui.applyButton.click()
    settle(comparing)
    assert ui.errorsTable.rowCount > 2  # what was called a vein is missing from the arteries
    ui.undoButton.click()
    ui.undoButton.click()
    settle(comparing)
    assert ui.errorsTable.rowCount == 2


def test_many_errors_by_size_and_rims(comparing: Any) -> None:
    ui = comparing.ui
    ui.batchVolumeSlider.value = 0.0
    ui.batchLeastSlider.value = 30.0  # mm³: the loose piece has 23, the missed vessel 78
    ui.previewBatchButton.click()
    assert "0 false positives to remove, 1 false negative to add" in ui.toolHintLabel.text
    ui.batchLeastSlider.value = 0.0
    ui.batchRimsComboBox.currentIndex = 1
    ui.previewBatchButton.click()
    assert ui.toolHintLabel.text == "There are no such errors."
    ui.batchRimsComboBox.currentIndex = 2
    ui.previewBatchButton.click()
    assert "1 false positive to remove, 1 false negative to add" in ui.toolHintLabel.text


def test_many_errors_at_once_without_those_that_were_rejected(comparing: Any) -> None:
    ui = comparing.ui
    kinds = [ui.errorsTable.item(row, 0).text() for row in range(2)]
    ui.errorsTable.setCurrentCell(kinds.index("false positive"), 0)
    ui.rejectButton.click()
    settle(comparing)
    ui.batchVolumeSlider.value = 0.0
    ui.previewBatchButton.click()
    assert ui.toolHintLabel.text.startswith("0 false positives to remove, 1 false negative to add")
    assert ui.toolHintLabel.text.endswith("; left out: 1 rejected")
    ui.batchVolumeSlider.value = 30.0  # mm³: the loose piece has 23, the missed vessel 78
    ui.previewBatchButton.click()
    assert ui.toolHintLabel.text == "There are no such errors; left out: 1 rejected."


@pytest.fixture
def two_near(comparing: Any) -> Any:
    """Another false positive lies two voxels beside the loose piece."""
    import slicer

    from compared_labels import paint

    node, scan = comparing._parameterNode.outputSegmentation, comparing._parameterNode.inputVolume
    paint(node, comparing.logic.edits.target.segment_id, scan, [(4, 10, 10)], 1)
    slicer.app.processEvents()
    settle(comparing)
    return comparing


@pytest.mark.parametrize("waits", [True, False])
def test_apply_corrects_no_other_error_than_the_one_shown(two_near: Any, waits: bool) -> None:
    ui, navigator = two_near.ui, two_near.logic.review.navigator
    ui.errorToolButton.click()
    click(two_near, (4, 7, 10))
    assert "108 removed" in ui.toolHintLabel.text
    sizes = [component.voxels for component in navigator.shown()]
    ui.errorsTable.setCurrentCell(sizes.index(108), 0)
    ui.acceptButton.click()
    if waits:
        settle(two_near)
        assert not two_near.logic.edits.preview.shown
        assert not ui.applyButton.isEnabled()
    ui.applyButton.click()
    settle(two_near)
    assert label(two_near)[4, 10, 10]
    assert [mark.decision for mark in navigator.marks()] == ["accepted"]
    assert not two_near.logic.edits.preview.shown
    click(two_near, (4, 10, 10))  # the tool is still in the hand
    assert "1 removed" in ui.toolHintLabel.text
