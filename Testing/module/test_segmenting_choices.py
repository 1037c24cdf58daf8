"""What can be chosen in the section Segment: models, devices and the brain mask."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

import host


def test_the_brain_mask_can_be_a_node(panel: Any, add_scan: Callable[..., Any]) -> None:
    import slicer

    add_scan()
    assert not panel.ui.brainMaskSelector.isEnabled()
    assert [panel.ui.brainMaskComboBox.itemText(i) for i in range(3)] == [
        *("Automatic", "None (whole scan)", "From a node"),
    ]
    panel.ui.brainMaskComboBox.currentIndex = 2
    assert panel.ui.brainMaskSelector.isEnabled()
    assert not panel.ui.segmentButton.isEnabled()
    assert "brain mask" in panel.ui.segmentButton.toolTip
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
    panel.ui.brainMaskSelector.setCurrentNode(mask)
    assert panel._parameterNode.brainMaskNode is mask
    assert panel.ui.segmentButton.isEnabled()


def test_devices_are_listed_when_somebody_looks(panel: Any, pretend: Callable[[str], None]) -> None:
    pretend("devices")
    combo_box = panel.ui.deviceComboBox
    assert combo_box.count == 1
    assert combo_box.currentData == "auto"
    panel.ui.advancedGroupBox.collapsed = False
    assert host.wait_for(lambda: combo_box.count == 2)
    assert combo_box.itemText(1) == "cpu: a CPU, 8 GiB"
    combo_box.setCurrentIndex(1)
    combo_box.activated.emit(1)
    assert panel._parameterNode.device == "cpu"


def test_devices_that_cannot_be_listed_are_no_obstacle(panel: Any, pretend: Callable[[str], None]) -> None:
    pretend("crash")
    panel.ui.advancedGroupBox.collapsed = False
    assert host.wait_for(lambda: "could not be listed" in panel.ui.deviceComboBox.toolTip)
    assert panel.ui.deviceComboBox.currentData == "auto"


def test_models_are_offered_by_title(panel: Any, tiny_model: str) -> None:
    combo_box = panel.ui.modelComboBox
    assert (combo_box.currentData, combo_box.currentText) == (tiny_model, "fixed random weights")
    assert combo_box.toolTip == "tiny: fixed random weights, for tests"


def test_long_titles_of_models_are_cut_between_words(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = types.SimpleNamespace(name="long", title="3D residual U-Net for brain arteries in TOF-MRA, trained")
    monkeypatch.setattr(panel.logic, "models", lambda: [manifest])
    panel._segment.fill_models()
    combo_box = panel.ui.modelComboBox
    assert (combo_box.itemText(0), combo_box.itemData(0)) == ("3D residual U-Net for brain arteries…", "long")


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (
            {"arteries": "3D U-Net, trained on 100 scans", "mine": "3D U-Net, fine-tuned on 5 scans", "veins": "Veins"},
            ["3D U-Net (arteries)", "3D U-Net (mine)", "Veins"],
        ),
        (
            {"arteries": "3D residual U-Net for brain arteries", "mine": "3D residual U-Net for brain arteries, more"},
            ["3D residual U-Net for… (arteries)", "3D residual U-Net for brain… (mine)"],
        ),
        ({"x" * 40: "U-Net", "mine": "U-Net, fine-tuned"}, ["x" * 40, "U-Net (mine)"]),
        ({"empty": "", "comma": ", trained", "word": "x" * 39}, ["empty", "comma", "word"]),
    ],
)
def test_entries_of_models_can_be_told_apart(
    panel: Any, monkeypatch: pytest.MonkeyPatch, titles: dict[str, str], expected: list[str]
) -> None:
    manifests = [types.SimpleNamespace(name=name, title=title) for name, title in titles.items()]
    monkeypatch.setattr(panel.logic, "models", lambda: manifests)
    panel._segment.fill_models()
    combo_box = panel.ui.modelComboBox
    assert [combo_box.itemText(row) for row in range(combo_box.count)] == expected
    assert [combo_box.itemData(row) for row in range(combo_box.count)] == list(titles)


def test_choices_from_another_machine_are_shown(panel: Any, add_scan: Callable[..., Any]) -> None:
    add_scan()
    panel._parameterNode.device = "cuda:3"
    panel._parameterNode.model = "their-model"
    assert panel.ui.deviceComboBox.currentText == "cuda:3 (not seen on this machine)"
    assert panel.ui.modelComboBox.currentText == "their-model (not installed here)"
    assert not panel.ui.segmentButton.isEnabled()
    assert "'their-model' is not installed" in panel.ui.segmentButton.toolTip
    panel.ui.modelComboBox.activated.emit(panel.ui.modelComboBox.currentIndex)
    assert not panel.ui.segmentButton.isEnabled()
    panel.ui.modelComboBox.activated.emit(0)
    assert panel.ui.segmentButton.isEnabled()


def test_without_a_model(slicer_host: host.Host, errors: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from vesselseg.models import registry

    monkeypatch.setattr(registry, "model_folders", lambda: [tmp_path])
    panel = slicer_host.load_module(host.module_file("VesselSegmentation"))
    assert "No model is installed" in panel.ui.segmentButton.toolTip
    slicer_host.unload_module("VesselSegmentation")
