"""What a radiologist sees: pictures of the panel and of the 3D view, kept in ``artefacts/``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import wait_until_idle

pytest.importorskip("trame_slicer", reason="its view renders without a display")


@pytest.fixture
def phantom_panel(panel: Any, pretend: Callable[[str], None]) -> Any:
    """The panel with the phantom: taken from the module Sample Data, and segmented."""
    import slicer

    slicer.app.emitStartupCompleted()
    (source,) = sys.modules["SampleData"].sources.pop("VesselSegmentation")
    source.customDownloader(source)
    pretend("segment")
    panel._parameterNode.threshold = 0.8
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    return panel


def test_pictures_of_the_segmented_phantom(phantom_panel: Any, artefacts: Path) -> None:
    check_panel(phantom_panel, artefacts)
    assert 0.005 < vessel_pixels(render(artefacts / "vessels-3d.png")) < 0.5
    phantom_panel.ui.show3DButton.click()
    assert vessel_pixels(render()) == 0


def check_panel(phantom_panel: Any, artefacts: Path) -> None:
    import qt

    panel = phantom_panel.parent
    panel.resize(440, 800)
    panel.show()
    host.wait_for(lambda: False, 0.2)
    closed = panel.grab()
    phantom_panel.ui.advancedGroupBox.collapsed = False
    host.wait_for(lambda: False, 0.2)
    opened = panel.grab()
    for picture, name in ((closed, "panel.png"), (opened, "panel-advanced.png")):
        assert picture.save(str(artefacts / name))
    # Nothing is wider than the panel, and every text has the room that it needs.
    for widget in vars(phantom_panel.ui).values():
        if widget.isWidgetType() and widget.visible:
            corner = widget.mapTo(panel, qt.QPoint(0, 0))
            assert corner.x() >= 0, widget.name
            assert corner.x() + widget.width <= 440, widget.name
            if (widget.inherits("QLabel") and not widget.wordWrap) or widget.inherits("QPushButton"):
                assert widget.width >= widget.sizeHint().width(), widget.name
    fields = [phantom_panel.ui.inputSelector, phantom_panel.ui.modelComboBox, phantom_panel.ui.thresholdSlider]
    assert len({field.mapTo(panel, qt.QPoint(0, 0)).x() for field in fields}) == 1


def render(path: Path | None = None) -> np.ndarray:
    """Render the scene's 3D view; return its pixels, (rows, columns, RGB) in 0 to 255, and save them if asked to."""
    import slicer
    import vtk
    from trame_slicer.views import ThreeDView
    from vtk.util.numpy_support import vtk_to_numpy

    view = ThreeDView(slicer.mrmlScene, slicer.app.applicationLogic(), "picture")
    view.set_box_visible(False)
    view.set_background_color((20, 24, 40))
    view.render_window().SetSize(800, 700)
    view.fit_view_to_content()
    view.render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.render_window())
    grabber.ReadFrontBufferOff()
    grabber.Update()
    if path is not None:
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(grabber.GetOutput())
        writer.Write()
    columns, rows, _ = grabber.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    view.set_scene(None)
    view.finalize()
    return pixels[..., :3].astype(int)


def vessel_pixels(picture: np.ndarray) -> float:
    """Return the share of pixels that have the reddish colour of arteries."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return float(np.mean((red > 60) & (red > 1.4 * green) & (red > 1.4 * blue)))
