from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from compared_labels import SHAPE, add_labelmap, add_segmentation, paint, two_labels
from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_label, read_volume
from vesselseg.review.error_components import error_components
from VesselSegmentationLib.reviewing import review_listing
from VesselSegmentationLib.reviewing.evaluation_job import INSIDE_MASK, WHOLE_VOLUME
from VesselSegmentationLib.reviewing.review_logic import COMPONENTS, ReviewLogic
from VesselSegmentationLib.saving.review_export import export_components, export_metrics
from VesselSegmentationLib.scene.label_source import LabelSource, names_of_two
from VesselSegmentationLib.scene.view_navigation import seen_from
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

FOUND, TRUTH = two_labels()


@pytest.fixture
def sources(scene, scan):
    return [LabelSource(*add_segmentation(scene, scan, label, name)) for label, name in ((FOUND, "A"), (TRUTH, "B"))]


@pytest.fixture
def review(scene):
    review = ReviewLogic(scene)
    yield review
    review.stop()


def without_place(component):
    """Files hold places and spacing with the precision of their headers."""
    return dataclasses.replace(component, centre_ras=(0.0, 0.0, 0.0), volume_mm3=round(component.volume_mm3, 4))


def test_worker_lists_the_same_errors(monkeypatch, scan, sources, review):
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    review.start(*sources)
    assert review.wait()
    wanted = error_components(review.error_map.errors)
    assert [without_place(c) for c in review.navigator.components] == [without_place(c) for c in wanted]
    for listed, component in zip(review.navigator.components, wanted, strict=True):
        np.testing.assert_allclose(listed.centre_ras, component.centre_ras, atol=1e-3)
    assert review.listing.count == len(wanted)
    review.navigator.next()
    assert review.navigator.current is review.navigator.components[0]


def test_map_that_is_flooded_and_drained_again(monkeypatch, scan, sources, review):
    first_errors = int((FOUND != TRUTH).sum())
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", first_errors)
    monkeypatch.setattr(review_listing, "LONGEST_LIST", 2)
    review.start(*sources)
    assert review.wait()
    assert review.listing.flooded == 0
    complete = len(review.navigator.components)
    source = sources[0]
    paint(source.node, source.segment_id, scan, [(19, 23, 27)], 1)
    review.poll()
    review.poll()
    # At once it is known that the old list does not hold, and the call has waited for nothing.
    assert (review.listing.flooded, review.navigator.components) == (first_errors + 1, [])
    assert review.pending
    assert review.wait()
    assert (len(review.navigator.components), review.listing.count) == (2, complete + 1)
    paint(source.node, source.segment_id, scan, [(19, 23, 27)], 0)
    assert review.wait()
    assert (review.listing.flooded, len(review.navigator.components)) == (0, complete)


def test_list_that_is_not_whole_says_so_where_it_is_exported(monkeypatch, sources, review, tmp_path):
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(review_listing, "LONGEST_LIST", 1)
    review.start(*sources)
    assert review.wait()
    count, wording = review.listing.count, review.error_map.wording
    assert count > 1
    for name in ("errors.csv", "errors.json"):
        export_components(review.navigator, tmp_path / name, wording, count=count)
    first, header, *rows = (tmp_path / "errors.csv").read_text().splitlines()
    assert first == f"# first 1 of {count} errors, what matters most first"
    assert (header.startswith("kind,"), len(rows)) == (True, 1)
    contents = json.loads((tmp_path / "errors.json").read_text())
    assert (contents["count"], len(contents["components"])) == (count, 1)


def test_failed_worker_is_said_once(monkeypatch, scan, sources, review, python):
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    review.python = python("error")
    review.start(*sources)
    said = []
    while review.pending:  # the metrics fail as well, before or after
        try:
            review.wait()
        except VesselSegError as error:
            said.append(error.message)
    assert review.listing.failed
    assert 1 <= len(said) <= 2
    assert all("no contrast" in message for message in said)
    review.stop()
    assert review.poll() == set()


def test_list_that_is_not_that_of_the_map_is_not_exported(monkeypatch, scan, sources, review, python, tmp_path):
    def export():
        export_components(review.navigator, tmp_path / "errors.csv", review.error_map.wording, overwrite=True)
        return len((tmp_path / "errors.csv").read_text().splitlines()) - 1

    review.start(*sources)
    with pytest.raises(VesselSegError, match="the list of errors is not there yet"):
        export()
    assert review.wait()
    complete = export()
    paint(sources[0].node, sources[0].segment_id, scan, [(19, 23, 27)], 1)
    review.poll()
    with pytest.raises(VesselSegError, match="the list of errors is not there yet"):
        export()
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    review.python = python("error")
    review.poll()
    assert not review.listing.failed
    with pytest.raises(VesselSegError, match="the list of errors is not there yet"):
        export()
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 100)
    assert review.poll() == {COMPONENTS}
    assert export() == complete + 1


def test_edits_of_the_mask_are_followed(scene, scan, sources, review):
    mask = add_labelmap(scene, np.ones(SHAPE, np.uint8), volume_from_node(scan).geometry, "brain")
    review.start(*sources, brain_mask_node=mask)
    assert review.wait()
    assert review.metrics[INSIDE_MASK]["dice"] == review.metrics[WHOLE_VOLUME]["dice"] < 1
    set_node_volume(mask, volume_from_node(scan).with_array((FOUND & TRUTH).astype(np.uint8)))
    assert review.wait()
    assert review.metrics[INSIDE_MASK]["dice"] == 1
    review.use_mask(None)
    assert review.wait()
    assert list(review.metrics) == [WHOLE_VOLUME]


def test_metrics_are_exported(sources, review, tmp_path):
    with pytest.raises(VesselSegError, match="not there yet"):
        export_metrics(review, tmp_path / "metrics.csv")
    review.start(*sources)
    assert review.wait()
    export_metrics(review, tmp_path / "metrics.csv")
    export_metrics(review, tmp_path / "metrics.json")
    stored = json.loads((tmp_path / "metrics.json").read_text())[WHOLE_VOLUME]
    assert stored["dice"] == review.metrics[WHOLE_VOLUME]["dice"]
    header, first, *_rest = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header == "metric,title,unit,whole_volume"
    assert first.startswith("dice,Dice,,0.")
    with pytest.raises(VesselSegError, match="neither"):
        export_metrics(review, tmp_path / "metrics.txt")


def test_two_results_can_always_be_told_apart(scene, scan):
    one, other = (add_segmentation(scene, scan, FOUND, "vessels") for _ in range(2))
    assert names_of_two(LabelSource(*one), LabelSource(*other)) == ("vessels (1)", "vessels (2)")


@pytest.mark.parametrize(
    ("position", "angles"),
    [((0, 100, 0), (0, 0)), ((-100, 0, 0), (90, 0)), ((100, 0, 0), (-90, 0)), ((0, 0, 100), (None, 90))],
)
def test_figures_can_be_seen_as_the_3d_view_is(scene, position, angles):
    assert seen_from(scene) is None
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode")
    camera.SetFocalPoint(1, 2, 3)
    camera.SetPosition(*np.add(position, (1, 2, 3)))
    azimuth, elevation = seen_from(scene)
    assert elevation == pytest.approx(angles[1])
    assert angles[0] is None or azimuth == pytest.approx(angles[0])


def test_counts_on_a_real_scan_agree_with_simpleitk(scene, review):
    if not os.environ.get("VESSELSEG_DATA"):
        pytest.skip("needs real scans: set VESSELSEG_DATA")
    folder = Path(os.environ["VESSELSEG_DATA"]) / "tof"
    tof, truth = read_volume(folder / "MNI_0656_tof.nii.gz"), read_label(folder / "MNI_0656_label.nii.gz")
    scan = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "TOF")
    set_node_volume(scan, tof)
    found = (tof.array >= 235).astype(np.uint8)
    labels = {"found": found, "truth": (truth.array != 0).astype(np.uint8)}
    nodes = [LabelSource(*add_segmentation(scene, scan, label, name)) for name, label in labels.items()]
    review.start(*nodes)
    # Another program, on the files: not through the scene.
    image = sitk.ReadImage(str(folder / "MNI_0656_tof.nii.gz")) >= 235
    other = sitk.ReadImage(str(folder / "MNI_0656_label.nii.gz")) != 0
    statistics = sitk.StatisticsImageFilter()

    def voxels(mask):
        statistics.Execute(sitk.Cast(mask, sitk.sitkUInt32))
        return int(statistics.GetSum())

    wanted = [voxels(image & other), voxels(image & ~other), voxels(~image & other)]
    assert [entry.voxels for entry in review.error_map.legend()] == wanted
    assert min(wanted) > 50
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(other, image)
    assert review.metrics[WHOLE_VOLUME]["dice"] == pytest.approx(overlap.GetDiceCoefficient(1))
    values = np.bincount(review.error_map.errors.array.ravel(), minlength=4)
    assert values.tolist() == [found.size - sum(wanted), *wanted]
