"""Batches of augmented patches: each a function of the seed and the step, made beside the network."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator, Sequence
from multiprocessing import AuthenticationError
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vesselseg.training.augmentation import augment_shape, augment_signal
from vesselseg.training.config import TrainingConfig
from vesselseg.training.data import CROP_MARGIN, PatchSampler, TrainingScan

#: Batches that each worker prepares ahead.
_AHEAD = 3
_VALIDATION_BATCHES = 12


class PatchStream(Dataset):
    """Batches by step.

    Each step has a random generator of its own, so that neither a restart nor the number of workers changes a batch.

    Parameters
    ----------
    config : TrainingConfig
    scans : list of TrainingScan
    network
        Tells how patches look: ``dimensions`` and, for two-dimensional ones, ``in_slices``.
    rank : int
        Of the process among those that train together; each has its own patches.
    """

    def __init__(self, config: TrainingConfig, scans: Sequence[TrainingScan], network: Any, rank: int = 0) -> None:
        self.config = config
        self.sampler = PatchSampler(scans, **sampler_options(config, network))
        self.rank = rank

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images, shape (N, Z, Y, X), and labels, shape (N, Z', Y, X), float32, for a step."""
        config = self.config
        rng = np.random.default_rng([config.seed, step, self.rank])
        # One thread, as in a worker: how work is split among threads shows in the last bits.
        with _threads(1):
            images, labels = (torch.from_numpy(part) for part in self.sampler.batch(config.batch_size, rng))
            generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
            images, labels = augment_shape(images, labels, config.patch_size, generator, config.augmentation)
            if config.augmentation.signal:
                images = augment_signal(images, generator, float(config.normalisation.get("clip", 4.0)))
        return images, labels

    def batches(
        self, first: int, last: int, *, pin: bool = False
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Yield the batches of the steps from `first` to `last`, both included, made by the configured workers.

        Parameters
        ----------
        first, last : int
        pin : bool
            Whether to lay them where a GPU can fetch them by itself.
        """
        workers = self.config.workers
        yield from DataLoader(
            self,
            batch_size=None,
            sampler=range(first, last + 1),
            num_workers=workers,
            prefetch_factor=_AHEAD if workers else None,
            pin_memory=pin,
            worker_init_fn=_leave_quietly,
            # Its own: the loader draws a number to begin with, which must not disturb dropout.
            generator=torch.Generator(),
        )


def _leave_quietly(worker: int) -> None:
    """Let a worker say nothing when the training that it hands a batch to is interrupted."""
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, (OSError, EOFError, AuthenticationError)):
            shown(kind, error, trace)

    # What goes wrong in a worker's own work reaches the training as an exception, not here.
    sys.excepthook = show


def sampler_options(config: TrainingConfig, network: Any) -> dict[str, Any]:
    """Return the arguments of a `PatchSampler` for a configuration and a network."""
    slices, labelled = (config.depth, config.depth) if network.traits.dimensions == 3 else (network.traits.in_slices, 1)
    return {
        "slices": slices,
        "labelled": labelled,
        "size": int(config.patch_size * CROP_MARGIN),
        "vessel_share": config.vessel_share,
        "head_share": config.head_share,
        "flip": "z" in config.augmentation.flips,
    }


def validation_patches(
    config: TrainingConfig, scans: Sequence[TrainingScan], network: Any
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw patches that are the same each time, not augmented; returned as `PatchStream` gives them."""
    rng = np.random.default_rng(1234)
    sampler = PatchSampler(scans, **sampler_options(config, network))
    margin = (sampler.size - config.patch_size) // 2
    inner = slice(margin, margin + config.patch_size)
    patches = []
    for _ in range(_VALIDATION_BATCHES):
        images, labels = sampler.batch(config.batch_size, rng)
        patches.append((torch.from_numpy(images[..., inner, inner]), torch.from_numpy(labels[..., inner, inner])))
    return patches


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
