from __future__ import annotations

import numpy as np
import pytest

from inputs import write_dicom
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_series
from vesselseg_web.uploads.arrivals import find_arrival

GRID = Geometry((18, 16, 20), (0.5, 0.5, 0.8))


def _sent(folder):
    """Return files as they are sent: without names."""
    files = []
    for index, path in enumerate(sorted(each for each in folder.rglob("*") if each.is_file())):
        files.append(path.rename(folder / f"{index:05d}"))
    return files


@pytest.fixture
def private(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("implicit", [False, True])
def test_dicom_without_a_preamble(implicit, make_scan, private, tmp_path):
    from pydicom import Dataset, dcmread

    scan = make_scan(GRID)
    write_dicom(scan, tmp_path / "sent")
    for path in (tmp_path / "sent").iterdir():
        data = Dataset()
        data.update(dcmread(path))
        data.save_as(path, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    arrival = find_arrival(_sent(tmp_path / "sent"), private)
    np.testing.assert_array_equal(read_series(arrival.clear_series, where="sent").array, np.floor(scan.array))


@pytest.mark.parametrize(
    ("others", "clear"),
    [
        ([{"SeriesDescription": "CE-MRA carotids"}, {"SeriesDescription": "MRA"}], True),
        ([{"SeriesDescription": "TOF", "Modality": "CT"}, {"SeriesDescription": "T1"}], True),
        ([{"SeriesDescription": "TOF 2", "ImageType": "DERIVED\\SECONDARY"}], False),
    ],
)
def test_the_tof_angiogram_among_others_is_clear(others, clear, make_scan, private, tmp_path):
    for number, tags in enumerate([{"SeriesDescription": "TOF"}, *others]):
        write_dicom(make_scan(GRID), tmp_path / "sent" / str(number), series=f"1.2.{number}", **tags)
    found = find_arrival(_sent(tmp_path / "sent"), private).clear_series
    assert (found is not None) == clear
    assert found is None or found.description == "TOF"


@pytest.mark.parametrize(
    ("names", "clear"),
    [
        ([("axial", "MR"), ("CTA", "CT"), ("vessels", "SEG")], "axial"),
        ([("CTA", "CT"), ("vessels", "SEG")], "CTA"),
        ([("CE-MRA", "MR"), ("axial", "MR")], None),
        ([("CTA", "CT"), ("native", "CT")], None),
    ],
)
def test_among_other_scans_the_only_one_is_clear(names, clear, make_scan, private, tmp_path):
    for number, (name, modality) in enumerate(names):
        tags = {"SeriesDescription": name, "Modality": modality}
        write_dicom(make_scan(GRID), tmp_path / "sent" / str(number), series=f"1.2.{number}", **tags)
    found = find_arrival(_sent(tmp_path / "sent"), private).clear_series
    assert (found and found.description) == clear
