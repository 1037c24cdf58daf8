"""What a user would run instead, with the same weights on the same scan: MONAI, plain torch, nnU-Net."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesselseg.benchmark.flops import VoxelCounter
from vesselseg.errors import VesselSegError
from vesselseg.models import Manifest, load_network
from vesselseg.preprocessing import normalise
from vesselseg.progress import ProgressCallback, no_progress
from vesselseg.resampling import AxialView, network_spacing
from vesselseg.volume import Volume

if TYPE_CHECKING:
    import torch

#: Side of the window that MONAI's and most others' examples slide, in voxels.
_WINDOW = 96

Predict = Callable[[Any, NDArray[np.float32], ProgressCallback], NDArray[np.float32]]


@dataclass(frozen=True)
class Peer:
    """Another way to run a network.

    Parameters
    ----------
    title : str
        For people: what exactly is run.
    module : str
        That it needs.
    predict : callable
        Takes the network, a normalised scan, shape (Z, Y, X), and a progress callback; returns probabilities.
    """

    title: str
    module: str
    predict: Predict

    @property
    def package(self) -> str:
        """The package that has to be installed."""
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class PeerRun:
    """What a peer computed.

    Parameters
    ----------
    probability : Volume
        float32 in [0, 1], on the grid of the scan; 0 outside the mask.
    network_seconds : float
        For the network alone, with its windows and their blending.
    network_voxels : int
        Voxels that the network was given, those of overlaps again and again.
    """

    probability: Volume
    network_seconds: float
    network_voxels: int


def run_peer(
    name: str, scan: Volume, manifest: Manifest, mask: Volume | None = None, *, progress: ProgressCallback = no_progress
) -> PeerRun:
    """Compute the probability of vessels as a peer does it.

    Parameters
    ----------
    name : str
        Key of `PEERS`.
    scan : Volume
        TOF-MRA, float32, with a spacing that needs no resampling for the model.
    manifest : Manifest
        Of the model.
    mask : Volume, optional
        Outside it the probability is set to 0. The network sees all of the scan: peers know nothing of brains.
    progress : callable
        Told every slice or window.

    Returns
    -------
    PeerRun

    Raises
    ------
    VesselSegError
        If the peer is not installed, has too little memory, or the scan needs to be resampled.
    """
    peer = PEERS[name]
    if importlib.util.find_spec(peer.package) is None:
        raise VesselSegError(f"{peer.package} is not installed")
    spacing = AxialView.of(scan.geometry).apply(scan).geometry.spacing
    if network_spacing(spacing, manifest.spacing_mm, manifest.spacing_tolerance) != spacing:
        text = " x ".join(f"{value:g}" for value in manifest.spacing_mm)
        raise VesselSegError("the model needs the scan resampled", f"give a scan with voxels of about {text} mm")
    importlib.import_module(peer.module)  # not in the network's time
    network = load_network(manifest)
    view = AxialView.of(scan.geometry)
    array = np.ascontiguousarray(normalise(view.apply(scan).array, manifest.normalisation))
    counter = VoxelCounter(network)
    progress(0.0, "network")
    started = time.perf_counter()
    values = peer.predict(network, array, progress)
    seconds = time.perf_counter() - started
    probability = np.zeros(scan.array.shape, dtype=np.float32)
    view.turn(probability)[:] = values
    if mask is not None:
        probability[mask.array == 0] = 0.0
    return PeerRun(scan.with_array(probability), seconds, counter.voxels)


def eager_probability(
    network: Any, array: NDArray[np.float32], progress: ProgressCallback = no_progress
) -> NDArray[np.float32]:
    """Compute whole slices one by one, or the whole scan at once, with torch as it comes: float32, no compiling.

    Parameters
    ----------
    network : torch.nn.Module
    array : ndarray, shape (Z, Y, X), float32
        A normalised scan.
    progress : callable

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        Probabilities, in [0, 1].

    Raises
    ------
    VesselSegError
        If the scan is too large for a three-dimensional network in the memory that is free.
    """
    if network.traits.dimensions == 2:
        return _slice_by_slice(network, array, network, progress)
    return _at_once(network, array)


def monai_probability(
    network: Any, array: NDArray[np.float32], progress: ProgressCallback = no_progress
) -> NDArray[np.float32]:
    """Slide a window with MONAI's inferer as it is set by default; see `eager_probability`.

    The window has 96 voxels a side, neighbours overlap by a quarter, one window is computed at a time, and where
    windows overlap their values are averaged.

    References
    ----------
    Cardoso MJ, et al. MONAI: an open-source framework for deep learning in healthcare. arXiv:2211.02701, 2022.
    doi:10.48550/arXiv.2211.02701
    """
    import torch
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((_WINDOW,) * network.traits.dimensions, overlap=0.25)
    if network.traits.dimensions == 2:
        return _slice_by_slice(network, array, lambda stack: inferer(stack, network), progress)
    with torch.inference_mode():
        logits: Any = inferer(torch.from_numpy(array)[None, None], network)
        return torch.sigmoid(logits[0, 0]).numpy()


def nnunet_probability(
    network: Any, array: NDArray[np.float32], progress: ProgressCallback = no_progress
) -> NDArray[np.float32]:
    """Run the predictor of nnU-Net v2 as it is set by default; see `eager_probability`.

    Windows overlap by half, are weighted by a Gaussian, and each is computed once more for every mirroring. In two
    dimensions the window is the whole slice, as its planning would have it, in three it has 96 voxels a side.

    Raises
    ------
    VesselSegError
        If the network sees slices with their neighbours.

    References
    ----------
    Isensee F, et al. nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation. Nat
    Methods 2021;18:203-211. doi:10.1038/s41592-020-01008-z
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    _depth, rows, columns = array.shape
    window: tuple[int, ...] = (_WINDOW,) * 3
    if network.traits.dimensions == 2:
        window = rows + -rows % network.traits.divisor, columns + -columns % network.traits.divisor
        if network.traits.in_slices > 1:
            raise VesselSegError("nnU-Net knows no slices with neighbours", "give a model that sees single slices")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        # Of plans and labels it asks the window and the number of channels only.
        SimpleNamespace(get_label_manager=lambda _: SimpleNamespace(num_segmentation_heads=1)),
        SimpleNamespace(patch_size=window),
        None,
        {},
        "",
        tuple(range(network.traits.dimensions)),
    )
    # It tells no progress.
    logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(array)[None])
    return torch.sigmoid(logits[0].float()).numpy()


def _slice_by_slice(
    network: Any, array: NDArray[np.float32], compute: Callable[[Any], Any], progress: ProgressCallback
) -> NDArray[np.float32]:
    """Give each slice, with its neighbours as channels, to a function that returns logits."""
    import torch

    depth, rows, columns = array.shape
    probability = np.empty(array.shape, dtype=np.float32)
    with torch.inference_mode():
        for z, stack in enumerate(_stacks(network, array)):
            probability[z] = torch.sigmoid(compute(stack)[0, 0, :rows, :columns]).numpy()
            progress((z + 1) / depth, f"part {z + 1} of {depth}")
    return probability


def _stacks(network: Any, array: NDArray[np.float32]) -> Iterator[torch.Tensor]:
    import torch

    half, (_, rows, columns) = network.traits.in_slices // 2, array.shape
    sides = (0, -rows % network.traits.divisor), (0, -columns % network.traits.divisor)
    padded = torch.from_numpy(np.pad(array, ((half, half), *sides), mode="edge"))
    for z in range(array.shape[0]):
        yield padded[z : z + network.traits.in_slices][None]


def _at_once(network: Any, array: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    before = network.traits.divisor // 2
    # Half a step on either side beyond the scan, as the library does it: its outer voxels too have surroundings.
    widths = [(before, before + -(side + 2 * before) % network.traits.divisor) for side in array.shape]
    padded = np.pad(array, widths, mode="edge")
    needed, free = 4 * network.traits.features_per_voxel * padded.size, _free_memory()
    if free is not None and needed > free:
        raise VesselSegError(
            f"torch eager needs {needed / 1e9:.0f} GB for the whole scan, {free / 1e9:.0f} GB are free",
            "give a smaller scan",
        )
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded)[None, None])[0, 0]
        inner = tuple(slice(before, before + side) for side in array.shape)
        return torch.sigmoid(logits[inner]).numpy()


def _free_memory() -> float | None:
    """Return the memory that can be had, in bytes; None where the system does not tell it as Linux does."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            values = dict(line.split(":", 1) for line in stream)
        return float(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None


#: Name -> peer.
PEERS = {
    "monai": Peer(
        f"MONAI SlidingWindowInferer, windows of {_WINDOW} voxels a side, overlap 0.25",
        "monai.inferers",
        monai_probability,
    ),
    "torch-eager": Peer("torch eager, the whole scan", "torch", eager_probability),
    "nnunet": Peer(
        "nnU-Net v2 predictor, the whole scan, mirroring",
        "nnunetv2.inference.predict_from_raw_data",
        nnunet_probability,
    ),
}
