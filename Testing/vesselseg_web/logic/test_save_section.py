"""What can be downloaded: the files themselves, made by real workers."""

from __future__ import annotations

import asyncio
import csv
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from vesselseg.errors import VesselSegError
from vesselseg.image_io import read_label, read_volume
from vesselseg_web.logic.save_logic import DOWNLOADS, SaveLogic
from vesselseg_web.workspace.case import Case
from VesselSegmentationLib.reviewing.component_marks import ACCEPTED
from VesselSegmentationLib.reviewing.evaluation_job import WHOLE_VOLUME


@pytest.fixture
def case(page):
    """With real workers."""
    case = Case(page.scene)
    yield case
    case.review.stop()


@pytest.fixture
def section(page, case):
    return SaveLogic(page, case)


@pytest.fixture
def segmented(case, find_vessels):
    find_vessels("../TOF/7")
    return case


@pytest.fixture
def compared(segmented, label, section):
    segmented.add_reference(label, "truth")
    segmented.compare("truth")
    section.comparison_changed(set())
    return segmented


def write(section, what, path):
    """Write while the page does its work, as it always does."""

    async def work():
        writing = asyncio.ensure_future(section.write(what, path))
        while not writing.done():
            section.case.review.poll()
            await asyncio.sleep(0.02)
        return writing.result()

    return asyncio.run(work())


def test_nothing_to_save_says_why(section, case, scan, tmp_path):
    assert set(section.data.why_not) == set(DOWNLOADS)
    assert set(section.data.why_not.values()) == {"Load a scan first."}
    case.load_scan(scan, "TOF")
    assert section.data.why_not["session"] == ""
    assert section.data.why_not["label"] == "Segment the scan first."
    with pytest.raises(VesselSegError, match="nothing to save"):
        write(section, "label", tmp_path / "x.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_until_something_is_compared(section, segmented):
    missing = {what for what, why in section.data.why_not.items() if why}
    assert missing == {"errormap", "figure", "report", "metrics", "errors"}
    assert section.data.why_not["report"] == "Compare the vessels with a reference first."


@pytest.mark.parametrize("suffix", DOWNLOADS["label"])
def test_label(section, segmented, tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    assert write(section, "label", path) == "7 label"
    if suffix == ".stl":
        assert path.stat().st_size > 1000
    else:
        found = read_label(path).array
        expected = segmented.label().array
        assert np.count_nonzero(found) == np.count_nonzero(expected)
        if suffix != ".seg.nrrd":
            np.testing.assert_array_equal(found, expected)
    assert "is saved" not in section.page.data.status  # it has not been sent yet


def test_probability_and_error_map(section, compared, tmp_path):
    for what, expected in (("probability", compared.probability()), ("errormap", compared.error_map())):
        for suffix in DOWNLOADS[what]:
            write(section, what, tmp_path / f"{what}{suffix}")
            found = read_volume(tmp_path / f"{what}{suffix}")
            np.testing.assert_array_equal(found.array, expected.array)
            assert found.geometry.same_grid(expected.geometry)


def test_metrics_wait_until_they_are_there(section, compared, tmp_path):
    assert not compared.review.metrics_current
    write(section, "metrics", tmp_path / "metrics.json")
    (whole,) = json.loads((tmp_path / "metrics.json").read_text()).values()
    assert whole["dice"] == pytest.approx(compared.review.metrics[WHOLE_VOLUME]["dice"])
    write(section, "metrics", tmp_path / "metrics.csv")
    assert "clDice" in (tmp_path / "metrics.csv").read_text()


def test_errors_and_edits(section, compared, tmp_path):
    assert compared.review.wait()
    component = compared.review.navigator.components[0]
    compared.edits.errors.decide(component.component_id, ACCEPTED, "A. Reader")
    write(section, "edits", tmp_path / "edits.json")
    assert len(json.loads((tmp_path / "edits.json").read_text())["edits"]) == 1
    write(section, "errors", tmp_path / "errors.json")
    assert json.loads((tmp_path / "errors.json").read_text())["marks"][0]["reader"] == "A. Reader"
    write(section, "errors", tmp_path / "errors.csv")
    with open(tmp_path / "errors.csv", newline="") as file:
        assert "decision" in next(csv.reader(file))


def test_errors_that_are_not_all_of_them_are_not_saved_as_such(section, case, segmented, longer_than_lists, tmp_path):
    case.compare("truth")
    section.comparison_changed(set())
    assert write(section, "errors", tmp_path / "errors.csv") == "7 errors (first 2 of 4)"
    lines = (tmp_path / "errors.csv").read_text().splitlines()
    assert lines[0] == "# first 2 of 4 errors, what matters most first"
    assert len(lines) == 1 + 1 + 2
    write(section, "errors", tmp_path / "errors.json")
    contents = json.loads((tmp_path / "errors.json").read_text())
    assert (contents["count"], len(contents["components"])) == (4, 2)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figure(section, compared, tmp_path, suffix):
    section.data.figure = "projections"
    path = tmp_path / f"figure{suffix}"
    assert write(section, "figure", path) == "7 figure"
    if suffix == ".png":
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    else:
        assert b"<svg" in path.read_bytes()
    assert section.data.percent == -1.0


def test_report(section, compared, tmp_path):
    write(section, "report", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "clDice" in text
    assert str(tmp_path) not in text


def test_stopping_leaves_no_worker(section, compared, tmp_path):
    async def work():
        writing = asyncio.ensure_future(section.write("report", tmp_path / "report.html"))
        while section._job is None:
            await asyncio.sleep(0.01)
        worker = section._job._worker
        with pytest.raises(VesselSegError, match="another file is being made"):
            await section.write("figure", tmp_path / "figure.png")
        section.stop()
        with pytest.raises(VesselSegError, match="nothing was saved"):
            await writing
        assert worker.returncode is not None

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_session(section, compared, tmp_path):
    assert write(section, "session", tmp_path / "x.mrb") == "7 session"
    with zipfile.ZipFile(tmp_path / "x.mrb") as archive:
        assert archive.testzip() is None
        names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
    assert "vessels.seg.nrrd" in names
    assert section.page.data.busy == ""
