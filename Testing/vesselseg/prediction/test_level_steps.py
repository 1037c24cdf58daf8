from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from vesselseg.benchmark.flops import flops_per_voxel
from vesselseg.engines import DeviceOutOfMemoryError, make_engine, plan_run
from vesselseg.engines.interface import Engine
from vesselseg.errors import Cancelled
from vesselseg.models import Manifest, load_network, save_model
from vesselseg.networks import build_network
from vesselseg.prediction import level_steps
from vesselseg.prediction.inference import NetworkEffort, predict_probability

CHANNELS = [4, 8, 8, 12, 16]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_network("unet3d", channels=CHANNELS).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        with torch.no_grad():
            network.get_parameter("head.weight").div_(network(torch.rand(1, 1, 48, 48, 48)).std())
    manifest = Manifest(
        "deep", "", "unet3d", {"channels": CHANNELS}, {"method": "foreground_median"}, (0.6, 0.6, 0.6), 0.5, "", "MIT"
    )
    return save_model(network, manifest, tmp_path_factory.mktemp("deep"))


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return np.random.default_rng(5).random((90, 71, 52), dtype=np.float32)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    z, y, x = np.ogrid[:90, :71, :52]
    return (z - 40) ** 2 + (y - 30) ** 2 + (x - 26) ** 2 < 24**2


@pytest.fixture
def engine(model: Manifest) -> Engine:
    engine = make_engine(plan_run(model, device="cpu", engine="openvino", precision="f32"), model)
    engine.traits = replace(engine.traits, overlap=16)  # so that so small a scan can be cut at all
    return engine


class Told:
    """Keeps what a progress callback is told."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.last = ""

    def __call__(self, share: float, part: str) -> None:
        self.shares.append(share)
        self.last = part


def whole(engine: Engine, array: np.ndarray, **options: object) -> np.ndarray:
    """All levels of what fits into memory at once."""
    levels, engine.levels = engine.levels, None
    found = predict_probability(engine, array, **options)  # type: ignore[arg-type]
    engine.levels = levels
    return found


@pytest.mark.parametrize("bytes_", [2e7, 4e6, 4e5, 1.0], ids=["1 level", "2 levels", "3 levels", "all levels"])
@pytest.mark.parametrize("tile", [3e6, 4e5])
def test_level_by_level_is_what_all_at_once_is(
    engine: Engine, array: np.ndarray, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch, bytes_: float, tile: float
) -> None:
    monkeypatch.setattr(level_steps, "_REST_BYTES", bytes_)
    monkeypatch.setattr(level_steps, "_TILE_BYTES", tile)
    for options in ({}, {"mask": mask}, {"mask": mask, "region": np.s_[20:60, 10:40, 5:50]}):
        expected = whole(engine, array, **options)
        told, effort = Told(), NetworkEffort()
        found = predict_probability(engine, array, progress=told, effort=effort, **options)
        inside = options.get("mask", np.ones(array.shape, bool))
        if "region" in options:
            inside = np.zeros_like(mask)
            inside[options["region"]] = mask[options["region"]]
        np.testing.assert_allclose(found[inside], expected[inside], atol=2e-6)
        assert expected[inside].std() > 0.05
        assert told.shares == sorted(told.shares)
        assert told.shares[-1] == pytest.approx(1.0)
        assert len(told.shares) > 3
        assert told.last == f"part {len(told.shares)} of {len(told.shares)}"
        assert effort.voxels >= inside.sum()


def test_effort_is_what_the_whole_network_computes_with_the_same_work(
    engine: Engine, model: Manifest, array: np.ndarray, mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.levels is not None
    network = load_network(model)
    assert 2 * level_steps.work_per_voxel(engine.levels) == pytest.approx(flops_per_voxel(network))
    at_once = NetworkEffort()
    predict_probability(engine, array, effort=at_once)
    assert at_once.voxels == 112 * 96 * 80  # the scan and half a step on either side, in whole steps of 16
    monkeypatch.setattr(level_steps, "_REST_BYTES", 4e5)
    monkeypatch.setattr(level_steps, "_TILE_BYTES", 4e5)
    everywhere, in_mask = NetworkEffort(), NetworkEffort()
    predict_probability(engine, array, effort=everywhere)
    box = np.zeros_like(mask)
    box[np.ix_(*(np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)))] = True
    predict_probability(engine, array, mask=box, effort=in_mask)
    ball = NetworkEffort()
    predict_probability(engine, array, mask=mask, effort=ball)
    assert ball.voxels < 0.95 * in_mask.voxels < everywhere.voxels  # the same block, less of it at full resolution


@pytest.mark.parametrize("error", [DeviceOutOfMemoryError, MemoryError])
def test_what_runs_out_of_memory_goes_on_in_blocks(
    engine: Engine,
    array: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    engine.block_voxels = 200_000
    expected = whole(engine, array)  # in blocks, then
    assert engine.levels is not None
    run = engine.levels.run

    def short(part: str, level: int, *inputs: np.ndarray) -> np.ndarray:
        if part == "leave":
            raise error("there is no memory left")
        return run(part, level, *inputs)

    monkeypatch.setattr(engine.levels, "run", short)
    monkeypatch.setattr(level_steps, "_REST_BYTES", 4e7)
    told = Told()
    found = predict_probability(engine, array, progress=told)
    assert "going on block by block" in caplog.text
    assert told.shares == sorted(told.shares)
    assert not engine.levels._requests  # type: ignore[attr-defined]  # no memory is held
    np.testing.assert_array_equal(found, expected)


def test_it_can_be_cancelled_after_every_part(
    engine: Engine, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_steps, "_REST_BYTES", 4e6)

    told = Told()
    predict_probability(engine, array, progress=told)
    for number in (1, len(told.shares) // 2, len(told.shares) - 1):
        left = iter(range(number))

        def cancel(share: float, part: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled):
            predict_probability(engine, array, progress=cancel)
        assert engine.levels is not None
        assert not engine.levels._requests  # type: ignore[attr-defined]  # no memory is held


def test_memory_decides_how_many_levels_are_cut(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    levels, size = engine.levels, (96, 80, 64)
    assert levels is not None
    box = (slice(8, 90), slice(8, 70), slice(8, 50))
    depths = []
    for bytes_ in (1e9, 2e7, 2e6, 1.0):
        monkeypatch.setattr(level_steps, "_REST_BYTES", bytes_)
        steps = level_steps.level_steps(levels, size, box, lambda tile: tile)
        depths.append(next(step.level for step in steps if step.part == "rest"))
        done = np.zeros(size, int)
        for step in steps:
            if (step.part, step.level) in (("leave", 0), ("rest", 0)):
                done[step.box] += 1
        assert done.max() == 1
        assert done[box].all()
    assert depths[0] == 0
    assert depths == sorted(depths)
    assert depths[-1] == len(CHANNELS) - 1
