"""Errors that are accepted or rejected by clicks in the views."""

from __future__ import annotations

import time

import numpy as np
import pytest

from correcting_case import ALONG_MISSED, PIECE, drawn
from vesselseg.volume import Volume


@pytest.fixture
def compared(edited):
    edited.case.add_reference(Volume(drawn()[1], edited.geometry), "truth")
    edited.compare.start()
    edited.wait(lambda: len(edited.errors.data.rows) == 2)
    return edited


def test_error_is_accepted_by_a_click(compared):
    compared.tools.toggle("error")
    compared.click(ALONG_MISSED[1])
    compared.tools.apply()
    compared.wait(lambda: len(compared.errors.data.rows) == 1)
    assert compared.compare.data.legend[2]["text"].startswith("0 voxels")
    compared.correct.undo()
    np.testing.assert_array_equal(compared.label, drawn()[0])
    compared.wait(lambda: len(compared.errors.data.rows) == 2)


def test_error_is_rejected_by_a_click_in_3d(compared):
    before = compared.label
    compared.tools.toggle("error")
    compared.data.decision = "rejected"
    compared.click(PIECE, compared.solid)
    assert "keep the vessels" in compared.data.hint
    shown = compared.case.edits.preview.node.GetSegmentation()
    assert [shown.GetNthSegmentID(index) for index in range(shown.GetNumberOfSegments())] == ["To keep"]
    compared.tools.apply()
    np.testing.assert_array_equal(compared.label, before)
    assert len(compared.correct.data.steps) == 1
    marks = compared.case.review.navigator
    assert marks is not None
    compared.correct.undo()
    assert compared.correct.data.steps == []


@pytest.fixture
def with_another(edited):
    """Compared with one of two references: only in that one there is a vessel that was missed, beside others."""
    truth = drawn()[1]
    half = truth.copy()
    half[:, :, : ALONG_MISSED[1][2]] &= drawn()[0][:, :, : ALONG_MISSED[1][2]]
    for label, name in ((half, "half"), (truth, "truth")):
        edited.case.add_reference(Volume(label, edited.geometry), name)
    edited.compare.start()
    return edited


def compare_with(desk, name):
    desk.compare.data.reference = name
    desk.compare.start()


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_another_comparison_takes_back_what_is_shown(with_another, at_once):
    before = with_another.label
    with_another.tools.toggle("error")
    with_another.click(ALONG_MISSED[1])
    assert with_another.case.edits.preview.shown
    compare_with(with_another, "half")
    if not at_once:
        with_another.poll()
        assert with_another.data.why_no_apply
    with_another.tools.apply()
    assert not with_another.case.edits.preview.shown
    np.testing.assert_array_equal(with_another.label, before)
    assert (with_another.data.tool, with_another.steps) == ("error", [])
    assert with_another.page.data.error == ""
    assert with_another.data.hint.startswith("Click on a false positive")


def test_tools_that_need_no_comparison_go_on_with_another(with_another):
    with_another.tools.toggle("removePiece")
    with_another.click(PIECE)
    compare_with(with_another, "half")
    with_another.poll()
    with_another.tools.apply()
    assert not with_another.label[PIECE]


@pytest.mark.parametrize("decision", ["accepted", "rejected"])
def test_decision_is_kept_where_metrics_cannot_be_measured(compared, decision):
    compared.tools.toggle("error")
    compared.data.decision = decision
    compared.case.review.use_mask(None)
    time.sleep(0.4)
    compared.compare.poll()  # now a worker is asked for metrics, as which the pretended one fails
    compared.click_at_once(ALONG_MISSED[1])
    time.sleep(4)  # it has failed, but nobody has looked
    compared.tools.apply()
    assert len(compared.steps) == 1
    assert compared.label[ALONG_MISSED[1]] == (decision == "accepted")
    assert compared.page.data.error == ""
    compared.wait(lambda: "worker ended unexpectedly" in compared.page.data.error)
    assert compared.case.review.error_map is not None
