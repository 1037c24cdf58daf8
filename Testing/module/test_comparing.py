"""The section Compare: what a reader presses and sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import draw_by_hand, rest, vessels, wait_until_idle
from vesselseg.volume import Volume
from VesselSegmentationLib.scene.label_source import LabelSource


@pytest.fixture
def reference(segmented: Any) -> Any:
    """A reference: the vessels, with a piece that they miss and without one that they have."""
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    scan = segmented.ui.inputSelector.currentNode()
    label = vessels(segmented.ui.segmentationSelector.currentNode(), scan).copy()
    label[0, 0, :6] = 1
    label[-1, -1, -4:] = 1
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 1")
    set_segment_label(node, scan, volume_from_node(scan).with_array(label), name="Manual", role="manual")
    return node


@pytest.fixture
def comparing(segmented: Any, reference: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panel after the vessels were compared with the reference; the worker pretends no more."""
    monkeypatch.delenv("PRETEND")
    segmented.ui.referenceSelector.setCurrentNode(reference)
    segmented.ui.compareButton.click()
    assert host.wait_for(lambda: not segmented.logic.review.pending)
    rest(0.3)
    return segmented


def rows(table: Any) -> list[tuple[str, ...]]:
    return [
        tuple(table.item(row, column).text() if table.item(row, column) else "" for column in range(table.columnCount))
        for row in range(table.rowCount)
    ]


def legend(panel: Any) -> dict[str, str]:
    """Return what the legend says of each kind."""
    labels = (panel.ui.truePositiveLabel, panel.ui.falsePositiveLabel, panel.ui.falseNegativeLabel)
    texts = [label.text.partition("<b>")[2].partition("</b><br>") for label in labels]
    return {title: rest for title, _tag, rest in texts}


def metric(panel: Any, title: str) -> str:
    return {row[0]: row[1] for row in rows(panel.ui.metricsTable)}[title]


def test_what_cannot_be_pressed_says_why(panel: Any, segmented: Any, reference: Any) -> None:
    ui = segmented.ui
    assert not ui.compareButton.isEnabled()
    assert ui.compareButton.toolTip == "Choose the reference above."
    assert not ui.nextErrorButton.isEnabled()
    assert "first" in ui.nextErrorButton.toolTip
    ui.referenceSelector.setCurrentNode(reference)
    assert ui.compareButton.isEnabled()
    assert [ui.referenceSegmentComboBox.itemText(i) for i in range(ui.referenceSegmentComboBox.count)][1:] == ["Manual"]


def test_list_of_segments_follows_the_segmentation(panel: Any, segmented: Any, reference: Any) -> None:
    def listed() -> list[str]:
        return [combo_box.itemText(index) for index in range(combo_box.count)]

    combo_box, segmentation = segmented.ui.referenceSegmentComboBox, reference.GetSegmentation()
    segmented.ui.referenceSelector.setCurrentNode(reference)
    assert not combo_box.isVisibleTo(segmented.parent)
    new = segmentation.AddEmptySegment("new", "Second look")
    assert listed()[1:] == ["Manual", "Second look"]
    assert combo_box.isVisibleTo(segmented.parent)
    combo_box.setCurrentIndex(2)
    combo_box.activated.emit(2)
    segmentation.GetSegment(new).SetName("Third look")
    assert listed()[1:] == ["Manual", "Third look"]
    assert combo_box.currentText == "Third look"
    segmentation.RemoveSegment(new)
    assert combo_box.currentText == "(removed segment)"
    combo_box.setCurrentIndex(0)
    combo_box.activated.emit(0)
    segmented.ui.compareButton.click()
    segmented.ui.stopCompareButton.click()
    segmentation.AddEmptySegment("newer", "Fourth look")  # also after a comparison has ended
    assert listed()[1:] == ["Manual", "Fourth look"]


def test_map_legend_metrics_and_list_are_shown(comparing: Any, reference: Any) -> None:
    ui = comparing.ui
    map_node = comparing.logic.review.error_map.node
    assert map_node.GetDisplayNode().GetVisibility()
    assert not reference.GetDisplayNode().GetSegmentVisibility(reference.GetSegmentation().GetNthSegmentID(0))
    assert legend(comparing)["false negative"].startswith("10 voxels, ")
    assert metric(comparing, "precision (PPV)") == "1.000"
    assert 0 < float(metric(comparing, "Dice")) < 1
    for row in range(ui.metricsTable.rowCount):
        assert ui.metricsTable.item(row, 0).toolTip().endswith(".")
    assert float(metric(comparing, "95 % Hausdorff distance")) >= 0
    assert [row[0] for row in rows(ui.errorsTable)] == ["false negative", "false negative"]


def test_an_edit_is_followed_without_a_press(comparing: Any) -> None:
    ui = comparing.ui
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: not legend(comparing)["false positive"].startswith("0 voxels"), 2)
    assert host.wait_for(lambda: ui.errorsTable.rowCount == 3, 2)
    assert host.wait_for(lambda: not comparing.logic.review.pending)
    rest(0.3)
    assert metric(comparing, "precision (PPV)") != "1.000"


def test_errors_are_walked_through_and_marked(comparing: Any) -> None:
    ui, navigator = comparing.ui, comparing.logic.review.navigator
    ui.nextErrorButton.click()
    assert navigator.current is navigator.shown()[0]
    assert ui.errorsTable.currentRow() == 0
    assert navigator.highlight.shown
    assert host.wait_for(lambda: not navigator.highlight.shown, 2)
    assert host.wait_for(lambda: navigator.highlight.shown, 2)
    assert ui.saveMetricsButton.isEnabled()  # nothing has changed
    ui.readerLineEdit.text = "Dr. A"
    ui.acceptButton.click()
    assert rows(ui.errorsTable)[0][3] == "accepted"
    (mark,) = navigator.marks()
    assert (mark.decision, mark.reader) == ("accepted", "Dr. A")
    assert navigator.current is navigator.shown()[1]
    ui.previousErrorButton.click()
    assert navigator.current is navigator.shown()[0]
    assert host.wait_for(lambda: ui.errorsTable.rowCount == 1, 5)  # it was corrected
    ui.undoButton.click()
    assert host.wait_for(lambda: ui.errorsTable.rowCount == 2, 5)
    ui.errorsTable.setCurrentCell(1, 0)
    assert navigator.current is navigator.shown()[1]
    ui.rejectButton.click()
    ui.reviewedButton.click()
    assert [row[3] for row in rows(ui.errorsTable)] == ["seen", "rejected"]


def test_display_of_the_map(comparing: Any) -> None:
    ui, node = comparing.ui, comparing.logic.review.error_map.node
    display_node = node.GetDisplayNode()
    ui.outlineCheckBox.click()
    assert not display_node.GetVisibility2DFill()
    before = node.GetSegmentation().GetSegment("TruePositive").GetColor()
    ui.paletteComboBox.setCurrentIndex(1)
    ui.paletteComboBox.activated.emit(1)
    assert node.GetSegmentation().GetSegment("TruePositive").GetColor() != before
    ui.showMapButton.click()
    assert not display_node.GetVisibility()
    ui.showMapButton.click()
    assert display_node.GetVisibility()
    ui.stopCompareButton.click()
    assert not display_node.GetVisibility()
    assert ui.errorsTable.rowCount == 0
    assert not ui.nextErrorButton.isEnabled()
    ui.compareButton.click()
    assert comparing.logic.review.error_map.node is node


def test_the_best_threshold_is_taken_at_a_click(comparing: Any, slicer_host: host.Host) -> None:
    ui = comparing.ui
    ui.thresholdSlider.value = 0.95
    assert host.wait_for(lambda: comparing.logic.threshold(ui.segmentationSelector.currentNode()) == (0.95, 0.0), 5)
    assert host.wait_for(lambda: float(metric(comparing, "Dice")) < 0.9, 5)
    worse = float(metric(comparing, "Dice"))
    ui.bestThresholdButton.click()
    assert not ui.bestThresholdButton.isEnabled()
    assert "being measured" in ui.bestThresholdButton.toolTip
    assert host.wait_for(lambda: float(metric(comparing, "Dice")) > worse)
    best = comparing.logic.threshold(ui.segmentationSelector.currentNode())
    assert best[0] < 0.95
    assert ui.thresholdSlider.value == pytest.approx(best[0])
    assert "Largest Dice" in ui.bestThresholdLabel.text
    assert "mask" not in ui.bestThresholdLabel.text
    rest()
    assert comparing.logic.threshold(ui.segmentationSelector.currentNode()) == best
    assert slicer_host.dialogs.shown == []


def test_the_best_threshold_keeps_the_smallest_piece(comparing: Any) -> None:
    ui = comparing.ui
    node = ui.segmentationSelector.currentNode()
    ui.thresholdSlider.value = 0.95
    ui.minimumComponentSlider.value = 2.5
    assert host.wait_for(lambda: comparing.logic.threshold(node) == (0.95, 2.5), 5)
    ui.modelComboBox.activated.emit(ui.modelComboBox.currentIndex)  # shows what is recommended
    assert ui.minimumComponentSlider.value == 0.0
    ui.bestThresholdButton.click()
    assert host.wait_for(lambda: comparing.logic.threshold(node)[0] < 0.95)
    assert (ui.thresholdSlider.value, ui.minimumComponentSlider.value) == comparing.logic.threshold(node)
    assert ui.minimumComponentSlider.value == 2.5


def test_refused_comparison_leaves_the_one_before(
    comparing: Any, reference: Any, slicer_host: host.Host, errors: list[BaseException]
) -> None:
    ui, review = comparing.ui, comparing.logic.review
    node, error_map = ui.segmentationSelector.currentNode(), review.error_map
    ui.showMapButton.click()  # the reader looks at the vessels
    ui.referenceSelector.setCurrentNode(node)
    ui.compareButton.click()
    assert "itself" in slicer_host.dialogs.shown[0]
    assert len(errors) == 1
    errors.clear()
    assert review.error_map is error_map
    assert not ui.showMapButton.isChecked()
    draw_by_hand(node, ui.inputSelector.currentNode())
    assert host.wait_for(lambda: not legend(comparing)["false positive"].startswith("0 voxels"), 2)


def test_another_reference_takes_the_place_of_the_one_before(comparing: Any, reference: Any) -> None:
    import slicer

    from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    ui, former = comparing.ui, comparing.logic.review.error_map.node
    scan = ui.inputSelector.currentNode()
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "reader 2")
    label = volume_from_node(scan).with_array(vessels(ui.segmentationSelector.currentNode(), scan))
    set_segment_label(other, scan, label, name="Manual", role="manual")
    ui.referenceSelector.setCurrentNode(other)
    ui.compareButton.click()
    shown = comparing.logic.review.error_map.node
    assert [node.GetDisplayNode().GetVisibility() for node in (former, shown)] == [False, True]
    for node, visible in ((reference, True), (other, False), (ui.segmentationSelector.currentNode(), False)):
        (segment_id,) = LabelSource(node).segment_ids()
        assert bool(node.GetDisplayNode().GetSegmentVisibility(segment_id)) == visible


def test_no_threshold_is_taken_while_a_segmentation_runs(
    comparing: Any, pretend: Callable[[str], None], slicer_host: host.Host
) -> None:
    ui = comparing.ui
    ui.thresholdSlider.value = 0.95
    assert host.wait_for(lambda: comparing.logic.threshold(ui.segmentationSelector.currentNode()) == (0.95, 0.0), 5)
    ui.bestThresholdButton.click()
    pretend("sleep")
    ui.segmentButton.click()
    assert "Stopped" in ui.bestThresholdLabel.text
    host.wait_for(lambda: comparing.logic.threshold(ui.segmentationSelector.currentNode()) != (0.95, 0.0), 4)
    assert comparing.logic.threshold(ui.segmentationSelector.currentNode()) == (0.95, 0.0)
    for button in (ui.bestThresholdButton, ui.analyseThresholdsButton):
        assert not button.isEnabled()
        assert button.toolTip == "Wait until the segmentation is done, or cancel it."
    ui.reviewMaskSelector.setCurrentNode(ui.referenceSelector.currentNode())  # whatever is chosen meanwhile
    assert not ui.bestThresholdButton.isEnabled()
    ui.cancelButton.click()
    wait_until_idle(comparing)
    assert ui.bestThresholdButton.isEnabled()


def test_no_threshold_is_taken_for_other_vessels_than_those_compared(comparing: Any) -> None:
    import slicer

    ui, node = comparing.ui, comparing.ui.segmentationSelector.currentNode()
    before = vessels(node, ui.inputSelector.currentNode())
    ui.thresholdSlider.value = 0.95
    assert host.wait_for(lambda: comparing.logic.threshold(node) == (0.95, 0.0), 5)
    ui.bestThresholdButton.click()
    comparing._parameterNode.outputSegmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "new")
    assert host.wait_for(lambda: "Largest Dice" in ui.bestThresholdLabel.text)
    assert comparing.logic.threshold(node) == (0.95, 0.0)
    assert not np.array_equal(vessels(node, ui.inputSelector.currentNode()), before)


def test_metrics_inside_a_mask_go_with_it(comparing: Any, slicer_host: host.Host) -> None:
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    ui = comparing.ui
    scan = volume_from_node(ui.inputSelector.currentNode())
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    set_node_volume(mask, scan.with_array(np.ones(scan.array.shape, np.uint8)))
    parameters = comparing._parameterNode
    parameters.brainMask, parameters.brainMaskNode = type(parameters.brainMask).NODE, mask  # that of the segmentation
    ui.compareButton.click()
    ui.metricsTableButton.click()
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode").GetTable
    assert host.wait_for(lambda: comparing.logic.review.metrics_current)
    rest(0.3)
    assert ui.metricsTable.columnCount == table().GetNumberOfColumns() == 4
    ui.analyseThresholdsButton.click()
    assert host.wait_for(lambda: "Largest Dice" in ui.bestThresholdLabel.text)
    assert ", small pieces kept; " in ui.bestThresholdLabel.text
    assert ui.bestThresholdLabel.text.endswith(" Measured inside the mask.")
    slicer.mrmlScene.RemoveNode(mask)
    assert host.wait_for(lambda: ui.metricsTable.columnCount == 3, 2)
    assert host.wait_for(lambda: table().GetNumberOfColumns() == 3)
    assert slicer_host.dialogs.shown == []


def test_list_that_could_not_be_made_says_so(
    comparing: Any, pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, slicer_host: host.Host,
    errors: list[BaseException],
) -> None:  # fmt: skip
    from VesselSegmentationLib.reviewing import review_listing

    ui = comparing.ui
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    pretend("crash")
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: "could not be listed" in ui.errorsNoteLabel.text)
    assert ui.errorsTable.rowCount == 0
    assert host.wait_for(lambda: comparing.logic.review.metrics_failed)
    assert len(errors) == len(slicer_host.dialogs.shown) == 2
    errors.clear()


def test_table_holds_no_values_of_before_where_they_could_not_be_measured(
    comparing: Any, pretend: Callable[[str], None], slicer_host: host.Host, errors: list[BaseException]
) -> None:
    import slicer

    ui = comparing.ui
    ui.metricsTableButton.click()
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode")
    titles = [row[0] for row in rows(ui.metricsTable)]
    assert "95 % Hausdorff distance" in titles
    pretend("crash")
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: slicer_host.dialogs.shown)
    errors.clear()
    names = [node.GetTable().GetColumnByName("metric").GetValue(row) for row in range(node.GetNumberOfRows())]
    values = node.GetTable().GetColumnByName("whole volume")
    assert np.isnan(values.GetValue(names.index("95 % Hausdorff distance")))
    assert f"{values.GetValue(names.index('Dice')):.3f}" == metric(comparing, "Dice")


def test_a_table_that_was_deleted_does_not_come_back(comparing: Any) -> None:
    import slicer

    ui, review = comparing.ui, comparing.logic.review
    ui.metricsTableButton.click()
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode"))
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: review.metrics["whole volume"]["false_positives"] > 0, 2)
    assert host.wait_for(lambda: review.metrics_current, 20)
    rest()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    ui.metricsTableButton.click()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 1


def test_a_removed_reference_ends_the_comparison_with_one_message(
    comparing: Any, reference: Any, slicer_host: host.Host, errors: list[BaseException]
) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(reference)
    assert host.wait_for(lambda: slicer_host.dialogs.shown, 3)
    rest(0.6)
    assert len(slicer_host.dialogs.shown) == 1
    assert "removed" in slicer_host.dialogs.shown[0]
    assert len(errors) == 1
    errors.clear()
    assert not comparing.ui.nextErrorButton.isEnabled()
    assert not comparing.ui.compareButton.isEnabled()


def test_a_mask_of_another_patient_leaves_no_metrics_that_look_current(
    comparing: Any, slicer_host: host.Host, errors: list[BaseException]
) -> None:
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    ui = comparing.ui
    scan = volume_from_node(ui.inputSelector.currentNode())
    away = dataclasses.replace(scan.geometry, origin=(5000.0, 0.0, 0.0))
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    set_node_volume(mask, Volume(np.ones(scan.array.shape, np.uint8), away))
    ui.reviewMaskSelector.setCurrentNode(mask)
    assert host.wait_for(lambda: slicer_host.dialogs.shown, 3)
    rest(0.6)
    (shown,) = slicer_host.dialogs.shown
    assert "do not overlap" in shown
    assert len(errors) == 1
    errors.clear()
    assert "could not be measured" in ui.metricsNoteLabel.text
    assert not ui.saveMetricsButton.isEnabled()
    assert "could not be measured" in ui.saveMetricsButton.toolTip
    assert ui.saveReportButton.isEnabled()
    slicer_host.dialogs.shown.clear()
    ui.show3DButton.click()  # whatever is chosen, all sections are asked what can be done
    ui.reviewMaskSelector.setCurrentNode(None)
    assert host.wait_for(lambda: ui.saveMetricsButton.isEnabled(), 10)
    assert ui.metricsNoteLabel.text == ""
    assert slicer_host.dialogs.shown == []


def test_what_could_not_be_measured_is_grey_in_both_columns(
    comparing: Any, pretend: Callable[[str], None], slicer_host: host.Host, errors: list[BaseException]
) -> None:
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    ui = comparing.ui
    scan = volume_from_node(ui.inputSelector.currentNode())
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    set_node_volume(mask, scan.with_array(np.ones(scan.array.shape, np.uint8)))
    ui.reviewMaskSelector.setCurrentNode(mask)
    assert host.wait_for(lambda: comparing.logic.review.metrics_current)
    pretend("crash")
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: slicer_host.dialogs.shown)
    errors.clear()
    ui.allMetricsCheckBox.click()
    titles = [row[0] for row in rows(ui.metricsTable)]
    at_once = ("Dice", "true positives", "false positives", "false negatives", "volume of the reference")
    for title, grey in [*((title, [False, True]) for title in at_once), ("95 % Hausdorff distance", [True, True])]:
        items = [ui.metricsTable.item(titles.index(title), column) for column in (1, 2)]
        assert [item.foreground().color().red() == 128 for item in items] == grey


def test_vessels_are_seen_again_when_the_shown_map_is_removed(
    comparing: Any, slicer_host: host.Host, errors: list[BaseException]
) -> None:
    import slicer

    node = comparing.ui.segmentationSelector.currentNode()
    (vessels_id,) = LabelSource(node).segment_ids()
    assert not node.GetDisplayNode().GetSegmentVisibility(vessels_id)
    slicer.mrmlScene.RemoveNode(comparing.logic.review.error_map.node)
    assert host.wait_for(lambda: slicer_host.dialogs.shown, 3)
    assert node.GetDisplayNode().GetSegmentVisibility(vessels_id)
    errors.clear()


def test_closing_the_scene_empties_the_list_of_segments(comparing: Any, reference: Any) -> None:
    import slicer

    combo_box = comparing.ui.referenceSegmentComboBox
    reference.GetSegmentation().AddEmptySegment("other", "Other")
    assert combo_box.count == 3
    slicer.mrmlScene.Clear(False)
    rest()
    assert combo_box.count == 1
    assert not combo_box.isVisibleTo(comparing.parent)


def test_closing_the_scene_ends_the_comparison(comparing: Any, slicer_host: host.Host) -> None:
    import slicer

    slicer.mrmlScene.Clear(False)
    rest(0.5)
    assert comparing.logic.review.error_map is None
    assert slicer_host.dialogs.shown == []
    assert comparing.ui.errorsTable.rowCount == 0


def test_the_comparison_goes_on_in_other_modules(comparing: Any, slicer_host: host.Host) -> None:
    ui = comparing.ui
    comparing.exit()
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: not legend(comparing)["false positive"].startswith("0 voxels"), 2)
    comparing.enter()


def test_segmenting_anew_is_followed(comparing: Any, pretend: Callable[[str], None]) -> None:
    ui, review = comparing.ui, comparing.logic.review
    draw_by_hand(ui.segmentationSelector.currentNode(), ui.inputSelector.currentNode())
    assert host.wait_for(lambda: review.metrics["whole volume"]["false_positives"] > 0, 2)
    pretend("segment")
    ui.segmentButton.click()
    wait_until_idle(comparing)
    assert host.wait_for(lambda: review.metrics["whole volume"]["false_positives"] == 0, 2)
    comparing.ui.stopCompareButton.click()
