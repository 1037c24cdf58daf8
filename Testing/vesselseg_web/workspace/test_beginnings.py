from __future__ import annotations

import zipfile

import numpy as np
import pytest

from inputs import make_bad_files, write_dicom
from vesselseg.errors import VesselSegError
from vesselseg.image_io import write_volume
from vesselseg_web.uploads import local_files
from vesselseg_web.workspace.beginnings import check_beginning
from vesselseg_web.workspace.session import write_session


@pytest.fixture
def files(tmp_path, scan, label):
    write_volume(scan, tmp_path / "scan.nii.gz")
    write_volume(label, tmp_path / "label.nrrd")
    write_volume(scan.with_array(np.zeros_like(scan.array)), tmp_path / "zero.mha")
    write_dicom(scan, tmp_path / "one" / "a", series="1.2.3", SeriesDescription="TOF")
    for number in range(2):
        write_dicom(scan, tmp_path / "two" / str(number), series=f"1.2.{number}", SeriesDescription="TOF")
    (tmp_path / "empty").mkdir()
    make_bad_files(tmp_path)["4D"].rename(tmp_path / "series.nii.gz")
    with zipfile.ZipFile(tmp_path / "damaged.mrb", "w") as archive:
        archive.writestr("scene.mrml", "<MRML")
    return tmp_path


@pytest.mark.parametrize("names", [("scan.nii.gz",), ("scan.nii.gz", "label.nrrd"), ("one", "label.nrrd"), ("two",)])
def test_what_can_be_loaded(files, names):
    before = sorted(files.rglob("*"))
    check_beginning([str(files / name) for name in names])
    assert sorted(files.rglob("*")) == before


def test_session(tmp_path, case, find_vessels):
    find_vessels()
    write_session(case, tmp_path / "session.mrb")
    check_beginning([str(tmp_path / "session.mrb")])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("nowhere.nii",), "there is no file 'nowhere.nii'"),
        (("zero.mha",), "every voxel of the scan is 0"),
        (("series.nii.gz",), "'series' is a series of 3 volumes"),
        (("damaged.mrb",), "the scene of this session is damaged"),
        (("empty",), "the folder 'empty' is empty"),
        (("two", "label.nrrd"), "it holds 2 series"),
        (("scan.nii.gz", "scan.nii.gz"), "'scan' is not a label"),
        (("scan.nii.gz", "one"), "this is no label"),
    ],
)
def test_what_cannot_is_named(files, names, expected):
    with pytest.raises(VesselSegError) as refused:
        check_beginning([str(files / name) for name in names])
    assert refused.value.message.startswith(f"{files / names[-1 if 'label.nrrd' not in names else 0]} cannot be used: ")
    assert expected in refused.value.message


def test_folder_with_too_many_files(files, monkeypatch):
    monkeypatch.setattr(local_files, "MAX_FILES", 5)
    with pytest.raises(VesselSegError, match="more than the 5 files"):
        check_beginning([str(files / "one")])
