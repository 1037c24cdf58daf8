"""The two networks of deepbet, which find the brain, computed without deepbet's own code.

Their weights are read from the installed package (MIT licence). OpenVINO computes them from a graph described here, in
a fifth of the time that torch takes and less than half of the memory; where OpenVINO is missing, torch runs the stored
networks themselves. Building and compiling the graph takes a tenth of a second: nothing has to be kept in a cache.
"""

from __future__ import annotations

import importlib.util
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.engines.interface import DeviceOutOfMemoryError
from vesselseg.errors import VesselSegError
from vesselseg.models.weights import file_sha256
from vesselseg.networks.traits import Traits

logger = logging.getLogger("vesselseg")

#: Feature maps per level of the contracting path.
_CHANNELS = (16, 32, 64, 128)
#: Of the networks, one after the other, as they stand in the files.
_TENSORS = 38
#: What torch adds to the variance in instance normalisation.
_EPSILON = 1e-5
#: Each feature map is normalised as a whole, so that every voxel matters to every other.
_TRAITS = Traits(dimensions=3, divisor=32, overlap=256, features_per_voxel=8)


@dataclass(frozen=True)
class BrainNetwork:
    """One of the two networks.

    Parameters
    ----------
    file : str
        Where deepbet 1.0.2 holds it.
    sha256 : str
        Sum of the file. What is described here are these networks and no others, and nothing else is given to torch.
    side : int
        Voxels of the cube that it was trained on, along each axis.
    """

    file: str
    sha256: str
    side: int


#: Finds roughly where the brain is, in the whole scan.
COARSE = BrainNetwork("bbox_model.pt", "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa", 128)
#: Finds its surface, in a box around it.
FINE = BrainNetwork("model.pt", "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd", 256)


def run_brain_network(network: BrainNetwork, samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which voxels belong to the brain.

    Parameters
    ----------
    network : BrainNetwork
        `COARSE` or `FINE`.
    samples : ndarray of float32, shape (Z, Y, X)
        A cube with the side of the network, from inferior to superior, posterior to anterior and left to right;
        values with the mean 0.449 and the standard deviation 0.226.

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
        Where the probability of brain exceeds 0.5.

    Raises
    ------
    VesselSegError
        If deepbet is not installed, or is not the version whose networks are known.

    References
    ----------
    Fisch L, et al. deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks. Comput Biol
    Med 2024;179:108845. doi:10.1016/j.compbiomed.2024.108845

    Chaurasia A, Culurciello E. LinkNet: Exploiting encoder representations for efficient semantic segmentation. IEEE
    VCIP 2017. doi:10.1109/VCIP.2017.8305148
    """
    path = _installed_file(network)
    if importlib.util.find_spec("openvino") is not None:
        return _run_in_openvino(path, samples)
    logger.info("OpenVINO is not installed (pip install openvino): torch finds the brain, which is slower")
    return _run_in_torch(path, samples)


def _installed_file(network: BrainNetwork) -> Path:
    """Return where a network lies. The Python of deepbet is not imported: it would bring torch and pandas with it."""
    found = importlib.util.find_spec("deepbet")
    if found is None or found.origin is None:
        raise VesselSegError(
            "the brain mask needs the package deepbet, which is not installed",
            "install it with 'pip install deepbet', choose the brain mask none, or give one of your own",
        )
    path = Path(found.origin).parents[1] / "data" / "models" / network.file
    if not path.is_file() or file_sha256(path) != network.sha256:
        raise VesselSegError(
            f"the brain mask needs the networks of deepbet 1.0.2, which {path} is not",
            "install it again with 'pip install deepbet==1.0.2', choose the brain mask none, or give one of your own",
        )
    return path


def _run_in_openvino(path: Path, samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    from vesselseg.engines.openvino_engine import OpenVinoEngine

    # Always in single precision, so that the mask is the same on every CPU.
    engine = OpenVinoEngine(_openvino_model(path, samples.shape), _TRAITS, "f32")
    try:
        (inside,) = engine.run([samples[None, None]])
    except DeviceOutOfMemoryError as error:
        raise VesselSegError(
            "the memory does not suffice to find the brain", "close other programs, or choose the brain mask none"
        ) from error
    return inside[0, 0] > 0


def _run_in_torch(path: Path, samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    import torch

    network = torch.jit.load(str(path), map_location="cpu").eval()
    with torch.inference_mode():
        # The network's axes are x, y, z.
        probability = network(torch.from_numpy(samples).permute(2, 1, 0).contiguous()[None, None])[0, 1]
    return (probability > 0.5).permute(2, 1, 0).numpy()


def _openvino_model(path: Path, shape: tuple[int, ...]) -> Any:
    """Build a network, from samples (1, 1, Z, Y, X) to what is brain in them, (1, 1, Z, Y, X), bool.

    A LinkNet: four levels of residual blocks, and back with the features of each level added. Its shape is fixed,
    because OpenVINO then plans its memory better: 0.2 GB instead of 0.33 GB.
    """
    import openvino
    from openvino import opset13

    layers = _Layers(opset13, _stored_tensors(path))
    scan = opset13.parameter([1, 1, *shape], np.float32, name="scan")
    features = opset13.relu(layers.convolution(scan, 1, _CHANNELS[0], side=7, step=2))
    features = opset13.max_pool(features, [2] * 3, [1] * 3, [1] * 3, [1] * 3, [3] * 3).output(0)
    skips = [features]
    for inputs, outputs in zip((_CHANNELS[0], *_CHANNELS), _CHANNELS):
        features = layers.residual_block(layers.residual_block(features, inputs, outputs), outputs, outputs)
        skips.append(features)
    deep_to_shallow = zip(_CHANNELS[::-1], (*_CHANNELS[-2::-1], _CHANNELS[0]))
    for (inputs, outputs), skip in zip(deep_to_shallow, skips[-2::-1]):
        features = opset13.add(layers.expansion(features, inputs, outputs), skip)
    features = opset13.relu(layers.transposed_convolution(features, 16, 8, step=2, bias=True))
    features = opset13.relu(layers.convolution(features, 8, 8, side=3, bias=True))
    return openvino.Model([layers.decision(features, 8)], [scan], path.stem)


class _Layers:
    """Layers that take their weights in the order in which the file holds them: that of the computation."""

    def __init__(self, opset: Any, stored: Iterator[NDArray[np.float32]]) -> None:
        self._opset, self._stored = opset, stored

    def convolution(
        self, features: Any, inputs: int, outputs: int, *, side: int, step: int = 1, bias: bool = False
    ) -> Any:
        """Convolve, every so many voxels, and normalise."""
        weight, around = self._opset.constant(self._weight(outputs, inputs, side)), [side // 2] * 3
        return self._normalised(self._opset.convolution(features, weight, [step] * 3, around, around, [1] * 3), bias)

    def transposed_convolution(self, features: Any, inputs: int, outputs: int, *, step: int, bias: bool = False) -> Any:
        """Multiply the sides by the step, and normalise."""
        convolved = self._opset.convolution_backprop_data(
            features,
            self._opset.constant(self._weight(inputs, outputs, 3)),
            [step] * 3,
            pads_begin=[1] * 3,
            pads_end=[1] * 3,
            dilations=[1] * 3,
            output_padding=[step - 1] * 3,
        )
        return self._normalised(convolved, bias)

    def residual_block(self, features: Any, inputs: int, outputs: int) -> Any:
        """Convolve twice and add what came in; where the features change in number the sides are halved."""
        step = 1 if inputs == outputs else 2
        convolved = self._opset.relu(self.convolution(features, inputs, outputs, side=3, step=step))
        convolved = self.convolution(convolved, outputs, outputs, side=3)
        if step == 2:
            features = self.convolution(features, inputs, outputs, side=1, step=2)
        return self._opset.relu(self._opset.add(convolved, features))

    def expansion(self, features: Any, inputs: int, outputs: int) -> Any:
        """Double the sides where the features change in number, with a quarter of the features meanwhile."""
        narrow, step = inputs // 4, 1 if inputs == outputs else 2
        features = self._opset.relu(self.convolution(features, inputs, narrow, side=1))
        features = self._opset.relu(self.transposed_convolution(features, narrow, narrow, step=step))
        return self._opset.relu(self.convolution(features, narrow, outputs, side=1))

    def decision(self, features: Any, inputs: int) -> Any:
        """Double the sides and tell where the logit of brain exceeds that of background.

        Only their difference is computed, and compared within the graph: those would be the largest arrays of all.
        """
        weight = self._weight(inputs, 2, 2)
        background, brain = next(self._stored)
        difference = self._opset.constant(weight[:, 1:] - weight[:, :1])
        doubled = self._opset.convolution_backprop_data(features, difference, [2] * 3)
        return self._opset.greater(doubled, self._opset.constant(background - brain))

    def _weight(self, first: int, second: int, side: int) -> NDArray[np.float32]:
        # The network's axes are x, y, z.
        stored = next(self._stored).reshape(first, second, side, side, side)
        return np.ascontiguousarray(stored.transpose(0, 1, 4, 3, 2))

    def _normalised(self, features: Any, bias: bool) -> Any:
        """Normalise each feature map by its own mean and deviation, which would take the stored bias out again.

        OpenVINO adds up the millions of numbers of a map one after the other in float32, which moves the mask by a
        hundredth of a per cent of the voxels of a head. Adding them up in stages, by pooling, would give torch's mask
        to the voxel, but with 0.12 GB more.
        """
        if bias:
            next(self._stored)
        axes = self._opset.constant(np.array([2, 3, 4]))
        return self._opset.mvn(features, axes, True, _EPSILON, "INSIDE_SQRT")


def _stored_tensors(path: Path) -> Iterator[NDArray[np.float32]]:
    """Read the tensors of a TorchScript file: a ZIP archive that holds each as a file of plain float32 numbers.

    Nothing else in it is read, its pickle and its code least of all.
    """
    with zipfile.ZipFile(path) as archive:
        first = next(name for name in archive.namelist() if name.endswith("/data/0"))
        for index in range(_TENSORS):
            yield np.frombuffer(archive.read(f"{first[:-1]}{index}"), np.float32)
