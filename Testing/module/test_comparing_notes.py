"""What the section Compare says beside the numbers: of the images compared, of masks, of a single voxel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import host
from module.panel_actions import rest
from module.test_comparing import legend, rows
from vesselseg.volume import Volume


@pytest.fixture
def image(panel: Any, add_scan: Callable[..., Any]) -> Volume:
    """A scan that is chosen."""
    from VesselSegmentationLib.scene.volume_nodes import volume_from_node

    return volume_from_node(add_scan())


@pytest.fixture
def add_label(image: Volume) -> Callable[..., Any]:
    """Add a label volume on the grid of the scan."""
    import slicer

    from VesselSegmentationLib.scene.volume_nodes import set_node_volume

    def add(name: str, *voxels: tuple[Any, Any, Any]) -> Any:
        array = np.zeros(image.array.shape, np.uint8)
        for voxel in voxels:
            array[voxel] = 1
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
        set_node_volume(node, image.with_array(array))
        return node

    return add


@pytest.fixture
def compare(panel: Any) -> Iterator[Callable[..., Any]]:
    """Compare two nodes, and wait for everything."""

    def do(first: Any, second: Any) -> Any:
        panel.ui.comparedSelector.setCurrentNode(first)
        panel.ui.referenceSelector.setCurrentNode(second)
        panel.ui.compareButton.click()
        assert host.wait_for(lambda: not panel.logic.review.pending)
        rest(0.3)
        return panel.ui

    yield do
    panel.ui.stopCompareButton.click()


def test_notes_follow_the_labels(panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]) -> None:
    import slicer

    from VesselSegmentationLib.scene.node_geometry import matrix_from_array

    vessel = (slice(2, 6), 5, 5)
    reference = add_label("B", vessel)
    ui = compare(add_label("A", vessel), reference)
    assert ui.compareStatusLabel.text == ""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[2, 3] = 1.5
    transform.SetMatrixTransformToParent(matrix_from_array(shift))
    reference.SetAndObserveTransformNodeID(transform.GetID())
    assert host.wait_for(lambda: "the reference 'B' lies on another grid" in ui.compareStatusLabel.text, 3)
    reference.SetAndObserveTransformNodeID(None)
    assert host.wait_for(lambda: ui.compareStatusLabel.text == "", 3)


def test_voxels_that_are_unsure_are_told_and_not_counted(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

    reference = add_label("B", (2, 3, 4))
    volume = volume_from_node(reference)
    values = volume.array.copy()
    values[5, 5, 5:8] = 255
    set_node_volume(reference, volume.with_array(values))
    ui = compare(add_label("A", (2, 3, 4), (5, 5, 5)), reference)
    assert ui.compareStatusLabel.text == "the reference 'B' marks 3 voxels as unsure (255): they are not counted"
    assert [text.partition(",")[0] for text in legend(panel).values()] == ["1 voxel", "0 voxels", "0 voxels"]


def test_one_voxel_is_no_voxels(panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]) -> None:
    compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4), (5, 5, slice(5, 7))))
    assert [text.partition(",")[0] for text in legend(panel).values()] == ["1 voxel", "0 voxels", "2 voxels"]


def test_agreement_on_nothing_inside_a_mask_is_told(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any]
) -> None:
    ui = compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4)))
    note = "There are no vessels of either label inside the mask."
    for voxel, told in (((5, 5, 5), True), ((2, 3, 4), False)):
        ui.reviewMaskSelector.setCurrentNode(add_label("brain", voxel))
        assert host.wait_for(lambda: panel.logic.review.metrics_current)
        rest(0.3)
        assert {row[0]: row[1:3] for row in rows(ui.metricsTable)}["Dice"] == ("1.000", "1.000")
        assert (note in ui.metricsNoteLabel.text) == told


def test_an_empty_mask_leaves_the_metrics_of_the_whole_volume(
    panel: Any, compare: Callable[..., Any], add_label: Callable[..., Any], slicer_host: host.Host,
    errors: list[BaseException],
) -> None:  # fmt: skip
    ui = compare(add_label("A", (2, 3, 4)), add_label("B", (2, 3, 4)))
    ui.reviewMaskSelector.setCurrentNode(add_label("brain"))
    assert host.wait_for(lambda: not panel.logic.review.pending)
    rest(0.3)
    (shown,) = slicer_host.dialogs.shown
    assert "The mask is empty" in shown
    errors.clear()
    titles = [row[0] for row in rows(ui.metricsTable)]
    items = [ui.metricsTable.item(titles.index("95 % Hausdorff distance"), column) for column in (1, 2)]
    assert [item.text() for item in items] == ["0.00", "..."]
    assert [item.foreground().color().red() == 128 for item in items] == [False, True]
    assert "Grey values could not be measured" in ui.metricsNoteLabel.text
