"""Branches that are given the names of arteries, and tools that work on them."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from compared_labels import SHAPE, add_labelmap, add_segmentation
from edited_vessels import TRUTH, WAS, at, voxels
from editing_shortcuts import grown_from, traced_through
from vesselseg.errors import VesselSegError
from VesselSegmentationLib.correcting import edit_tools
from VesselSegmentationLib.correcting.artery_editor import NAMED_VESSELS
from VesselSegmentationLib.correcting.edit_logic import EditLogic
from VesselSegmentationLib.correcting.edit_tools import ToolSettings
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_probability
from VesselSegmentationLib.scene.segmentation_nodes import (
    segment_label,
    set_segment_label,
    set_surface_shown,
    surface_shown,
)
from VesselSegmentationLib.scene.vessel_label import keep_vessels, set_vessel_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node

#: A voxel in the middle of the vessel that both labels have.
INSIDE = (10, 9, 9)


@pytest.fixture
def review(scene, scan, vessels):
    review = ReviewLogic(scene)
    truth = LabelSource(add_labelmap(scene, TRUTH, volume_from_node(scan).geometry))
    review.start(LabelSource(vessels[0]), truth, volume_node=scan)
    yield review
    review.stop()


@pytest.fixture
def logic(scene, scan, vessels, review):
    """Editing what was found; the vessel that both labels have is probable, and a rim around it is, too."""
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Probability")
    values = np.where(WAS, 0.9, 0.001).astype(np.float32)
    values[4:16, 7:12, 7:12][WAS[4:16, 7:12, 7:12] == 0] = 0.4
    set_node_volume(probability, volume_from_node(scan).with_array(values))
    record_probability(vessels[0], probability)
    logic = EditLogic(scene, reader="Dr. Reader")
    logic.start(vessels[0], review=review)
    yield logic
    logic.stop()


def named(logic, key):
    return logic.target.label_of(logic.arteries.segment_of(key))


@pytest.fixture
def mca(logic, scan):
    """The vessel moved to the left MCA; returns its label."""
    logic.arteries.move(logic.arteries.preview(at(scan, *INSIDE), whole_piece=True), "MCA left")
    return named(logic, "MCA left")


def test_branch_moved_to_an_artery_and_back(scan, vessels, logic):
    node, _segment_id = vessels
    before = voxels(vessels, scan)
    edit = logic.arteries.preview(at(scan, 10, 9, 9), whole_piece=True)
    logic.arteries.move(edit, "MCA left")
    moved = logic.arteries.segment_of("MCA left")
    segment = node.GetSegmentation().GetSegment(moved)
    assert segment.GetName() == "Left middle cerebral artery"
    assert voxels(vessels, scan).sum() + segment_label(node, moved, scan).array.sum() == before.sum()
    assert not (voxels(vessels, scan) & segment_label(node, moved, scan).array).any()
    np.testing.assert_array_equal(logic.arteries.whole_label().array, before)
    logged = logic.log.entries[-1]
    assert logged["metrics_after"] == logged["metrics_before"]  # named or not, it is the same label
    logic.undo()
    assert logic.arteries.segments() == {}
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    logic.redo()
    moved = logic.arteries.segment_of("MCA left")
    back = logic.arteries.preview(at(scan, 10, 9, 9), source_id=moved, whole_piece=True)
    logic.arteries.move(back, "ICA right", source_id=moved)
    assert set(logic.arteries.segments()) == {"MCA left", "ICA right"}
    there = logic.arteries.segment_of("ICA right")
    logic.arteries.move_back(logic.arteries.preview(at(scan, 10, 9, 9), source_id=there, whole_piece=True), there)
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    while logic.can_undo:
        logic.undo()
    np.testing.assert_array_equal(voxels(vessels, scan), before)
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    with pytest.raises(VesselSegError, match="no vessel 'aorta'"):
        logic.arteries.move(edit, "aorta")


@pytest.mark.parametrize("vessel", NAMED_VESSELS, ids=lambda vessel: vessel.key)
def test_names_are_entries_that_slicer_reads(vessel):
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(vessel.terminology, entry)
    assert entry.GetTypeObject().GetCodeMeaning() == ("Vein" if vessel.is_vein else "Artery")
    if vessel.is_vein:
        # Only there do 3D Slicer's lists have veins with a side.
        assert entry.GetTerminologyContextName() == "Segmentation category and type - DICOM master list"
        assert entry.GetCategoryObject().GetCodeValue() == "123037004"
        assert entry.GetTypeModifierObject().GetCodeMeaning().lower() == vessel.side
    else:
        assert entry.GetAnatomicRegionObject().GetCodeMeaning() == vessel.region.split("^")[2]
        assert (entry.GetAnatomicRegionModifierObject().GetCodeMeaning() or "").lower() == vessel.side


@pytest.mark.parametrize("vessel", [each for each in NAMED_VESSELS if each.region], ids=lambda vessel: vessel.key)
def test_codes_are_those_of_snomed(vessel):
    codes = pytest.importorskip("pydicom.sr.codedict").codes
    _scheme, value, meaning = vessel.region.split("^")
    known = {getattr(codes.SCT, name).value: getattr(codes.SCT, name).meaning for name in codes.SCT.dir("arter")}
    assert meaning.lower() in known[value].lower()


def test_edits_are_measured_with_the_named_artery_when_editing_starts_again(vessels, review, logic, mca):
    before = logic.target.metrics()
    logic.leave()
    logic.start(vessels[0], review=review)
    assert logic.target.metrics() == before
    assert before["dice"] > 0.5


def test_tools_work_on_the_named_artery_at_the_click(scan, vessels, logic, mca):
    remove = edit_tools.RemovePiece(logic)
    edit = remove.preview([at(scan, *INSIDE)], ToolSettings())
    assert remove.describe(edit, ToolSettings()).endswith("from Left middle cerebral artery")
    remove.commit(edit, [], ToolSettings())
    assert not named(logic, "MCA left").any()
    logic.undo()
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)
    edit = remove.preview([at(scan, 2, 2, 4)], ToolSettings())
    assert "from" not in remove.describe(edit, ToolSettings())
    remove.commit(edit, [], ToolSettings())
    assert not voxels(vessels, scan).any()
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)


def t_shape():
    """A trunk along x, a branch of it, and two vessels that come after that one."""
    label = np.zeros(SHAPE, np.uint8)
    label[8:13, 2:6, 1:27] = 1
    label[9:12, 6:16, 13:16] = 1
    label[9:12, 16:19, 5:24] = 1
    return label


@pytest.mark.parametrize("extent", [edit_tools.BRANCH, edit_tools.FROM_CLICK])
@pytest.mark.parametrize("kind", [edit_tools.RemoveBranch, edit_tools.NameVessel])
def test_a_branch_is_the_same_once_the_vessel_that_it_comes_from_has_a_name(scene, scan, extent, kind):
    node, _segment_id = add_segmentation(scene, scan, t_shape(), "Tree")
    logic = EditLogic(scene)
    logic.start(node)
    tool, click = kind(logic), [at(scan, 10, 11, 14)]
    settings = ToolSettings(extent=extent, vessel="MCA left")
    before = tool.preview(click, settings)
    name, trunk = edit_tools.NameVessel(logic), ToolSettings(vessel="ICA left")
    for place in (at(scan, 10, 3, 4), at(scan, 10, 3, 24)):
        name.commit(name.preview([place], trunk), [place], trunk)
    after = tool.preview(click, settings)
    assert (after.box, after.description) == (before.box, before.description)
    np.testing.assert_array_equal(after.removed, before.removed)
    tool.commit(after, click, settings)
    assert not logic.target.label()[9:12, 16:19, 5:24].any()
    logic.stop()


def test_the_other_side_is_what_has_no_name_of_it(scene, scan):
    node, _segment_id = add_segmentation(scene, scan, t_shape(), "Tree")
    logic = EditLogic(scene)
    logic.start(node)
    name, trunk, place = edit_tools.NameVessel(logic), ToolSettings(vessel="ICA left"), at(scan, 10, 3, 4)
    name.commit(name.preview([place], trunk), [place], trunk)
    ica = named(logic, "ICA left")
    edit = logic.preview_remove_branch(at(scan, 10, 11, 14), other_side=True)
    logic.commit(edit)
    assert edit.voxels_removed
    np.testing.assert_array_equal(named(logic, "ICA left"), ica)
    logic.stop()


def hide(node, segment_id):
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSegmentVisibility(segment_id, False)


def test_what_the_reader_has_hidden_is_not_clicked_on(scan, vessels, logic, review, mca):
    node, artery = vessels[0], logic.arteries.segment_of("MCA left")
    remove, click = edit_tools.RemovePiece(logic), [at(scan, *INSIDE)]
    review.show_map(True)
    assert not node.GetDisplayNode().GetSegmentVisibility(artery)
    assert remove.preview(click, ToolSettings()).voxels_removed == mca.sum()  # it is the map that is seen there
    review.show_map(False)
    hide(node, artery)
    with pytest.raises(VesselSegError, match="no vessel within 3 mm"):
        remove.preview(click, ToolSettings())
    hide(node, vessels[1])
    for place in ((2, 2, 4), INSIDE):
        with pytest.raises(VesselSegError, match="'Vessels' is hidden"):
            remove.preview([at(scan, *place)], ToolSettings())
    node.GetDisplayNode().SetSegmentVisibility(artery, True)
    assert remove.preview(click, ToolSettings()).voxels_removed == mca.sum()


@pytest.mark.parametrize("kind", [edit_tools.Grow, edit_tools.Trace])
def test_what_grows_out_of_a_named_artery_belongs_to_it(scan, vessels, logic, mca, kind):
    tool, settings = kind(logic), ToolSettings(threshold=0.3)
    # Up to the end of the artery, and a little beyond.
    clicks = [at(scan, 10, 7, 9)] if kind is edit_tools.Grow else [at(scan, 15, 9, 9), at(scan, 18, 9, 9)]
    edit = tool.preview(clicks, settings)
    assert tool.describe(edit, settings) == f"{edit.description} in Left middle cerebral artery"
    tool.commit(edit, clicks, settings)
    assert named(logic, "MCA left").sum() == mca.sum() + edit.voxels_added > mca.sum()
    assert voxels(vessels, scan).sum() == WAS.sum() - mca.sum()
    logic.undo()
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)
    hide(vessels[0], logic.arteries.segment_of("MCA left"))
    edit = tool.preview(clicks, settings)
    assert tool.describe(edit, settings) == edit.description
    tool.commit(edit, clicks, settings)
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)


def test_what_joins_a_named_artery_and_another_vessel_gets_no_name(scan, vessels, logic, mca):
    tool, clicks = edit_tools.Trace(logic), [at(scan, 4, 8, 8), at(scan, 2, 2, 5)]
    edit = tool.preview(clicks, ToolSettings())
    assert tool.describe(edit, ToolSettings()) == edit.description
    tool.commit(edit, clicks, ToolSettings())
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)
    assert voxels(vessels, scan).sum() == WAS.sum() - mca.sum() + edit.voxels_added


def test_clicks_that_the_vessels_join_already_are_told(scan, logic):
    with pytest.raises(VesselSegError, match="a click in between"):
        edit_tools.Trace(logic).preview([at(scan, 6, 9, 9), at(scan, 13, 9, 9)], ToolSettings())


def test_the_brush_thresholds_the_artery_at_the_click_and_no_other(scan, vessels, logic, mca):
    brush, settings = edit_tools.ThresholdBrush(logic), ToolSettings(threshold=0.3, radius_mm=4.0)
    edit = brush.preview([at(scan, *INSIDE)], settings)
    assert brush.describe(edit, settings) == f"{edit.description} in Left middle cerebral artery"
    brush.commit(edit, [], settings)
    assert named(logic, "MCA left").sum() > mca.sum()
    assert voxels(vessels, scan).sum() == WAS.sum() - mca.sum()
    logic.undo()
    settings = ToolSettings(threshold=0.95, radius_mm=20.0, change=edit_tools.REMOVE_ONLY)
    brush.commit(brush.preview([at(scan, 2, 2, 4)], settings), [], settings)
    assert not voxels(vessels, scan).any()
    np.testing.assert_array_equal(named(logic, "MCA left"), mca)
    logic.undo()
    nothing = ToolSettings(threshold=0.3, radius_mm=4.0, change=edit_tools.REMOVE_ONLY)
    assert brush.preview([at(scan, *INSIDE)], nothing).is_empty


def test_what_is_added_never_overlaps_with_a_named_artery(scan, vessels, logic, mca):
    grown = grown_from(logic, at(scan, 10, 7, 9), threshold=0.3)
    traced = traced_through(logic, [at(scan, 10, 5, 9), at(scan, 10, 14, 9)], radius_mm=0.9)
    for edit in (grown, traced):
        assert edit.voxels_added
        assert not (edit.added & (mca[edit.box] != 0)).any()
    logic.commit(traced)
    assert not (voxels(vessels, scan) & named(logic, "MCA left")).any()


def test_naming_leaves_the_comparison_as_it_is_and_errors_are_taken_from_arteries(scan, vessels, logic, review, mca):
    while review.poll():
        pass
    before = np.where(WAS & TRUTH, 1, np.where(WAS, 2, np.where(TRUTH, 3, 0)))
    np.testing.assert_array_equal(review.error_map.errors.array, before)
    logic.arteries.move(logic.arteries.preview(at(scan, 2, 2, 4)), "ICA right")
    edit = logic.errors.preview_at(at(scan, 2, 2, 4))
    assert edit.voxels_removed == 6
    logic.errors.correct_at(at(scan, 2, 2, 4), "Dr. Reader")
    assert not named(logic, "ICA right").any()
    while review.poll():
        pass
    assert not (review.error_map.errors.array == 2).any()
    logic.undo()
    assert named(logic, "ICA right").sum() == 6
    artery = logic.arteries.segment_of("MCA left")
    logic.arteries.move(
        logic.arteries.preview(at(scan, *INSIDE), source_id=artery, whole_piece=True), "veins left", source_id=artery
    )
    while review.poll():
        pass
    assert (review.error_map.errors.array == 3).sum() > (before == 3).sum()


def test_a_step_that_moves_shows_both_surfaces(vessels, logic, scan):
    node = vessels[0]
    set_surface_shown(node, True)
    logic.arteries.move(logic.arteries.preview(at(scan, *INSIDE), whole_piece=True), "MCA left")
    assert surface_shown(node)
    for segment_id in (vessels[1], logic.arteries.segment_of("MCA left")):
        assert node.GetClosedSurfaceInternalRepresentation(segment_id).GetNumberOfPoints() > 0
    logic.undo()
    assert surface_shown(node)
    assert node.GetClosedSurfaceInternalRepresentation(vessels[1]).GetNumberOfPoints() > 0


def drawn_beside(vessels, scan, label):
    """A label that a reader drew, as a segment beside the vessels."""
    drawn = volume_from_node(scan).with_array(label)
    return set_segment_label(vessels[0], scan, drawn, name="By hand", role="manual")


@pytest.fixture
def by_hand(vessels, scan, logic, review, mca):
    """The reader's label of the MCA and more is edited, and compared with the truth."""
    label = np.maximum(mca, np.roll(mca, 2, axis=2))
    segment_id = drawn_beside(vessels, scan, label)
    review.start(LabelSource(vessels[0], segment_id), review.error_map.sources[1], volume_node=scan)
    logic.start(vessels[0], scan, segment_id=segment_id, review=review)
    return label


def test_named_arteries_are_no_part_of_another_segment_than_the_vessels(scan, vessels, logic, review, mca, by_hand):
    artery = logic.arteries.segment_of("MCA left")
    np.testing.assert_array_equal(logic.arteries.whole_label().array, by_hand)
    np.testing.assert_array_equal(logic.arteries.all_vessels(), by_hand)
    hits = int((by_hand & TRUTH).sum())
    assert logic.target.metrics()["dice"] == pytest.approx(2 * hits / int(by_hand.sum() + TRUTH.sum()))
    assert logic.arteries.segments() == {}
    assert logic.arteries.segment_at(at(scan, *INSIDE)) == logic.target.segment_id
    assert logic.errors.applies
    logic.commit(logic.preview_remove_piece(at(scan, *INSIDE)))
    for component in logic.errors.components():
        step = logic.errors.decide(component.component_id, "accepted", "Dr. Reader")
        assert set(step.counts()) == {logic.target.segment_id}
    np.testing.assert_array_equal(logic.target.label(), TRUTH)
    np.testing.assert_array_equal(logic.target.label_of(artery), mca)


def test_branches_of_another_segment_than_the_vessels_get_no_names(scan, logic, mca, by_hand):
    with pytest.raises(VesselSegError, match="'By hand' cannot be named"):
        edit_tools.NameVessel(logic).preview([at(scan, *INSIDE)], ToolSettings(vessel="basilar"))
    np.testing.assert_array_equal(logic.target.label(), by_hand)


def test_a_run_that_keeps_an_edited_label_takes_the_names_over(scan, vessels, logic, mca):
    node, segment_id = vessels
    artery = logic.arteries.segment_of("MCA left")
    keep_vessels(node)
    assert logic.target.parts() == [artery]  # no other segment holds vessels yet
    found = set_vessel_label(node, scan, volume_from_node(scan).with_array(TRUTH))
    assert logic.target.segment_id == segment_id
    np.testing.assert_array_equal(logic.arteries.whole_label().array, WAS)
    logic.start(node, scan)
    assert logic.target.segment_id == found
    assert logic.target.parts() == [artery]
    np.testing.assert_array_equal(logic.target.label(), TRUTH & ~mca)
    np.testing.assert_array_equal(logic.arteries.whole_label().array, TRUTH)


def test_a_label_from_elsewhere_keeps_the_branches_that_are_named(scene, scan):
    node, segment_id = add_segmentation(scene, scan, WAS, "Imported", role="imported")
    logic = EditLogic(scene)
    logic.start(node)
    logic.arteries.move(logic.arteries.preview(at(scan, *INSIDE), whole_piece=True), "MCA left")
    for source in (LabelSource(node), LabelSource(node, segment_id)):
        np.testing.assert_array_equal(source.label_on(scan, "label")[0].array, WAS)
    logic.start(node)
    np.testing.assert_array_equal(logic.arteries.whole_label().array, WAS)
    logic.stop()
