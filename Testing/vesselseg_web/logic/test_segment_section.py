"""What the section "Segment" of the page does, from clicks to what is to be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from page_polling import poll
from vesselseg_web.logic.correct_logic import CorrectLogic
from vesselseg_web.logic.save_logic import SaveLogic
from vesselseg_web.logic.segment_logic import NO_PROBABILITY
from VesselSegmentationLib.scene.run_record import record_summary, recorded_summary, recorded_threshold


def test_nothing_to_segment(segment_section):
    assert segment_section.data.why_not == segment_section.data.why_no_mask == "Load a scan first."
    segment_section.start()
    assert not segment_section.data.running
    assert segment_section.page.data.error == "No volume is chosen. Load a TOF-MRA scan and choose it."


def test_models_are_told_in_two_lines(segment_section):
    model = segment_section.data.models[0]
    assert len(model["title"]) < 50
    assert model["subtitle"].startswith("trained ")


def test_segmentation(segmented, case, scan):
    data = segmented.data
    assert data.why_no_mask == ""
    assert data.percent == 100
    assert "2 cores" in data.message
    expected = scan.array / scan.array.max() >= 0.5
    np.testing.assert_array_equal(case.label().array, expected)
    assert data.why_no_threshold == ""


def test_threshold_acts_on_the_probability(segmented, case, scan):
    segmented.data.threshold = 0.2
    segmented.page.state.flush()  # as when the browser has moved the slider
    expected = scan.array / scan.array.max() >= 0.2
    poll(segmented, lambda: np.array_equal(case.label().array, expected))


def test_cancel(case, scan, segment_section, python):
    case.segmentation.python = python("sleep")
    case.load_scan(scan, "TOF")
    segment_section.start()
    poll(segment_section, lambda: segment_section.data.percent == 10)
    assert segment_section.data.why_no_threshold
    segment_section.stop()
    assert not segment_section.data.running
    assert not case.has_vessels
    assert segment_section.page.data.status == "The segmentation was cancelled: nothing has changed."
    assert segment_section.data.message == ""


def test_failure_of_a_worker_is_one_sentence(case, scan, segment_section, python):
    case.segmentation.python = python("error")
    case.load_scan(scan, "TOF")
    segment_section.start()
    poll(segment_section, lambda: not segment_section.data.running)
    assert segment_section.page.data.error == "The scan has no contrast. Export it again."


def test_another_scan_stops_the_run(case, scan, segment_section, python):
    case.segmentation.python = python("sleep")
    case.load_scan(scan, "TOF")
    segment_section.start()
    case.load_scan(scan, "another")
    assert not segment_section.data.running
    assert segment_section.data.percent == 0


def test_vessels_without_probability_say_so_at_the_sliders(segmented, case):
    case.scene.RemoveNode(case.probability_node)
    segmented.update()
    assert segmented.data.why_no_threshold == NO_PROBABILITY


def test_devices(segment_section, case, python):
    case.segmentation.python = python("devices")
    segment_section.ask_for_devices()
    poll(segment_section, lambda: len(segment_section.data.devices) == 2)
    assert segment_section.data.devices[1] == {"title": "cpu: a CPU", "value": "cpu"}


def test_devices_are_listed_also_when_a_scan_is_loaded_first(segment_section, case, scan, python):
    case.segmentation.python = python("devices")
    segment_section.ask_for_devices()
    case.load_scan(scan, "TOF")
    segment_section.cancel()
    poll(segment_section, lambda: len(segment_section.data.devices) == 2)


@pytest.mark.parametrize("name", ["mask", "model", "device"])
def test_what_was_not_offered_cannot_be_chosen(segment_section, case, scan, tmp_path, name):
    """The state is the browser's as well, and the worker would open a file."""
    case.load_scan(scan, "TOF")
    setattr(segment_section.data, name, str(tmp_path / "x.json"))
    segment_section.start()
    assert not segment_section.data.running
    assert "cannot be chosen" in segment_section.page.data.error


def test_given_mask_is_used(segment_section, case, scan, label):
    case.load_scan(scan, "TOF")
    case.set_mask(label, "brain")
    assert segment_section.data.mask == "given"
    segment_section.data.threshold = 0.2
    segment_section.start()
    poll(segment_section, lambda: not segment_section.data.running)
    assert segment_section.page.data.error == ""
    assert not np.any(case.label().array[label.array == 0])


def test_another_mask_is_used_too(segment_section, case, scan, label):
    case.load_scan(scan, "TOF")
    case.set_mask(label, "brain")
    segment_section.data.mask = "none"
    case.add_reference(label, "truth")
    assert segment_section.data.mask == "none"
    case.set_mask(label, "another")
    assert segment_section.data.mask == "given"
    assert segment_section.data.masks[-1]["title"] == "another"


@pytest.mark.parametrize("other", [True, False], ids=["another model", "the same model"])
def test_numbers_of_the_sliders_are_those_of_the_model_that_ran(segmented, case, other):
    """The pretended model takes 0.5 where no threshold is given."""
    segmented.data.threshold = 0.2
    segmented.apply_threshold()
    if other:
        summary = {**recorded_summary(case.vessels), "model": "another"}
        record_summary(case.vessels, summary)
    segmented.start()
    poll(segmented, lambda: not segmented.data.running)
    assert segmented.page.data.error == ""
    assert recorded_threshold(case.vessels)[0] == segmented.data.threshold == (0.5 if other else 0.2)


def test_undo_says_quietly_that_there_is_nothing(page, case, scan, segment_section):
    section = CorrectLogic(page, case, lambda changed: None)
    section.undo()
    assert (page.data.status, page.data.error) == ("Segment a scan first.", "")
    case.load_scan(scan, "TOF")
    segment_section.start()
    poll(segment_section, lambda: not segment_section.data.running)
    for act, name in ((section.undo, "undo"), (section.redo, "redo")):
        act()
        assert (page.data.status, page.data.error) == (f"There is nothing to {name}.", "")


def test_what_ran_is_told_again_of_vessels_that_came_with_a_session(segmented):
    data = segmented.data
    ran, data.message, data.threshold = data.message, "", 0.9
    segmented.show_what_ran()
    assert (data.message, data.threshold) == (ran, 0.5)
    assert ran


def test_threshold_is_told_as_such(page, segmented, case):
    section = CorrectLogic(page, case, lambda changed: None)
    segmented.data.threshold = 0.2
    segmented.apply_threshold()
    section.poll()
    assert section.data.steps == ["threshold 0.20, pieces of at least 0.0 mm³"]
    segmented.data.threshold = 0.3
    segmented.start()
    poll(segmented, lambda: not segmented.data.running)
    section.poll()
    assert section.data.steps == [f"threshold 0.{number}0, pieces of at least 0.0 mm³" for number in (3, 2)]
    for threshold in (0.2, 0.5):
        section.undo()
        assert segmented.data.threshold == threshold


def test_undo_of_a_run_is_told_everywhere(page, segmented, case):
    section, save = CorrectLogic(page, case, lambda changed: None), SaveLogic(page, case)
    segmented.data.threshold = 0.2
    segmented.apply_threshold()
    section.poll()
    segmented.data.model = "paper-half-unet"
    segmented.start()
    poll(segmented, lambda: not segmented.data.running)
    section.poll()
    section.undo()
    assert segmented.data.message == ""  # it said what the other model had found
    assert segmented.data.why_no_threshold == NO_PROBABILITY
    assert save.data.why_not["probability"] == "There is no probability map."
    segmented.data.threshold = 0.7
    segmented.apply_threshold()
    assert page.data.error == ""
    section.redo()
    assert segmented.data.message.startswith("paper-half-unet")
    assert (segmented.data.why_no_threshold, save.data.why_not["probability"]) == ("", "")


def test_mistakes_of_ours_do_not_end_the_page(page, caplog):
    with page.reporting():
        raise RuntimeError("a mistake")
    assert "inside the program" in page.data.error
    assert "a mistake" in caplog.text
