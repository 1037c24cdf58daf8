from __future__ import annotations

import gzip

import numpy as np
import pytest

from inputs import write_dicom
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import write_volume
from vesselseg_web.uploads import upload_checks
from vesselseg_web.uploads.upload_checks import check_unpacked_size, image_suffix_of, shown_name


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_formats_are_known_by_content(tmp_path, make_scan, suffix):
    path = tmp_path / f"scan{suffix}"
    write_volume(make_scan(), path)
    unnamed = path.rename(tmp_path / "0123")
    assert image_suffix_of(unnamed) == suffix
    named = unnamed.rename(path)
    check_unpacked_size(named)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x1f\x8b",
        gzip.compress(b"not an image", mtime=0),  # else the test has another name every second
        b"\x89PNG\r\n\x1a\n" + bytes(400),
        b"ObjectType = Image\nNDims = 3\n",
        b"PK\x03\x04" + bytes(400),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(VesselSegError, match=r"no image|empty|cannot be read"):
        image_suffix_of(path)


@pytest.mark.parametrize(
    "header",
    [
        b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = /etc/hostname\n",
        b"ObjectType = Image\nNDims = 3\nElementDataFile = LIST\n/etc/hostname\n",
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /etc/hostname\n\n",
        b"NRRD0004\r\ntype: uchar\r\ndatafile: /etc/hostname\r\n\r\n",
        # What comes after as much as somebody might look at.
        b"NRRD0004\n" + b"# a comment\n" * 10_000 + b"type: uchar\ndata file: /etc/hostname\n\n",
        b"NRRD0004\n" + b"# a comment\n" * 1_000_000 + b"type: uchar\ndata file: /etc/hostname\n\n",
        # What only some take for the key, or for the end of a line.
        b"ObjectType = Image\nElementDataFileX = LOCAL\nNDims = 3\nElementDataFile = /etc/hostname\n",
        b"ObjectType = Image\nComment = a\rElementDataFile = LOCAL\nElementDataFile = /etc/hostname\n",
        b"ObjectType = Image\nElementDataFile = LOCAL\nElementDataFile = /etc/hostname\n",
        b"NRRD0004\ntype: uchar\r\rdata file: /etc/hostname\n\n",
    ],
)
def test_voxels_of_other_files_are_not_read(tmp_path, header):
    path = tmp_path / "0123"
    path.write_bytes(header + bytes(64))
    with pytest.raises(VesselSegError, match=r"another file|cannot be read"):
        image_suffix_of(path)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_an_image_that_is_hidden_in_another_is_refused(tmp_path, make_scan, hide_image, suffix):
    path = tmp_path / f"scan{suffix}"
    write_volume(make_scan(), path, compress=False)
    hide_image(path)
    assert image_suffix_of(path) == suffix
    with pytest.raises(VesselSegError, match="cannot be read"):
        check_unpacked_size(path)


@pytest.mark.parametrize("count", ["-1", "999999"])
def test_metaimage_whose_header_would_end_the_server_is_refused(tmp_path, make_scan, count):
    path = tmp_path / "scan.mha"
    write_volume(make_scan(), path, compress=False)
    path.write_bytes(path.read_bytes().replace(b"NDims = 3\n", f"NDims = {count}\n".encode(), 1))
    assert image_suffix_of(path) == ".mha"
    with pytest.raises(VesselSegError, match="header of this image cannot be read"):
        check_unpacked_size(path)


def test_slice_that_begins_as_another_image_is_refused(tmp_path, make_scan):
    write_dicom(make_scan(Geometry((20, 20, 1), (1, 1, 1))), tmp_path)
    (path,) = tmp_path.iterdir()
    header = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n\n"
    path = path.rename(tmp_path / "scan.nrrd")
    path.write_bytes(header + path.read_bytes()[len(header) :])
    assert image_suffix_of(path) == ".nrrd"
    with pytest.raises(VesselSegError, match="two kinds at once"):
        check_unpacked_size(path)


def _nifti_header(shape):
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return header.binaryblock + bytes(4)


def test_image_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(_nifti_header((30_000, 30_000, 1000)) + bytes(1000)))
    with pytest.raises(VesselSegError, match="voxels"):
        check_unpacked_size(path)


def test_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(upload_checks, "_SLACK_BYTES", 1000)
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(_nifti_header((10, 10, 10)) + bytes(1 << 20)))
    with pytest.raises(VesselSegError, match="far more"):
        check_unpacked_size(path)


def test_file_that_breaks_off_is_refused(tmp_path, make_scan):
    path = tmp_path / "scan.nii.gz"
    write_volume(make_scan(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(VesselSegError, match=r"breaks off|cannot be read"):
        check_unpacked_size(path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\TOF.nii.gz", "TOF"),
        ("Kopf für Übung.NRRD", "Kopf für Übung"),
        ("a\nb\x00.mha", "ab"),
        ("..", "scan"),
        ("", "scan"),
        ("x" * 500, "x" * 80),
    ],
)
def test_names_are_only_shown(name, shown):
    assert shown_name(name) == shown
