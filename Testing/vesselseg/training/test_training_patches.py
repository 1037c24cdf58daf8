"""Patches and their augmentation: where they lie, what counts, and that images and labels stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_cases import MEDIAN, tube_scan, write_scans
from vesselseg.training.config import Augmentation, TrainingConfig
from vesselseg.training.data import PatchSampler, as_training_scan, patch_statistics

torch = pytest.importorskip("torch")


def test_patches_lie_around_vessels_and_do_not_count_outside() -> None:
    scan = as_training_scan(*tube_scan(), MEDIAN)
    sampler = PatchSampler([scan], slices=3, labelled=1, size=48, vessel_share=1.0, head_share=0.0)
    images, labels = sampler.batch(16, np.random.default_rng(0))
    assert images.shape == (16, 3, 48, 48)
    assert labels.shape == (16, 1, 48, 48)
    assert ((labels == 1).sum(axis=(1, 2, 3)) > 0).all()
    assert (labels == 255).any()
    vessel = labels[:, 0] == 1
    assert images[:, 1][vessel].mean() > 2 * images[:, 1][labels[:, 0] == 0].mean()


def test_patches_are_reproducible() -> None:
    scan = as_training_scan(*tube_scan(), MEDIAN)
    sampler = PatchSampler([scan], slices=1, labelled=1, size=24, vessel_share=0.3, head_share=0.3)
    one, two = (sampler.batch(5, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_statistics_are_those_of_the_patches(tmp_path: Path) -> None:
    write_scans(tmp_path / "train", 2)
    options = {"slices": 1, "labelled": 1, "size": 24, "vessel_share": 0.0, "head_share": 0.0}
    found = patch_statistics([str(tmp_path / "train")], options, seed=0)
    everything = np.stack([tube_scan(k)[0].array for k in range(2)])
    assert found["mean"] == pytest.approx(everything.mean(), rel=0.1)
    assert found["std"] == pytest.approx(everything.std(), rel=0.25)


def test_shape_augmentation_keeps_image_and_label_together() -> None:
    from vesselseg.training.augmentation import augment_shape

    labels = torch.zeros(6, 1, 48, 48)
    labels[:, :, 20:28, 20:28] = 1
    images = labels.repeat(1, 3, 1, 1)
    patches, targets = augment_shape(images, labels, 32, torch.Generator().manual_seed(0))
    assert patches.shape == (6, 3, 32, 32)
    assert set(torch.unique(targets).tolist()) <= {0.0, 1.0}
    assert ((patches[:, :1] > 0.5) == (targets == 1)).float().mean() > 0.97


def test_patches_beyond_their_crop_do_not_count() -> None:
    from vesselseg.training.augmentation import augment_shape

    images, labels = torch.ones(8, 1, 24, 24), torch.ones(8, 1, 24, 24)
    far = Augmentation(rotation_deg=0, shear_deg=0, scale=(3.0, 3.0), stretch=0)
    patches, targets = augment_shape(images, labels, 16, torch.Generator().manual_seed(0), far)
    assert (targets == 255).any()
    assert (targets[patches > 0.99] == 1).all()
    assert (targets[patches == 0] == 255).all()


@pytest.mark.parametrize("axes", ["x", "y", "xy", ""])
def test_only_the_named_axes_are_mirrored(axes: str) -> None:
    from vesselseg.training.augmentation import augment_shape

    labels = torch.zeros(64, 1, 16, 16)
    labels[..., 3, 5] = 1
    still = Augmentation(rotation_deg=0, shear_deg=0, scale=(1.0, 1.0), stretch=0, flips=axes)
    _, targets = augment_shape(labels, labels, 16, torch.Generator().manual_seed(0), still)
    places = {tuple(int(v) for v in place[2:]) for place in torch.nonzero(targets == 1)}
    assert {y for y, _ in places} == ({3, 12} if "y" in axes else {3})
    assert {x for _, x in places} == ({5, 10} if "x" in axes else {5})


def test_signal_augmentation_stays_in_range() -> None:
    from vesselseg.training.augmentation import augment_signal

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 5, 16, 16, generator=generator) * 4
    changed = augment_signal(images, generator)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 4
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("clip", [2.5, 8.0])
def test_changed_patches_reach_as_high_as_the_scans_do(clip: float) -> None:
    from vesselseg.networks import build_network
    from vesselseg.training.patches import PatchStream

    values = {"name": "tube", "training_scans": ["train"], "batch_size": 32, "patch_size": 32}
    options = {"channels": [4, 8], "in_slices": 3, "norm": "batch"}
    normalisation = {"method": "foreground_median", "clip": clip}
    config = TrainingConfig(**values, options=options, normalisation=normalisation)
    scan, label = tube_scan()
    array = scan.array.copy()
    array[8:13, 28:33, 28:38] = 2500  # little enough that the rest is the head still
    bright = scan.with_array(array)
    network = build_network(config.architecture, **config.options)
    images, _ = PatchStream(config, [as_training_scan(bright, label, normalisation)], network)[1]
    assert images.max() == clip
