"""The training loop."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from vesselseg.errors import VesselSegError
from vesselseg.models.manifest import Manifest
from vesselseg.models.weights import load_network, save_model
from vesselseg.networks import build_network, in_channels_last
from vesselseg.progress import ProgressCallback, no_progress, stage
from vesselseg.training.backend import choose_precision, process_count, start_fabric
from vesselseg.training.checkpoint import load_checkpoint, save_checkpoint
from vesselseg.training.config import TrainingConfig
from vesselseg.training.data import TrainingScan, load_scans, patch_statistics, refuse_shared_scans, scan_folders
from vesselseg.training.losses import build_loss
from vesselseg.training.patches import PatchStream, sampler_options, validation_patches
from vesselseg.training.run_folder import RunFolder, versions, without_paths
from vesselseg.training.validation import best_threshold, forward, validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger("vesselseg")

_LARGEST_GRADIENT = 5.0


def train(
    config: TrainingConfig,
    output: Path,
    *,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressCallback = no_progress,
) -> Manifest:
    """Train a network, or go on with the unfinished training in a folder.

    A run that was stopped, even killed, goes on from its last checkpoint as if nothing had happened: on a CPU, with the
    same number of threads, it ends in the same weights to the last bit. It keeps the precision that it began with, and
    warns where the device is another, or one that "auto" gives another precision. Started by ``torchrun``, it runs in
    several processes, each with patches of its own; the first one writes.

    Parameters
    ----------
    config : TrainingConfig
    output : pathlib.Path
        Folder of the run, made if need be; see `vesselseg.training.run_folder.RunFolder`.
    device : str
        See `vesselseg.devices.choose_device`.
    overwrite : bool
        Whether to begin anew and to replace a model of this name in the folder.
    progress : callable

    Returns
    -------
    Manifest
        Of the trained model: the weights of the best validation, or the last ones without validation scans.

    Raises
    ------
    VesselSegError
        If the scans cannot be read, the folder holds a finished model or another run, or another training runs in it,
        Lightning Fabric is not installed, or the loss is no number any more.
    """
    config.check()
    folder = RunFolder(Path(output), config)
    # torch's own choice is kept for whoever trains next in this process.
    threads = torch.get_num_threads()
    # Of several processes the first one holds it for all.
    with folder.lock() if os.environ.get("RANK", "0") == "0" else contextlib.nullcontext():
        saved = folder.saved_state(overwrite=overwrite, processes=process_count())
        # What "auto" was resolved to holds for the whole run; older checkpoints do not tell.
        wish = saved.get("precision", "auto") if saved and config.precision == "auto" else config.precision
        fabric, precision = start_fabric(device, wish)
        try:
            if config.threads:
                torch.set_num_threads(config.threads)
            run = _Run(config, folder, fabric, precision, saved, stage(progress, 0.0, 0.1))
            run.train(stage(progress, 0.1, 0.99))
            manifest = run.finish()
            progress(1.0, "done")
            return manifest
        finally:
            torch.set_num_threads(threads)


class _Run:
    """A run from its beginning, or from its checkpoint, to the model."""

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        fabric: Fabric,
        precision: str,
        saved: dict[str, Any] | None,
        progress: ProgressCallback,
    ) -> None:
        self.config = config
        self.folder = folder
        self.fabric = fabric
        self.precision = precision
        self.loss = build_loss(config)
        torch.manual_seed(config.seed)
        network = build_network(config.architecture, **config.options) if saved else _initial_network(config)
        _check_patches(config, network)
        self.bare = in_channels_last(network, fabric.device.type)
        _freeze(self.bare, config)
        self.optimiser = _optimiser(config, self.bare)
        self.network, self._stepper = fabric.setup(self.bare, self.optimiser)
        training, validation = self._load_scans(saved, progress)
        self.state = saved or {
            "step": 0,
            "seconds": 0.0,
            "losses": [],
            "rows": [],
            "processes": fabric.world_size,
            "normalisation": self.normalisation,
            "scans": [len(training), len(validation)],
        }
        self.state["config"] = config.to_dict()
        self.state.setdefault("precision", precision)
        self.state.setdefault("device", fabric.device.type)
        self.stream = PatchStream(config, training, self.bare, fabric.global_rank)
        self.patches = validation_patches(config, validation, self.bare) if validation else []
        self._resume_or_begin(saved is not None, [len(training), len(validation)])

    def _load_scans(
        self, saved: dict[str, Any] | None, progress: ProgressCallback
    ) -> tuple[list[TrainingScan], list[TrainingScan]]:
        config, fabric = self.config, self.fabric
        folders = {"training": config.training_scans, "validation": config.validation_scans}
        if saved is None and fabric.is_global_zero:
            shutil.rmtree(self.folder.cache, ignore_errors=True)
        for kind, wanted in config.synthesize.items():
            if not folders[kind]:
                folders[kind] = [str(self.folder.drawn(kind))]
                if fabric.is_global_zero:
                    from vesselseg.training.drawing import draw_folder

                    part = (0.0, 0.4) if kind == "training" else (0.4, 0.5)
                    draw_folder(wanted, self.folder.drawn(kind), stage(progress, *part))
        fabric.barrier()
        # All of them are there, and no scan is in both, before long work.
        refuse_shared_scans(scan_folders(folders["training"]), scan_folders(folders["validation"]))
        self.normalisation = dict(saved["normalisation"] if saved else config.normalisation)
        if self.normalisation.get("method") == "zscore" and not {"mean", "std"} <= set(self.normalisation):
            options = sampler_options(config, self.bare)
            found = patch_statistics(folders["training"], options, config.seed) if fabric.is_global_zero else {}
            self.normalisation.update(fabric.broadcast(found))
        training: list[TrainingScan] = []
        validation: list[TrainingScan] = []
        # The others then find the prepared scans in the cache.
        with fabric.rank_zero_first():
            cache = self.folder.cache
            training = load_scans(folders["training"], cache, self.normalisation, stage(progress, 0.5, 0.9))
            if folders["validation"]:
                validation = load_scans(folders["validation"], cache, self.normalisation, stage(progress, 0.9, 1.0))
        return training, validation

    def _resume_or_begin(self, resumed: bool, scans: list[int]) -> None:
        fabric, state = self.fabric, self.state
        if resumed:
            if state["rows"]:
                self.folder.best_model(self._best_row())  # raises, before long work, if it is not there
            load_checkpoint(self.folder.checkpoint, self.bare, self.optimiser)
            if fabric.is_global_zero:
                logger.info("going on after step %d of %d", state["step"], self.config.steps)
            if scans != state["scans"] and fabric.is_global_zero:
                logger.warning(
                    "the run began with %d training and %d validation scans, and goes on with %d and %d",
                    *state["scans"],
                    *scans,
                )
            if fabric.is_global_zero:
                self._warn_of_another_machine()
        fabric.barrier()
        if fabric.is_global_zero:
            self.folder.begin(self._description())
            if not resumed:
                # From here on a run that was stopped is known from a finished one.
                self._save_checkpoint()

    def _warn_of_another_machine(self) -> None:
        device, state = self.fabric.device, self.state
        usual = choose_precision("auto", str(device)) if self.config.precision == "auto" else self.precision
        if (device.type, usual) != (state["device"], self.precision):
            logger.warning(
                "the run began on %s in %s, and goes on in it on %s, where a new one would be in %s",
                state["device"],
                self.precision,
                device.type,
                usual,
            )

    def train(self, progress: ProgressCallback) -> None:
        """Make the steps that are left, with validations and checkpoints."""
        config, state, fabric = self.config, self.state, self.fabric
        first, began, before = state["step"] + 1, time.perf_counter(), state["seconds"]
        if self._stopped():
            return
        pin = fabric.device.type == "cuda"
        # Closed whatever happens: workers end with the loop, not when an error's traceback is forgotten.
        with contextlib.closing(self.stream.batches(first, config.steps, pin=pin)) as batches:
            for step, (images, labels) in enumerate(batches, start=first):
                state["losses"].append(self._step(step, images, labels))
                state["step"], state["seconds"] = step, before + time.perf_counter() - began
                due = step % config.validate_every == 0 or step == config.steps
                if due:
                    self._validate()
                if (due or step % config.checkpoint_every == 0) and fabric.is_global_zero:
                    self._save_checkpoint()
                each = (state["seconds"] - before) / (step - first + 1)
                progress(step / config.steps, _status(state, config.steps, each))
                if due and self._stopped():
                    break

    def _step(self, step: int, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Make one step and return the loss, the mean over all processes."""
        config, fabric = self.config, self.fabric
        # Dropout depends on the step only, as the patches do, so that a restart changes nothing.
        torch.manual_seed(_step_seed(config.seed, step, fabric.global_rank))
        self.network.train()
        for part in config.frozen:
            getattr(self.bare, part).eval()  # nor does their batch normalisation move
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * _rate(config.schedule, step - 1, config.steps)
        loss = self.loss(*forward(self.network, images, labels, fabric.device))
        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        fabric.clip_gradients(self.network, self._stepper, max_norm=_LARGEST_GRADIENT, error_if_nonfinite=False)
        mean = fabric.all_reduce(loss.detach(), reduce_op="mean")
        value = float(cast(torch.Tensor, mean))
        if not math.isfinite(value):
            raise VesselSegError(
                f"the loss is no number at step {step}", "lower the learning rate and begin anew with --overwrite"
            )
        self._stepper.step()
        return value

    def _validate(self) -> None:
        """Measure, add a row to the curves, and keep the weights if they are the best so far."""
        config, state = self.config, self.state
        if self.fabric.is_global_zero:
            values = validate(
                self.bare, self.patches, self.loss, threshold=config.threshold, device=self.fabric.device,
                autocast=self.fabric.autocast(),
            )  # fmt: skip
            row = {
                "step": state["step"],
                "seconds": round(state["seconds"], 1),
                "learning_rate": self.optimiser.param_groups[0]["lr"],
                "loss": float(np.mean(state["losses"])),
                **values,
            }
            state["rows"].append(row)
            best = self._best_row()
            if best is row:
                # Not in the place of the best ones so far, which the last checkpoint goes on with.
                place = self.folder.candidate(row["step"])
                save_model(self.bare, self._manifest(row), place, half=False, overwrite=True)
            self.folder.write_curves(state["rows"], best["step"])
            shown = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("step", "seconds"))
            logger.info("step %d: %s", row["step"], shown)
            if values.get("sensitivity") == 0:
                # From there the gradient of the Dice loss hardly leads back.
                logger.warning(
                    "after %d steps the network finds no vessel; if it stays so, try another seed or the loss "
                    "dice_cross_entropy", row["step"],
                )  # fmt: skip
        state["losses"] = []
        # Also the others must know when to stop.
        state["rows"] = self.fabric.broadcast(state["rows"])

    def _best_row(self) -> dict[str, Any]:
        """Return the row of the best validation, the earliest of equals; the last row without validation scans."""
        rows, name = self.state["rows"], self.config.monitor
        if name not in rows[0]:
            return rows[-1]
        return max(rows, key=lambda row: row[name] * (1 if name == "dice" else -1))

    def _stopped(self) -> bool:
        """Tell whether the run is at its end: all steps done, or no better validation for too long."""
        rows = self.state["rows"]
        if self.state["step"] >= self.config.steps:
            return True
        if not self.config.patience or not rows:
            return False
        return len(rows) - 1 - rows.index(self._best_row()) >= self.config.patience

    def _save_checkpoint(self) -> None:
        save_checkpoint(self.folder.checkpoint, self.bare, self.optimiser, self.state)
        self.folder.remove_candidates(self._best_row()["step"] if self.state["rows"] else None)

    def finish(self) -> Manifest:
        """Make the best weights the model, remove what going on would need, and return the manifest."""
        config, best = self.config, self._best_row()
        if self.fabric.is_global_zero:
            network, manifest = load_network(self.folder.best_model(best)), self._manifest(best)
            if config.choose_threshold:
                manifest = self._with_threshold(manifest, network)
            save_model(network, manifest, self.folder.folder, half=False, overwrite=True)
            self.folder.begin({**self._description(), "model_from_step": best["step"], "finished": True})
            del self.stream  # it maps the prepared scans, and Windows removes no file that is mapped
            # Before the checkpoint, so that no run that was stopped here leaves copies of scans for ever.
            shutil.rmtree(self.folder.cache, ignore_errors=True)
            self.folder.remove_candidates()
            self.folder.checkpoint.unlink()
        self.fabric.barrier()
        return Manifest.read(self.folder.model)

    def _with_threshold(self, manifest: Manifest, network: torch.nn.Module) -> Manifest:
        device = self.fabric.device
        network = in_channels_last(network.to(device), str(device))
        threshold, dice = best_threshold(network, self.patches, device=device, autocast=self.fabric.autocast())
        note = {
            "chosen": "best Dice over the validation patches",
            "dice": dice,
            "dice_at_configured": manifest.training["last_validation"]["dice"],
            "configured": self.config.threshold,
        }
        return replace(manifest, threshold=threshold, training={**manifest.training, "threshold": note})

    def _description(self) -> dict[str, Any]:
        return {
            "device": str(self.fabric.device),
            "precision": self.precision,
            "processes": self.fabric.world_size,
            "threads": torch.get_num_threads(),
            "parameters": sum(parameter.numel() for parameter in self.bare.parameters()),
            "training_scans": self.state["scans"][0],
            "validation_scans": self.state["scans"][1],
            "normalisation": self.normalisation,
            "steps": self.state["step"],
            "seconds": round(self.state["seconds"], 1),
        }

    def _manifest(self, row: dict[str, Any]) -> Manifest:
        config = self.config
        described = self._description()
        return Manifest(
            name=config.name,
            title=config.title,
            architecture=config.architecture,
            options=config.options,
            normalisation=self.normalisation,
            spacing_mm=config.spacing_mm,
            threshold=config.threshold,
            sha256="",
            licence=config.licence,
            training_data=config.training_data,
            min_component_mm3=config.min_component_mm3,
            training={
                "configuration": without_paths(config.to_dict()),
                "versions": versions(),
                **{key: described[key] for key in ("device", "precision", "processes", "steps", "seconds")},
                "last_validation": row,
            },
        )


def _initial_network(config: TrainingConfig) -> torch.nn.Module:
    if not config.initial_model:
        return build_network(config.architecture, **config.options)
    manifest = Manifest.read(Path(config.initial_model))
    if config.initial_model_sha256 not in ("", manifest.sha256):
        raise VesselSegError(
            f"the weights of the initial model {config.initial_model} are not those of the sum initial_model_sha256",
            "give the manifest of the model that was meant, or another sum",
        )
    network = load_network(manifest)
    fresh = build_network(config.architecture, **config.options)
    try:
        fresh.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise VesselSegError("the initial model has another architecture", "give one with the same options") from error
    return fresh


def _check_patches(config: TrainingConfig, network: Any) -> None:
    sides = {"patch_size": config.patch_size, **({"depth": config.depth} if network.traits.dimensions == 3 else {})}
    for name, side in sides.items():
        if side % network.traits.divisor:
            raise VesselSegError(
                f"{name} is {side}, and the poolings of the network need a multiple of {network.traits.divisor}",
                "correct it",
            )
    if any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in network.modules()):
        deepest = config.batch_size * math.prod(side // network.traits.divisor for side in sides.values())
        if deepest < 2:  # of one value there is no spread
            raise VesselSegError("the deepest level of the network sees one voxel only", "take larger or more patches")


def _freeze(network: torch.nn.Module, config: TrainingConfig) -> None:
    parts = dict(network.named_children())
    for name in config.frozen:
        if name not in parts:
            raise VesselSegError(f"the network has no part '{name}'", f"it has {', '.join(parts)}")
        parts[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise VesselSegError("every part of the network is frozen", "leave out some of them")


def _optimiser(config: TrainingConfig, network: torch.nn.Module) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    free = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return kinds[config.optimiser](free, lr=config.learning_rate, weight_decay=config.weight_decay)


def _rate(schedule: str, done: int, steps: int) -> float:
    """Share of the highest learning rate after so many steps."""
    if schedule == "constant":
        return 1.0
    warm_up = max(min(100, steps // 10), 1)
    if done < warm_up:
        return (done + 1) / warm_up
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(steps - warm_up, 1)))


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _status(state: dict[str, Any], steps: int, seconds_each: float) -> str:
    """Return the line that tells how a run goes."""
    seconds = (steps - state["step"]) * seconds_each
    left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    if seconds > 6000:
        left = f"{seconds / 3600:.1f} h"
    loss = state["losses"][-1] if state["losses"] else state["rows"][-1]["loss"]
    dice = f", Dice {state['rows'][-1]['dice']:.3f}" if state["rows"] and "dice" in state["rows"][-1] else ""
    return f"step {state['step']} of {steps}, loss {loss:.3f}{dice}, {left} left"
