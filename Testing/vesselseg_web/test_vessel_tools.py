"""Tools that know vessels: clicks on pieces and branches, growth, traces, thresholds, names."""

from __future__ import annotations

import numpy as np
import pytest

from correcting_case import ALONG_MISSED, BRANCH, PIECE, TRUNK, drawn


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
