from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compared_labels import SHAPE, add_labelmap, add_segmentation, two_labels
from vesselseg.errors import VesselSegError
from vesselseg.reports.report import _run_facts, read_run
from vesselseg.review.error_kinds import PALETTES, wording_of_two
from VesselSegmentationLib.correcting.edit_history import EditHistory
from VesselSegmentationLib.correcting.edit_log import log_document
from VesselSegmentationLib.jobs.worker import PythonCommand
from VesselSegmentationLib.reviewing.review_logic import ReviewLogic
from VesselSegmentationLib.saving.review_files import FigureSettings, _what_ran, start_figure, start_report
from VesselSegmentationLib.scene.label_source import LabelSource
from VesselSegmentationLib.scene.run_record import record_run, record_summary, record_threshold
from VesselSegmentationLib.scene.segmentation_nodes import set_segment_label
from VesselSegmentationLib.scene.volume_nodes import set_node_volume, volume_from_node
from VesselSegmentationLib.segmenting.segmentation_logic import SegmentationLogic

FOUND, TRUTH = two_labels()
_RAN = {
    "model": "half-unet",
    "device": "cpu",
    "device_name": "A CPU",
    "precision": "float32",
    "seconds": 12.5,
    "threshold": 0.5,
}


@pytest.fixture
def review(scene, add_scan):
    scan = add_scan(SHAPE)
    review = ReviewLogic(scene)
    sources = [LabelSource(*add_segmentation(scene, scan, label, name)) for label, name in ((FOUND, "A"), (TRUTH, "B"))]
    mask = add_labelmap(scene, np.ones_like(FOUND), volume_from_node(scan).geometry, "brain")
    review.start(*sources, brain_mask_node=mask, palette="colour-blind")
    yield review
    review.stop()


def test_figure_has_the_colours_of_the_map(review, tmp_path):
    job = start_figure(review, tmp_path / "map.png", FigureSettings(kind="projections", dpi=100, title="Case 1"))
    assert job.wait(120) == "done", job.message
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    wanted = np.round(np.multiply(PALETTES["colour-blind"].colours[2], 255))
    assert (np.abs(picture - wanted).max(axis=-1) < 30).any()
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_wrong_name_of_a_figure_is_said(review, tmp_path):
    job = start_figure(review, tmp_path / "map.docx", FigureSettings(kind="projections"))
    assert job.wait(60) == "failed"
    assert isinstance(job.error, VesselSegError)
    assert list(tmp_path.iterdir()) == []


def test_report_tells_what_ran(review, tmp_path):
    node = review.error_map.sources[0].node
    record_summary(node, _RAN)
    job = start_report(review, [tmp_path / "report.html"], case="Case 7")
    assert job.wait(240) == "done", job.message
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Case 7" in text
    assert "half-unet" in text
    assert "inside the mask" in text.lower()


def test_report_of_another_segment_does_not_say_that_a_model_made_it(review, tmp_path):
    found, truth = review.error_map.sources
    record_summary(found.node, _RAN)
    drawn = volume_from_node(review.error_map.volume_node).with_array(FOUND)
    by_hand = set_segment_label(found.node, review.error_map.volume_node, drawn, name="By hand", role="manual")
    review.start(LabelSource(found.node, by_hand), truth)
    job = start_report(review, [tmp_path / "report.html"])
    assert job.wait(240) == "done", job.message
    assert "half-unet" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_to_draw(scene, tmp_path):
    with pytest.raises(VesselSegError, match="nothing is compared"):
        start_figure(ReviewLogic(scene), tmp_path / "map.png")


def test_two_results_are_named(review, tmp_path):
    review.start(*review.error_map.sources, wording=wording_of_two("reader 1", "reader 2"))
    job = start_report(review, [tmp_path / "report.html"])
    assert job.wait(240) == "done", job.message
    assert "only reader 1" in (tmp_path / "report.html").read_text(encoding="utf-8").lower()


def test_report_and_log_tell_the_threshold_in_use(scene, review, tmp_path):
    node, scan = review.error_map.sources[0].node, review.error_map.volume_node
    probability = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
    set_node_volume(probability, volume_from_node(scan).with_array(FOUND * np.float32(0.6) + TRUTH * np.float32(0.3)))
    record_run(node, probability, {**_RAN, "min_component_mm3": 0.0})
    record_threshold(node, 0.5, 0.0)
    history = EditHistory(node)

    def told():
        arguments = _what_ran(review.error_map.sources[0], tmp_path)
        facts = dict(_run_facts(read_run(Path(arguments[1]))))
        logged = log_document(node, scan)["automatic_run"]
        assert (facts["threshold"], facts["model"]) == (str(logged["threshold"]), "half-unet")
        return facts["threshold"], facts["smallest component"]

    assert told() == ("0.5", "0.0 mm³")
    SegmentationLogic(scene).apply_threshold(probability, node, 0.2, 3.0)
    assert told() == ("0.2", "3.0 mm³")
    history.undo()
    assert told() == ("0.5", "0.0 mm³")
    history.close()


def test_cancelled_while_it_is_written_a_report_leaves_nothing_beside_the_users_files(review, tmp_path, monkeypatch):
    folders = {name: tmp_path / name for name in ("mine", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders["temporary"]))
    job = start_report(review, [folders["mine"] / "report.pdf"])
    end = time.monotonic() + 240
    while not list(tmp_path.rglob(".vesselseg-*")):  # where it is written before it gets its name
        assert job.poll() == "running", job.message
        assert time.monotonic() < end
        time.sleep(0.002)
    job.cancel()
    assert [list(folder.iterdir()) for folder in folders.values()] == [[], []]


def test_a_report_takes_the_place_of_an_older_one(review, tmp_path):
    paths = [tmp_path / "report.html", tmp_path / "another" / "report.html"]
    paths[1].parent.mkdir()
    paths[0].write_text("old")
    job = start_report(review, paths)
    assert job.wait(240) == "done", job.message
    assert [path.read_text(encoding="utf-8")[:15].lower() for path in paths] == ["<!doctype html>"] * 2
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


#: Starts Python as PythonSlicer of Slicer 5.8 does on Windows: what is not ASCII does not arrive as it was.
_GARBLING = """
import runpy, sys
arguments = [each.encode("cp1252", "replace").decode("utf-8", "replace") for each in sys.argv]
print("given:", ascii(sys.argv[1:]))
sys.argv = arguments[2:]
runpy.run_module("vesselseg", run_name="__main__", alter_sys=True)
"""


def test_names_beyond_ascii_reach_the_worker_though_its_command_line_is_garbled(review, tmp_path, monkeypatch):
    temporary = tmp_path / "Müller"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    launcher = tmp_path / "launcher.py"
    launcher.write_text(_GARBLING)
    review.python = PythonCommand((sys.executable, str(launcher)))
    review.start(*review.error_map.sources, wording=wording_of_two("Jürgen", "@Zoë"))
    page, picture = tmp_path / "größe.html", tmp_path / "größe.png"
    jobs = [
        start_report(review, [page], case="--Fall Łódź"),
        start_figure(review, picture, FigureSettings("projections", title="é")),
    ]
    for job in jobs:
        assert job.wait(240) == "done", job.message
        (given,) = (line for line in job.log if line.startswith("given:"))
        assert "\\x" not in given
        assert "\\u" not in given
    assert picture.is_file()
    text = page.read_text(encoding="utf-8")
    for name in ("--Fall Łódź", "Jürgen", "@Zoë"):
        assert name in text
    assert list(temporary.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_before_the_work(review, tmp_path):
    with pytest.raises(VesselSegError, match="no folder"):
        start_figure(review, tmp_path / "nowhere" / "map.png")
