"""What a radiologist sees: pictures of the panel and of the views, kept in ``artefacts/``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import wait_until_idle
from module.pictures import beside, render_3d, render_slice, save
from VesselSegmentationLib.segmentation_nodes import ARTERY_COLOR
from views import share_of

pytest.importorskip("trame_slicer", reason="its views render without a display")

PANEL_WIDTH = 440


@pytest.fixture
def add_phantom(panel: Any, slicer_host: host.Host) -> Callable[[], Any]:
    """Take the phantom from the module Sample Data, as a user does."""
    import slicer

    def add() -> Any:
        slicer.app.emitStartupCompleted()
        (source,) = sys.modules["SampleData"].sources.pop("VesselSegmentation")
        source.customDownloader(source)
        slicer_host.process_events()
        return panel.ui.inputSelector.currentNode()

    return add


def test_pictures_of_the_segmented_phantom(
    panel: Any, add_phantom: Callable[[], Any], pretend: Callable[[str], None], artefacts: Path
) -> None:
    scan = add_phantom()
    pretend("segment")
    panel._parameterNode.threshold = 0.8
    panel.ui.segmentButton.click()
    wait_until_idle(panel)

    check_layout(panel)
    save(grab(panel), artefacts / "panel.png")
    panel.ui.advancedGroupBox.collapsed = False
    check_layout(panel)
    save(grab(panel), artefacts / "panel-advanced.png")

    vessels, axial = render_3d(), render_slice(scan, 0.0)
    save(vessels, artefacts / "vessels-3d.png")
    save(axial, artefacts / "vessels-axial.png")
    assert 0.005 < share_of(vessels, ARTERY_COLOR) < 0.5
    assert 0.0005 < share_of(axial, ARTERY_COLOR) < 0.2
    panel.ui.show3DButton.click()
    assert share_of(render_3d(), ARTERY_COLOR) == 0


@pytest.mark.slow
def test_screenshot_with_the_shipped_model(
    panel: Any, slicer_host: host.Host, monkeypatch: pytest.MonkeyPatch, add_phantom: Callable[[], Any], artefacts: Path
) -> None:
    from vesselseg.models import list_models

    monkeypatch.delenv("VESSELSEG_MODELS")
    if not list_models():
        pytest.skip("no model is installed")
    slicer_host.enter_module(panel)
    panel.ui.modelComboBox.activated.emit(0)
    scan = add_phantom()
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    vessels = render_3d((560, 500))
    assert 0.005 < share_of(vessels, ARTERY_COLOR) < 0.5
    save(beside([grab(panel, 500), render_slice(scan, -4.0), vessels], 500), artefacts / "screenshot.png")


def grab(panel: Any, height: int = 720) -> np.ndarray:
    """Return the pixels of the panel, (rows, columns, RGB)."""
    import qt

    panel.parent.resize(PANEL_WIDTH, height)
    panel.parent.show()
    host.wait_for(lambda: False, 0.2)
    image = panel.parent.grab().toImage().convertToFormat(qt.QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def check_layout(panel: Any) -> None:
    """Nothing is wider than the panel, every text has the room that it needs, and the fields are aligned."""
    import qt

    grab(panel)
    for widget in vars(panel.ui).values():
        if widget.isWidgetType() and widget.visible:
            left = widget.mapTo(panel.parent, qt.QPoint(0, 0)).x()
            assert left >= 0, widget.name
            assert left + widget.width <= PANEL_WIDTH, widget.name
            if (widget.inherits("QLabel") and not widget.wordWrap) or widget.inherits("QPushButton"):
                assert widget.width >= widget.sizeHint().width(), widget.name
    fields = (panel.ui.inputSelector, panel.ui.modelComboBox, panel.ui.thresholdSlider)
    assert len({field.mapTo(panel.parent, qt.QPoint(0, 0)).x() for field in fields}) == 1
