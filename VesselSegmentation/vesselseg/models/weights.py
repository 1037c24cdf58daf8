"""Loading and saving weights: safetensors only, the sum and the shapes checked, a pickle never opened."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest
from vesselseg.networks import build_network
from vesselseg.output_files import atomic_output, make_output_folder

if TYPE_CHECKING:
    import torch

_ADVICE = "import the model again from its source"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 sum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def load_weights(manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    """Read the weights of a model; needs no torch.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    dict of ndarray
        Single precision, by their names.

    Raises
    ------
    VesselSegError
        If the weight file is missing, has another sum than the manifest says, or cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _checked_weights(manifest)
    try:
        return {name: np.asarray(values, dtype=np.float32) for name, values in load(content).items()}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # KeyError: of a type that numpy does not have
        raise VesselSegError(f"the weights {manifest.weights_path} cannot be read", _ADVICE) from error


def _checked_weights(manifest: Manifest) -> bytes:
    path = manifest.weights_path
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise VesselSegError(f"the weights {path} of the model '{manifest.name}' are missing", _ADVICE) from None
    except OSError as error:
        raise VesselSegError(f"the weights {path} cannot be read: {error}", _ADVICE) from error
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise VesselSegError(f"the weights {path} are damaged: their SHA-256 sum is not the manifest's", _ADVICE)
    return content


def load_network(manifest: Manifest) -> torch.nn.Module:
    """Build the network of a model and load its weights.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    torch.nn.Module
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    VesselSegError
        If the weight file is missing, has another sum than the manifest says, or does not fit the architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = _checked_weights(manifest)
    network = build_network(manifest.architecture, **manifest.options)
    try:
        state = load(content)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except (SafetensorError, RuntimeError) as error:
        what = f"the architecture '{manifest.architecture}' of their manifest"
        raise VesselSegError(f"the weights {manifest.weights_path} do not fit {what}", _ADVICE) from error
    return network.eval()


def save_model(
    network: torch.nn.Module, manifest: Manifest, folder: Path, *, half: bool = True, overwrite: bool = False
) -> Manifest:
    """Write a model's weights and manifest.

    Parameters
    ----------
    network : torch.nn.Module
        As built by the manifest's architecture and options.
    manifest : Manifest
        Its sum and weight file name are filled in.
    folder : pathlib.Path
        Where the two files go; made if need be.
    half : bool
        Whether to store the weights in half precision; those beyond its range stay in single precision. Of a network
        without normalisation, the kernels behind the first convolution are stored such that bfloat16 holds them
        exactly: computed in bfloat16, it then loses no more by them.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    VesselSegError
        If the files cannot be written, or a weight is not finite.
    """
    import torch
    from safetensors.torch import save

    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise VesselSegError("the weights are not all finite numbers", "train again with a lower learning rate")

    folder = Path(folder)
    make_output_folder(folder)
    if half:
        state = {name: _halved(value) for name, value in _for_bfloat16(state).items()}
    weights = folder / f"{manifest.name}.safetensors"
    path = folder / f"{manifest.name}.json"
    with (
        atomic_output(path, overwrite=overwrite) as manifest_file,
        atomic_output(weights, overwrite=overwrite) as weights_file,
    ):
        # Not by its own save_file, which would let nobody but the user read the file.
        weights_file.write_bytes(save({name: value.contiguous() for name, value in state.items()}))
        manifest = replace(manifest, sha256=file_sha256(weights_file), weights=weights.name, path=path)
        # Before either file takes its place: what they replace stays if the disk is full.
        manifest_file.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _for_bfloat16(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round the kernels that are computed as they are stored, and whose input is not split for bfloat16."""
    import torch

    from vesselseg.models.bfloat16 import rounded_weight

    if any(name.endswith("running_var") for name in state):
        return state  # kernels are multiplied with the gains of the normalisation before they are rounded
    kernels = [name for name, value in state.items() if value.ndim > 2]
    return {**state, **{name: torch.from_numpy(rounded_weight(state[name].float().numpy())) for name in kernels[1:]}}


def _halved(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in half precision if that can hold it: statistics of deep layers may lie far beyond its range."""
    import torch

    half = value.to(torch.float16) if value.is_floating_point() else value
    return half if bool(torch.isfinite(half).all()) else value
