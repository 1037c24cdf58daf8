"""What the benchmark counts and computes; nothing here depends on how fast the machine is."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselseg.benchmark.case import Case, untrained_model
from vesselseg.benchmark.figures import RunFigures, rows_of
from vesselseg.benchmark.flops import VoxelCounter, flops_per_voxel
from vesselseg.benchmark.machine import load_warning
from vesselseg.benchmark.measuring import Measurement
from vesselseg.benchmark.peak import measure_peaks
from vesselseg.benchmark.peers import PEERS, eager_probability, monai_probability, nnunet_probability, run_peer
from vesselseg.benchmark.rounds import CONTESTANTS, Contestant, Outcome, Rounds, choose_contestants
from vesselseg.benchmark.table import peaks_text, rows_text, timings_text
from vesselseg.benchmark.timing import Timing, time_calls
from vesselseg.benchmark.tools import ToolCase, measure_edits, measure_metrics
from vesselseg.cli.main import main
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.image_io import read_label, read_volume, write_volume
from vesselseg.models import find_model
from vesselseg.networks import build_network
from vesselseg.networks.traits import Traits
from vesselseg.volume import Volume

torch = pytest.importorskip("torch")


def random_network(name: str, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_network(name, **options).eval()


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_flops_of_a_small_network_as_counted_by_hand() -> None:
    # Level 0: 1 -> 2 -> 2; level 1, a quarter of the voxels: 2 -> 4 -> 4; up again: 4 + 2 -> 2 -> 2; head 2 -> 1.
    by_hand = 2 * 9 * (1 * 2 + 2 * 2) + 2 * 9 * (2 * 4 + 4 * 4) / 4 + 2 * 9 * (6 * 2 + 2 * 2) + 2 * 2 * 1
    assert flops_per_voxel(random_network("unet2d", channels=[2, 4])) == by_hand == 508


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("unet2d", {"channels": [4, 8, 16], "in_slices": 3, "norm": "batch"}, (1, 3, 32, 48)),
        ("unet2d", {"channels": [32, 64, 128, 256, 512]}, (2, 1, 32, 16)),
        ("unet3d", {"channels": [4, 8, 16]}, (1, 1, 8, 16, 12)),
    ],
)
def test_flops_agree_with_torchs_own_counter(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = random_network(name, **options)
    counter = VoxelCounter(network)
    with FlopCounterMode(display=False) as theirs, torch.no_grad():
        network(torch.zeros(shape))
    assert counter.voxels == shape[0] * math.prod(shape[2:])
    assert flops_per_voxel(network) * counter.voxels == theirs.get_total_flops()
    assert next(network.parameters()).device.type == "cpu"  # what is counted is left as it was


def test_flops_of_transposed_and_grouped_convolutions() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network: Any = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, padding=1, stride=2),
        torch.nn.Conv2d(6, 6, 5, padding=2, groups=3),
        torch.nn.ConvTranspose2d(6, 3, 2, stride=2),
    )
    network.traits = Traits(2, 2, 1, 6)
    with FlopCounterMode(display=False) as theirs, torch.no_grad():
        network(torch.zeros(1, 1, 8, 6))
    assert flops_per_voxel(network) * 48 == theirs.get_total_flops()


@pytest.mark.parametrize("in_slices", [1, 3])
def test_eager_peer_computes_whole_slices(in_slices: int) -> None:
    network = random_network("unet2d", channels=[4, 8, 16], in_slices=in_slices)
    scan = image(5, 30, 42)
    half = in_slices // 2
    padded = np.pad(scan, ((half, half), (0, 2), (0, 2)), mode="edge")
    with torch.no_grad():
        expected = [
            torch.sigmoid(network(torch.from_numpy(padded[z : z + in_slices])[None]))[0, 0, :30, :42] for z in range(5)
        ]
    np.testing.assert_allclose(eager_probability(network, scan), np.stack(expected), atol=1e-6)


def test_eager_peer_computes_a_whole_scan_in_three_dimensions() -> None:
    network = random_network("unet3d", channels=[4, 8])
    scan = image(10, 13, 16)
    padded = np.pad(scan, ((1, 1), (1, 2), (1, 1)), mode="edge")
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(padded)[None, None]))[0, 0, 1:11, 1:14, 1:17]
    np.testing.assert_allclose(eager_probability(network, scan), expected, atol=1e-6)


def test_a_scan_that_does_not_fit_into_the_memory_is_refused_before_it_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = random_network("unet3d", channels=[4, 8])
    network.traits = replace(network.traits, features_per_voxel=10**12)
    with pytest.raises(VesselSegError, match="GB for the whole scan"):
        eager_probability(network, image(8, 8, 8))


def test_monai_agrees_where_one_window_is_the_slice() -> None:
    pytest.importorskip("monai")
    network = random_network("unet2d", channels=[4, 8, 16])
    scan = image(2, 96, 96)
    np.testing.assert_allclose(monai_probability(network, scan), eager_probability(network, scan), atol=1e-6)


def test_monai_computes_more_voxels_where_windows_overlap() -> None:
    pytest.importorskip("monai")
    network = random_network("unet2d", channels=[4, 8, 16])
    counter = VoxelCounter(network)
    monai_probability(network, image(1, 128, 160))
    # Along an axis of 128 a window every 72 voxels makes 2 of them, along 160 as well.
    assert counter.voxels == 4 * 96 * 96


def test_nnunet_is_the_mean_of_all_mirrorings_but_for_its_half_precision() -> None:
    pytest.importorskip("nnunetv2")
    network = random_network("unet2d", channels=[4, 8, 16])
    scan = image(2, 32, 48)
    turned = [scan, scan[:, ::-1], scan[:, :, ::-1], scan[:, ::-1, ::-1]]
    with torch.no_grad():
        logits = [network(torch.from_numpy(np.ascontiguousarray(s))[:, None])[:, 0].numpy() for s in turned]
    mean = (logits[0] + logits[1][:, ::-1] + logits[2][:, :, ::-1] + logits[3][:, ::-1, ::-1]) / 4
    np.testing.assert_allclose(nnunet_probability(network, scan), 1 / (1 + np.exp(-mean)), atol=1e-2)


def test_a_peer_turns_the_scan_masks_its_result_and_tells_what_it_computed(tiny_model: str) -> None:
    # A sagittal scan: the network must see axial slices.
    direction = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    array = 20 + 100 * image(12, 16, 20)
    scan = Volume(array, Geometry((20, 16, 12), (0.6, 0.6, 0.6), (0.0, 0.0, 0.0), direction))
    mask = scan.with_array((image(12, 16, 20) > 0.5).astype(np.uint8))
    seen: list[str] = []
    done = run_peer("torch-eager", scan, find_model(tiny_model), mask, progress=lambda _, text: seen.append(text))
    # Voxels along z of the patient are rows of the array, x its slices.
    assert seen == ["network", *(f"part {k + 1} of 16" for k in range(16))]
    assert done.network_voxels == 16 * 20 * 12
    assert done.network_seconds > 0
    assert done.probability.geometry == scan.geometry
    assert not done.probability.array[mask.array == 0].any()
    assert done.probability.array[mask.array == 1].all()


def test_a_peer_that_is_missing_says_so(tiny_model: str, make_scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VesselSegError, match="nnunetv2 is not installed"):
        run_peer("nnunet", make_scan(), find_model(tiny_model))


def test_a_scan_that_needs_resampling_is_refused(tiny_model: str, make_scan: Any) -> None:
    coarse = make_scan(Geometry((20, 20, 10), (1.5, 1.5, 1.5)))
    with pytest.raises(VesselSegError, match="resampled"):
        run_peer("torch-eager", coarse, find_model(tiny_model))


def test_peaks_are_measured_in_every_precision_of_the_machine() -> None:
    peaks = {peak.precision: peak for peak in measure_peaks(levels=((16, 24, 24),), seconds=0.001, repeats=1)}
    assert set(peaks) <= {"f32", "bf16"}
    assert peaks["f32"].flops > 1e6
    assert peaks["f32"].library in ("openvino", "torch")
    assert peaks["f32"].level == (16, 24, 24)


def test_contestants_are_chosen_by_name_and_by_beginning() -> None:
    assert choose_contestants([]) == list(CONTESTANTS)
    assert [c.name for c in choose_contestants(["monai", "openvino"])] == [
        "openvino-f32", "openvino-bf16", "openvino-int8", "monai",
    ]  # fmt: skip
    assert [c.name for c in choose_contestants(["vesselseg"])] == ["vesselseg"]
    with pytest.raises(VesselSegError, match="nonesuch"):
        choose_contestants(["monai", "nonesuch"])


def test_a_baseline_that_does_not_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for baseline in ("nonesuch", "monai"):
        arguments = ["bench", "--only", "torch-eager", "vesselseg", "--baseline", baseline, "--progress", "none"]
        assert main([*arguments, "--scan", "nonesuch.nii.gz"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"the baseline '{baseline}' is not measured" in line
        assert "vesselseg, torch-eager" in line


@pytest.fixture
def case(tmp_path: Path, tiny_model: str, make_scan: Any) -> Case:
    scan = make_scan(Geometry((32, 32, 8), (0.6, 0.6, 0.6)))
    write_volume(scan, tmp_path / "scan.nii.gz")
    write_volume(scan.with_array((scan.array > 50).astype(np.uint8)), tmp_path / "mask.nii.gz")
    return Case(tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz", find_model(tiny_model), (32, 32, 8), 8, "a scan")


def measured(seconds: float, *, others: float = 0.0, peak: int = 10**8, **result: Any) -> Measurement:
    events: list[tuple[float, dict[str, Any]]] = [(0.1, {"event": "progress", "message": "reading the scan"})]
    events += [(1.0 + k, {"event": "progress", "message": f"part {k + 1} of 8"}) for k in range(8)]
    events += [(seconds, {"event": "result", "engine": "x", "precision": "f32", **result})]
    return Measurement(seconds, tuple(events), 0, peak, seconds, others, "")


def outcome(case: Case, name: str, shift: float, *measurements: Measurement, failure: str = "") -> Outcome:
    """An outcome whose probability is 0.5 everywhere but for a shift in one voxel inside the mask and one outside."""
    label, probability = case.scan.parent / f"{name}.nii.gz", case.scan.parent / f"{name}.nii"
    inside = read_label(case.mask).array != 0
    values = np.full(inside.shape, 0.5, np.float32)
    values[tuple(np.argwhere(inside)[0])] += shift
    values[tuple(np.argwhere(~inside)[0])] += 2 * shift
    scan = read_volume(case.scan)
    write_volume(scan.with_array(values), probability, overwrite=True)
    write_volume(scan.with_array((values > 0.5).astype(np.uint8)), label, overwrite=True)
    return Outcome(Contestant(name, name, ()), measurements, failure, label, probability)


def test_figures_are_medians_ratios_by_round_and_shares_of_the_peak(case: Case) -> None:
    rounds = Rounds(
        (
            outcome(case, "torch-f32", 0.25, *(measured(s, others=s / 100) for s in (10.0, 20.0, 40.0))),
            outcome(
                case, "openvino-f32", 0.125,
                *(
                    measured(s, peak=10**8 + int(s), network_seconds=s / 2, network_voxels=1000)
                    for s in (5.0, 5.0, 4.0)
                ),
            ),
            outcome(case, "torch-eager", 0.25, *(measured(s) for s in (30.0, 30.0, 30.0))),
            outcome(case, "nnunet", 0.0, failure="nnunetv2 is not installed"),
        ),
        {"f32": {"flops": 1e6, "library": "openvino", "level": [64, 192, 224], "precision": "f32"}},
    )  # fmt: skip
    slow, fast, eager, missing = rows_of(rounds, case, 500.0, "torch-f32")
    assert fast.total_s == 5.0
    assert fast.faster == (4.0, 2.0, 10.0)
    assert slow.faster == (1.0, 1.0, 1.0)
    assert fast.network_s == 2.5
    assert fast.seconds_a_slice == 2.5 / 8
    assert fast.flops == 500 * 1000 / 2.5
    assert fast.share_of_peak == pytest.approx(0.2)
    assert fast.peak_bytes == 10**8 + 5
    assert fast.import_s == 0.1
    assert fast.first_part_s == 1.0
    assert slow.others == 0.4
    # Without the run's own word: seven parts took seven seconds, so that eight take eight.
    assert slow.network_s == 8.0
    assert slow.share_of_peak is None
    assert (slow.largest_difference, slow.dice) == (0.0, 1.0)
    assert fast.largest_difference == 0.125
    assert fast.engine_difference == 0.125
    assert eager.engine_difference is None  # it does not see the same windows
    assert missing.not_run == "nnunetv2 is not installed"
    text = rows_text([slow, fast, eager, missing], "torch-f32")
    assert "4.00 (2.00 to 10.00)" in text
    assert "20.0" in text
    assert "nnunet: not run: nnunetv2 is not installed" in text
    assert "1 GFLOP" not in peaks_text(rounds.peaks)
    assert "64 channels of 192 x 224, openvino" in peaks_text(rounds.peaks)


def test_without_the_reference_nothing_is_said_of_differences(case: Case) -> None:
    (row,) = rows_of(Rounds((outcome(case, "openvino-f32", 0.1, measured(2.0)),), {}), case, 500.0, "monai")
    assert row.largest_difference is None
    assert row.faster is None
    assert rows_text([row], "monai").splitlines()[1].count(" -") >= 4


def test_few_parts_tell_nothing_of_the_networks_time() -> None:
    events = tuple((float(k), {"event": "progress", "message": f"part {k} of 3"}) for k in (1, 2, 3))
    assert RunFigures.of(Measurement(4.0, events, 0, None, None, None, "")).network_s is None


def test_load_by_others_is_warned_of() -> None:
    assert load_warning([None, 0.05, 0.1]) == ""
    assert "up to 50 % of the cores during 2 of 4" in load_warning([None, 0.2, 0.5, 0.0])


def test_promises_are_kept_or_not() -> None:
    kept, broken = Timing("a", (0.1, 0.2, 9.0), 0.3), Timing("b", (0.4,), 0.3)
    skipped, free = Timing("c", limit_s=1.0, skipped="it needs more"), Timing("d", (1.0,))
    assert [t.passed for t in (kept, broken, skipped, free)] == [True, False, None, None]
    text = timings_text([kept, broken, skipped, free])
    assert [line.split()[-1] for line in text.splitlines()[1:4]] == ["pass", "FAIL", "-"]
    assert text.endswith("c: skipped: it needs more")
    assert kept.as_dict()["median_s"] == 0.2


def test_the_first_call_does_not_count_and_everything_is_brought_back() -> None:
    calls: list[str] = []
    timing = time_calls(
        "x", lambda: calls.append("call"), rounds=2, before=lambda: calls.append("<"), after=lambda: calls.append(">")
    )
    assert calls == ["<", "call", ">"] * 3
    assert len(timing.seconds) == 2


def test_every_tool_is_measured() -> None:
    case = ToolCase.draw(Geometry((110, 126, 64), (1.4, 1.4, 1.5), (-76.0, -74.0, -40.0)))
    assert 0 < case.found.array.sum() < case.label.array.sum()
    timings = measure_edits(case, rounds=1)
    names = [timing.name for timing in timings]
    assert len(names) == len(set(names))
    for tool in ("remove a piece", "remove a branch", "grow", "threshold brush", "correct an error", "trace"):
        assert tool in names
    if importlib.util.find_spec("slicer") is None:
        assert timings[-1].skipped == "slicer-core is not installed"
    else:
        assert "trace: click to preview in the scene" in names
        assert "trace: preview to label in the scene" in names
    (metrics,) = measure_metrics(case, rounds=1)
    assert metrics.limit_s == 3.0
    assert metrics.median is not None


def test_an_untrained_model_gives_probabilities_that_spread(make_scan: Any, tmp_path: Path) -> None:
    scan = make_scan(Geometry((64, 64, 8), (0.6, 0.6, 0.6)))
    write_volume(scan, tmp_path / "scan.nii.gz")
    model = untrained_model("small-unet", tmp_path / "scan.nii.gz", tmp_path)
    assert model.path == tmp_path / "small-unet.json"
    values = run_peer("torch-eager", scan, model).probability.array
    assert 0.001 < (values > 0.5).mean() < 0.2
    assert values.min() < 0.05
    before = (tmp_path / "small-unet.safetensors").stat().st_mtime_ns
    untrained_model("small-unet", tmp_path / "scan.nii.gz", tmp_path)
    assert (tmp_path / "small-unet.safetensors").stat().st_mtime_ns == before
    write_volume(make_scan(Geometry((64, 64, 8), (1.2, 1.2, 0.6))), tmp_path / "other.nii.gz")
    assert untrained_model("small-unet", tmp_path / "other.nii.gz", tmp_path).spacing_mm == pytest.approx(
        (1.2, 1.2, 0.6)
    )
    with pytest.raises(VesselSegError, match="nonesuch"):
        untrained_model("nonesuch", tmp_path / "scan.nii.gz", tmp_path)


def test_peers_have_titles_for_people() -> None:
    assert {contestant.name for contestant in CONTESTANTS} >= set(PEERS)
    assert all(contestant.title for contestant in CONTESTANTS)
