"""The coarse result that comes before the brain is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vesselseg import brain_mask
from vesselseg.engines import plan_run
from vesselseg.errors import Cancelled
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.models import find_model
from vesselseg.prediction.preview import preview_label
from vesselseg.resampling import AxialView
from vesselseg.segmentation import segment
from vesselseg.volume import Volume

MakeScan = Callable[..., Volume]


def test_preview_comes_once_before_the_brain_mask_and_changes_nothing(
    make_scan: MakeScan, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, happened = make_scan(), []

    def all_brain(volume: Volume) -> Volume:
        happened.append("brain mask")
        return volume.with_array(np.ones(volume.array.shape, dtype=np.uint8))

    monkeypatch.setattr(brain_mask, "brain_mask", all_brain)
    shown: list[Volume] = []

    def show(label: Volume) -> None:
        happened.append("preview")
        shown.append(label)

    told: list[float] = []
    done = segment(
        scan, model=tiny_model, device="cpu", preview=show, progress=lambda share, _message: told.append(share)
    )
    assert happened == ["preview", "brain mask"]
    assert told == sorted(told)
    assert shown[0].array.dtype == np.uint8
    assert set(np.unique(shown[0].array)) <= {0, 1}
    without = segment(scan, model=tiny_model, device="cpu")
    np.testing.assert_array_equal(done.probability.array, without.probability.array)
    np.testing.assert_array_equal(done.label.array, without.label.array)
    assert done.run.notes == without.run.notes


def test_blocks_of_voxels_lie_where_the_voxels_are(
    awkward_geometry: Geometry, make_scan: MakeScan, tiny_model: str
) -> None:
    scan = make_scan(awkward_geometry)
    manifest = find_model(tiny_model)
    geometry = preview_label(scan, manifest, plan_run(manifest, device="cpu"), 0.5, whole=True).geometry
    turned = AxialView.of(scan.geometry).apply(scan).geometry
    ratios = np.asarray(geometry.spacing) / turned.spacing
    blocks = np.round(ratios).astype(int)
    np.testing.assert_allclose(ratios, blocks)
    # The centre of the first block is the middle of its voxels' centres; the last block holds the last voxel.
    first = turned.ijk_to_lps() @ np.append((blocks - 1) / 2, 1)
    np.testing.assert_allclose(geometry.origin, first[:3], atol=1e-9)
    np.testing.assert_allclose(geometry.axes, turned.axes)
    assert geometry.size == tuple(-(-side // block) for side, block in zip(turned.size, blocks))


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
def test_only_what_is_asked_for_is_shown(orientation: str, make_scan: MakeScan, tiny_model: str) -> None:
    import SimpleITK as sitk

    scan = Volume.from_sitk(sitk.DICOMOrient(make_scan().to_sitk(), orientation))
    mask = np.zeros(scan.array.shape, np.uint8)
    mask[2:-9, 5:-3, 3:-8] = 1
    shown: list[Volume] = []
    x0, x1, y0, y1, z0, z1 = region = (4, 15, 6, 20, 3, 14)
    given = scan.with_array(mask)
    segment(scan, model=tiny_model, threshold=0.01, device="cpu", brain_mask=given, region=region, preview=shown.append)
    inside = np.zeros(scan.array.shape, bool)
    inside[z0:z1, y0:y1, x0:x1] = True
    allowed = scan.with_array((inside & (mask == 1)).astype(np.float32)).to_sitk()
    label = shown[0]
    assert label.array.any()
    # Every block that is shown touches what was asked for: the mean of the mask over it is not 0.
    centres = np.argwhere(label.array)[:, ::-1]
    points = centres @ label.geometry.ijk_to_lps()[:3, :3].T + label.geometry.ijk_to_lps()[:3, 3]
    array = sitk.GetArrayFromImage(allowed)
    for point in points:
        i, j, k = allowed.TransformPhysicalPointToContinuousIndex(point.tolist())
        near = array[int(np.floor(k)) : int(k) + 2, int(np.floor(j)) : int(j) + 2, int(np.floor(i)) : int(i) + 2]
        assert near.any()


def test_failing_preview_is_noted_and_cancelling_is_not_caught(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan()

    def fail(label: Volume) -> None:
        raise OSError("the disk is full")

    def cancel(label: Volume) -> None:
        raise Cancelled

    done = segment(scan, model=tiny_model, brain_mask="none", device="cpu", preview=fail)
    assert done.run.notes == ["there is no preview: the disk is full"]
    assert done.run.vessel_voxels > 0
    with pytest.raises(Cancelled):
        segment(scan, model=tiny_model, brain_mask="none", device="cpu", preview=cancel)


def test_command_line_writes_the_preview_first(make_scan: MakeScan, tiny_model: str, tmp_path: Path) -> None:
    scan = make_scan()
    source, preview = tmp_path / "scan.nii.gz", tmp_path / "preview.nii.gz"
    write_volume(scan, source)
    command = [sys.executable, "-m", "vesselseg", "segment", str(source), "--model", tiny_model, "--device", "cpu"]
    command += ["--brain-mask", "none", "--output", str(tmp_path / "label.nii.gz"), "--preview", str(preview)]
    command += ["--progress", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (event,) = [each for each in events if each["event"] == "preview"]
    assert event["preview"] == str(preview)
    assert event["seconds"] > 0
    assert events.index(event) < next(i for i, each in enumerate(events) if each.get("percent", 0) > 2)
    expected: list[Volume] = []
    segment(scan, model=tiny_model, brain_mask="none", device="cpu", preview=expected.append)
    written = read_label(preview)
    np.testing.assert_array_equal(written.array, expected[0].array)
    assert written.geometry.same_grid(expected[0].geometry)
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr


@pytest.mark.slow
def test_large_arteries_of_a_real_scan_are_there(data_folder: Path) -> None:
    import SimpleITK as sitk
    from scipy import ndimage

    scan, shown = read_volume(data_folder / "tof" / "MNI_0656_tof.nii.gz"), []
    # Around the circle of Willis.
    region = (90, 230, 80, 200, 10, 100)
    label = segment(scan, brain_mask="none", device="cpu", region=region, preview=shown.append).label
    resampled = sitk.Resample(shown[0].to_sitk(), scan.to_sitk(), sitk.Transform(), sitk.sitkNearestNeighbor)
    preview = sitk.GetArrayFromImage(resampled) > 0
    spacing = scan.geometry.spacing_zyx
    inside = ndimage.distance_transform_edt(label.array, sampling=spacing)
    outside = ndimage.distance_transform_edt(label.array == 0, sampling=spacing)
    assert np.count_nonzero(inside > 1.3) > 500
    assert preview[inside > 1.3].mean() > 0.95
    assert (outside[preview] < 1.5).mean() > 0.85
