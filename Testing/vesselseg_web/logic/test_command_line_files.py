"""Files of the command line, with which every visit begins."""

from __future__ import annotations

import asyncio
import zipfile

import numpy as np
import pytest

from inputs import write_dicom
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg.volume import Volume
from vesselseg_web.logic.compare_logic import CompareLogic
from vesselseg_web.logic.scan_logic import ScanLogic
from vesselseg_web.workspace.session import write_session


@pytest.fixture
def section(page, case, question, views):
    return ScanLogic(page, case, question, views)


@pytest.fixture
def begin(section, tmp_path):
    """Load files; returns what went wrong."""

    def begin(*paths):
        folder = tmp_path / "private"
        folder.mkdir()
        asyncio.run(section.open_files([str(path) for path in paths], folder))
        assert section.data.why_not == section.page.data.busy == ""
        assert bool(list(folder.iterdir())) == bool(section.data.series)
        assert all(path.exists() for path in paths if "nowhere" not in path.parts)  # links alone are moved and removed
        return section.page.data.error

    return begin


@pytest.fixture
def study(tmp_path):
    """Write series, each into a folder in one folder."""

    def study(*descriptions):
        array = np.random.default_rng(0).uniform(0, 200, (20, 16, 16)).astype(np.float32)
        volume = Volume(array, Geometry((16, 16, 20), (0.5, 0.5, 0.8)))
        for index, description in enumerate(descriptions):
            write_dicom(volume, tmp_path / "study" / str(index), series=f"1.2.3.{index}", SeriesDescription=description)
        return tmp_path / "study"

    return study


def test_scan_and_reference(begin, section, page, case, scan, label, tmp_path):
    compare = CompareLogic(page, case, lambda changed: None)
    waiting = []
    for changed in (case.scan_changed, case.labels_changed):
        changed.connect(lambda: waiting.append(section.data.why_not))
    write_volume(scan, tmp_path / "a.nii.gz")
    write_volume(label, tmp_path / "truth.nrrd")
    assert begin(tmp_path / "a.nii.gz", tmp_path / "truth.nrrd") == ""
    assert case.scan.GetName() == "a"
    assert compare.data.reference == "truth"
    # A reference that somebody sends meanwhile would come to another scan than theirs.
    assert {*waiting} == {"Another file is on its way. Wait until it is there."}


def test_session(begin, page, case, find_vessels, label, tmp_path):
    find_vessels()
    write_session(case, tmp_path / "Monday.mrb")
    found = case.label()
    case.clear()
    write_volume(label, tmp_path / "truth.nrrd")
    assert begin(tmp_path / "Monday.mrb", tmp_path / "truth.nrrd") == ""
    assert case.scan.GetName() == "TOF"
    np.testing.assert_array_equal(case.label().array, found.array)
    assert list(case.references) == ["truth"]


def test_zip_of_dicom_files(begin, section, study, tmp_path):
    with zipfile.ZipFile(tmp_path / "patient.zip", "w") as archive:
        for path in study("TOF 3D").rglob("*.dcm"):
            archive.write(path, path.name)
    assert begin(tmp_path / "patient.zip") == ""
    assert section.data.name == "TOF 3D"


def test_folder_with_several_series_lets_the_visitor_choose(begin, section, case, study, label, tmp_path):
    write_volume(label, tmp_path / "truth.nrrd")
    assert begin(study("tof one", "tof two"), tmp_path / "truth.nrrd") == ""
    assert case.scan is None
    asyncio.run(section.choose_series("1"))
    assert case.scan is not None
    assert list((tmp_path / "private").iterdir()) == []


def test_visitors_are_not_told_where_files_lie(begin, tmp_path):
    (tmp_path / "scan.nii").write_bytes(b"hello")
    assert begin(tmp_path / "scan.nii").startswith("This file is no image")


def test_file_that_is_not_there_any_more(begin, tmp_path):
    assert begin(tmp_path / "nowhere" / "scan.nii") == "There is no file 'scan.nii'. Tell whoever runs the server."
