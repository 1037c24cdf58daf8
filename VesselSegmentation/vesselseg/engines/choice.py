"""Which engine and which precision a model runs in."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vesselseg.devices import Device, choose_device
from vesselseg.engines.bfloat16_speed import bfloat16_pays
from vesselseg.engines.graphs import has_graph, has_levels
from vesselseg.engines.interface import Engine
from vesselseg.errors import VesselSegError

if TYPE_CHECKING:
    from vesselseg.models import Manifest

#: Values of the options ``--engine`` and ``--precision``.
ENGINE_CHOICES = ("auto", "openvino", "onnx", "torch")
PRECISION_CHOICES = ("auto", "f32", "bf16", "f16", "int8")

#: Engine -> what it is called, the modules it needs, how to install them.
_ENGINES = {
    "openvino": ("OpenVINO", ("openvino",), "pip install openvino"),
    "onnx": ("ONNX Runtime", ("onnxruntime", "onnx"), 'pip install "vesselseg[onnx]"'),
    "torch": ("torch", ("torch",), "pip install torch"),
}


@dataclass(frozen=True)
class Plan:
    """What a model will run on.

    Parameters
    ----------
    engine : str
        "openvino", "onnx" or "torch".
    device : Device
    precision : str
        "f32", "bf16", "f16" or "int8".
    notes : tuple of str
        What is done differently from what was asked or would be best, and why.
    """

    engine: str
    device: Device
    precision: str
    notes: tuple[str, ...] = ()


def is_installed(engine: str) -> bool:
    """Whether the packages of an engine are there; none of them is imported."""
    return all(importlib.util.find_spec(module) is not None for module in _ENGINES[engine][1])


def plan_run(manifest: Manifest, *, device: str = "auto", engine: str = "auto", precision: str = "auto") -> Plan:
    """Choose device, engine and precision for a model.

    On a GPU torch runs, in half precision on CUDA where the GPU has it; on the CPU OpenVINO, which was measured to be
    the fastest there for every architecture. OpenVINO takes bfloat16 by itself where the CPU computes faster in it and
    the model was measured not to suffer from it, int8 only where it is asked for.

    Parameters
    ----------
    manifest : Manifest
        Of the model.
    device : str
        See `vesselseg.devices.choose_device`.
    engine, precision : str
        One of `ENGINE_CHOICES` and `PRECISION_CHOICES`.

    Returns
    -------
    Plan

    Raises
    ------
    VesselSegError
        If what is asked for is not there, does not go together, or the model was measured to suffer from the precision.
    """
    if engine not in ENGINE_CHOICES:
        raise VesselSegError(f"unknown engine '{engine}'", f"choose one of: {', '.join(ENGINE_CHOICES)}")
    if precision not in PRECISION_CHOICES:
        raise VesselSegError(f"unknown precision '{precision}'", f"choose one of: {', '.join(PRECISION_CHOICES)}")
    if precision == "int8" and engine == "auto":
        engine = "openvino"  # no other has it
    notes: list[str] = []
    # Not logged here: this may run beside others, and while ITK is kept quiet nobody would see it.
    chosen = choose_device("cpu" if device == "auto" and engine in ("openvino", "onnx") else device, notes)
    if engine == "auto":
        engine = _best_engine(manifest, chosen, precision, notes)
    else:
        _check_engine(manifest, engine, chosen)
    if precision == "int8" and engine == "openvino":
        manifest.int8_ranges()  # refused before any work is done, and on every CPU alike
    if precision == "auto":
        precision = _best_precision(manifest, engine, chosen)
    else:
        check_precision(engine, chosen, precision)
        notes += _gate(manifest, engine, chosen, precision)
    return Plan(engine, chosen, precision, tuple(notes))


def make_engine(plan: Plan, manifest: Manifest) -> Engine:
    """Load a model into the engine of a plan.

    Raises
    ------
    VesselSegError
        If the weights are missing, damaged or do not fit.
    vesselseg.engines.DeviceOutOfMemoryError
        If not even the network fits into the memory of the device.
    vesselseg.engines.DeviceFailedError
        If the device cannot be used.
    """
    from vesselseg.models.weights import load_network, load_weights

    if plan.engine == "torch":
        from vesselseg.engines.torch_engine import TorchEngine

        return TorchEngine(load_network(manifest), plan.device.name, plan.precision)
    if plan.engine == "onnx":
        from vesselseg.engines.onnx_engine import OnnxEngine

        return OnnxEngine(manifest.architecture, manifest.options, load_weights(manifest))
    from vesselseg.engines.openvino_engine import OpenVinoEngine, OpenVinoLevels
    from vesselseg.engines.openvino_graph import openvino_model

    weights = load_weights(manifest)
    ranges = manifest.int8_ranges() if plan.precision == "int8" else None
    floats = floats_of_int8(manifest) if ranges else plan.precision
    model, traits = openvino_model(
        manifest.architecture, manifest.options, weights, for_bfloat16=floats == "bf16", ranges=ranges
    )
    # What the lower precisions take in another form is not known to the levels.
    by_levels = plan.precision == "f32" and has_levels(manifest.architecture)
    levels = OpenVinoLevels(manifest.options, weights) if by_levels else None
    return OpenVinoEngine(model, traits, plan.precision, rest=floats, levels=levels)


def floats_of_int8(manifest: Manifest) -> str:
    """Return in which precision is computed what the int8 form of a model leaves out: "bf16" or "f32".

    bfloat16 where the model was measured not to suffer from it and this CPU is faster in it, unless int8 was measured
    beside single precision.
    """
    measured = manifest.precisions.get("int8")
    if measured is not None and measured.versions.get("beside_int8") == "f32":
        return "f32"
    return _best_precision(manifest, "openvino", choose_device("cpu"))


def _best_engine(manifest: Manifest, device: Device, precision: str, notes: list[str]) -> str:
    if device.name != "cpu":
        return "torch"
    if not has_graph(manifest.architecture):
        reason = f"OpenVINO does not know the architecture '{manifest.architecture}'"
    elif not is_installed("openvino"):
        reason = f"OpenVINO is not installed ({_ENGINES['openvino'][2]})"
    else:
        return "openvino"
    _check_engine(manifest, "torch", device)
    notes.append(f"{reason}: torch was used, which is slower")
    return "torch"


def _check_engine(manifest: Manifest, engine: str, device: Device) -> None:
    title, _modules, install = _ENGINES[engine]
    if not is_installed(engine):
        raise VesselSegError(f"the engine {title} is not installed", f"install it with: {install}")
    if engine == "torch":
        return
    if device.name != "cpu":
        raise VesselSegError(f"the engine {title} runs on the CPU, not on {device.name}", "choose the device cpu")
    if not has_graph(manifest.architecture):
        raise VesselSegError(
            f"the engine {title} does not know the architecture '{manifest.architecture}'", "choose the engine torch"
        )


def _best_precision(manifest: Manifest, engine: str, device: Device) -> str:
    if device.name.startswith("cuda"):
        return "f16" if _is_native("torch", device, "f16") else "f32"
    # Measured is what OpenVINO does, with the scan in two parts and kernels that keep their sums: torch loses more.
    if engine != "openvino" or not manifest.passes("bf16") or not _is_native(engine, device, "bf16"):
        return "f32"
    return "bf16" if bfloat16_pays() else "f32"


def check_precision(engine: str, device: Device, precision: str) -> None:
    """Refuse a precision that an engine does not have on a device, or would get wrong there.

    Raises
    ------
    VesselSegError
        If it is such a one.
    """
    if precision == "f32" or _is_native(engine, device, precision):
        return
    # Said of what is not there as much as of what would be emulated: that would be many times slower.
    raise VesselSegError(
        f"{_ENGINES[engine][0]} does not compute in {precision} on {device.label}", "choose the precision auto or f32"
    )


def _is_native(engine: str, device: Device, precision: str) -> bool:
    if engine == "torch":
        from vesselseg.engines import torch_engine

        return torch_engine.computes_natively(precision, device.name)
    if engine == "openvino":
        from vesselseg.engines import openvino_engine

        return openvino_engine.computes_natively(precision)
    return False


def _gate(manifest: Manifest, engine: str, device: Device, precision: str) -> list[str]:
    """Refuse a low precision that was measured to be worse; return the note for one that was not measured."""
    if precision not in ("bf16", "int8"):
        return []
    if manifest.passes(precision):
        if engine == "openvino" or device.name != "cpu":
            return []
        return [f"what {precision} changes was measured for the model '{manifest.name}' in OpenVINO only"]
    measured = manifest.precisions.get(precision)
    if measured is None or measured.model_sha256 != manifest.sha256:
        return [f"what {precision} changes was not measured for the model '{manifest.name}'"]
    raise VesselSegError(
        f"the model '{manifest.name}' suffers from {precision}: Dice {measured.dice_to_f32:.4f} against f32, "
        f"small-artery sensitivity {measured.small_sensitivity_change:+.4f}",
        "choose the precision auto or f32",
    )
