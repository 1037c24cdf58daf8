"""How good a network is on patches that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from vesselseg.image_io import UNSURE
from vesselseg.networks import channels_last_format
from vesselseg.training.losses import Loss

#: Images and labels as `vesselseg.training.patches.PatchStream` gives them.
Patches = Sequence[tuple[torch.Tensor, torch.Tensor]]

_BINS = 200


def forward(network: Any, images: torch.Tensor, labels: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Run a network on patches.

    Parameters
    ----------
    network : torch.nn.Module
        With the attribute ``dimensions``.
    images : tensor, shape (N, Z, Y, X)
    labels : tensor, shape (N, Z', Y, X)
    device : torch.device

    Returns
    -------
    logits, target, valid : tensor, shape (N, 1, Y, X) or (N, 1, Z, Y, X), float32
        As losses take them.
    """
    if network.traits.dimensions == 3:
        images, labels = images[:, None], labels[:, None]
    # MPS may copy from memory that was given back meanwhile.
    at_once = device.type == "cuda"
    layout = channels_last_format(network.traits.dimensions, device.type)
    images = images.to(device, memory_format=layout, non_blocking=at_once)
    labels = labels.to(device, non_blocking=at_once)
    return network(images).float(), (labels == 1).float(), (labels != UNSURE).float()


def validate(
    network: torch.nn.Module,
    patches: Patches,
    loss: Loss,
    *,
    threshold: float,
    device: torch.device,
    autocast: AbstractContextManager[Any],
) -> dict[str, float]:
    """Return loss, and Dice, precision and sensitivity at the threshold over all patches together; nothing without.

    Parameters
    ----------
    network : torch.nn.Module
    patches : sequence of (images, labels)
    loss : callable
    threshold : float
        Of the probability.
    device : torch.device
    autocast : context manager
        In which precision to compute.
    """
    if not patches:
        return {}
    network.eval()
    total, hits, found, wanted = 0.0, 0.0, 0.0, 0.0
    with torch.inference_mode(), autocast:
        for images, labels in patches:
            logits, target, valid = forward(network, images, labels, device)
            total += float(loss(logits, target, valid))
            positive = (torch.sigmoid(logits) >= threshold) * valid
            hits += float((positive * target).sum())
            found += float(positive.sum())
            wanted += float(target.sum())
    return {
        "validation_loss": total / len(patches),
        "dice": 2 * hits / max(found + wanted, 1.0),
        "precision": hits / max(found, 1.0),
        "sensitivity": hits / max(wanted, 1.0),
    }


def best_threshold(
    network: torch.nn.Module, patches: Patches, *, device: torch.device, autocast: AbstractContextManager[Any]
) -> tuple[float, float]:
    """Return the threshold with the best Dice over all patches together, and that Dice; parameters as for `validate`.

    Looked for in steps of 1/200; of equally good ones the middle is taken.
    """
    vessel, background = torch.zeros(_BINS), torch.zeros(_BINS)
    network.eval()
    with torch.inference_mode(), autocast:
        for images, labels in patches:
            logits, target, valid = (part.cpu() for part in forward(network, images, labels, device))
            bins = (torch.sigmoid(logits) * _BINS).long().clamp_(max=_BINS - 1)
            vessel += torch.bincount(bins[target == 1], minlength=_BINS)
            background += torch.bincount(bins[(target == 0) & (valid == 1)], minlength=_BINS)
    # Found at each threshold: all voxels in its bin and above.
    hits = vessel.flip(0).cumsum(0).flip(0)
    false = background.flip(0).cumsum(0).flip(0)
    dice = 2 * hits / (hits + false + vessel.sum()).clamp_min(1)
    best = torch.nonzero(dice[1:] >= dice[1:].max() - 1e-6).flatten() + 1
    return round(float(best.float().mean()) / _BINS, 3), float(dice[1:].max())
