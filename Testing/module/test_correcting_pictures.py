"""What the section Correct looks like, and what a preview looks like in the views; kept in ``artefacts/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trame_slicer", reason="its views render without a display")

from correcting_case import MISSED
from module.correcting_actions import click, remove_piece
from module.pictures import render_3d, render_slice, save
from module.test_pictures import check_layout, grab, themed
from VesselSegmentationLib.scene.volume_nodes import volume_geometry
from views import share_of

#: What would be added, see `edit_preview`.
CYAN = (0.1, 1.0, 1.0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_section_and_a_preview(comparing: Any, artefacts: Path, theme: str) -> None:
    ui = comparing.ui
    for name in ("scan", "segment", "review"):
        getattr(ui, f"{name}CollapsibleButton").collapsed = True
    for box in (ui.batchGroupBox, ui.freeHandGroupBox):
        box.collapsed = False
    ui.saveCollapsibleButton.collapsed = False
    ui.stopCompareButton.click()
    with themed(theme):
        for name in ("removeBranch", "trace", "threshold", "name", "grow"):
            getattr(ui, f"{name}ToolButton").click()
            check_layout(comparing)
        click(comparing, MISSED)
        check_layout(comparing)
        save(grab(comparing, 1000), artefacts / f"panel-correct-{theme}.png")
    scan = comparing._parameterNode.inputVolume
    height = float((volume_geometry(scan).ijk_to_ras() @ [*MISSED[::-1], 1.0])[2])
    axial, vessels = render_slice(scan, height), render_3d((500, 500))
    save(axial, artefacts / "correct-preview-axial.png")
    save(vessels, artefacts / "correct-preview-3d.png")
    assert share_of(axial, CYAN) > 0.005
    assert share_of(vessels, CYAN) > 0.005


def test_the_offer_after_a_crash(correcting: Any, artefacts: Path) -> None:
    import slicer

    remove_piece(correcting)
    slicer.mrmlScene.Clear(False)
    check_layout(correcting)
    save(grab(correcting), artefacts / "panel-recovery.png")
