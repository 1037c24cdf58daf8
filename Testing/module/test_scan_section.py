"""The section Scan: the scan in 3D and as slabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import host
from VesselSegmentationLib.scene.scan_display import shown_style, slab_thickness


def choose(combo_box: Any, index: int) -> None:
    combo_box.setCurrentIndex(index)
    combo_box.activated.emit(index)


def test_the_scan_in_3d(panel: Any, add_scan: Callable[..., Any]) -> None:
    ui = panel.ui
    assert "Load a TOF scan" in ui.scanDisplayComboBox.toolTip
    first = add_scan()
    assert not ui.scanOpacitySlider.isEnabled()
    choose(ui.scanDisplayComboBox, 1)
    assert shown_style(first) == "projection"
    ui.scanOpacitySlider.value = 30
    opacity = first.GetNthDisplayNode(first.GetNumberOfDisplayNodes() - 1).GetVolumePropertyNode().GetScalarOpacity()
    assert opacity.GetRange()[1] > 0
    assert max(opacity.GetValue(value) for value in range(0, 300, 5)) <= 0.31
    second = add_scan("another")
    ui.inputSelector.setCurrentNode(second)
    assert (shown_style(first), shown_style(second)) == (None, "projection")
    choose(ui.scanDisplayComboBox, 0)
    assert shown_style(second) is None


@pytest.mark.parametrize("method", ["CPURayCast", "GPURayCast"])
def test_volumes_are_rendered_as_the_user_has_set(panel: Any, add_scan: Callable[..., Any], method: str) -> None:
    import slicer

    logic = slicer.modules.volumerendering.logic()
    logic.SetDefaultRenderingMethod(f"vtkMRML{method}VolumeRenderingDisplayNode")
    try:
        scan = add_scan()
        choose(panel.ui.scanDisplayComboBox, 1)
    finally:
        logic.SetDefaultRenderingMethod("")
    display_node = scan.GetNthDisplayNode(scan.GetNumberOfDisplayNodes() - 1)
    assert display_node.IsA(f"vtkMRML{method}VolumeRenderingDisplayNode")


def test_a_scan_that_is_deleted_in_another_module(
    panel: Any, add_scan: Callable[..., Any], slicer_host: host.Host
) -> None:
    import slicer

    scan = add_scan()
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLViewNode", "View1")
    before = view.GetRaycastTechnique()
    choose(panel.ui.scanDisplayComboBox, 1)
    assert view.GetRaycastTechnique() == view.MaximumIntensityProjection != before
    slicer_host.exit_module(panel)
    slicer.mrmlScene.RemoveNode(scan)
    slicer_host.enter_module(panel)
    assert view.GetRaycastTechnique() == before
    for kind in ("vtkMRMLVolumeRenderingDisplayNode", "vtkMRMLVolumePropertyNode"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(kind) == 0


def test_slabs(panel: Any, add_scan: Callable[..., Any]) -> None:
    import slicer

    add_scan()
    node = slicer.mrmlScene.AddNode(slicer.vtkMRMLSliceNode())
    node.SetLayoutName("Red")
    panel.ui.slabSlider.value = 10
    assert slab_thickness(slicer.mrmlScene) == 10
    assert node.GetSlabReconstructionEnabled()
    panel.ui.slabSlider.value = 0
    assert not node.GetSlabReconstructionEnabled()


def test_slabs_are_followed_while_the_panel_is_there(
    panel: Any, add_scan: Callable[..., Any], slicer_host: host.Host
) -> None:
    import slicer

    def add(name: str) -> Any:
        node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName(name)
        return slicer.mrmlScene.AddNode(node)

    def factor_at(node: Any, distance: float) -> float:
        node.SetFieldOfView(100, 100, distance)
        return float(node.GetSlabReconstructionOversamplingFactor())

    add_scan()
    red = add("Red")
    panel.ui.slabSlider.value = 10
    assert (factor_at(red, 0.5), factor_at(red, 1.25)) == (0.5, 1.25)
    slicer_host.exit_module(panel)
    green = add("Green")
    assert green.GetSlabReconstructionThickness() == 10
    assert (factor_at(red, 0.75), factor_at(green, 2.5)) == (0.75, 2.5)
    slicer_host.enter_module(panel)
    panel.cleanup()
    assert factor_at(red, 3.0) == 0.75
    panel.setup()
    assert factor_at(red, 3.5) == 3.5
    panel.ui.slabSlider.value = 0
