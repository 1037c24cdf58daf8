"""Corrections are taken away by nothing before the user has agreed: the question, and everything that has to ask it."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from vesselseg.image_io import write_volume
from vesselseg_web.logic.correct_logic import CorrectLogic
from vesselseg_web.logic.question_logic import ENDING
from vesselseg_web.logic.save_logic import SaveLogic
from vesselseg_web.logic.scan_logic import SCAN, ScanLogic
from vesselseg_web.logic.segment_logic import SegmentLogic
from vesselseg_web.workspace.session import write_session
from VesselSegmentationLib.reviewing.component_marks import REJECTED

#: A voxel of the vessel, (k, j, i).
VESSEL = (5, 7, 10)


@pytest.fixture
def correct(page, case):
    return CorrectLogic(page, case, lambda changed: None)


@pytest.fixture
def segment(page, case, question):
    return SegmentLogic(page, case, question)


@pytest.fixture
def load(page, case, question, views):
    return ScanLogic(page, case, question, views)


@pytest.fixture
def found(case, label, find_vessels, correct):
    """Vessels and a reference, and nothing corrected."""
    find_vessels()
    case.add_reference(label, "truth")
    correct.poll()
    return case


def remove_vessel(case):
    """Correct the vessels: the one that is there is removed."""
    k, j, i = VESSEL
    place = tuple((case.edits.target.geometry.ijk_to_ras() @ [i, j, k, 1.0])[:3])
    case.edits.commit(case.edits.preview_remove_piece(place))


@pytest.fixture
def corrected(found, correct):
    remove_vessel(found)
    correct.poll()
    return found


def everything(case):
    """Return all that must be as it was."""
    nodes = [case.scene.GetNthNode(index).GetID() for index in range(case.scene.GetNumberOfNodes())]
    steps = [step.description for step in case.edits.target.history.steps]
    return nodes, case.scan, case.vessels, case.label().array.tolist(), steps, case.references, case.edits.unsaved_edits


def answered(question, work, answer):
    """Do something that has to ask, and answer; returns what it returns, and the question."""

    async def visit():
        working = asyncio.ensure_future(work())
        end = time.monotonic() + 30
        while not question.data.title and not working.done():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        asked = question.data.title and question.data.text
        if asked:
            assert question.page.data.busy == ""  # it is the user who is waited for
            await asyncio.sleep(0.05)
            assert not working.done()
            result = answer()
            if result is not None:
                await result
        return await working, asked

    return asyncio.run(visit())


@pytest.fixture(params=["phantom", "upload", "series", "session", "command line"])
def another(request, load, scan, tmp_path, found):
    """Load something else, in every way there is; returns the name that it has then."""
    upload = tmp_path / "upload"
    upload.mkdir()
    other = scan.with_array(scan.array[::-1].copy())
    ways = {
        "phantom": ("TOF phantom", load.load_phantom),
        "upload": ("other", lambda: load.take_upload(upload, "other.nii.gz", SCAN)),
        "series": ("TOF two", lambda: load.choose_series("0")),
        "session": ("TOF", lambda: load.take_upload(upload, "Monday.mrb", SCAN)),
        "command line": ("file", lambda: load.open_files([str(tmp_path / "file.nii.gz")], tmp_path)),
    }
    if request.param == "upload":
        write_volume(other, tmp_path / "other.nii.gz")
        (tmp_path / "other.nii.gz").rename(upload / "00000")
    elif request.param == "session":
        write_session(found, tmp_path / "session.mrb")
        (tmp_path / "session.mrb").rename(upload / "00000")
    elif request.param == "command line":
        write_volume(other, tmp_path / "file.nii.gz")
    elif request.param == "series":
        two_series(upload, other)
        asyncio.run(load.take_upload(upload, "study", SCAN))
        assert len(load.data.series) == 2
        titles = [each["title"] for each in load.data.series]
        index = next(i for i, title in enumerate(titles) if "TOF two" in title)
        return ways["series"][0], lambda: load.choose_series(str(index)), upload
    return (*ways[request.param], upload)


def two_series(folder, volume):
    from inputs import write_dicom

    for number, description in enumerate(("TOF one", "TOF two")):
        series = folder / description
        write_dicom(volume, series, series=f"1.2.3.{number}", SeriesDescription=description)
        for index, path in enumerate(sorted(series.iterdir())):
            path.rename(folder / f"{number}{index:04d}")
        series.rmdir()


def test_another_scan_replaces_corrections_only_if_the_user_agrees(another, corrected, question):
    _name, load, upload = another
    before = everything(corrected)
    _result, asked = answered(question, load, question.decline)
    for words in ("corrections of 'TOF' are not saved", "takes the place of everything", "download the session first"):
        assert words in asked
    assert everything(corrected) == before
    assert question.data.title == ""
    assert question.page.data.status.startswith("Your corrections are kept: ")
    assert question.page.data.busy == question.page.data.error == ""
    assert not list(upload.parent.glob("upload/*"))  # nothing of what was sent waits any longer


def test_another_scan_comes_if_the_user_agrees(another, corrected, question):
    name, load, _upload = another
    _result, asked = answered(question, load, question.agree)
    assert asked
    assert corrected.scan.GetName() == name
    assert not corrected.edits.unsaved_edits
    assert question.page.data.busy == question.page.data.error == question.data.title == ""


def test_without_corrections_nothing_is_asked(another, found, question):
    name, load, _upload = another
    _result, asked = answered(question, load, question.decline)
    assert asked == ""
    assert found.scan.GetName() == name


def test_what_cannot_be_read_asks_nothing(load, corrected, question, tmp_path):
    before = everything(corrected)
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "00000").write_text("no image")
    taken, asked = answered(question, lambda: load.take_upload(folder, "letter", SCAN), question.decline)
    assert (taken, asked) == (False, "")
    assert "no image" in load.page.data.error
    assert everything(corrected) == before


def test_upload_that_waits_while_another_question_is_open(load, corrected, question, scan, tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    write_volume(scan, tmp_path / "second.nii.gz")
    (tmp_path / "second.nii.gz").rename(folder / "00000")
    before = everything(corrected)
    question.ask_to_end()
    title = question.data.title
    assert not asyncio.run(load.take_upload(folder, "second", SCAN))
    assert question.data.title == title
    assert everything(corrected) == before


def test_ending(corrected, question, correct):
    assert correct.data.unsaved
    question.ask_to_end()
    assert question.data.ends
    assert "Ending deletes them" in question.data.text
    assert question.data.go_on == "End and lose them"
    before = everything(corrected)
    question.decline()
    assert (question.data.title, everything(corrected)) == ("", before)


def test_ending_without_corrections(found, question, correct):
    question.ask_to_end()
    assert question.data.title == ""
    assert not correct.data.unsaved


def test_undone_corrections_are_none(corrected, question, correct):
    correct.undo()
    correct.poll()
    question.ask_to_end()
    assert question.data.title == ""
    assert not correct.data.unsaved


@pytest.mark.parametrize(
    ("what", "suffix", "saves"),
    [
        ("session", ".mrb", True),
        ("label", ".nii.gz", True),
        ("label", ".stl", False),
        ("edits", ".json", False),
    ],
)
def test_what_was_saved_is_not_asked_about(page, corrected, question, what, suffix, saves):
    save = SaveLogic(page, corrected)
    save.sent(what, suffix, save.present())
    question.ask_to_end()
    assert (question.data.title == "") == saves


@pytest.mark.parametrize("what", ["session", "label"])
def test_corrections_made_while_a_file_was_written_are_not_in_it(page, found, question, what):
    save = SaveLogic(page, found)
    present = save.present()
    remove_vessel(found)
    save.sent(what, ".mrb", present)
    question.ask_to_end()
    assert question.data.title == ENDING.title


def test_label_does_not_hold_decisions(page, found, question):
    found.compare("truth")
    found.edits.errors.decide(found.edits.errors.components()[0].component_id, REJECTED, "")
    save = SaveLogic(page, found)
    save.sent("label", ".nii.gz", save.present())
    question.ask_to_end()
    assert question.data.title
    question.decline()
    save.sent("session", ".mrb", save.present())
    question.ask_to_end()
    assert question.data.title == ""


def test_another_reference_takes_no_decision_away(found, label):
    found.compare("truth")
    found.edits.errors.decide(found.edits.errors.components()[0].component_id, REJECTED, "A. Reader")
    found.add_reference(label, "truth")
    found.compare("truth (2)")
    found.review.stop()
    found.compare("truth")
    errors = found.edits.errors.components()
    assert [found.review.navigator.mark_of(each).decision for each in errors] == [REJECTED]


def test_threshold_replaces_corrections_only_if_the_user_agrees(corrected, segment, question):
    before = everything(corrected)
    segment.data.threshold = 0.2
    segment.apply_threshold()
    assert question.data.text.startswith("The vessels were corrected by hand. Another threshold replaces them")
    assert "except for arteries and veins with names" in question.data.text
    question.decline()
    assert segment.data.threshold == 0.5
    assert everything(corrected) == before
    segment.data.threshold = 0.2
    segment.apply_threshold()
    asyncio.run(question.agree())
    replaced = corrected.label().array
    assert replaced[VESSEL]
    corrected.edits.undo()
    assert everything(corrected) == before
    corrected.edits.redo()
    np.testing.assert_array_equal(corrected.label().array, replaced)


def test_segmenting_replaces_corrections_only_if_the_user_agrees(corrected, segment, question):
    before = everything(corrected)
    segment.start()
    assert question.data.text.startswith("The vessels were corrected by hand. Another segmentation replaces them")
    question.decline()
    assert not segment.data.running
    assert everything(corrected) == before
    segment.start()
    asyncio.run(question.agree())
    end = time.monotonic() + 30
    while segment.data.running and time.monotonic() < end:
        segment.poll()
        time.sleep(0.02)
    assert corrected.label().array[VESSEL]
    assert segment.page.data.error == ""
    corrected.edits.undo()  # as the question has said
    assert everything(corrected) == before


def test_model_alone_changes_nothing(corrected, segment, question):
    before, threshold = everything(corrected), segment.data.threshold
    segment.data.model = segment.data.models[-1]["value"]
    segment.page.state.flush()
    segment.poll()
    assert segment.data.threshold == threshold
    assert question.data.title == ""
    assert everything(corrected) == before
