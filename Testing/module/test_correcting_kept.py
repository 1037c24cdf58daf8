"""No edit is lost: other modules, other scenes, crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from correcting_case import drawn
from module.correcting_actions import clicks_in_scene, label, placing, press, remove_piece, settle
from module.panel_actions import draw_by_hand, rest, wait_until_idle


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


def test_edits_go_back_to_a_scan_that_has_another_name_now(
    correcting: Any, slicer_host: host.Host, add_scan: Callable[..., Any]
) -> None:
    """It was renamed before the crash, or comes from a file of another name."""
    import slicer

    remove_piece(correcting)
    edited = label(correcting)
    slicer.mrmlScene.Clear(False)
    scan = add_scan("5: TOF")
    correcting.ui.restoreButton.click()
    assert recovered(correcting) == ""
    assert correcting._parameterNode.inputVolume is scan
    np.testing.assert_array_equal(label(correcting), edited)


@pytest.mark.parametrize("asker", ["the panel", "another module"])
def test_nothing_goes_on_while_closing_the_scene_asks(
    comparing: Any, slicer_host: host.Host, add_scan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, asker: str
) -> None:
    """The threshold that is being measured asks nothing more, and does not change the copy that is kept."""
    import slicer

    from VesselSegmentationLib.panel import metrics_section
    from VesselSegmentationLib.reviewing.threshold_job import start_threshold_analysis

    remove_piece(comparing)
    settle(comparing)
    edited, job = label(comparing), start_threshold_analysis(comparing.logic.review)
    assert job.wait(120) == "done"
    monkeypatch.setattr(metrics_section, "start_threshold_analysis", lambda review: job)
    comparing.ui.bestThresholdButton.click()
    comparing.ui.thresholdSlider.value = 0.3
    polled = []

    def think(*_: Any) -> bool:
        with monkeypatch.context() as patch:
            for logic in (comparing.logic.edits, comparing.logic.review):
                patch.setattr(logic, "poll", lambda: polled.append(asker) or set())
            rest(0.6)
        return True

    if asker == "the panel":
        monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", think)
        slicer.mrmlScene.Clear(False)
    else:
        tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.StartCloseEvent, think, 1.0)
        slicer.mrmlScene.Clear(False)
        slicer.mrmlScene.RemoveObserver(tag)
    assert "the panel" not in polled
    assert not any("edited by hand" in text for text in slicer_host.dialogs.shown)
    add_scan()
    comparing.ui.restoreButton.click()
    np.testing.assert_array_equal(label(comparing), edited)


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
    press(correcting, "Ctrl+Y")
    assert ui.thresholdSlider.value == 0.3
    rest(0.4)
    assert label(correcting)[18, 8, 24]
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_a_threshold_beyond_the_slider_comes_back(correcting: Any, slicer_host: host.Host) -> None:
    from VesselSegmentationLib.scene.run_record import record_threshold

    ui, node = correcting.ui, correcting._parameterNode.outputSegmentation
    record_threshold(node, 0.005, 200.0)  # as a script may
    ui.thresholdSlider.value = 0.3
    rest(0.5)
    ui.undoButton.click()
    rest(0.5)
    assert slicer_host.dialogs.shown == []
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == (0.01, 100.0)
    assert correcting.logic.threshold(node) == (0.005, 200.0)


def test_a_threshold_that_takes_an_edit_back_is_no_edit(correcting: Any) -> None:
    ui = correcting.ui
    node = correcting._parameterNode.outputSegmentation
    remove_piece(correcting)
    rest(0.4)
    edited = label(correcting)
    ui.thresholdSlider.value = 0.6  # makes the same vessels as 0.5
    rest(0.5)
    np.testing.assert_array_equal(label(correcting), drawn()[0])
    assert correcting.logic.threshold(node) == (0.6, 0.0)
    ui.undoButton.click()
    rest(0.5)
    np.testing.assert_array_equal(label(correcting), edited)
    assert ui.thresholdSlider.value == 0.5
    assert [step.tool for step in correcting.logic.edits.target.history.undone_steps] == ["segmentation"]


def test_the_same_vessels_found_again_are_no_edit(segmented: Any) -> None:
    node = segmented._parameterNode.outputSegmentation
    rest(0.4)
    draw_by_hand(node, segmented._parameterNode.inputVolume)
    rest(0.4)
    segmented.ui.segmentButton.click()
    wait_until_idle(segmented)
    rest(0.4)
    history = segmented.logic.edits.target.history
    assert [step.tool for step in history.steps] == ["other editor", "segmentation"]


def test_an_undone_run_is_described_no_more(segmented: Any) -> None:
    import slicer

    ui, scan = segmented.ui, segmented._parameterNode.inputVolume
    rest(0.4)
    slicer.util.arrayFromVolume(scan)[5:9, 5:9, 5:9] = 250
    slicer.util.arrayFromVolumeModified(scan)
    ui.segmentButton.click()
    wait_until_idle(segmented)
    rest(0.4)
    described = ui.statusLabel.text
    ui.undoButton.click()
    rest(0.4)
    assert ui.statusLabel.text == "Not segmented yet."
    assert not ui.thresholdSlider.isEnabled()
    ui.redoButton.click()
    rest(0.4)
    assert ui.statusLabel.text == described != "Not segmented yet."
    assert ui.thresholdSlider.isEnabled()


def test_edits_that_slicer_has_saved_are_saved(correcting: Any, slicer_host: host.Host, tmp_path: Path) -> None:
    import slicer

    remove_piece(correcting)
    assert slicer_host.save_scene(str(tmp_path / "scene.mrb"))
    rest(0.3)
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_edits_that_slicer_could_not_save_are_not_saved(
    correcting: Any, slicer_host: host.Host, tmp_path: Path
) -> None:
    """The nodes count as written, for they were, into a folder that is gone."""
    remove_piece(correcting)
    node = correcting._parameterNode.outputSegmentation
    assert not slicer_host.save_scene(str(tmp_path / "no folder" / "scene.mrb"))
    assert not node.GetModifiedSinceRead()
    rest(0.5)
    assert "not saved" in correcting.ui.editedLabel.text
    assert slicer_host.save_scene(str(tmp_path / "scene.mrb"))
    rest(0.5)
    assert "not saved" not in correcting.ui.editedLabel.text
    correcting.ui.undoButton.click()
    rest(0.5)
    assert "not saved" in correcting.ui.editedLabel.text  # the bundle is older


def test_edits_that_slicer_has_saved_alone_are_saved(correcting: Any, tmp_path: Path) -> None:
    remove_piece(correcting)
    node = correcting._parameterNode.outputSegmentation
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "vessels.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    rest(0.5)
    assert "not saved" not in correcting.ui.editedLabel.text


def test_edits_of_another_scan_are_still_unsaved(
    correcting: Any, slicer_host: host.Host, add_scan: Callable[..., Any]
) -> None:
    import slicer

    scan, node = correcting._parameterNode.inputVolume, correcting._parameterNode.outputSegmentation
    remove_piece(correcting)
    correcting._parameterNode.inputVolume = add_scan("second")
    assert correcting._parameterNode.outputSegmentation is None
    correcting._parameterNode.inputVolume = scan
    assert correcting._parameterNode.outputSegmentation is node
    assert "not saved" in correcting.ui.editedLabel.text
    correcting._parameterNode.inputVolume = slicer.mrmlScene.GetFirstNodeByName("second")
    slicer.mrmlScene.Clear(False)
    assert "'TOF vessels'" in slicer_host.dialogs.shown[-1]
    assert "1 edit" in recovered(correcting)


def test_edits_of_another_scan_that_slicer_has_saved_are_saved(
    correcting: Any, slicer_host: host.Host, add_scan: Callable[..., Any], tmp_path: Path
) -> None:
    import slicer

    remove_piece(correcting)
    correcting._parameterNode.inputVolume = add_scan("second")
    assert list(Path(slicer.app.temporaryPath).rglob("*.seg.nrrd"))
    assert slicer_host.save_scene(str(tmp_path / "scene.mrb"))
    rest(0.3)
    assert not list(Path(slicer.app.temporaryPath).rglob("*.seg.nrrd"))
    slicer.mrmlScene.Clear(False)
    assert slicer_host.dialogs.shown == []


def test_edits_that_cannot_be_kept_do_not_hold_up_the_panel(
    correcting: Any, slicer_host: host.Host, add_scan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    from VesselSegmentationLib.correcting import autosave

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("disk full")

    remove_piece(correcting)
    monkeypatch.setattr(autosave, "write_seg_nrrd", fail)
    correcting._parameterNode.inputVolume = add_scan("second")
    (said,) = slicer_host.dialogs.shown
    assert "disk full" in said
    assert "Save the scene now." in said
    assert "\n" not in said
    assert not correcting.ui.undoButton.isEnabled()
    slicer_host.dialogs.answer = False
    slicer.mrmlScene.Clear(False)
    assert "'TOF vessels'" in slicer_host.dialogs.shown[-1]


def test_what_the_last_session_left_is_offered(correcting: Any, slicer_host: host.Host) -> None:
    """The panel goes without the scene being saved: as when 3D Slicer ends."""
    import slicer

    remove_piece(correcting)
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
