from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from vesselseg import devices
from vesselseg.devices import Device
from vesselseg.engines import (
    DeviceOutOfMemoryError,
    choice,
    make_engine,
    openvino_engine,
    openvino_graph,
    plan_run,
    torch_engine,
)
from vesselseg.engines.choice import Plan
from vesselseg.engines.graphs import graph_traits
from vesselseg.engines.interface import Results
from vesselseg.errors import Cancelled, VesselSegError
from vesselseg.image_io import write_volume
from vesselseg.models import Manifest, find_model, load_network, save_model
from vesselseg.models.manifest import PrecisionCheck
from vesselseg.models.weights import load_weights
from vesselseg.networks import build_network
from vesselseg.phantom import make_phantom
from vesselseg.prediction.inference import predict_probability
from vesselseg.preprocessing import normalise
from vesselseg.volume import Volume

GPU = Device("cuda:0", "A GPU", 8 << 30)
#: Every architecture, in its variants; five levels as the shipped models have.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "the paper's": ("unet2d", {"channels": [8, 16, 16, 32, 32]}),
    "2.5D": ("unet2d", {"channels": [4, 8, 16], "in_slices": 3, "norm": "batch", "dropout": 0.2}),
    "3D": ("unet3d", {"channels": [4, 8, 8, 16, 16]}),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A saved model whose weights, norms and statistics are all random, and whose probabilities differ widely."""
    architecture, options = NETWORKS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(architecture, **options)
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                for name, low, high in (
                    ("weight", 0.5, 1.5), ("bias", -0.1, 0.1), ("running_mean", -0.1, 0.1), ("running_var", 0.5, 1.5)
                ):  # fmt: skip
                    nn.init.uniform_(getattr(module, name), low, high)
            elif isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        sides = [1, options.get("in_slices", 1), *[48] * (3 if architecture == "unet3d" else 2)]
        with torch.no_grad():  # logits that vary, by no more than those of a trained network do
            spread = network.eval()(torch.rand(sides)).std()
            network.get_parameter("head.weight").div_(spread.clamp(min=0.1))
    normalisation = {"method": "foreground_median"}
    manifest = Manifest("random", "", architecture, options, normalisation, (0.6, 0.6, 0.6), 0.5, "", "MIT")
    return save_model(network, manifest, tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    return np.random.default_rng(0).random((19, 52, 45), dtype=np.float32)


def predict(manifest: Manifest, array: np.ndarray, **wishes: Any) -> np.ndarray:
    options = {key: wishes.pop(key) for key in ("mask", "region", "progress") if key in wishes}
    return predict_probability(make_engine(plan_run(manifest, **wishes), manifest), array, **options)


class DoublePrecision:
    """The network in torch in double precision: what single precision has to come near to."""

    name, device, precision, batch, block_voxels, levels = "torch", "cpu", "f64", 1, 1 << 20, None

    def __init__(self, manifest: Manifest) -> None:
        self._network = load_network(manifest).double()
        self.traits = graph_traits(manifest.architecture, manifest.options)

    def run(self, inputs: Iterable[np.ndarray]) -> Results:
        with torch.inference_mode():
            for array in inputs:
                yield self._network(torch.from_numpy(array).double()).float().numpy()


@pytest.mark.parametrize("engine", ["openvino", "onnx", "torch"])
def test_engines_agree_with_double_precision(model: Manifest, array: np.ndarray, engine: str) -> None:
    # Eager torch in single precision is no better a reference: with random weights it is 8e-6 off on some CPUs.
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    z, y, x = np.ogrid[:19, :52, :45]
    mask = (z - 9) ** 2 + (y - 30) ** 2 + (x - 20) ** 2 < 8**2
    for options in ({}, {"mask": mask}, {"mask": mask, "region": np.s_[5:14, 20:33, 0:45]}):
        expected = predict_probability(DoublePrecision(model), array, **options)
        found = predict(model, array, device="cpu", engine=engine, precision="f32", **options)
        assert expected[expected > 0].std() > 0.02
        assert np.abs(found - expected).max() <= 1e-5


def test_bfloat16_is_near_and_said(model: Manifest, array: np.ndarray) -> None:
    if not openvino_engine.computes_natively("bf16"):
        with pytest.raises(VesselSegError, match="does not compute in bf16"):
            plan_run(model, device="cpu", precision="bf16")
        return
    plan = plan_run(model, device="cpu", precision="bf16")
    assert plan.precision == "bf16"
    assert any("not measured" in note for note in plan.notes)
    exact = predict(model, array, device="cpu", precision="f32")
    difference = np.abs(predict(model, array, device="cpu", precision="bf16") - exact)
    assert 0 < np.mean(difference) < 0.01


@pytest.mark.parametrize("name", ["tof-unet3d", "paper-half-unet"])
def test_bfloat16_loses_less_than_openvino_by_itself(name: str) -> None:
    if not openvino_engine.computes_natively("bf16"):
        pytest.skip("this CPU does not compute in bfloat16")
    model = find_model(name)
    scan = make_phantom(1)[0].array
    middle = tuple(slice(side // 2 - 24, side // 2 + 24) for side in scan.shape)
    array = normalise(scan, model.normalisation, middle)
    by_itself = openvino_engine.OpenVinoEngine(
        *openvino_graph.openvino_model(model.architecture, model.options, load_weights(model)), "bf16"
    )
    plain = predict_probability(by_itself, array)
    exact, found = (
        predict_probability(make_engine(Plan("openvino", devices.cpu_device(), precision), model), array)
        for precision in ("f32", "bf16")
    )
    assert (exact > model.threshold).mean() > 0.001
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.7 * np.sqrt(np.mean((plain - exact) ** 2))


def test_several_streams_keep_the_order(array: np.ndarray, model: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = predict(model, array, device="cpu", precision="f32")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    np.testing.assert_allclose(predict(model, array, device="cpu", precision="f32"), expected, atol=1e-6)


def test_a_cancelled_run_leaves_the_engine_usable(model: Manifest, array: np.ndarray) -> None:
    engine = make_engine(plan_run(model, device="cpu"), model)
    expected = predict_probability(engine, array)

    def cancel(fraction: float, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        predict_probability(engine, array, progress=cancel)
    np.testing.assert_array_equal(predict_probability(engine, array), expected)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        RuntimeError("Check 'ptr' failed at cpu_memory.cpp:257:\nFailed to allocate 17179869184 bytes of memory"),
        MemoryError(),
    ],
)
def test_short_memory_of_openvino_is_told(model: Manifest, array: np.ndarray, error: Exception) -> None:
    """OpenVINO tells it in words only: its answer is played."""
    engine = make_engine(plan_run(model, device="cpu"), model)

    def full() -> Iterator[np.ndarray]:
        raise error
        yield array

    with pytest.raises(DeviceOutOfMemoryError):
        list(engine.run(full()))


@pytest.fixture(scope="module")
def wide() -> np.ndarray:
    """Wide enough to be cut into tiles."""
    return np.random.default_rng(0).random((3, 150, 133), dtype=np.float32)


@pytest.mark.parametrize(
    "step",
    [(openvino.Core, "compile_model"), (openvino.CompiledModel, "create_infer_request")],
    ids=lambda pair: pair[1],
)
def test_openvino_is_tried_again_where_not_even_compiling_had_memory(
    tiny: Manifest, wide: np.ndarray, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    expected = predict(tiny, wide, device="cpu", engine="openvino", precision="f32")
    where, what = step
    do, tries = getattr(where, what), []

    def full_at_first(*args: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise RuntimeError("Exception from src/inference: std::bad_alloc")
        return do(*args)

    monkeypatch.setattr(where, what, full_at_first)
    found = predict(tiny, wide, device="cpu", engine="openvino", precision="f32")
    assert len(tries) >= 2
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_short_memory_of_onnx_runtime_makes_the_tiles_smaller(
    tiny: Manifest, wide: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its classes of errors derive from `Exception` alone."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    expected = predict(tiny, wide, device="cpu", engine="onnx")
    sizes: list[int] = []

    class Small(onnxruntime.InferenceSession):
        def run(self, names: Any, inputs: dict[str, np.ndarray]) -> Any:
            sizes.append(inputs["scan"].size)
            if sizes[-1] == sizes[0]:
                raise RuntimeException("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer")
            return super().run(names, inputs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Small)
    found = predict(tiny, wide, device="cpu", engine="onnx")
    assert sizes[-1] < sizes[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("change", [{"channels": [4, 8]}, {"channels": [4, 4, 4, 4, 4, 4]}, {"levels": 3}])
def test_weights_that_do_not_fit_are_refused(model: Manifest, change: dict[str, Any]) -> None:
    other = replace(model, options={**model.options, **change})
    with pytest.raises(VesselSegError, match="architecture") as raised:
        make_engine(plan_run(other, device="cpu"), other)
    assert "do not fit" in raised.value.message or "does not take" in raised.value.message


def test_torch_is_not_imported_for_a_segmentation_on_the_cpu(
    make_scan: Callable[..., Volume], tiny_model: str, tmp_path: Path
) -> None:
    write_volume(make_scan(), tmp_path / "scan.nii.gz")
    code = f"""
        import sys
        sys.modules["torch"] = None
        from vesselseg.cli.main import main
        folder = {str(tmp_path)!r}
        sys.exit(main(["segment", folder + "/scan.nii.gz", "--output", folder + "/label.nii.gz", "--model",
                       {tiny_model!r}, "--brain-mask", "none", "--device", "cpu", "--progress", "json"]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["engine"], result["device"], result["precision"]) == ("openvino", "cpu", "f32")


@pytest.fixture
def tiny(tiny_model: str) -> Manifest:
    return find_model(tiny_model)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda *_: [GPU, devices.cpu_device()])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))


@pytest.mark.usefixtures("gpu")
def test_torch_runs_on_a_gpu_and_openvino_on_the_cpu(tiny: Manifest) -> None:
    plan = plan_run(tiny)
    assert (plan.engine, plan.device, plan.precision, plan.notes) == ("torch", GPU, "f16", ())
    plan = plan_run(tiny, device="cpu")
    assert (plan.engine, plan.device.name, plan.precision, plan.notes) == ("openvino", "cpu", "f32", ())
    # Who asks for an engine of the CPU means the CPU.
    assert plan_run(tiny, engine="openvino").device.name == "cpu"


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"device": "cuda", "engine": "openvino"}, "OpenVINO runs on the CPU, not on cuda:0"),
        ({"device": "cuda", "precision": "int8"}, "OpenVINO runs on the CPU"),
        ({"engine": "torch", "precision": "int8"}, "torch does not compute in int8"),
        ({"device": "cpu", "engine": "torch", "precision": "f16"}, "torch does not compute in f16"),
        ({"engine": "openvino", "precision": "f16"}, "OpenVINO does not compute in f16"),
        ({"precision": "int8"}, "has no int8 form"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny: Manifest, wishes: dict[str, str], words: str) -> None:
    with pytest.raises(VesselSegError, match=words) as raised:
        plan_run(tiny, **wishes)
    assert raised.value.advice


def test_without_openvino_torch_is_taken_and_said(tiny: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda engine: engine == "torch")
    plan = plan_run(tiny, device="cpu")
    assert plan.engine == "torch"
    assert plan.notes == ("OpenVINO is not installed (pip install openvino): torch was used, which is slower",)
    for engine in ("openvino", "onnx"):
        with pytest.raises(VesselSegError, match="is not installed") as raised:
            plan_run(tiny, engine=engine)
        assert "pip install" in raised.value.advice


def test_an_architecture_without_graph_runs_in_torch(tiny: Manifest) -> None:
    own = replace(tiny, architecture="own")
    assert any("does not know the architecture 'own'" in note for note in plan_run(own, device="cpu").notes)
    with pytest.raises(VesselSegError, match="does not know the architecture 'own'"):
        plan_run(own, engine="openvino")


def measured(manifest: Manifest, dice: float, change: float = 0.0, sum_: str = "") -> Manifest:
    check = PrecisionCheck(dice, change, 8, sum_ or manifest.sha256)
    return replace(manifest, precisions={"bf16": check, "int8": check})


@pytest.mark.parametrize(
    ("dice", "change", "bf16", "int8"),
    [(0.9995, 0.0, True, True), (0.9985, 0.0, False, True), (0.997, 0.0, False, False), (1.0, -0.003, False, False)],
)
def test_low_precision_needs_good_numbers(
    tiny: Manifest, monkeypatch: pytest.MonkeyPatch, dice: float, change: float, bf16: bool, int8: bool
) -> None:
    model = measured(tiny, dice, change)
    assert (model.passes("bf16"), model.passes("int8")) == (bf16, int8)
    native = openvino_engine.computes_natively("bf16")
    for faster in (True, False):
        monkeypatch.setattr(choice, "bfloat16_pays", lambda faster=faster: faster)
        assert plan_run(model, device="cpu").precision == ("bf16" if bf16 and native and faster else "f32")
    if native and not bf16:
        with pytest.raises(VesselSegError, match="suffers from bf16"):
            plan_run(model, device="cpu", precision="bf16")


@pytest.mark.usefixtures("gpu")
def test_what_was_measured_in_openvino_says_nothing_of_torch_on_the_cpu(
    tiny: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: True)
    monkeypatch.setattr(torch_engine, "computes_natively", lambda precision, device: True)
    model = measured(tiny, 0.9995)
    plan = plan_run(model, device="cpu", engine="torch")
    assert (plan.precision, plan.notes) == ("f32", ())
    plan = plan_run(model, device="cpu", engine="torch", precision="bf16")
    assert plan.precision == "bf16"
    assert plan.notes == ("what bf16 changes was measured for the model 'tiny' in OpenVINO only",)
    assert plan_run(model, device="cuda", precision="bf16").notes == ()


def test_numbers_of_other_weights_do_not_count(tiny: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = measured(tiny, 1.0, sum_="of another model")
    assert not changed.passes("bf16")
    assert not tiny.passes("bf16")
    monkeypatch.setattr(openvino_engine, "computes_natively", lambda precision: True)
    for model in (tiny, changed):  # nor do they say that it suffers
        assert any("was not measured" in note for note in plan_run(model, device="cpu", precision="bf16").notes)


@pytest.mark.parametrize(("beside", "floats"), [("f32", "f32"), ("bf16", "bf16"), (None, "bf16")])
def test_int8_runs_beside_nothing_less_than_it_was_measured_beside(
    tiny: Manifest, monkeypatch: pytest.MonkeyPatch, beside: str | None, floats: str
) -> None:
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: True)
    monkeypatch.setattr(openvino_engine, "computes_natively", lambda precision: True)
    model = measured(tiny, 1.0)
    checked = replace(model.precisions["int8"], versions={"beside_int8": beside} if beside else {})
    assert choice.floats_of_int8(replace(model, precisions={**model.precisions, "int8": checked})) == floats


def test_torch_knows_what_the_cpu_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in [("avx512_bf16", True), ("amx_bf16", True), ("avx2", False)]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True}, raising=False)
        assert torch_engine.computes_natively("bf16", "cpu") is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # as in older versions of torch
    assert not torch_engine.computes_natively("bf16", "cpu")
    assert torch_engine.computes_natively("f32", "cpu")
    assert torch_engine.computes_natively("f16", "mps")


def test_torch_knows_which_gpu_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # older versions of torch count emulation
    for capability, expected in [((7, 5), False), ((8, 0), True), ((9, 0), True)]:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, capability=capability: capability)
        assert torch_engine.computes_natively("bf16", "cuda:0") is expected
