"""What a radiologist sees: pictures of the panel and of the views, kept in ``artefacts/``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import wait_until_idle
from module.pictures import beside, render_3d, render_slice, save
from VesselSegmentationLib.scene.segmentation_nodes import ARTERY_COLOR
from views import share_of

pytest.importorskip("trame_slicer", reason="its views render without a display")

#: As narrow as users make it.
PANEL_WIDTH = 400


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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_of_a_comparison(
    panel: Any, add_phantom: Callable[[], Any], pretend: Callable[[str], None], artefacts: Path,
    monkeypatch: pytest.MonkeyPatch, theme: str,
) -> None:  # fmt: skip
    import slicer

    add_phantom()
    pretend("segment")
    panel._parameterNode.threshold = 0.8
    panel.ui.segmentButton.click()
    wait_until_idle(panel)
    monkeypatch.delenv("PRETEND")
    panel.ui.referenceSelector.setCurrentNode(slicer.util.getFirstNodeByName("TOF phantom truth"))
    panel.ui.compareButton.click()
    assert host.wait_for(lambda: not panel.logic.review.pending)
    host.wait_for(lambda: False, 0.3)
    panel.ui.nextErrorButton.click()
    panel.ui.acceptButton.click()
    panel.ui.saveCollapsibleButton.collapsed = False
    panel.ui.figureGroupBox.collapsed = False
    with themed(theme):
        check_layout(panel)
        picture = grab(panel, 2060)
    save(picture, artefacts / f"panel-review-{theme}.png")
    assert (picture.mean() > 128) == (theme == "light")
    for color in ((230, 26, 26), (26, 204, 51), (38, 89, 255)):  # of the legend
        assert (np.abs(picture.astype(int) - color).max(axis=-1) < 4).sum() > 20
    assert max(panel.ui.metricsTable.rowHeight(row) for row in range(panel.ui.metricsTable.rowCount)) < 50
    for table in (panel.ui.errorsTable, panel.ui.metricsTable):
        assert table.horizontalScrollBar().maximum() == 0
    panel.ui.stopCompareButton.click()


@contextlib.contextmanager
def themed(theme: str) -> Iterator[None]:
    """Draw as 3D Slicer's light or dark theme does."""
    import qt

    application, role = qt.QApplication.instance(), qt.QPalette.ColorRole
    before = qt.QPalette(application.palette())
    palette = qt.QPalette(before)
    if theme == "dark":
        for dark, roles in ((50, "Window"), (30, "Base"), (60, "AlternateBase"), (60, "Button")):
            palette.setColor(getattr(role, roles), qt.QColor(dark, dark, dark))
        for each in ("WindowText", "Text", "ButtonText"):
            palette.setColor(getattr(role, each), qt.QColor(230, 230, 230))
            palette.setColor(role.PlaceholderText, qt.QColor(150, 150, 150))
            palette.setColor(qt.QPalette.ColorGroup.Disabled, getattr(role, each), qt.QColor(120, 120, 120))
    application.setPalette(palette)
    yield
    application.setPalette(before)


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
