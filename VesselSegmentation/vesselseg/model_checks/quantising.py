"""Choosing what of a model is computed in 8 bits: faster on CPUs that multiply bytes well, and not exactly the same.

Two things decide how much is lost. Features are cut off at a largest value, and the smaller it is, the finer are the
256 steps below: networks that were trained with the Dice loss are so sure inside of large vessels that a tenth of what
occurs there suffices, and what matters is the voxels near the threshold. And a few convolutions, most of all those of
the full resolution, lose far more than the others: they stay in bfloat16 (of models that pass in it, on CPUs that are
faster in it) or in single precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.interface import Levels, Results
from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest, changed_manifest
from vesselseg.models.weights import load_weights
from vesselseg.networks.traits import Traits
from vesselseg.progress import ProgressCallback, no_progress, stage

#: Slices or blocks that are looked at.
_SAMPLES = 32
#: Voxels of a block among them.
_BLOCK = 64**3
#: Logits that are further away from the threshold count for nothing.
_NEAR = 8.0
#: From one largest value to the next one that is tried, and how many are.
_FINER, _MOST_TRIES = 0.6, 12
#: Dice against single precision on the samples. More than what `Manifest.passes` wants: other scans differ a little.
_WANTED_DICE = 0.9985


def quantise_model(
    manifest: Manifest, folders: Sequence[Path], *, overwrite: bool = False, progress: ProgressCallback = no_progress
) -> Manifest:
    """Choose which convolutions of a model are computed in 8 bits, and their ranges, and write them into its manifest.

    Each convolution is tried alone, with features cut off at several values. Those that change the logits near the
    threshold least are taken, as many as leave the labels of the samples nearly the same. The form is used only where
    it is asked for; `vesselseg.model_checks.precision_check` measures what it changes on whole scans.

    Parameters
    ----------
    manifest : Manifest
        Of the model; its file is given the ranges.
    folders : sequence of pathlib.Path
        Of the cases, as `vesselseg.model_checks.judging.read_drawn_case` reads them. Their labels are not looked at.
    overwrite : bool
        Whether an int8 form that is already there may be replaced.
    progress : callable
        Told the share of the work done.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    VesselSegError
        If OpenVINO is missing, the architecture is not known to it, this CPU does not compute rightly in 8 bits, no
        convolution can be computed so without loss, or a file cannot be read or written.

    References
    ----------
    Jacob B, et al. Quantization and training of neural networks for efficient integer-arithmetic-only inference. CVPR
    2018:2704-2713. doi:10.1109/CVPR.2018.00286
    """
    from vesselseg.devices import choose_device
    from vesselseg.engines.choice import check_precision, is_installed
    from vesselseg.engines.graphs import graph_traits, has_graph
    from vesselseg.output_files import atomic_output, check_output

    if manifest.path is None:
        raise ValueError("this manifest was not read from a file")
    if not has_graph(manifest.architecture):
        raise VesselSegError(f"the architecture '{manifest.architecture}' cannot be quantised", "take another model")
    if not is_installed("openvino"):
        raise VesselSegError("quantising needs OpenVINO", "install it with: pip install openvino")
    if "ranges" in manifest.int8 and not overwrite:
        raise VesselSegError(
            f"the model '{manifest.name}' has an int8 form already", "allow it to be replaced with --overwrite"
        )
    check_output(manifest.path, overwrite=True)  # before the work, not at its end
    # Wrong sums would decide which ranges are taken, on this CPU and on all others.
    check_precision("openvino", choose_device("cpu"), "int8")
    traits = graph_traits(manifest.architecture, manifest.options)
    samples: list[NDArray[np.float32]] = []
    for number, folder in enumerate(folders):
        progress(0.2 * number / len(folders), f"reading {folder.name}")
        samples += _samples(manifest, traits, folder, -(-_SAMPLES // len(folders)))
    if not samples:
        raise VesselSegError("there is nothing to be seen in these scans", "give scans as the model was trained on")
    others = {name: check for name, check in manifest.precisions.items() if name != "int8"}  # without the form before
    ranges = _Trials(replace(manifest, precisions=others), samples).best_ranges(stage(progress, 0.2, 1.0))

    def put(values: dict[str, Any]) -> None:
        values["int8"] = {"model_sha256": manifest.sha256, "ranges": ranges}
        (values.get("precisions") or {}).pop("int8", None)  # of the form before

    with atomic_output(manifest.path, overwrite=True) as path:
        path.write_text(changed_manifest(manifest.path, put), encoding="utf-8")
    progress(1.0, "done")
    return Manifest.read(manifest.path)


class _Trials:
    """Computes samples with some convolutions in 8 bits and compares them with single precision."""

    def __init__(self, manifest: Manifest, samples: Sequence[NDArray[np.float32]]) -> None:
        from vesselseg.engines.choice import floats_of_int8

        self._network = manifest.architecture, manifest.options, load_weights(manifest)
        self._floats = floats_of_int8(manifest)
        self._samples = samples
        self._middle = float(np.log(manifest.threshold / max(1 - manifest.threshold, 1e-6)))
        self._largest, logits = self._observed()
        self._near = np.abs(logits - self._middle) < _NEAR
        self._exact, self._vessel = self._clipped(logits), logits > self._middle
        if not self._vessel.any() or not self._near.any():
            raise VesselSegError("the model finds no vessel in these scans", "give scans as it was trained on")

    def best_ranges(self, progress: ProgressCallback) -> dict[str, float]:
        """Return the ranges of as many convolutions as can be computed in 8 bits; raise an error if none can."""
        errors, ranges = {}, {}
        for number, (name, largest) in enumerate(self._largest.items()):
            progress(0.8 * number / len(self._largest), name)
            errors[name], ranges[name] = self._best_range(name, largest)
        order = sorted(errors, key=errors.__getitem__)
        for count in range(len(order), 0, -1):
            progress(1 - 0.2 * count / len(order), f"{count} convolutions in 8 bits")
            chosen = {name: ranges[name] for name in self._largest if name in order[:count]}
            if self._dice(self._logits(chosen)) >= _WANTED_DICE:
                return chosen
        raise VesselSegError(
            "no convolution of this model can be computed in 8 bits without changing its result", "use it as it is"
        )

    def _best_range(self, name: str, largest: float) -> tuple[float, float]:
        best = np.inf, largest
        for attempt in range(_MOST_TRIES):
            high = float(f"{largest * _FINER**attempt:.6g}")
            difference = self._clipped(self._logits({name: high})) - self._exact
            error = float(np.mean(difference[self._near] ** 2, dtype=np.float64))
            if not error < best[0]:
                break
            best = error, high
        return best

    def _observed(self) -> tuple[dict[str, float], NDArray[np.float32]]:
        """Return the largest value of the features of each convolution that has none below 0, and the logits."""
        import openvino

        from vesselseg.engines.openvino_engine import cpu_properties
        from vesselseg.engines.openvino_graph import observing_model

        model, _traits, names = observing_model(*self._network)
        network = openvino.Core().compile_model(model, "CPU", cpu_properties("f32"))
        logits, lowest, highest = [], np.zeros(len(names)), np.zeros(len(names))
        for sample in self._samples:
            found: Any = [np.array(value) for value in network([sample]).values()]
            logits.append(found[0].ravel())
            lowest = np.minimum(lowest, np.ravel(found[1::2]))
            highest = np.maximum(highest, np.ravel(found[2::2]))
        usable = {name: float(high) for name, low, high in zip(names, lowest, highest) if low >= 0 < high}
        return usable, np.concatenate(logits)

    def _logits(self, ranges: dict[str, float]) -> NDArray[np.float32]:
        from vesselseg.engines.openvino_engine import OpenVinoEngine
        from vesselseg.engines.openvino_graph import openvino_model

        model, traits = openvino_model(*self._network, for_bfloat16=self._floats == "bf16", ranges=ranges)
        engine = OpenVinoEngine(model, traits, "int8", rest=self._floats)
        return np.concatenate([logits.ravel() for logits in engine.run(self._samples)])

    def _clipped(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip(logits, self._middle - 2 * _NEAR, self._middle + 2 * _NEAR)

    def _dice(self, logits: NDArray[np.float32]) -> float:
        found = logits > self._middle
        sizes = np.count_nonzero(found) + np.count_nonzero(self._vessel)
        return 2 * np.count_nonzero(found & self._vessel) / sizes if sizes else 1.0


class _Sampler:
    """Stands where an engine stands, and keeps some of what a network would be given to see in a scan."""

    name, device, precision, batch, block_voxels = "none", "cpu", "f32", 1, _BLOCK
    levels: Levels | None = None

    def __init__(self, traits: Traits, wanted: int) -> None:
        # Small blocks suffice to see what 8 bits change.
        self.traits = replace(traits, overlap=min(traits.overlap, traits.divisor)) if traits.dimensions == 3 else traits
        self._wanted = wanted
        self.samples: list[NDArray[np.float32]] = []

    def prepare(self) -> None:
        """Do nothing: there is no network."""

    def run(self, inputs: Iterable[NDArray[np.float32]]) -> Results:
        """Keep a random choice of the inputs; each is as likely."""
        generator = np.random.default_rng(0)
        for index, array in enumerate(inputs):
            place = len(self.samples) if index < self._wanted else int(generator.integers(index + 1))
            if place < self._wanted:
                self.samples[place : place + 1] = [array]
            yield np.zeros((array.shape[0], 1, *array.shape[2:]), np.float32)


def _samples(manifest: Manifest, traits: Traits, folder: Path, wanted: int) -> list[NDArray[np.float32]]:
    from vesselseg.brain_mask import dilated
    from vesselseg.model_checks.judging import read_drawn_case
    from vesselseg.prediction.inference import predict_probability
    from vesselseg.prediction.preparation import prepare_scan

    case = read_drawn_case(folder)
    mask = None if case.brain is None else dilated(case.brain).array != 0
    prepared = prepare_scan(case.scan, mask, None, manifest, [])
    sampler = _Sampler(traits, wanted)
    predict_probability(sampler, prepared.seen.array, mask=prepared.wanted)
    return sampler.samples
