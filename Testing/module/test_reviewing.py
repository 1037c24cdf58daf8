"""The sliders and the button of the section Review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import draw_by_hand, rest, segment_and_choose_another, vessels, wait_until_idle


@pytest.fixture
def look(segmented: Any) -> Callable[[], np.ndarray]:
    """Return the vessels that the panel shows."""
    node, scan = segmented.ui.segmentationSelector.currentNode(), segmented.ui.inputSelector.currentNode()
    return lambda: vessels(node, scan)


def test_the_threshold_acts_on_the_stored_probability(segmented: Any, look: Callable[[], np.ndarray]) -> None:
    import slicer

    probability = slicer.util.arrayFromVolume(segmented.ui.probabilitySelector.currentNode())
    before = look()
    segmented.ui.thresholdSlider.value = 0.95  # so high that only specks are left
    rest()
    after = look()
    assert 0 < after.sum() < before.sum()
    np.testing.assert_array_equal(after, probability >= 0.95)
    segmented.ui.minimumComponentSlider.value = 50.0
    rest()
    assert look().sum() < after.sum()
    segmentation = segmented.ui.segmentationSelector.currentNode()
    assert segmented.logic.threshold(segmentation) == (0.95, 50.0)


def test_the_surface_follows_the_threshold(segmented: Any) -> None:
    import vtk

    from VesselSegmentationLib.scene.segmentation_nodes import segment_with_role

    segmentation = segmented.ui.segmentationSelector.currentNode()

    def points() -> int:
        surface = vtk.vtkPolyData()
        segmentation.GetClosedSurfaceRepresentation(segment_with_role(segmentation), surface)
        return surface.GetNumberOfPoints()

    before = points()
    segmented.ui.thresholdSlider.value = 0.8
    rest()
    assert 0 < points() < before


def test_many_moves_are_one_change(segmented: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple] = []
    monkeypatch.setattr(segmented.logic, "applyThreshold", lambda *arguments: calls.append(arguments[1:]))
    for value in (0.6, 0.65, 0.7, 0.75):
        segmented.ui.thresholdSlider.value = value
        rest(0.02)
    rest()
    assert calls == [(0.75, 0.0)]


def test_edited_vessels_are_replaced_only_after_asking(
    segmented: Any, slicer_host: host.Host, look: Callable[[], np.ndarray]
) -> None:
    ui = segmented.ui
    before = ui.thresholdSlider.value
    edited = draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    slicer_host.dialogs.answer = False
    ui.thresholdSlider.value = 0.8
    rest()
    assert len(slicer_host.dialogs.shown) == 1
    assert "edited by hand" in slicer_host.dialogs.shown[0]
    np.testing.assert_array_equal(look(), edited)
    assert ui.thresholdSlider.value == before
    rest()
    assert len(slicer_host.dialogs.shown) == 1  # not asked again because the slider went back
    slicer_host.dialogs.answer = True
    ui.thresholdSlider.value = 0.8
    rest()
    assert not np.array_equal(look(), edited)
    assert ui.thresholdSlider.value == 0.8


def test_choosing_a_model_shows_its_threshold_and_changes_nothing(
    segmented: Any, look: Callable[[], np.ndarray]
) -> None:
    segmented.ui.thresholdSlider.value = 0.7
    rest()
    before = look()
    segmented.ui.modelComboBox.activated.emit(segmented.ui.modelComboBox.currentIndex)
    assert segmented.ui.thresholdSlider.value == 0.5
    rest()
    np.testing.assert_array_equal(look(), before)


@pytest.fixture
def choose_model(segmented: Any) -> Callable[[str], None]:
    """Choose a model, as a user does; another one is beside the tiny one."""
    combo_box = segmented.ui.modelComboBox

    def choose(name: str) -> None:
        combo_box.setCurrentIndex(combo_box.findData(name))
        combo_box.activated.emit(combo_box.currentIndex)

    return choose


def test_another_model_leaves_the_sliders_to_the_vessels(
    segmented: Any, choose_model: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, logic = segmented.ui, segmented.logic
    node = ui.segmentationSelector.currentNode()
    ui.thresholdSlider.value = 0.8
    rest()
    choose_model("tof-unet3d")
    assert segmented._parameterNode.model == "tof-unet3d"
    assert ui.thresholdSlider.value == 0.8
    ui.minimumComponentSlider.value = 0.5
    rest()
    assert logic.threshold(node) == (0.8, 0.5)
    settings: list[Any] = []
    start = logic._logic.start_segmentation
    monkeypatch.setattr(
        logic._logic, "start_segmentation", lambda *nodes: (settings.append(nodes[-1]), start(*nodes))[1]
    )
    ui.segmentButton.click()
    ui.cancelButton.click()
    assert (settings[0].threshold, settings[0].min_component_mm3) == (None, None)  # those of the other model
    assert ui.thresholdSlider.value == 0.8
    choose_model("tiny")
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == (0.8, 0.5)
    ui.segmentButton.click()
    ui.cancelButton.click()
    assert (settings[1].threshold, settings[1].min_component_mm3) == (0.8, 0.5)


def test_without_vessels_the_sliders_show_what_is_recommended_for_the_model(
    segmented: Any, choose_model: Callable[[str], None]
) -> None:
    segmented.ui.segmentationSelector.setCurrentNode(None)
    choose_model("tof-unet3d")
    shown = (segmented.ui.thresholdSlider.value, segmented.ui.minimumComponentSlider.value)
    assert shown == segmented.logic.recommendedThreshold("tof-unet3d")


def test_another_scan_is_not_segmented_with_the_threshold_of_another_model(
    segmented: Any, choose_model: Callable[[str], None], add_scan: Callable[..., Any]
) -> None:
    ui = segmented.ui
    choose_model("tof-unet3d")
    recommended = segmented.logic.recommendedThreshold("tof-unet3d")
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) != recommended
    ui.inputSelector.setCurrentNode(add_scan("second", seed=1))
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == recommended
    assert (segmented._parameterNode.threshold, segmented._parameterNode.minimumComponent) == recommended


def shown_3d(panel: Any) -> tuple[bool, bool]:
    """Return what the button Show 3D says of the vessels chosen, and what is true."""
    from VesselSegmentationLib.scene.segmentation_nodes import surface_shown

    return panel.ui.show3DButton.isChecked(), surface_shown(panel.ui.segmentationSelector.currentNode())


def test_show_3d_tells_the_truth_of_each_scan(segmented: Any, add_scan: Callable[..., Any]) -> None:
    ui = segmented.ui
    first, second = ui.inputSelector.currentNode(), add_scan("second", seed=1)
    ui.inputSelector.setCurrentNode(second)
    ui.segmentButton.click()
    wait_until_idle(segmented)
    assert shown_3d(segmented) == (True, True)
    ui.show3DButton.click()
    ui.inputSelector.setCurrentNode(first)
    assert shown_3d(segmented) == (True, True)
    ui.inputSelector.setCurrentNode(second)
    assert shown_3d(segmented) == (False, False)
    ui.inputSelector.setCurrentNode(add_scan("third", seed=2))
    ui.show3DButton.setChecked(True)
    ui.inputSelector.setCurrentNode(second)
    assert shown_3d(segmented) == (False, False)  # as the user has left it


def test_vessels_found_while_another_scan_was_chosen_are_shown_in_3d(
    panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    pretend("segment")
    ui, first = panel.ui, segment_and_choose_another(panel, add_scan)
    ui.inputSelector.setCurrentNode(first)
    assert shown_3d(panel) == (True, True)


def test_show_3d(segmented: Any) -> None:
    node = segmented.ui.segmentationSelector.currentNode()
    segmented.ui.show3DButton.click()
    assert not segmented._parameterNode.show3D
    assert not node.GetDisplayNode().GetVisibility3D()
    segmented.ui.show3DButton.click()
    assert node.GetDisplayNode().GetVisibility3D()
    # Thin arteries must not be smoothed away.
    assert float(node.GetSegmentation().GetConversionParameter("Smoothing factor")) == 0.0


def test_without_the_probability_there_is_nothing_to_move(segmented: Any) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(segmented.ui.probabilitySelector.currentNode())
    assert not segmented.ui.thresholdSlider.isEnabled()
    assert "not in the scene" in segmented.ui.thresholdSlider.toolTip
    assert segmented.ui.show3DButton.isEnabled()


def test_a_removed_segmentation_is_let_go(segmented: Any) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(segmented.ui.segmentationSelector.currentNode())
    assert segmented._parameterNode.outputSegmentation is None
    assert not segmented.ui.show3DButton.isEnabled()
    assert segmented.ui.statusLabel.text == "Not segmented yet."


def test_each_segmentation_keeps_its_threshold(
    segmented: Any, add_scan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, parameters = segmented.ui, segmented._parameterNode
    first_scan, first = parameters.inputVolume, parameters.outputSegmentation
    ui.thresholdSlider.value = 0.3
    rest()
    second_scan = add_scan("second", seed=1)
    parameters.inputVolume = second_scan
    ui.segmentButton.click()
    wait_until_idle(segmented)
    second = parameters.outputSegmentation
    ui.thresholdSlider.value = 0.7
    rest()
    assert (segmented.logic.threshold(first)[0], segmented.logic.threshold(second)[0]) == (0.3, 0.7)
    parameters.inputVolume = first_scan
    assert ui.thresholdSlider.value == 0.3
    ui.minimumComponentSlider.value = 1.0
    rest()
    assert segmented.logic.threshold(first) == (0.3, 1.0)
    parameters.outputSegmentation = second  # by hand, without its scan
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == (0.7, 0.0)
    calls: list[tuple] = []
    monkeypatch.setattr(segmented.logic, "applyThreshold", lambda *arguments: calls.append(arguments))
    ui.thresholdSlider.value = 0.9
    parameters.inputVolume = add_scan("third", seed=2)  # before the slider has come to rest
    rest()
    parameters.inputVolume = second_scan
    rest()
    assert calls == []
    assert ui.thresholdSlider.value == 0.7
