"""Tools that know vessels: clicks on pieces and branches, growth, traces, thresholds, names."""

from __future__ import annotations

import numpy as np
import pytest

from correcting_case import ALONG_MISSED, BRANCH, PIECE, TRUNK, drawn
from vesselseg.editing import edit_of
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node


@pytest.mark.parametrize("three_d", [False, True])
def test_piece_is_removed_by_a_click_and_undone(edited, three_d):
    before = edited.label
    edited.tools.toggle("removePiece")
    edited.click(PIECE, edited.solid if three_d else edited.axial)
    assert "108 removed" in edited.data.hint
    np.testing.assert_array_equal(edited.label, before)
    assert edited.case.edits.preview.shown
    edited.tools.apply()
    expected = before.copy()
    expected[3:6, 5:8, 4:16] = 0
    np.testing.assert_array_equal(edited.label, expected)
    assert not edited.case.edits.preview.shown
    assert len(edited.steps) == 1
    assert edited.data.tool == "removePiece"
    edited.correct.undo()
    np.testing.assert_array_equal(edited.label, before)
    edited.correct.redo()
    np.testing.assert_array_equal(edited.label, expected)


def test_branch_is_removed_without_its_parent(edited):
    edited.tools.toggle("removeBranch")
    edited.click(BRANCH)
    edited.tools.apply()
    label = edited.label
    assert label[TRUNK]
    assert not label[BRANCH]


def test_growth_follows_the_slider(edited):
    edited.tools.toggle("grow")
    edited.click(ALONG_MISSED[1])
    edited.data.length = 40.0
    edited.data.threshold = 0.3
    edited.page.state.flush()
    edited.poll(0.3)
    added = edited.data.hint
    edited.data.threshold = 0.95
    edited.page.state.flush()
    edited.poll(0.3)
    assert edited.data.hint != added
    edited.data.threshold = 0.3
    edited.page.state.flush()
    edited.poll(0.3)
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] | drawn()[1])


@pytest.mark.parametrize(("faint", "threshold"), [(0.018, 0.009), (0.008, 0.005), (0.004, None)])
def test_growth_of_a_faint_vessel(edited, faint, threshold):
    node = edited.case.probability_node
    probability = volume_from_node(node)
    array = np.where(np.isclose(probability.array, 0.4), faint, np.where(probability.array > 0.8, 0.9, 0.0))
    set_node_volume(node, probability.with_array(array.astype(np.float32)))
    edited.tools.toggle("grow")
    edited.click(ALONG_MISSED[1])
    assert edited.page.data.error == ""
    if threshold is None:
        assert edited.data.hint.endswith("Trace the vessel instead.")
    else:
        assert edited.data.threshold == threshold
        assert "Apply or Cancel" in edited.data.hint


def test_trace_through_several_clicks(edited):
    edited.tools.toggle("trace")
    edited.click(ALONG_MISSED[0])
    assert edited.data.hint == "Click the next place along the vessel."
    assert edited.data.why_no_apply
    for voxel in ALONG_MISSED[1:]:
        edited.click(voxel)
        assert edited.data.why_no_apply == ""
    edited.tools.apply()
    added = edited.label.astype(bool) & ~drawn()[0].astype(bool)
    truth = drawn()[1].astype(bool) & ~drawn()[0].astype(bool)
    assert 2 * np.count_nonzero(added & truth) / (np.count_nonzero(added) + np.count_nonzero(truth)) > 0.7


def test_local_threshold(edited):
    edited.tools.toggle("threshold")
    edited.data.threshold, edited.data.radius = 0.3, 3.0
    edited.page.state.flush()
    edited.click(ALONG_MISSED[1])
    edited.tools.apply()
    label = edited.label
    assert label[ALONG_MISSED[1]]
    assert not label[ALONG_MISSED[0]]


def test_branch_gets_a_name(edited):
    edited.tools.toggle("name")
    edited.data.vessel = "MCA left"
    edited.click(BRANCH)
    assert "Left middle cerebral artery" in edited.data.hint
    assert "removed" not in edited.data.hint
    edited.tools.apply()
    assert "MCA left" in edited.case.edits.arteries.segments()
    assert len(edited.steps) == 1
    edited.correct.undo()
    np.testing.assert_array_equal(edited.label, drawn()[0])


def test_keeping_one_piece(edited):
    edited.tools.toggle("keepPiece")
    edited.click(TRUNK)
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])


def test_small_pieces_need_no_click(edited):
    edited.data.volume = 20.0
    edited.tools.toggle("smallPieces")
    assert "Nothing would change" in edited.data.hint
    edited.data.volume = 30.0
    edited.page.state.flush()
    edited.poll(0.3)
    assert "108 removed" in edited.data.hint
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])


@pytest.fixture
def named_trunk(edited):
    """The trunk is the basilar artery; a branch without a name hangs on it, and a loose piece does not."""
    trunk = drawn()[0].astype(bool)
    trunk[:, 22:], trunk[:6] = False, False
    edit = edit_of(np.zeros_like(trunk), trunk, tool="remove branch", description="remove a branch")
    edited.case.edits.arteries.move(edit, "basilar")
    edited.poll()
    return trunk


def test_a_branch_of_a_named_vessel_is_no_small_piece(edited, named_trunk):
    whole = drawn()[0] & drawn()[1]
    # More than branch and trunk have each, less than they have together.
    edited.data.volume = (int(whole.sum()) - 1) * edited.case.edits.target.geometry.voxel_volume
    edited.tools.toggle("smallPieces")
    assert "108 removed" in edited.data.hint
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, whole)
    np.testing.assert_array_equal(edited.case.edits.target.label(), whole * ~named_trunk)


@pytest.mark.parametrize("place", [TRUNK, BRANCH])
def test_the_piece_that_is_kept_goes_on_into_named_vessels(edited, named_trunk, place):
    edited.tools.toggle("keepPiece")
    edited.click(place)
    assert "108 removed" in edited.data.hint
    edited.tools.apply()
    np.testing.assert_array_equal(edited.label, drawn()[0] & drawn()[1])
