"""Scans for training: read once, prepared in a cache, and what is no scan or label is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from training_cases import GRID, MEDIAN, tube_scan, write_scans
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, write_volume
from vesselseg.training.data import load_scans
from vesselseg.volume import Volume


def test_cache_is_used_and_renewed(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    first = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    file = next((tmp_path / "cache").glob("*_scan.npy"))
    made = file.stat().st_mtime_ns
    load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    assert file.stat().st_mtime_ns == made
    assert first[0].scan.shape == GRID.shape
    assert len(first[0].vessel) == tube_scan()[1].array.sum()


@pytest.mark.parametrize("name", ["tof", "label"])
def test_a_file_that_was_replaced_by_an_older_one_is_prepared_anew(tmp_path: Path, name: str) -> None:
    write_scans(tmp_path / "train", 1)
    write_scans(tmp_path / "corrected", 1, first_seed=5)
    corrected = tmp_path / "corrected" / "scan0"
    label = read_label(corrected / "label.nii.gz")
    label.array[5:15] = 1
    write_volume(label, corrected / "label.nii.gz", overwrite=True)
    os.utime(corrected / f"{name}.nii.gz", (1e9, 1e9))
    (before,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    values = [before.scan.copy(), before.label.copy()]
    del before
    os.replace(corrected / f"{name}.nii.gz", tmp_path / "train" / "scan0" / f"{name}.nii.gz")
    (after,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    changed = [not np.array_equal(*pair) for pair in zip(values, (after.scan, after.label))]
    assert changed == [name == "tof", name == "label"]
    assert len(list((tmp_path / "cache").iterdir())) == 4  # nothing is left of the former one


def test_scans_for_training_and_for_validation_are_open_together(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    scan, label = tube_scan()
    small = Geometry((8, 8, 8), (0.6, 0.6, 0.6))
    for folder in ("train", "held_out"):
        for k in range(70):
            (tmp_path / folder / f"{k}").mkdir(parents=True)
            for volume, name in ((scan, "tof"), (label, "label")):
                part = np.ascontiguousarray(volume.array[6:14, 26:34, :8])
                write_volume(Volume(part, small), tmp_path / folder / f"{k}" / f"{name}.nii.gz")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 1024:
        pytest.skip("this system does not allow as many open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        training = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
        validation = load_scans([str(tmp_path / "held_out")], tmp_path / "cache", MEDIAN)
        assert (len(training), len(validation)) == (70, 70)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_prepared_scans_of_another_normalisation_or_folder_are_others(tmp_path: Path) -> None:
    for folder in ("a/x/train", "b/x/train"):
        write_scans(tmp_path / folder, 1)
    folders = [str(tmp_path / "a/x/train"), str(tmp_path / "b/x/train")]
    load_scans(folders, tmp_path / "cache", MEDIAN)
    load_scans(folders, tmp_path / "cache", {"method": "zscore", "mean": 100, "std": 10})
    assert len(list((tmp_path / "cache").glob("*_scan.npy"))) == 4


def test_every_value_but_0_and_unsure_is_vessel(tmp_path: Path) -> None:
    scan, label = tube_scan()
    (tmp_path / "train" / "scan").mkdir(parents=True)
    values = np.where(label.array == 1, 2, 0).astype(np.uint16)
    values[0], values[1, 0, 0] = 255, 300
    write_volume(scan, tmp_path / "train" / "scan" / "tof.nii.gz")
    write_volume(label.with_array(values), tmp_path / "train" / "scan" / "label.nii.gz")
    (read,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    np.testing.assert_array_equal(read.label, np.select([values == 255, values > 0], [255, 1], 0))


@pytest.mark.parametrize("value", [0.9, -1])
def test_what_is_no_label_is_named(tmp_path: Path, value: float) -> None:
    scan, label = tube_scan()
    (tmp_path / "train" / "scan").mkdir(parents=True)
    write_volume(scan, tmp_path / "train" / "scan" / "tof.nii.gz")
    values = np.where(label.array == 1, np.float32(value), np.float32(0))
    write_volume(label.with_array(values), tmp_path / "train" / "scan" / "label.nii.gz")
    with pytest.raises(VesselSegError, match=r"label\.nii\.gz is no label"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)


def test_a_label_that_is_unsure_alone_is_no_label(tmp_path: Path) -> None:
    """Many programs write 255 for what is meant."""
    write_scans(tmp_path / "train", 1)
    path = tmp_path / "train" / "scan0" / "label.nii.gz"
    label = read_label(path)
    write_volume(label.with_array(label.array * np.uint8(255)), path, overwrite=True)
    with pytest.raises(VesselSegError, match="255 means unsure"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    write_volume(label.with_array(np.zeros_like(label.array)), path, overwrite=True)
    with pytest.raises(VesselSegError, match="has a vessel"):
        load_scans([str(tmp_path / "train")], tmp_path / "other", MEDIAN)


def test_scans_are_trained_as_the_network_is_given_them(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    (expected,) = load_scans([str(tmp_path / "train")], tmp_path / "cache", MEDIAN)
    for name in ("tof", "label"):
        path = tmp_path / "train" / "scan0" / f"{name}.nii.gz"
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(sitk.DICOMOrient(image, "PIR"), str(path))
    (turned,) = load_scans([str(tmp_path / "train")], tmp_path / "other", MEDIAN)
    np.testing.assert_array_equal(turned.label, expected.label)
    np.testing.assert_allclose(turned.scan, expected.scan, rtol=2e-3)


def test_values_beyond_half_precision_are_told(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 1)
    with pytest.raises(VesselSegError, match="half precision"):
        load_scans([str(tmp_path / "train")], tmp_path / "cache", {"method": "zscore", "mean": 0, "std": 1e-20})


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(VesselSegError, match="holds no scans"):
        load_scans([str(tmp_path)], tmp_path / "cache", MEDIAN)
