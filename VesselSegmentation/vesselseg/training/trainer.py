"""The training loop."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesselseg.errors import VesselSegError
from vesselseg.image_io import atomic_output
from vesselseg.models.manifest import Manifest
from vesselseg.models.weights import load_network, save_model
from vesselseg.networks import build_network, in_channels_last
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.training.augmentation import augment_shape, augment_signal
from vesselseg.training.config import TrainingConfig
from vesselseg.training.data import CROP_MARGIN, PatchSampler, load_scans
from vesselseg.training.losses import dice_cross_entropy

logger = logging.getLogger("vesselseg")

_VALIDATION_BATCHES = 12
_UNSURE = 255.0


def train(
    config: TrainingConfig, output: Path, *, device: str = "cpu", progress: ProgressCallback = no_progress
) -> Manifest:
    """Train a network and write it, whenever it is validated, with its manifest and its metrics.

    Parameters
    ----------
    config : TrainingConfig
    output : pathlib.Path
        Folder for the model (``NAME.safetensors``, ``NAME.json``), ``metrics.csv``, ``config.json`` and the cache of
        prepared scans; made if need be.
    device : str
        As torch names it.
    progress : callable

    Returns
    -------
    Manifest
        Of the trained model.

    Raises
    ------
    VesselSegError
        If the scans cannot be read, or the loss is no number any more.
    """
    output.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    network = in_channels_last(_initial_network(config).to(device))
    folders = [*config.training_scans, *config.validation_scans]
    scans = load_scans(folders, output / "cache", config.normalisation, stage(progress, 0.0, 0.05))
    # `load_scans` keeps the order of the folders.
    held_out = sum(len(list(Path(folder).glob("*/tof.nii.gz"))) for folder in config.validation_scans)
    sampler = _sampler(config, scans[: len(scans) - held_out], network)
    validation = _validation_patches(config, scans[len(scans) - held_out :], network) if held_out else []
    with atomic_output(output / "config.json", overwrite=True) as path:
        path.write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")

    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, config.steps))
    rng = np.random.default_rng(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    rows: list[dict[str, Any]] = []
    losses: list[float] = []
    start = time.perf_counter()
    manifest = _manifest(config, rows)
    for step in range(1, config.steps + 1):
        images, labels = (torch.from_numpy(part) for part in sampler.batch(config.batch_size, rng))
        images, labels = augment_shape(images, labels, config.patch_size, generator)
        images = augment_signal(images, generator)
        network.train()
        loss = _loss(network, images, labels, config, device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise VesselSegError(f"the loss is no number at step {step}", "lower the learning rate")
        if step % config.validate_every == 0 or step == config.steps:
            values = _validate(network, validation, config, device)
            seconds = round(time.perf_counter() - start, 1)
            rows.append({"step": step, "seconds": seconds, "loss": float(np.mean(losses)), **values})
            losses.clear()
            _write_metrics(output / "metrics.csv", rows)
            manifest = save_model(network, _manifest(config, rows), output, half=False, overwrite=True)
            logger.info("step %d: %s", step, ", ".join(f"{k} {v:.4g}" for k, v in rows[-1].items() if k != "step"))
        progress(0.05 + 0.95 * step / config.steps, f"step {step} of {config.steps}, loss {loss.item():.3f}")
    return manifest


def _initial_network(config: TrainingConfig) -> torch.nn.Module:
    if not config.initial_model:
        return build_network(config.architecture, **config.options)
    network = load_network(Manifest.read(Path(config.initial_model)))
    fresh = build_network(config.architecture, **config.options)
    try:
        fresh.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise VesselSegError("the initial model has another architecture", "give one with the same options") from error
    return fresh


def _rate(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step."""
    warm_up = max(min(100, steps // 10), 1)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def _sampler(config: TrainingConfig, scans: list[Any], network: Any) -> PatchSampler:
    slices, labelled = (config.depth, config.depth) if network.dimensions == 3 else (network.in_slices, 1)
    return PatchSampler(
        scans, slices=slices, labelled=labelled, size=int(config.patch_size * CROP_MARGIN),
        vessel_share=config.vessel_share, head_share=config.head_share,
    )  # fmt: skip


def _validation_patches(
    config: TrainingConfig, scans: list[Any], network: Any
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw the same patches each time, not augmented."""
    rng = np.random.default_rng(1234)
    margin = (int(config.patch_size * CROP_MARGIN) - config.patch_size) // 2
    inner = slice(margin, margin + config.patch_size)
    patches = []
    for _ in range(_VALIDATION_BATCHES):
        images, labels = _sampler(config, scans, network).batch(config.batch_size, rng)
        patches.append((torch.from_numpy(images[..., inner, inner]), torch.from_numpy(labels[..., inner, inner])))
    return patches


def _loss(
    network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, config: TrainingConfig, device: str
) -> torch.Tensor:
    labels = labels.to(device)
    logits = _logits(network, images, config, device)
    valid = (labels != _UNSURE).float()
    return dice_cross_entropy(logits, (labels == 1).float(), valid, config.positive_weight)


def _logits(network: Any, images: torch.Tensor, config: TrainingConfig, device: str) -> torch.Tensor:
    """Return logits, shape (N, Z', Y, X), of patches, shape (N, Z, Y, X)."""
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=config.bfloat16):
        if network.dimensions == 3:
            blocks = images[:, None].to(device, memory_format=torch.channels_last_3d)
            return network(blocks)[:, 0].float()
        return network(images.to(device, memory_format=torch.channels_last)).float()


def _validate(
    network: torch.nn.Module, patches: list[tuple[torch.Tensor, torch.Tensor]], config: TrainingConfig, device: str
) -> dict[str, float]:
    """Return loss, Dice, precision and sensitivity at the threshold over all validation patches together."""
    if not patches:
        return {}
    network.eval()
    loss, hits, found, wanted = 0.0, 0.0, 0.0, 0.0
    with torch.inference_mode():
        for images, labels in patches:
            logits = _logits(network, images, config, device).cpu()
            valid, target = labels != _UNSURE, labels == 1
            loss += float(dice_cross_entropy(logits, target.float(), valid.float(), config.positive_weight))
            positive = (torch.sigmoid(logits) >= config.threshold) & valid
            hits += float((positive & target).sum())
            found += float(positive.sum())
            wanted += float(target.sum())
    return {
        "validation_loss": loss / len(patches),
        "dice": 2 * hits / max(found + wanted, 1.0),
        "precision": hits / max(found, 1.0),
        "sensitivity": hits / max(wanted, 1.0),
    }


def _write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_output(path, overwrite=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _manifest(config: TrainingConfig, rows: list[dict[str, Any]]) -> Manifest:
    made_by = {"configuration": config.to_dict(), "torch": torch.__version__}
    if rows:
        made_by["last_validation"] = rows[-1]
    return Manifest(
        name=config.name,
        title=config.title,
        architecture=config.architecture,
        options=config.options,
        normalisation=config.normalisation,
        spacing_mm=config.spacing_mm,
        threshold=config.threshold,
        sha256="",
        licence=config.licence,
        training_data=config.training_data,
        min_component_mm3=config.min_component_mm3,
        training=made_by,
    )
