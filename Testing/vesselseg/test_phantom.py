"""The phantom: a scan with exact truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import label as label_pieces

from vesselseg.cli.main import main
from vesselseg.image_io import read_label, read_volume
from vesselseg.phantom import PHANTOM_GEOMETRY, make_phantom, make_phantom_with_radii
from vesselseg.volume import Volume


@pytest.fixture(scope="module")
def with_radii() -> tuple[Volume, Volume, Volume]:
    return make_phantom_with_radii(0)


@pytest.fixture
def phantom(with_radii: tuple[Volume, Volume, Volume]) -> tuple[Volume, Volume]:
    return with_radii[:2]


def test_scan_and_label_lie_on_one_grid(phantom: tuple[Volume, Volume]) -> None:
    scan, label = phantom
    assert scan.geometry.same_grid(label.geometry)
    assert scan.geometry == PHANTOM_GEOMETRY
    assert scan.array.dtype == np.float32
    assert label.array.dtype == np.uint8
    assert set(np.unique(label.array)) == {0, 1}


def test_arteries_are_bright_and_hang_together(phantom: tuple[Volume, Volume]) -> None:
    scan, label = phantom
    assert 3_000 < label.array.sum() < 60_000
    head = scan.array[scan.array > 30]
    assert scan.array[label.array == 1].mean() > 1.5 * np.median(head)
    pieces, count = label_pieces(label.array, np.ones((3, 3, 3)))
    assert np.bincount(pieces.ravel())[1:].max() > 0.9 * label.array.sum()
    assert count < 10


def test_other_seeds_draw_other_phantoms(phantom: tuple[Volume, Volume]) -> None:
    again, other = make_phantom(0), make_phantom(1)
    np.testing.assert_array_equal(again[0].array, phantom[0].array)
    assert not np.array_equal(other[1].array, phantom[1].array)


def test_the_demo_knows_its_thin_arteries(tmp_path: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["demo", "--output", str(tmp_path / "demo"), "--model", tiny_model, "--device", "cpu"]
    assert main([*arguments, "--progress", "json"]) == 0
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    # With voxels of 0.6 mm, none is thinner as far as its label tells.
    assert metrics["sensitivity_small"] is not None
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["precision"], told["metrics"]) == ("f32", metrics)


def test_the_demo_leaves_the_label_that_it_was_measured_by(
    tmp_path: Path, tiny_model: str, phantom: tuple[Volume, Volume]
) -> None:
    folder = tmp_path / "demo"
    arguments = ["demo", "--output", str(folder), "--model", tiny_model, "--device", "cpu", "--progress", "none"]
    assert main(arguments) == 0
    np.testing.assert_array_equal(read_label(folder / "label.nii.gz").array, phantom[1].array)
    labels = [str(folder / f"{name}.nii.gz") for name in ("segmentation", "label")]
    assert main(["evaluate", *labels, "--json", str(tmp_path / "m.json"), "--progress", "none"]) == 0
    values, told = (json.loads(path.read_text()) for path in (tmp_path / "m.json", folder / "metrics.json"))
    assert values["dice"] == told["dice"]


def test_radii_are_those_of_the_label(with_radii: tuple[Volume, Volume, Volume]) -> None:
    _, label, radius = with_radii
    assert radius.geometry == label.geometry
    np.testing.assert_array_equal(radius.array > 0, label.array == 1)
    assert 0.2 < radius.array[label.array == 1].min() < 0.6


def test_command_writes_both_images_once(tmp_path: Path, phantom: tuple[Volume, Volume]) -> None:
    arguments = ["phantom", "--output", str(tmp_path / "new"), "--seed", "0", "--progress", "none"]
    assert main(arguments) == 0
    scan, label = read_volume(tmp_path / "new" / "tof.nii.gz"), read_label(tmp_path / "new" / "label.nii.gz")
    np.testing.assert_array_equal(scan.array, phantom[0].array)
    np.testing.assert_array_equal(label.array, phantom[1].array)
    assert scan.geometry.same_grid(PHANTOM_GEOMETRY)
    assert main(arguments) == 1  # nothing is replaced unasked


def test_command_writes_both_images_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = sitk.WriteImage

    def scans_only(image: sitk.Image, name: str, **options: object) -> None:
        if image.GetPixelID() == sitk.sitkUInt8:
            raise RuntimeError("the disk is full")
        write(image, name, **options)

    monkeypatch.setattr(sitk, "WriteImage", scans_only)
    assert main(["phantom", "--output", str(tmp_path), "--progress", "none"]) == 1
    assert list(tmp_path.iterdir()) == []
