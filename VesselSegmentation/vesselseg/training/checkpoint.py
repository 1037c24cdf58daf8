"""The state of a training run on disk: one file, whole or not at all, without a pickle.

A safetensors file holds the tensors of network and optimiser, and in its header the rest as JSON. Random generators are
not in it: patches and dropout depend on the seed and the step only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vesselseg.errors import VesselSegError
from vesselseg.output_files import atomic_output


def save_checkpoint(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    path : pathlib.Path
        Replaced if it exists.
    network, optimiser
        Their tensors are written.
    state : dict
        The rest, as JSON can hold it.

    Raises
    ------
    VesselSegError
        If the file cannot be written.
    """
    from safetensors.torch import save

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    moments = optimiser.state_dict()["state"]
    others: dict[str, dict[str, Any]] = {}
    for index, values in moments.items():
        for name, value in values.items():
            if torch.is_tensor(value):
                tensors[f"optimiser.{index}.{name}"] = value
            else:
                others.setdefault(str(index), {})[name] = value
    header = json.dumps({"state": state, "optimiser": others})
    content = save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata={"vesselseg": header}
    )
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_bytes(content)


def read_state(path: Path) -> dict[str, Any]:
    """Return the part of a checkpoint that is no tensor.

    Raises
    ------
    VesselSegError
        If the file is no checkpoint.
    """
    return _read_header(path)["state"]


def load_checkpoint(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Give network and optimiser the tensors of a checkpoint, to the last bit.

    Raises
    ------
    VesselSegError
        If the file is no checkpoint, or does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    others = _read_header(path)["optimiser"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    try:
        tensors = load_file(path)
        network.load_state_dict(
            {name.partition(".")[2]: value for name, value in tensors.items() if name.startswith("network.")}
        )
        moments: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in others.items()}
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimiser":
                index, _, key = rest.partition(".")
                parameter = parameters[int(index)]
                if value.shape == parameter.shape:
                    # In the memory layout of the parameter, which decides the order of rounding.
                    value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                moments.setdefault(int(index), {})[key] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
    except (SafetensorError, RuntimeError, IndexError, ValueError) as error:
        raise _unfit(path) from error


def _read_header(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["vesselseg"])
        if not isinstance(header, dict) or set(header) != {"state", "optimiser"}:
            raise KeyError("state")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unfit(path) from error
    return header


def _unfit(path: Path) -> VesselSegError:
    return VesselSegError(
        f"the checkpoint {path} is damaged or of another network", "begin anew with --overwrite, or remove it"
    )
