"""The buttons of the sections Scan and Segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import (
    data_nodes,
    draw_by_hand,
    new_nodes,
    segment_and_choose_another,
    vessels,
    wait_until_idle,
)


def test_an_empty_panel_says_what_to_do(panel: Any) -> None:
    ui = panel.ui
    assert not ui.segmentButton.isEnabled()
    assert "Load a TOF scan" in ui.segmentButton.toolTip
    for widget in (ui.thresholdSlider, ui.minimumComponentSlider, ui.show3DButton):
        assert not widget.isEnabled()
        assert "segment a scan first" in widget.toolTip
    assert not ui.cancelButton.isEnabled()
    assert ui.cancelButton.toolTip == "Nothing is running."
    assert ui.statusLabel.text == "Not segmented yet."


def test_a_scan_that_is_loaded_is_chosen(panel: Any, add_scan: Callable[..., Any]) -> None:
    scan = add_scan()
    assert panel.ui.inputSelector.currentNode() is scan
    assert panel.ui.segmentButton.isEnabled()
    assert panel.ui.segmentButton.toolTip == "Find the vessels of the scan."
    add_scan("another")
    assert panel.ui.inputSelector.currentNode() is scan


def test_segment(panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]) -> None:
    pretend("segment")
    scan = add_scan()
    ui = panel.ui
    ui.segmentButton.click()
    assert not ui.segmentButton.isEnabled()
    assert ui.cancelButton.isEnabled()
    assert "Wait" in ui.thresholdSlider.toolTip
    wait_until_idle(panel)
    segmentation, probability = ui.segmentationSelector.currentNode(), ui.probabilitySelector.currentNode()
    assert segmentation.GetName() == "TOF vessels"
    assert probability.GetName() == "TOF vessel probability"
    array = vessels(segmentation, scan)
    assert 0 < array.mean() < 0.5
    assert ui.progressBar.value == 100
    for part in ("tiny", "cpu", "fp32", "1.5 s"):
        assert part in ui.statusLabel.text
    assert ui.segmentButton.isEnabled()
    assert ui.thresholdSlider.isEnabled()
    # Shown in 3D at once: the first picture needs no third click.
    assert ui.show3DButton.isChecked()
    assert segmentation.GetDisplayNode().GetVisibility3D()
    assert segmentation.GetSegmentation().ContainsRepresentation("Closed surface")


def test_the_command_gets_what_the_panel_shows(
    panel: Any, add_scan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from VesselSegmentationLib.segmenting import segmentation_logic

    seen: list[Any] = []

    def stop_here(scene: Any, *nodes: Any, settings: Any, python: Any) -> None:
        seen.extend([*nodes, settings])
        raise segmentation_logic.VesselSegError("stop here", "try again")

    monkeypatch.setattr(segmentation_logic, "SegmentationJob", stop_here)
    scan, mask = add_scan(), add_scan("mask")
    panel._parameterNode.threshold = 0.25
    panel._parameterNode.minimumComponent = 2.5
    panel._parameterNode.device = "cuda:1"
    panel._parameterNode.brainMaskNode = mask
    panel.ui.brainMaskComboBox.currentIndex = 2
    with pytest.raises(segmentation_logic.VesselSegError):
        panel._segment.start()
    assert seen[:3] == [scan, None, None]
    settings = seen[3]
    assert (settings.threshold, settings.min_component_mm3) == (0.25, 2.5)
    assert (settings.model, settings.device) == ("tiny", "cuda:1")
    assert settings.brain_mask is mask
    panel.ui.brainMaskComboBox.currentIndex = 1
    with pytest.raises(segmentation_logic.VesselSegError):
        panel._segment.start()
    assert seen[7].brain_mask == "none"


def test_an_error_at_the_start_is_shown(
    panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any], errors: list[BaseException]
) -> None:
    add_scan().SetAndObserveImageData(None)
    panel.ui.segmentButton.click()
    assert "holds no image" in str(errors.pop())
    assert "could not be started" in slicer_host.dialogs.shown[-1]
    assert panel.ui.segmentButton.isEnabled()


def test_cancel(panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]) -> None:
    pretend("sleep")
    add_scan()
    before = data_nodes()
    panel.ui.segmentButton.click()
    assert host.wait_for(lambda: panel.ui.progressBar.value == 10)
    assert panel.ui.statusLabel.text.startswith("Reading the scan")  # and how long it takes
    panel.ui.cancelButton.click()
    assert not panel.ui.cancelButton.isEnabled()
    assert panel.ui.statusLabel.text == "Stopped: cancelled."
    assert panel.ui.progressBar.value == 0
    assert data_nodes() == before
    assert panel.ui.segmentButton.isEnabled()


def test_failure_is_shown_once_with_its_advice(
    panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    pretend("error")
    add_scan()
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert len(slicer_host.dialogs.shown) == 1
    assert slicer_host.dialogs.shown == ["The segmentation failed.\n\nThe scan has no contrast. Export it again."]
    assert panel.ui.statusLabel.text == "Failed. The scan has no contrast. Export it again."
    assert "the scan has no contrast" in panel.ui.logTextEdit.toPlainText()


def test_a_crash_leaves_the_panel_usable(
    panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    pretend("crash")
    add_scan()
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert "ended unexpectedly" in panel.ui.statusLabel.text
    assert "\n" not in panel.ui.statusLabel.text
    pretend("segment")
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert panel.ui.segmentationSelector.currentNode() is not None


def test_a_result_that_cannot_be_shown_leaves_the_panel_usable(
    panel: Any,
    slicer_host: host.Host,
    add_scan: Callable[..., Any],
    pretend: Callable[[str], None],
    errors: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no surface")

    pretend("segment")
    add_scan()
    monkeypatch.setattr(panel.logic, "setSurfaceShown", fail)
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert str(errors.pop()) == "no surface"
    assert "could not be taken over" in slicer_host.dialogs.shown[0]
    assert panel.ui.segmentButton.isEnabled()
    assert panel.ui.thresholdSlider.isEnabled()


def test_edited_vessels_are_replaced_only_after_asking(segmented: Any, slicer_host: host.Host) -> None:
    ui = segmented.ui
    node, scan = ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode()
    edited = draw_by_hand(node, scan)
    slicer_host.dialogs.answer = False
    ui.segmentButton.click()
    assert "edited by hand" in slicer_host.dialogs.shown[-1]
    assert "except for arteries and veins with names" in slicer_host.dialogs.shown[-1]
    assert not ui.cancelButton.isEnabled()
    np.testing.assert_array_equal(vessels(node, scan), edited)
    slicer_host.dialogs.answer = True
    ui.segmentButton.click()
    wait_until_idle(segmented)
    assert not np.array_equal(vessels(node, scan), edited)


def test_a_second_click_while_packages_are_installed_starts_nothing(
    panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def install() -> None:  # pip lets the application go on
        installed.append("packages")
        assert not panel.ui.segmentButton.isEnabled()
        assert "being started" in panel.ui.segmentButton.toolTip
        panel._update()  # whatever is chosen meanwhile
        panel.ui.segmentButton.click()
        panel._segment.start()

    installed: list[str] = []
    pretend("segment")
    add_scan()
    before = data_nodes()
    monkeypatch.setattr(panel.logic, "ensureRequirements", install)
    panel.ui.segmentButton.click()
    assert installed == ["packages"]
    wait_until_idle(panel)
    assert len(new_nodes(before)) == 2
    assert panel.ui.segmentButton.isEnabled()


def test_vessels_edited_while_packages_are_installed_are_asked_about(
    segmented: Any, slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui = segmented.ui
    node, scan = ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode()
    monkeypatch.setattr(segmented.logic, "ensureRequirements", lambda: draw_by_hand(node, scan))
    before, slicer_host.dialogs.answer = vessels(node, scan), False
    ui.segmentButton.click()
    (shown,) = slicer_host.dialogs.shown
    assert "edited by hand" in shown
    assert not ui.cancelButton.isEnabled()
    assert ui.segmentButton.isEnabled()
    assert not np.array_equal(vessels(node, scan), before)


def test_a_scene_closed_while_packages_are_installed_is_not_segmented(
    panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    add_scan()
    monkeypatch.setattr(panel.logic, "ensureRequirements", lambda: slicer.mrmlScene.Clear(False))
    panel.ui.segmentButton.click()
    assert slicer_host.dialogs.shown == []
    assert not panel.ui.cancelButton.isEnabled()
    assert "Load a TOF scan" in panel.ui.segmentButton.toolTip


def test_another_scan_gets_a_segmentation_of_its_own(segmented: Any, add_scan: Callable[..., Any]) -> None:
    ui = segmented.ui
    first_scan, first = ui.inputSelector.currentNode(), ui.segmentationSelector.currentNode()
    probability = ui.probabilitySelector.currentNode()
    before = vessels(first, first_scan)
    ui.inputSelector.setCurrentNode(add_scan("second", seed=1))
    assert ui.segmentationSelector.currentNode() is None
    assert ui.probabilitySelector.currentNode() is None
    assert not ui.thresholdSlider.isEnabled()
    assert ui.statusLabel.text == "Not segmented yet."
    ui.segmentButton.click()
    wait_until_idle(segmented)
    assert ui.segmentationSelector.currentNode().GetName() == "second vessels"
    np.testing.assert_array_equal(vessels(first, first_scan), before)
    ui.inputSelector.setCurrentNode(first_scan)
    assert ui.segmentationSelector.currentNode() is first
    assert ui.probabilitySelector.currentNode() is probability


def test_vessels_of_another_scan_are_not_replaced(segmented: Any, add_scan: Callable[..., Any]) -> None:
    ui = segmented.ui
    first = ui.segmentationSelector.currentNode()
    ui.inputSelector.setCurrentNode(add_scan("second", seed=1))
    ui.segmentationSelector.setCurrentNode(first)
    assert not ui.segmentButton.isEnabled()
    assert "'TOF vessels' holds the vessels of 'TOF'" in ui.segmentButton.toolTip
    ui.segmentationSelector.setCurrentNode(None)
    assert ui.segmentButton.isEnabled()


def test_another_scan_that_is_chosen_during_the_run_keeps_out_of_it(
    panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    pretend("segment")
    ui, first = panel.ui, segment_and_choose_another(panel, add_scan)
    assert "the vessels of 'first' are found" in ui.statusLabel.text
    assert ui.segmentationSelector.currentNode() is None
    assert ui.probabilitySelector.currentNode() is None
    found = panel.logic.segmentationOf(first)
    before = vessels(found, first)
    ui.segmentButton.click()
    wait_until_idle(panel)
    assert ui.segmentationSelector.currentNode().GetName() == "second vessels"
    np.testing.assert_array_equal(vessels(found, first), before)
    ui.inputSelector.setCurrentNode(first)
    assert ui.segmentationSelector.currentNode() is found


def test_a_new_segmentation_gets_a_probability_of_its_own(segmented: Any) -> None:
    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    ui = segmented.ui
    scan, first = ui.inputSelector.currentNode(), ui.segmentationSelector.currentNode()
    probability = ui.probabilitySelector.currentNode()
    before = volume_from_node(probability).array.copy()
    volume = volume_from_node(scan)
    set_node_volume(scan, volume.with_array(np.ascontiguousarray(volume.array[::-1])))
    ui.segmentationSelector.setCurrentNode(None)
    assert ui.probabilitySelector.currentNode() is None
    ui.segmentButton.click()
    wait_until_idle(segmented)
    assert ui.segmentationSelector.currentNode() is not first
    assert ui.probabilitySelector.currentNode() is not probability
    np.testing.assert_array_equal(volume_from_node(probability).array, before)
    ui.segmentationSelector.setCurrentNode(first)
    assert ui.probabilitySelector.currentNode() is probability


def test_a_run_goes_on_in_another_module(
    panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    import slicer

    pretend("segment")
    add_scan()
    panel.ui.segmentButton.click()
    slicer_host.exit_module(panel)
    assert host.wait_for(lambda: slicer.mrmlScene.GetFirstNodeByName("TOF vessels"))
    slicer_host.enter_module(panel)
    assert panel.ui.segmentationSelector.currentNode().GetName() == "TOF vessels"
    assert panel.ui.thresholdSlider.isEnabled()


def test_closing_the_scene_cancels(panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]) -> None:
    import slicer

    pretend("sleep")
    add_scan()
    panel.ui.segmentButton.click()
    slicer.mrmlScene.Clear(False)
    assert not panel.ui.cancelButton.isEnabled()
    assert panel._parameterNode is not None
    assert panel.ui.inputSelector.currentNode() is None
    assert "Load a TOF scan" in panel.ui.segmentButton.toolTip
    pretend("segment")
    add_scan("next")
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert panel.ui.segmentationSelector.currentNode().GetName() == "next vessels"


def test_nothing_begins_in_a_scene_that_is_being_closed(
    panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    import slicer

    pretend("segment")
    add_scan()
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert panel.logic.edits.target is not None
    pretend("sleep")
    panel.ui.segmentButton.click()
    started = []
    start = panel.logic.edits.start
    panel.logic.edits.start = lambda *args, **options: (started.append(args), start(*args, **options))
    slicer.mrmlScene.Clear(False)
    assert started == []
    assert panel.logic.edits.target is None


def test_removing_the_scan_cancels(panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]) -> None:
    import slicer

    pretend("sleep")
    scan = add_scan()
    panel.ui.segmentButton.click()
    slicer.mrmlScene.RemoveNode(scan)
    wait_until_idle(panel)
    assert "'TOF' was removed" in panel.ui.statusLabel.text
    assert not panel.ui.segmentButton.isEnabled()


def test_unloading_stops_the_worker(
    slicer_host: host.Host, add_scan: Callable[..., Any], pretend: Callable[[str], None], tiny_model: str
) -> None:
    pretend("sleep")
    widget = slicer_host.load_module(host.module_file("VesselSegmentation"))
    add_scan()
    widget.ui.segmentButton.click()
    job = widget._segment._job
    slicer_host.unload_module("VesselSegmentation")
    assert job.state == "cancelled"
    assert not widget._segment.running


@pytest.mark.slow
def test_the_real_worker(panel: Any, slicer_host: host.Host, add_scan: Callable[..., Any]) -> None:
    from vesselseg.segmentation import segment
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    scan = add_scan()
    panel.ui.brainMaskComboBox.currentIndex = 1
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    assert panel.ui.statusLabel.text.startswith("tiny, cpu"), slicer_host.dialogs.details
    expected = segment(volume_from_node(scan), model="tiny", brain_mask="none", device="cpu").label.array
    np.testing.assert_array_equal(vessels(panel.ui.segmentationSelector.currentNode(), scan), expected)
