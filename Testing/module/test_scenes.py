"""Scenes that are saved and loaded, and the module loaded anew."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import draw_by_hand, rest, vessels, wait_until_idle


@pytest.fixture
def save_and_load(slicer_host: host.Host, tmp_path: Path) -> Callable[[], None]:
    """Save the scene into a file, close it, and load it again, as the menu File does."""
    import slicer

    def do() -> None:
        path = str(tmp_path / "scene.mrb")
        rest(0.4)  # the panel has seen what was done before
        assert slicer_host.save_scene(path)
        slicer.mrmlScene.Clear(False)
        assert slicer.mrmlScene.ReadFromMRB(path)

    return do


def test_choices_and_results_survive(segmented: Any, save_and_load: Callable[[], None]) -> None:
    ui = segmented.ui
    ui.thresholdSlider.value = 0.8
    rest()
    ui.minimumComponentSlider.value = 2.5
    rest()
    ui.brainMaskComboBox.currentIndex = 1
    segmented._parameterNode.device = "cuda:3"
    array, status = vessels(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode()), ui.statusLabel.text
    save_and_load()
    assert ui.inputSelector.currentNode().GetName() == "TOF"
    assert ui.segmentationSelector.currentNode().GetName() == "TOF vessels"
    assert ui.probabilitySelector.currentNode().GetName() == "TOF vessel probability"
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == (0.8, 2.5)
    assert ui.brainMaskComboBox.currentText == "None (whole scan)"
    assert ui.deviceComboBox.currentText == "cuda:3 (not seen on this machine)"
    assert ui.modelComboBox.currentData == "tiny"
    assert ui.statusLabel.text == status
    rest()
    after = vessels(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    np.testing.assert_array_equal(after, array)
    assert not segmented.logic.isEdited(ui.segmentationSelector.currentNode())


def test_edits_survive_and_are_still_asked_about(
    segmented: Any, slicer_host: host.Host, save_and_load: Callable[[], None]
) -> None:
    ui = segmented.ui
    edited = draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    save_and_load()
    slicer_host.dialogs.answer = False
    rest()
    assert slicer_host.dialogs.shown == []  # loading is no move of the slider
    ui.thresholdSlider.value = 0.8
    rest()
    assert "edited by hand" in slicer_host.dialogs.shown[0]
    after = vessels(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    np.testing.assert_array_equal(after, edited)


def test_a_scene_that_is_loaded_in_another_module(
    segmented: Any, slicer_host: host.Host, save_and_load: Callable[[], None]
) -> None:
    slicer_host.exit_module(segmented)
    save_and_load()
    assert segmented._parameterNode is None
    slicer_host.enter_module(segmented)
    assert segmented.ui.segmentationSelector.currentNode().GetName() == "TOF vessels"
    segmented.ui.segmentButton.click()
    wait_until_idle(segmented)
    assert segmented.ui.progressBar.value == 100


def test_a_panel_that_was_left_is_disconnected(panel: Any, slicer_host: host.Host) -> None:
    parameters, slider = panel._parameterNode, panel.ui.minimumComponentSlider
    before = parameters.minimumComponent
    slicer_host.exit_module(panel)
    slider.value = before + 3
    assert parameters.minimumComponent == before
    slicer_host.enter_module(panel)
    assert slider.value == before
    slider.value = before + 3
    assert parameters.minimumComponent == before + 3


def seen(panel: Any) -> list[bool]:
    """Return whether the error map, the vessels found and the reference are seen."""
    import slicer

    nodes = [slicer.mrmlScene.GetFirstNodeByName(name) for name in ("TOF error map", "TOF vessels", "reader 1")]
    display = [node.GetDisplayNode() for node in nodes]
    segments = [node.GetSegmentation().GetNthSegmentID(0) for node in nodes]
    return [bool(each.GetVisibility() and each.GetSegmentVisibility(one)) for each, one in zip(display, segments)]


def test_visits_leave_nothing_behind(panel: Any, slicer_host: host.Host) -> None:
    former = weakref.ref(panel._parameterNode)
    slicer_host.exit_module(panel)
    slicer_host.enter_module(panel)
    gc.collect()
    assert former() is None


def test_a_scene_saved_while_comparing_is_compared_again(
    comparing: Any, save_and_load: Callable[[], None], slicer_host: host.Host
) -> None:
    ui = comparing.ui
    assert seen(comparing) == [True, False, False]
    save_and_load()
    assert seen(comparing) == [True, False, False]
    before = ui.falseNegativeLabel.text
    ui.thresholdSlider.value = 0.3  # at which nothing is missed
    assert host.wait_for(lambda: ui.falseNegativeLabel.text != before, 5)
    assert "0 voxels" in ui.falseNegativeLabel.text
    map_node = comparing.logic.review.error_map.node
    assert not (comparing.logic.review.error_map.errors.array == 3).any()
    ui.stopCompareButton.click()
    assert not map_node.GetDisplayNode().GetVisibility()
    assert seen(comparing) == [False, True, True]
    assert slicer_host.dialogs.shown == []


def test_a_scene_saved_while_comparing_that_is_loaded_in_another_module(
    comparing: Any, save_and_load: Callable[[], None], slicer_host: host.Host
) -> None:
    slicer_host.exit_module(comparing)
    save_and_load()
    assert comparing.logic.review.error_map is None
    slicer_host.enter_module(comparing)
    assert comparing.ui.stopCompareButton.isEnabled()
    assert seen(comparing) == [True, False, False]


def test_a_comparison_that_cannot_go_on_shows_the_vessels(
    comparing: Any, save_and_load: Callable[[], None], slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sys.modules["VesselSegmentation"]
    monkeypatch.setattr(code, "missing_requirements", lambda path: ["scikit-image"])
    save_and_load()
    assert seen(comparing) == [False, True, True]
    assert "could not be resumed. Packages that it needs are not installed" in comparing.ui.compareStatusLabel.text
    assert not comparing.ui.stopCompareButton.isEnabled()
    assert slicer_host.dialogs.shown == []  # loading is no reason to ask anything


@pytest.fixture
def packages() -> Iterator[None]:
    """Bring the packages back that a test loads anew: the other tests hold on to the former ones."""
    before = {name: module for name, module in sys.modules.items() if name.lower().startswith("vesselseg")}
    yield
    for name in [name for name in sys.modules if name.lower().startswith("vesselseg")]:
        del sys.modules[name]
    sys.modules.update(before)


def test_reload(packages: None, segmented: Any) -> None:
    import slicer

    library = sys.modules["VesselSegmentationLib.panel.segment_section"]
    segmented.onReload()
    widget = slicer.modules.VesselSegmentationWidget
    assert widget is not segmented
    assert sys.modules["VesselSegmentationLib.panel.segment_section"] is not library
    assert widget.ui.segmentationSelector.currentNode().GetName() == "TOF vessels"
    assert segmented.Observations == []
    widget.ui.segmentButton.click()
    wait_until_idle(widget)
    assert widget.ui.progressBar.value == 100


def test_a_panel_that_goes_begins_nothing_anew(comparing: Any, slicer_host: host.Host) -> None:
    comparing.ui.nextErrorButton.click()  # its highlight leaves the scene with the comparison
    edits = comparing.logic.edits
    assert edits.target is not None
    slicer_host.unload_module("VesselSegmentation")
    assert edits.target is None
    assert comparing.Observations == []


def test_the_logic_needs_no_panel(
    slicer_host: host.Host, panel: Any, add_scan: Callable[..., Any], pretend: Callable[[str], None]
) -> None:
    pretend("segment")
    code = sys.modules["VesselSegmentation"]
    logic = code.VesselSegmentationLogic()
    parameters = logic.getParameterNode()
    parameters.inputVolume = scan = add_scan()
    job = logic.startSegmentation(parameters)
    assert job.wait(60) == "done"
    assert logic.segmentationOf(scan) is job.segmentation_node
    assert logic.probabilityOf(job.segmentation_node) is job.probability_node
    assert (logic.runSummary(job.segmentation_node)["model"], logic.runSummary(None)) == ("tiny", {})
    # The scan is preferred to the probability, which is a volume as well.
    assert logic.defaultScan() is scan


def test_what_a_script_starts_is_what_is_recommended_for_the_model(slicer_host: host.Host, panel: Any) -> None:
    import slicer

    slicer_host.unload_module("VesselSegmentation")
    slicer.mrmlScene.Clear(False)
    logic = sys.modules["VesselSegmentation"].VesselSegmentationLogic()
    parameters = logic.getParameterNode()
    default = logic.models()[0]
    assert parameters.model == default.name
    assert (parameters.threshold, parameters.minimumComponent) == (default.threshold, default.min_component_mm3)
    parameters.threshold = 0.7
    assert logic.getParameterNode().threshold == 0.7


def test_a_probability_whose_vessels_are_gone_is_no_scan(segmented: Any) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(segmented.ui.segmentationSelector.currentNode())
    slicer.mrmlScene.RemoveNode(segmented.ui.inputSelector.currentNode())
    assert segmented.logic.defaultScan() is None


def test_the_scan_that_is_shown_is_the_default(panel: Any, slicer_host: host.Host, add_scan: Callable) -> None:
    import slicer

    slicer_host.exit_module(panel)
    panel._parameterNode.inputVolume = None
    add_scan("first")
    shown = add_scan("shown")
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(shown.GetID())
    slicer_host.enter_module(panel)
    assert panel.ui.inputSelector.currentNode() is shown


def test_the_module_presents_itself(panel: Any) -> None:
    import slicer

    module = slicer.modules.vesselsegmentation
    assert module.title == "Vessel Segmentation"
    assert module.categories == ["Segmentation"]
    assert not module.icon.isNull()
    assert "research" in module.helpText


@pytest.mark.slow
def test_self_test_with_the_shipped_model(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    monkeypatch.delenv("VESSELSEG_MODELS")
    slicer.modules.VesselSegmentationInstance.runTest()


def test_opening_needs_none_of_the_packages_that_are_installed_later(tiny_model: str) -> None:
    blocked = ("torch", "safetensors", "skimage", "isal", "openvino", "deepbet", "matplotlib", "rich")
    code = f"""
import subprocess
import sys
for name in {blocked}:
    sys.modules[name] = None
import host
application = host.Host()
import time
start = time.perf_counter()
widget = application.load_module(host.module_file("VesselSegmentation"))
assert widget.ui.modelComboBox.count
assert "SimpleITK" not in sys.modules and "scipy" not in sys.modules
print(time.perf_counter() - start)
"""
    folder = Path(host.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5.0
