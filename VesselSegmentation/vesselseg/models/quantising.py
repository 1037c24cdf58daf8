"""Making the int8 form of a model: faster on CPUs that multiply bytes well, and no longer exactly the same."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.interface import Levels, Results, Traits
from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest
from vesselseg.models.weights import int8_sha256, load_weights
from vesselseg.progress import ProgressCallback, no_progress

#: Slices or blocks from which the ranges of the features are learnt.
_SAMPLES = 96
#: Voxels of a block among them.
_BLOCK = 64**3


def quantise_model(
    manifest: Manifest, folders: Sequence[Path], *, overwrite: bool = False, progress: ProgressCallback = no_progress
) -> Manifest:
    """Quantise a model after its training, with the help of scans, and write its int8 form beside it.

    Weights and features become integers of 8 bits; their ranges are those that occur in the scans. It is used only
    where it is asked for; `vesselseg.models.precision_check` measures what it changes.

    Parameters
    ----------
    manifest : Manifest
        Of the model; its file is given the name and the sum of the int8 form.
    folders : sequence of pathlib.Path
        Of the cases, as `vesselseg.judging.read_drawn_case` reads them. Their labels are not looked at.
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
        If a package is missing, the architecture cannot be quantised, or a file cannot be read or written.

    References
    ----------
    Jacob B, et al. Quantization and training of neural networks for efficient integer-arithmetic-only inference. CVPR
    2018:2704-2713. doi:10.1109/CVPR.2018.00286
    """
    os.environ.setdefault("NNCF_CI", "1")  # by which nncf reports nothing to its makers
    try:
        import nncf
        import openvino
    except ImportError as error:
        raise VesselSegError(
            "quantising needs the packages openvino and nncf", "install them with: pip install 'vesselseg[quantise]'"
        ) from error
    from vesselseg.engines.graphs import has_graph
    from vesselseg.engines.openvino_engine import openvino_model
    from vesselseg.image_io import atomic_output

    if manifest.path is None:
        raise ValueError("this manifest was not read from a file")
    if not has_graph(manifest.architecture):
        raise VesselSegError(f"the architecture '{manifest.architecture}' cannot be quantised", "take another model")
    target = manifest.path.parent / f"{manifest.name}.int8.xml"
    if target.exists() and not overwrite:
        raise VesselSegError(f"{target} exists already", "allow it to be replaced with --overwrite")
    model, traits = openvino_model(manifest.architecture, manifest.options, load_weights(manifest))
    samples: list[NDArray[np.float32]] = []
    for number, folder in enumerate(folders):
        progress(0.5 * number / len(folders), f"reading {folder.name}")
        samples += _samples(manifest, traits, folder, -(-_SAMPLES // len(folders)))
    progress(0.5, f"quantising with {len(samples)} samples")
    # Symmetric weights, ranges of features as they are: what OpenVINO computes fastest after a ReLU.
    preset, dataset = nncf.QuantizationPreset.MIXED, nncf.Dataset(samples)
    quantised = nncf.quantize(model, dataset, preset=preset, subset_size=len(samples))
    with contextlib.ExitStack() as stack:
        # Left together: either is written only once both are complete.
        network, weights = (
            stack.enter_context(atomic_output(path, overwrite=True)) for path in (target, target.with_suffix(".bin"))
        )
        openvino.save_model(quantised, network, compress_to_fp16=False)  # and its weights beside it
        os.replace(network.with_suffix(".bin"), weights)
    values = json.loads(manifest.path.read_text(encoding="utf-8"))
    values["int8"] = {"network": target.name, "sha256": int8_sha256(target), "model_sha256": manifest.sha256}
    values.get("precisions", {}).pop("int8", None)  # of the form before
    with atomic_output(manifest.path, overwrite=True) as path:
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    progress(1.0, "done")
    return Manifest.read(manifest.path)


class _Sampler:
    """Stands where an engine stands, and keeps some of what a network would be given to see in a scan."""

    name, device, precision, batch, block_voxels = "none", "cpu", "f32", 1, _BLOCK
    levels: Levels | None = None

    def __init__(self, traits: Traits, wanted: int) -> None:
        # Small blocks suffice to learn ranges from.
        self.traits = replace(traits, overlap=min(traits.overlap, traits.divisor)) if traits.dimensions == 3 else traits
        self._wanted = wanted
        self.samples: list[NDArray[np.float32]] = []

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
    from vesselseg.inference import predict_probability
    from vesselseg.judging import read_drawn_case
    from vesselseg.preparation import prepare_scan

    case = read_drawn_case(folder)
    mask = None if case.brain is None else dilated(case.brain).array != 0
    prepared = prepare_scan(case.scan, mask, None, manifest, [])
    sampler = _Sampler(traits, wanted)
    predict_probability(sampler, prepared.seen.array, mask=prepared.wanted)
    return sampler.samples
