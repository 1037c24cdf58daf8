"""Comparing what the panel did not find: other vessels, two readers, a mask, empty and odd labels; what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import rest, wait_for_file
from module.test_comparing import legend, metric, rows


@pytest.fixture
def add_label(panel: Any, add_scan: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Add a segmentation of the scan; without voxels it is empty."""
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    def add(name: str, *voxels: tuple[int, int, int], all_of_it: bool = False) -> Any:
        scan = panel.ui.inputSelector.currentNode() or add_scan()
        volume = volume_from_node(scan)
        label = np.full(volume.array.shape, int(all_of_it), np.uint8)
        for voxel in voxels:
            label[voxel] = 1
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        set_segment_label(node, scan, volume.with_array(label), name="Vessels", role="drawn")
        return node

    yield add
    panel.ui.stopCompareButton.click()


def paint(node: Any, volume_node: Any) -> None:
    """Fill a box of the only segment, as the Segment Editor does."""
    import slicer

    from VesselSegmentationLib.scene.segment_voxels import oriented_image
    from VesselSegmentationLib.scene.volume_nodes import volume_geometry

    image = oriented_image(np.ones((3, 3, 3), bool), volume_geometry(volume_node).ijk_to_ras(), (2, 2, 2))
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, node, segment_id)


@pytest.fixture
def compare(panel: Any) -> Callable[..., Any]:
    """Compare two nodes, and wait for everything."""

    def do(first: Any, second: Any, *, truth: bool = True) -> Any:
        ui = panel.ui
        ui.comparedSelector.setCurrentNode(first)
        ui.referenceSelector.setCurrentNode(second)
        ui.referenceIsTruthCheckBox.checked = truth
        ui.compareButton.click()
        assert host.wait_for(lambda: not panel.logic.review.pending)
        rest(0.3)
        return ui

    return do


def test_two_readers_are_called_by_their_names(compare: Callable[..., Any], add_label: Callable[..., Any]) -> None:
    ui = compare(add_label("Ann", (2, 3, 4), (7, 7, 7)), add_label("Bob", (2, 3, 4), (5, 5, 5)), truth=False)
    assert list(legend_of(ui)) == ["agreement", "only Ann", "only Bob"]
    assert ui.errorsGroupBox.title == "Differences"
    assert ui.hideBoundaryCheckBox.text == "Hide edge differences"
    assert sorted(row[0] for row in rows(ui.errorsTable)) == ["only Ann", "only Bob"]
    assert ui.truePositiveSlicesCheckBox.accessibleName == "Show agreement in slices"
    assert ui.falsePositiveThreeDSpinBox.toolTip == "Opacity of only Ann in 3D"
    titles = [row[0] for row in rows(ui.metricsTable)]
    assert "Dice" in titles
    assert not any("precision" in title for title in titles)  # it would take a side
    assert not ui.bestThresholdButton.isEnabled()


def legend_of(ui: Any) -> dict[str, str]:
    import types

    return legend(types.SimpleNamespace(ui=ui))


@pytest.mark.parametrize(
    ("first", "second", "counts", "dice"),
    [
        ((), (), (0, 0, 0), "1.000"),
        ((), ((1, 2, 3),), (0, 0, 1), "0.000"),
        (((1, 2, 3),), (), (0, 1, 0), "0.000"),
        (((1, 2, 3),), ((1, 2, 3),), (1, 0, 0), "1.000"),
        (((0, 0, 0), (-1, -1, -1)), ((0, 0, 0),), (1, 1, 0), "0.667"),
    ],
    ids=["both empty", "empty result", "empty reference", "one voxel", "corners"],
)
def test_extreme_labels(
    panel: Any,
    compare: Callable[..., Any],
    add_label: Callable[..., Any],
    first: Any,
    second: Any,
    counts: Any,
    dice: str,
) -> None:
    ui = compare(add_label("A", *first), add_label("B", *second))
    assert [int(text.split()[0].replace(",", "")) for text in legend_of(ui).values()] == list(counts)
    assert metric(panel, "Dice") == dice
    assert ui.errorsTable.rowCount == counts[1] + counts[2]
    ui.nextErrorButton.click()


def test_masks_that_fill_the_scan_agree(panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]) -> None:
    compare(add_label("A", all_of_it=True), add_label("B", all_of_it=True))
    assert metric(panel, "Dice") == metric(panel, "surface Dice") == "1.000"


def test_metrics_inside_a_mask_follow_it(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    mask = add_label("brain", (2, 3, 4))
    ui = compare(add_label("A", (2, 3, 4), (7, 7, 7)), add_label("B", (2, 3, 4)))
    assert metric(panel, "Dice") == "0.667"
    ui.reviewMaskSelector.setCurrentNode(mask)
    assert host.wait_for(lambda: not panel.logic.review.pending)
    assert host.wait_for(lambda: {row[0]: row[1:3] for row in rows(ui.metricsTable)}["Dice"] == ("0.667", "1.000"), 2)
    ui.reviewMaskSelector.setCurrentNode(None)
    assert host.wait_for(lambda: not panel.logic.review.pending)
    assert ui.metricsTable.columnCount == 3


def test_each_kind_has_its_own_display(compare: Callable[..., Any], add_label: Callable[..., Any], panel: Any) -> None:
    ui = compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, 5)))
    display = panel.logic.review.error_map.node.GetDisplayNode()
    assert (ui.truePositiveSlicesSpinBox.value, ui.truePositiveThreeDSpinBox.value) == (50, 40)
    ui.falseNegativeThreeDCheckBox.click()
    ui.truePositiveThreeDSpinBox.value = 10
    ui.falsePositiveSlicesCheckBox.click()
    assert not display.GetSegmentVisibility3D("FalseNegative")
    assert display.GetSegmentVisibility2DFill("FalseNegative")
    assert display.GetSegmentOpacity3D("TruePositive") == pytest.approx(0.1)
    assert not display.GetSegmentVisibility2DOutline("FalsePositive")
    assert display.GetSegmentVisibility2DOutline("TruePositive")


def test_the_chosen_error_is_described(panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]) -> None:
    ui = compare(add_label("A"), add_label("B", (2, 3, 4), (2, 3, 5)))
    ui.readerLineEdit.text = "Dr. A"
    ui.nextErrorButton.click()
    for part in ("2 voxels", "largest radius", "centreline", "at "):
        assert part in ui.errorDetailsLabel.text
    ui.acceptButton.click()
    assert "accepted by Dr. A" in ui.errorDetailsLabel.text
    assert ui.errorsNoteLabel.text == "1 of 1 error shown, 1 marked."
    ui.hideMarkedCheckBox.click()
    assert ui.errorsTable.rowCount == 0
    assert "nothing in the list" in ui.nextErrorButton.toolTip


def test_the_same_decision_once_more_takes_it_back(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    ui = compare(add_label("A"), add_label("B", (2, 3, 4), (2, 3, 5)), truth=False)
    ui.nextErrorButton.click()
    assert "takes it back" in ui.rejectButton.toolTip
    ui.rejectButton.click()
    ui.acceptButton.click()  # another one takes its place
    assert [mark.decision for mark in panel.logic.review.navigator.marks()] == ["accepted"]
    ui.acceptButton.click()
    assert panel.logic.review.navigator.marks() == []
    assert ui.errorsNoteLabel.text == "1 of 1 difference shown, 0 marked."
    assert "accepted" not in ui.errorDetailsLabel.text


def test_differences_that_could_not_be_listed_are_no_errors(
    compare: Callable[..., Any], add_label: Callable[..., Any], pretend: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch, slicer_host: host.Host, errors: list[BaseException],
) -> None:  # fmt: skip
    from VesselSegmentationLib.reviewing import review_listing

    ann = add_label("Ann", (2, 3, 4))
    ui = compare(ann, add_label("Bob", (2, 3, 4), (5, 5, 5)), truth=False)
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    pretend("crash")
    paint(ann, ui.inputSelector.currentNode())
    assert host.wait_for(lambda: "could not be listed" in ui.errorsNoteLabel.text)
    assert ui.errorsNoteLabel.text == "The differences could not be listed. The next edit starts a new attempt."
    rest(0.6)  # the metrics fail as well
    assert all("The log has its last lines." in shown for shown in slicer_host.dialogs.shown)
    assert "libcudnn.so.9: cannot open" in slicer_host.dialogs.details
    errors.clear()


def test_values_that_were_not_measured_yet_are_not_out_of_date(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    said: set[str] = set()

    def measured() -> bool:
        said.add(panel.ui.metricsNoteLabel.text)
        return bool(panel.logic.review.metrics_current)

    first = add_label("A", (2, 3, 4))
    panel.ui.comparedSelector.setCurrentNode(first)
    panel.ui.referenceSelector.setCurrentNode(add_label("B", (2, 3, 4), (5, 5, 5)))
    panel.ui.compareButton.click()
    assert host.wait_for(measured)
    assert said - {""} == {"Values shown as ... are being measured."}
    said.clear()
    paint(first, panel.ui.inputSelector.currentNode())
    assert host.wait_for(lambda: not measured())
    assert host.wait_for(measured)
    assert said - {""} == {"Grey values are out of date; they are updated when you stop editing."}


@pytest.mark.parametrize(("key", "decision"), [("S", "reviewed"), ("A", "accepted"), ("X", "rejected")])
def test_keys(panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], key: str, decision: str) -> None:
    from PySide6.QtTest import QTest

    # Two results: with a truth, an accepted error would be corrected and leave the list.
    compare(add_label("A", (7, 7, 7)), add_label("B", (2, 3, 4), (2, 3, 5)), truth=False)
    panel.parent.resize(420, 1600)
    panel.parent.show()
    panel.parent.activateWindow()
    panel.parent.setFocus()
    assert QTest.qWaitForWindowActive(panel.parent)
    navigator = panel.logic.review.navigator

    def press(each: str) -> None:
        QTest.keyClick(panel.parent, each)
        host.wait_for(lambda: False, 0.2)  # Qt shows the button pressed for a moment first

    press("N")
    assert navigator.current is navigator.shown()[0]
    press(key)
    assert [mark.decision for mark in navigator.marks()] == [decision]
    assert navigator.current is navigator.shown()[1]
    press("P")
    assert navigator.current is navigator.shown()[0]
    press("M")
    assert not panel.logic.review.error_map.node.GetDisplayNode().GetVisibility()
    panel.parent.hide()


def test_a_flooded_map_is_listed_without_waiting(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from VesselSegmentationLib.reviewing import review_listing

    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(review_listing, "LONGEST_LIST", 2)
    ui = panel.ui
    other = add_label("B", (2, 3, 4), (2, 3, 5), (7, 7, 7), (5, 5, 5))
    ui.comparedSelector.setCurrentNode(add_label("A"))
    ui.referenceSelector.setCurrentNode(other)
    ui.compareButton.click()
    assert host.wait_for(lambda: "still being made" in ui.errorsNoteLabel.text, 5)
    assert ui.errorsTable.rowCount == 0
    assert host.wait_for(lambda: ui.errorsTable.rowCount == 2)
    assert "4 voxels differ: of 3 pieces only those that matter most are listed." in ui.errorsNoteLabel.text


def test_a_second_file_is_not_begun_while_packages_are_installed(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], slicer_host: host.Host, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def install() -> None:  # pip lets the application go on
        installed.append("packages")
        assert not ui.saveReportButton.isEnabled()
        assert "Wait" in ui.saveFigureButton.toolTip
        slicer_host.dialogs.path = str(tmp_path / "second.html")
        ui.saveReportButton.click()

    installed: list[str] = []
    ui = compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, 5)))
    slicer_host.dialogs.path = str(tmp_path / "first.html")
    monkeypatch.setattr(panel.logic, "ensureRequirements", install)
    ui.saveReportButton.click()
    assert installed == ["packages"]
    ui.cancelSavingButton.click()
    assert ui.saveReportButton.isEnabled()
    assert list(tmp_path.iterdir()) == []


def test_lists_metrics_and_report_are_saved(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], slicer_host: host.Host, tmp_path: Path
) -> None:
    ui = panel.ui
    for button in (ui.saveFigureButton, ui.saveReportButton, ui.saveErrorsButton, ui.saveMetricsButton):
        assert "Compare the vessels" in button.toolTip
    compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, 5)))
    ui.nextErrorButton.click()
    ui.acceptButton.click()
    slicer_host.dialogs.path = str(tmp_path / "errors")
    ui.saveErrorsButton.click()
    assert Path(slicer_host.dialogs.suggestion).name == "TOF errors.csv"
    assert "accepted" in (tmp_path / "errors.csv").read_text()
    slicer_host.dialogs.path = str(tmp_path / "metrics.json")
    ui.saveMetricsButton.click()
    assert "in a moment" in ui.savingStatusLabel.text  # the accepted error has just changed them
    assert host.wait_for(lambda: panel.logic.review.metrics_current and ui.saveMetricsButton.isEnabled())
    ui.saveMetricsButton.click()
    assert json.loads((tmp_path / "metrics.json").read_text())["whole volume"]["dice"] == pytest.approx(1.0)
    slicer_host.dialogs.path = ""
    ui.saveReportButton.click()
    assert ui.saveReportButton.isEnabled()  # the user would rather not
    slicer_host.dialogs.path = str(tmp_path / "report.html")
    ui.caseLineEdit.text = "Case 7"
    ui.saveReportButton.click()
    assert "Wait" in ui.saveFigureButton.toolTip
    wait_for_file(panel)
    assert "Case 7" in (tmp_path / "report.html").read_text()
    assert ui.savingStatusLabel.text.startswith("Saved: ")


def test_a_suggested_name_is_one_on_every_system(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], slicer_host: host.Host
) -> None:
    compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, 5)))
    panel.logic.review.error_map.volume_node.SetName("5: TOF_3D")  # as DICOM series are called
    panel.ui.saveErrorsButton.click()
    assert Path(slicer_host.dialogs.suggestion).name == "5- TOF_3D errors.csv"


def test_figures_are_saved_and_can_be_cancelled(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], slicer_host: host.Host, tmp_path: Path
) -> None:
    from PIL import Image

    ui = panel.ui
    other = add_label("graph cut", (2, 3, 4))
    compare(add_label("U-Net", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, 5)))
    slicer_host.dialogs.path = str(tmp_path / "figure.png")
    ui.saveFigureButton.click()
    ui.cancelSavingButton.click()
    assert ui.savingStatusLabel.text == "Not saved: cancelled."
    assert list(tmp_path.iterdir()) == []
    ui.figureKindComboBox.setCurrentIndex(3)
    ui.figureKindComboBox.activated.emit(3)
    assert "Choose the other method" in ui.saveFigureButton.toolTip
    ui.figureOtherSelector.setCurrentNode(other)
    ui.figureBackgroundComboBox.setCurrentIndex(1)
    ui.figureViewComboBox.setCurrentIndex(6)
    ui.figureDpiSpinBox.value = 72
    ui.saveFigureButton.click()
    wait_for_file(panel)
    picture = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB"))
    assert picture[0, 0].min() > 240  # white
    slicer_host.dialogs.path = str(tmp_path / "nowhere" / "figure.png")
    ui.saveFigureButton.click()
    wait_for_file(panel)
    assert "Not saved" in ui.savingStatusLabel.text
    assert slicer_host.dialogs.shown[-1].startswith("The file could not be saved.\n\n")
    slicer_host.dialogs.shown.clear()


def test_the_metrics_become_a_table_that_follows(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    first, scan = add_label("A", (2, 3, 4)), panel.ui.inputSelector.currentNode()
    ui = compare(first, add_label("B", (2, 3, 4), (5, 5, 5)))
    ui.metricsTableButton.click()
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert (table.GetCellText(0, 0), float(table.GetCellText(0, 2))) == ("Dice", pytest.approx(2 / 3))
    volume = volume_from_node(scan)
    label = np.zeros(volume.array.shape, np.uint8)
    label[2, 3, 4] = label[5, 5, 5] = 1
    set_segment_label(first, scan, volume.with_array(label), name="Vessels", role="drawn")
    assert host.wait_for(lambda: float(table.GetCellText(0, 2)) == 1.0)
