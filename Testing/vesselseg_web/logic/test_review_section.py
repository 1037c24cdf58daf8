"""What the section "Review" of the page does, from clicks to what is to be drawn."""

from __future__ import annotations

import time

import numpy as np
import pytest

from page_polling import poll
from vesselseg.errors import VesselSegError
from vesselseg_web.logic.correct_logic import CorrectLogic
from VesselSegmentationLib.reviewing import review_listing


@pytest.fixture
def compared(segmented, case, label, compare_section):
    case.add_reference(label, "truth")
    compare_section.start()
    return compare_section


def test_comparison(compared, case, scan, label):
    found = scan.array / scan.array.max() >= 0.5
    counts = [np.count_nonzero(each) for each in (found & (label.array != 0), found > label.array, label.array > found)]
    data = compared.data
    assert data.compared
    assert [entry["title"] for entry in data.legend] == ["true positive", "false positive", "false negative"]
    assert [entry["text"].split()[0] for entry in data.legend] == [f"{count:,}" for count in counts]
    assert [entry["colour"] for entry in data.legend] == ["#e61a1a", "#1acc33", "#2659ff"]
    assert {row["title"]: row["value"] for row in data.metrics}["Dice"] == (
        f"{2 * counts[0] / (2 * counts[0] + counts[1] + counts[2]):.3f}"
    )
    np.testing.assert_array_equal(case.error_map().array != 0, found | (label.array != 0))


def test_errors_are_listed_and_shown(compared, case, errors_section):
    poll(compared, lambda: bool(errors_section.data.note) and "being made" not in errors_section.data.note)
    errors_section.data.hide_boundary = False
    errors_section.page.state.flush()
    (row,) = errors_section.data.rows
    assert row["kind"] == "false negative"
    errors_section.next()
    assert errors_section.data.chosen == row["id"]
    assert errors_section.data.details.startswith("24 voxels, ")
    assert case.review.navigator.highlight.shown
    errors_section.choose("gone")
    assert "there is no component" in errors_section.page.data.error.lower()


def test_decisions_are_steps_that_can_be_undone(page, compared, case, label, errors_section):
    section = CorrectLogic(page, case, compared.tell)
    poll(compared, lambda: bool(errors_section.data.note) and "being made" not in errors_section.data.note)
    before = case.label().array
    assert not section.data.can_undo
    errors_section.choose(case.review.navigator.components[0].component_id)
    section.decide("accepted")
    np.testing.assert_array_equal(case.label().array, label.array)
    poll(compared, lambda: compared.data.legend[2]["text"] == "0 voxels, 0.00 ml")
    section.update()
    assert section.data.can_undo
    assert len(section.data.steps) == 1
    section.undo()
    np.testing.assert_array_equal(case.label().array, before)
    section.redo()
    np.testing.assert_array_equal(case.label().array, label.array)
    assert section.page.data.error == ""


@pytest.mark.parametrize(
    ("decision", "word"), [("reviewed", "seen"), ("rejected", "rejected")], ids=["seen", "rejected"]
)
def test_decisions_are_told_with_the_words_of_their_buttons(page, compared, case, errors_section, decision, word):
    section = CorrectLogic(page, case, compared.tell)
    poll(compared, lambda: bool(errors_section.data.note) and "being made" not in errors_section.data.note)
    errors_section.data.hide_boundary = False
    errors_section.page.state.flush()
    errors_section.next()
    section.decide(decision)
    section.poll()
    assert section.data.steps == [f"false negative {word}, vessels unchanged"]
    assert [row["kind"] for row in errors_section.data.rows] == [f"false negative, {word}"]
    section.undo()
    assert page.data.status == f"Undone: false negative {word}, vessels unchanged."
    assert [row["kind"] for row in errors_section.data.rows] == ["false negative"]


def test_keys_without_a_comparison_say_what_is_missing(page, compare_section, errors_section):
    for act in (errors_section.next, errors_section.previous, compare_section.toggle_map):
        page.say("")
        act()
        assert page.data.status == "Compare with a reference first."


def test_one_is_told_as_one(page, case, scan, segmented, compare_section, errors_section):
    one = case.label().array.copy()
    one[0, 0, 0] = 1
    case.add_reference(scan.with_array(one), "truth")
    compare_section.start()
    assert compare_section.data.legend[2]["text"] == "1 voxel, 0.00 ml"
    poll(compare_section, lambda: "of" in errors_section.data.note)
    assert errors_section.data.note == "1 of 1 error shown."
    errors_section.next()
    assert errors_section.data.details.startswith("1 voxel, ")


def test_decision_without_a_chosen_error_says_what_is_missing(page, compared):
    section = CorrectLogic(page, compared.case, compared.tell)
    section.decide("rejected")
    assert page.data.status == "Choose an error in the list under Review."
    compared.stop()
    section.update()
    section.decide("rejected")
    assert page.data.status == "Compare with a reference first."


def test_nothing_is_decided_while_a_segmentation_runs(page, compared, segmented, case, python):
    section = CorrectLogic(page, case, compared.tell)
    poll(compared, lambda: case.review.navigator.components)
    before = case.label().array
    case.review.navigator.choose(case.review.navigator.components[0].component_id)
    case.segmentation.python = python("sleep")
    segmented.start()
    section.decide("accepted")
    np.testing.assert_array_equal(case.label().array, before)
    assert page.data.status == "Wait until the segmentation is done, or cancel it."
    section.poll()
    assert section.data.why_no_decision == page.data.status
    segmented.stop()
    section.poll()
    assert section.data.why_no_decision == ""
    section.decide("accepted")
    section.update()
    assert len(section.data.steps) == 1


def test_comparison_follows_the_threshold(compared, segmented, case):
    before = compared.data.legend
    segmented.data.threshold = 0.2
    segmented.apply_threshold()
    poll(compared, lambda: compared.data.legend != before)


def test_map_and_vessels_take_turns(compared, case):
    display = case.review.error_map.node.GetDisplayNode()
    assert display.GetVisibility()
    compared.data.shown = False
    compared.page.state.flush()
    assert not display.GetVisibility()
    compared.stop()
    assert not compared.data.compared
    assert compared.data.legend == []


def poll_as_the_page(section, until, seconds=30):
    """Poll, and show what fails; see that something has."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        with section.page.reporting(keep=True):
            section.poll()
        time.sleep(0.02)
    assert section.page.data.error


def reasons(compared):
    return {row["not_current"] for row in compared.data.metrics}


def test_metrics_that_could_not_be_measured_are_not_awaited(compared, case, python):
    case.review.python = python("crash")
    assert compared.data.notes == ""
    assert reasons(compared) == {"", "Being measured."}
    poll_as_the_page(compared, lambda: case.review.metrics_failed)
    assert "italics could not be measured" in compared.data.notes
    assert reasons(compared) == {"", "Could not be measured; the next correction starts a new attempt."}


def test_list_that_could_not_be_made_is_not_awaited(monkeypatch, compared, case, errors_section, python):
    monkeypatch.setattr(review_listing, "MOST_AT_ONCE", 0)
    case.review.python = python("crash")
    compared.start()
    poll_as_the_page(compared, lambda: not case.review.pending)
    assert "could not be listed" in errors_section.data.note


def test_pieces_that_are_not_listed_are_no_hidden_edge_errors(
    case, segmented, longer_than_lists, compare_section, errors_section
):
    case.review.python = None  # a real worker
    compare_section.start()
    case.review.navigator.hide_boundary = False
    poll(compare_section, lambda: not case.review.pending)
    errors_section.comparison_changed(set())
    assert errors_section.data.note == "2 of 2 errors shown. Of 4, those that matter most are listed."


@pytest.mark.parametrize("noticed_by", ["the comparison", "a decision"])
def test_comparison_that_ends_by_itself_is_told(compared, case, errors_section, noticed_by):
    poll(compared, lambda: case.review.navigator.components)
    component = case.review.navigator.components[0]
    case.scene.RemoveNode(case.review.error_map.node)
    if noticed_by == "a decision":
        with pytest.raises(VesselSegError, match="removed"):
            case.edits.errors.decide(component.component_id, "accepted", "")
        compared.poll()
    else:
        poll_as_the_page(compared, lambda: case.review.error_map is None)
    assert not compared.data.compared
    assert compared.data.legend == compared.data.metrics == errors_section.data.rows == []


def test_list_that_names_another_reference_than_the_compared_one_says_so(compared, case, label):
    note = "This is the comparison with 'truth': press Compare for 'another'."
    case.add_reference(label, "another")
    assert (compared.data.reference, compared.data.notes) == ("another", note)
    compared.data.reference = "truth"
    compared.page.state.flush()  # as when it is chosen in the browser
    assert compared.data.notes == ""
    compared.data.reference = "another"
    compared.page.state.flush()
    assert compared.data.notes == note
    compared.start()
    assert compared.data.notes == ""


def test_same_name_twice(case, scan, label, compare_section):
    case.load_scan(scan, "TOF")
    assert [case.add_reference(label, "truth") for _ in range(3)] == ["truth", "truth (2)", "truth (3)"]
    assert compare_section.data.reference == "truth (3)"


def test_nothing_is_left_of_a_case(compared, case, errors_section, segmented):
    case.clear()
    assert (case.scan, case.vessels, case.references) == (None, None, {})
    assert errors_section.data.rows == []
    assert compared.data.references == []
    assert segmented.data.log == []
    assert case.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert case.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
