from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from vesselseg import devices, segmentation
from vesselseg.engines import DeviceFailedError, DeviceOutOfMemoryError, Engine, Plan, make_engine, plan_run
from vesselseg.errors import Cancelled, VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_volume
from vesselseg.models import Manifest, find_model, save_model
from vesselseg.morphology.label_voxels import pieces
from vesselseg.networks import build_network
from vesselseg.segmentation import segment
from vesselseg.volume import Volume

MakeScan = Callable[..., Volume]


def test_label_and_probability_lie_on_the_scans_grid(
    awkward_geometry: Geometry, make_scan: MakeScan, tiny_model: str
) -> None:
    scan = make_scan(awkward_geometry)
    result = segment(scan, model=tiny_model, brain_mask="none", device="cpu")
    for volume in (result.label, result.probability):
        assert volume.geometry == awkward_geometry
    assert 0 <= result.probability.array.min() < result.probability.array.max() <= 1
    np.testing.assert_array_equal(result.label.array, result.probability.array >= 0.5)
    assert result.run.vessel_voxels == result.label.array.sum() > 0
    assert result.run.vessel_ml == pytest.approx(
        result.label.array.sum() * awkward_geometry.voxel_volume / 1000, abs=1e-3
    )


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "PIR", "SAL", "ASR"])
def test_the_same_head_stored_otherwise_gives_the_same_result(
    orientation: str, make_scan: MakeScan, tiny_model: str
) -> None:
    scan = make_scan()
    stored = Volume.from_sitk(sitk.DICOMOrient(scan.to_sitk(), orientation))
    expected = segment(scan, model=tiny_model, brain_mask="none", device="cpu").probability
    found = segment(stored, model=tiny_model, brain_mask="none", device="cpu").probability
    back = sitk.DICOMOrient(found.to_sitk(), "LPS")
    np.testing.assert_allclose(sitk.GetArrayFromImage(back), expected.array, atol=1e-6)


@pytest.mark.parametrize("is_ct", [True, False])
def test_ct_is_said(make_scan: MakeScan, tiny_model: str, is_ct: bool) -> None:
    scan = make_scan()
    array = np.where(scan.array < 60, -1000 if is_ct else -20, scan.array)  # filters may give MR values below zero
    notes = segment(scan.with_array(array), model=tiny_model, brain_mask="none").run.notes
    assert any("seems to be CT" in note for note in notes) == is_ct


def test_another_spacing_is_resampled_and_said(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan(Geometry((60, 60, 20), (0.3, 0.3, 1.5), (5, 6, 7)))
    result = segment(scan, model=tiny_model, brain_mask="none", device="cpu")
    assert result.probability.geometry == scan.geometry
    assert any("resampled to 0.6 x 0.6 x 0.6 mm" in note for note in result.run.notes)
    # The tubes are where they were: probability inside them differs from its surroundings on the scan's own grid.
    tubes = scan.array > 200
    inside, outside = result.probability.array[tubes].mean(), result.probability.array[~tubes].mean()
    assert abs(inside - outside) > 0.02


def test_three_dimensional_models_segment_as_well(
    make_scan: MakeScan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    options = {"channels": [4, 8, 8]}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = build_network("unet3d", **options)
        with torch.no_grad():
            network.get_parameter("head.weight").mul_(30)
    manifest = Manifest(
        name="tiny3d", title="fixed random weights", architecture="unet3d", options=options, sha256="", licence="MIT",
        normalisation={"method": "foreground_median", "clip": 4.0}, spacing_mm=(0.6, 0.6, 0.6), threshold=0.5,
    )  # fmt: skip
    save_model(network, manifest, tmp_path)
    monkeypatch.setenv("VESSELSEG_MODELS", str(tmp_path))
    # Thin, and with sides that no pooling divides; in another orientation.
    scan = make_scan(Geometry((45, 50, 7), (0.6, 0.6, 0.6)))
    result = segment(scan, model="tiny3d", brain_mask="none", device="cpu")
    assert result.probability.geometry == scan.geometry
    assert result.probability.array.std() > 0.01
    assert np.all(result.probability.array > 0)
    turned = Volume.from_sitk(sitk.DICOMOrient(scan.to_sitk(), "PIR"))
    again = segment(turned, model="tiny3d", brain_mask="none", device="cpu").probability
    back = sitk.GetArrayFromImage(sitk.DICOMOrient(again.to_sitk(), "LPS"))
    np.testing.assert_allclose(back, result.probability.array, atol=1e-6)


def test_mask_limits_the_result_and_does_not_change_it_inside(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan(Geometry((120, 110, 40), (0.6, 0.6, 0.6)))
    mask = np.zeros(scan.array.shape, np.uint8)
    mask[10:25, 30:80, 40:90] = 1
    free = segment(scan, model=tiny_model, brain_mask="none", device="cpu").probability.array
    masked = segment(scan, model=tiny_model, brain_mask=scan.with_array(mask), device="cpu")
    assert masked.run.brain_mask == "given"
    assert not masked.probability.array[mask == 0].any()
    # The margin around the box is as wide as this small network sees, but for poolings that fall on other pixels.
    difference = np.abs(masked.probability.array - free)[mask == 1]
    assert np.mean(difference) < 0.02


def test_slices_and_rows_at_the_border_are_predicted(make_scan: MakeScan, tiny_model: str) -> None:
    for size in [(48, 48, 16), (47, 33, 5), (17, 64, 31)]:
        scan = make_scan(Geometry(size, (0.6, 0.6, 0.6)))
        array = segment(scan, model=tiny_model, brain_mask="none", device="cpu").probability.array
        assert np.all(array > 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, g: (np.where(a > 100, np.nan, a), g), "are not numbers"),
        (lambda a, g: (np.where(a > 100, np.inf, a), g), "are not numbers"),
        (lambda a, g: (np.full_like(a, 7), g), "every voxel of the scan is 7"),
        (lambda a, g: (np.zeros_like(a), g), "every voxel of the scan is 0"),
        (lambda a, g: (a[:1], Geometry((48, 44, 1), g.spacing)), "only 48 x 44 x 1 voxels.*the folder of"),
        (lambda a, g: (a, Geometry(g.size, (100.0, 100.0, 100.0))), "measure 100 x 100 x 100 mm"),
        (lambda a, g: (a, Geometry(g.size, (1e-4, 1e-4, 1e-4))), "measure 0.0001"),
    ],
    ids=["NaN", "infinite", "constant", "empty", "one-slice", "huge-spacing", "tiny-spacing"],
)
def test_what_is_no_scan_is_refused(
    change: Callable[[np.ndarray, Geometry], tuple[np.ndarray, Geometry]],
    words: str,
    make_scan: MakeScan,
    tiny_model: str,
) -> None:
    scan = make_scan()
    array, geometry = change(scan.array, scan.geometry)
    with pytest.raises(VesselSegError, match=words) as raised:
        segment(Volume(array.astype(np.float32), geometry), model=tiny_model, brain_mask="none")
    assert raised.value.advice


def test_wrong_wishes_are_refused_before_the_work(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan()

    def started(fraction: float, message: str) -> None:
        pytest.fail("work began")

    for options, words in [
        ({"threshold": 2.0}, "threshold"),
        ({"min_component_mm3": -1.0}, "component"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"model": "nonesuch"}, "no model 'nonesuch'"),
        ({"engine": "steam"}, "unknown engine"),
        ({"precision": "f7"}, "unknown precision"),
        ({"precision": "f16", "device": "cpu"}, "does not compute in f16"),
        ({"precision": "int8"}, "has no int8 form"),
        ({"region": (0, 49, 0, 44, 0, 24)}, "48 x 44 x 24"),
        ({"region": (5, 5, 0, 44, 0, 24)}, "not a box"),
        ({"region": (-1, 5, 0, 44, 0, 24)}, "not a box"),
        ({"region": (0, 5, 0, 44)}, "not a box"),
        ({"brain_mask": "maybe"}, "unknown brain mask"),
        ({"brain_mask": scan.with_array(np.zeros_like(scan.array))}, "empty"),
        ({"brain_mask": make_scan(Geometry((48, 44, 24), (0.5, 0.6, 0.6)))}, "grid of the scan"),
    ]:
        with pytest.raises(VesselSegError, match=words):
            segment(scan, **{"model": tiny_model, "brain_mask": "none", "progress": started, **options})


def test_a_model_is_loaded_while_the_scan_is_read(
    make_scan: MakeScan, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, loaded = make_scan(), threading.Event()
    expected = segment(scan, model=tiny_model, brain_mask="none", device="cpu")

    def load(plan: Plan, manifest: Manifest) -> Engine:
        engine = make_engine(plan, manifest)
        loaded.set()
        return engine

    def read() -> Volume:
        assert loaded.wait(30)  # for ever, were it loaded afterwards
        return scan

    monkeypatch.setattr(segmentation, "make_engine", load)
    mask = scan.with_array(np.ones(scan.array.shape, np.uint8))
    done = segment(read, model=tiny_model, brain_mask=lambda: mask, device="cpu")
    assert done.run.brain_mask == "given"
    np.testing.assert_array_equal(done.label.array, expected.label.array)


def test_a_model_that_cannot_be_loaded_is_told_before_the_brain_is_looked_for(
    make_scan: MakeScan, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = replace(find_model(tiny_model), sha256="0" * 64)
    monkeypatch.setattr("vesselseg.brain_mask.brain_mask", lambda scan: pytest.fail("the brain was looked for"))
    with pytest.raises(VesselSegError, match="sum"):
        segment(make_scan(), model=manifest, device="cpu")


def test_a_scan_that_cannot_be_read_is_told_before_a_model_that_cannot_be_loaded(tiny_model: str) -> None:
    def missing() -> Volume:
        raise VesselSegError("there is no file scan.nii.gz", "check the path")

    with pytest.raises(VesselSegError, match="no file scan"):
        segment(missing, model=tiny_model, brain_mask="none", precision="int8")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (DeviceOutOfMemoryError("full"), "had too little free memory"),
        (DeviceFailedError("CUDA error: all devices are busy"), "failed (CUDA error: all devices are busy)"),
    ],
)
def test_going_to_the_cpu_is_said(
    error: Exception, why: str, make_scan: MakeScan, tiny_model: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """A GPU whose memory is full, or that fails: no GPU is at hand, so that the device's answer alone is played."""
    gpu = devices.Device("cuda:0", "Full GPU", 1 << 30)
    monkeypatch.setattr(devices, "available_devices", lambda *_: [gpu, devices.cpu_device()])

    def full(plan: Plan, manifest: Manifest) -> Engine:
        if plan.device.name != "cpu":
            raise error
        return make_engine(plan, manifest)

    monkeypatch.setattr(segmentation, "make_engine", full)
    asked = []

    def planned(manifest: Manifest, **wishes: str) -> Plan:
        asked.append(wishes)
        return plan_run(manifest, **wishes)

    monkeypatch.setattr(segmentation, "plan_run", planned)
    result = segment(make_scan(), model=tiny_model, brain_mask="none", device="auto", precision="f32")
    assert asked[-1] == {"device": "cpu", "engine": "auto", "precision": "f32"}
    run = result.run
    assert (run.device, run.device_name, run.precision) == ("cpu", devices.cpu_device().label, "f32")
    assert run.engine == "openvino"
    assert any(why in note and "the CPU was used instead" in note for note in run.notes)
    assert "the CPU was used instead" in caplog.text


def test_what_a_low_precision_does_not_hold_is_computed_in_single_precision(
    make_scan: MakeScan, tiny_model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Features beyond what half precision holds, as a GPU may give them: an engine's answer alone is played."""
    coarse = replace(plan_run(find_model(tiny_model), device="cpu", engine="torch"), precision="f16")
    plans = iter([coarse])
    monkeypatch.setattr(
        segmentation, "plan_run", lambda *args, **wishes: next(plans, None) or plan_run(*args, **wishes)
    )

    def overflowing(plan: Plan, manifest: Manifest) -> Engine:
        engine = make_engine(replace(plan, precision="f32"), manifest)
        if plan.precision == "f16":
            run = engine.run
            monkeypatch.setattr(engine, "run", lambda inputs: (logits * np.float32("nan") for logits in run(inputs)))
        return engine

    monkeypatch.setattr(segmentation, "make_engine", overflowing)
    done = segment(make_scan(), model=tiny_model, brain_mask="none", engine="torch")
    assert (done.run.engine, done.run.precision) == ("torch", "f32")
    assert done.label.array.any()
    assert "f16 does not hold the features" in caplog.text


@pytest.mark.parametrize(("words", "said"), [("full", "full"), ("", "RuntimeError")])
def test_what_kept_the_preview_away_is_said(make_scan: MakeScan, tiny_model: str, words: str, said: str) -> None:
    def failing(label: Volume) -> None:
        raise RuntimeError(words)

    done = segment(make_scan(), model=tiny_model, brain_mask="none", device="cpu", preview=failing)
    assert done.run.notes == [f"there is no preview: {said}"]


def test_a_region_alone_is_segmented_as_in_the_whole_scan(
    awkward_geometry: Geometry, make_scan: MakeScan, tiny_model: str
) -> None:
    scan = make_scan(awkward_geometry)
    whole = segment(scan, model=tiny_model, brain_mask="none", device="cpu")
    part = segment(scan, model=tiny_model, brain_mask="none", device="cpu", region=(5, 30, 7, 36, 3, 20))
    inside = np.s_[3:20, 7:36, 5:30]
    np.testing.assert_allclose(part.probability.array[inside], whole.probability.array[inside], atol=1e-5)
    assert part.run.region == [5, 30, 7, 36, 3, 20]
    assert whole.run.region is None
    for volume in (part.probability, part.label):
        assert volume.geometry == scan.geometry
        assert volume.array[inside].any()
        volume.array[inside] = 0
        assert not volume.array.any()


def test_what_the_faces_of_a_region_cut_off_is_kept(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan()
    whole = segment(scan, model=tiny_model, brain_mask="none")
    sizes = np.bincount(pieces(whole.label.array != 0)[0].ravel())[1:]
    smallest = float(sizes.max()) * scan.geometry.voxel_volume
    k, j, i = np.argwhere(pieces(whole.label.array != 0)[0] == np.argmax(sizes) + 1)[sizes.max() // 2]
    region = (i, i + 1, j, j + 1, k, k + 1)  # a voxel within the largest piece
    part = segment(scan, model=tiny_model, brain_mask="none", region=region, min_component_mm3=smallest)
    assert part.label.array[k, j, i] == 1


def test_a_region_is_where_it_is_when_the_scan_is_resampled(make_scan: MakeScan, tiny_model: str) -> None:
    scan = make_scan(Geometry((60, 60, 20), (0.3, 0.3, 1.5), (5, 6, 7)))
    mask = scan.with_array(np.ones(scan.array.shape, np.uint8))
    whole = segment(scan, model=tiny_model, brain_mask=mask).probability.array
    part = segment(scan, model=tiny_model, brain_mask=mask, region=[10, 50, 0, 33, 4, 9]).probability.array
    inside = np.s_[4:9, 0:33, 10:50]
    np.testing.assert_allclose(part[inside], whole[inside], atol=1e-5)
    assert np.count_nonzero(part) == np.count_nonzero(part[inside])


def test_progress_rises_and_can_cancel(make_scan: MakeScan, tiny_model: str) -> None:
    seen: list[float] = []
    segment(make_scan(), model=tiny_model, brain_mask="none", progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 5

    def cancel(fraction: float, message: str) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(make_scan(), model=tiny_model, brain_mask="none", progress=cancel)


@pytest.mark.slow
def test_brain_is_found_in_real_scans_in_any_orientation(data_folder: object) -> None:
    from vesselseg.brain_mask import brain_mask

    scan = read_volume(f"{data_folder}/tof/MNI_0643_tof.nii.gz")
    mask = brain_mask(scan)
    assert mask.geometry == scan.geometry
    litres = mask.array.sum() * scan.geometry.voxel_volume / 1e6
    assert 1.0 < litres < 2.0
    turned = Volume.from_sitk(sitk.DICOMOrient(scan.to_sitk(), "PIR"))
    again = sitk.GetArrayFromImage(sitk.DICOMOrient(brain_mask(turned).to_sitk(), "LPS"))
    dice = 2 * np.count_nonzero(again & mask.array) / (again.sum() + mask.array.sum())
    assert dice > 0.95


def test_dilation_is_in_millimetres(awkward_geometry: Geometry) -> None:
    from vesselseg.brain_mask import dilated

    mask = np.zeros(awkward_geometry.shape, np.uint8)
    mask[14, 18, 20] = 1
    grown = dilated(Volume(mask, awkward_geometry), 2.5).array
    k, j, i = np.meshgrid(*(np.arange(n) for n in awkward_geometry.shape), indexing="ij")
    steps = np.stack([i - 20, j - 18, k - 14], -1) * awkward_geometry.spacing
    np.testing.assert_array_equal(grown, np.linalg.norm(steps, axis=-1) <= 2.5)


def test_no_brain_is_an_error() -> None:
    from vesselseg.brain_mask import brain_mask

    noise = np.random.default_rng(0).random((32, 32, 32), dtype=np.float32)
    with pytest.raises(VesselSegError, match="no brain"):
        brain_mask(Volume(noise, Geometry((32, 32, 32), (1.0, 1.0, 1.0))))
