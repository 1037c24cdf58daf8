"""Losses on logits, with voxels that do not count."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from vesselseg.errors import VesselSegError
from vesselseg.training.config import TrainingConfig

#: Takes logits, target and valid, tensors of one shape, (N, 1, Y, X) or (N, 1, Z, Y, X); returns a scalar.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(config: TrainingConfig) -> Loss:
    """Return the loss that a configuration names, with its options.

    Raises
    ------
    VesselSegError
        If it does not take these options.
    """
    known = {"dice": ("smooth",), "dice_cross_entropy": ("smooth",), "soft_cldice": ("smooth", "alpha", "iterations")}
    unknown = sorted(set(config.loss_options) - set(known[config.loss]))
    if unknown:
        raise VesselSegError(
            f"the loss {config.loss} has no option {', '.join(unknown)}", f"it has {', '.join(known[config.loss])}"
        )
    smooth = float(config.loss_options.get("smooth", 1.0))
    if smooth <= 0:  # without it the loss of a batch without vessels is no number
        raise VesselSegError("smooth must be above 0", "correct it")
    if config.loss == "dice":
        return partial(dice_loss, smooth=smooth)
    if config.loss == "dice_cross_entropy":
        return partial(dice_cross_entropy, smooth=smooth, positive_weight=config.positive_weight)
    alpha, iterations = float(config.loss_options.get("alpha", 0.5)), float(config.loss_options.get("iterations", 5))
    if not 0 <= alpha <= 1 or iterations < 0 or not iterations.is_integer():
        raise VesselSegError("alpha must lie in [0, 1], and iterations be a whole number from 0 on", "correct them")
    return partial(dice_and_soft_cldice, alpha=alpha, smooth=smooth, iterations=int(iterations))


def dice_loss(logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """Return one minus the soft Dice coefficient over the whole batch.

    Parameters
    ----------
    logits, target, valid : tensor, of one shape
        `target` is 0 or 1; where `valid` is 0 a voxel does not count.
    smooth : float
        Added above and below, so that a batch without vessels has a defined loss.

    Returns
    -------
    tensor, scalar

    References
    ----------
    Milletari F, Navab N, Ahmadi SA. V-Net: fully convolutional neural networks for volumetric medical image
    segmentation. 3DV 2016:565-571. doi:10.1109/3DV.2016.79
    """
    probability = torch.sigmoid(logits) * valid
    target = target * valid
    return 1 - (2 * (probability * target).sum() + smooth) / (probability.sum() + target.sum() + smooth)


def dice_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    valid: torch.Tensor,
    positive_weight: float = 1.0,
    smooth: float = 1.0,
) -> torch.Tensor:
    """Return the sum of the Dice loss and the mean binary cross-entropy.

    Parameters
    ----------
    logits, target, valid : tensor, of one shape
        As for `dice_loss`.
    positive_weight : float
        How much more a vessel voxel counts than another in the cross-entropy, 0 or more.
    smooth : float
        Of the Dice loss.

    Returns
    -------
    tensor, scalar
    """
    weight = torch.tensor(positive_weight, device=logits.device)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, weight=valid, reduction="sum", pos_weight=weight
    )
    return dice_loss(logits, target, valid, smooth) + entropy / valid.sum().clamp_min(1)


def soft_cldice_loss(
    logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, smooth: float = 1.0, iterations: int = 5
) -> torch.Tensor:
    """Return one minus the soft clDice over the whole batch: how well each holds the centreline of the other.

    Parameters
    ----------
    logits, target, valid : tensor, of one shape, (N, 1, Y, X) or (N, 1, Z, Y, X)
        As for `dice_loss`. Where a voxel does not count, there is no vessel for either of them.
    smooth : float
        Added above and below.
    iterations : int
        Erosions of the soft skeleton; at least the radius of the widest vessel, in voxels.

    Returns
    -------
    tensor, scalar

    References
    ----------
    Shit S, et al. clDice: a novel topology-preserving loss function for tubular structure segmentation. CVPR 2021:
    16555-16564. doi:10.1109/CVPR46437.2021.01629
    """
    # MONAI's SoftclDiceLoss knows no voxels that do not count.
    probability, target = torch.sigmoid(logits) * valid, target * valid
    line, true_line = soft_skeleton(probability, iterations), soft_skeleton(target, iterations)
    precision = ((line * target).sum() + smooth) / (line.sum() + smooth)
    sensitivity = ((true_line * probability).sum() + smooth) / (true_line.sum() + smooth)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def dice_and_soft_cldice(
    logits: torch.Tensor,
    target: torch.Tensor,
    valid: torch.Tensor,
    alpha: float = 0.5,
    smooth: float = 1.0,
    iterations: int = 5,
) -> torch.Tensor:
    """Return ``(1 - alpha) * dice_loss + alpha * soft_cldice_loss``, as Shit et al. 2021 train with.

    Parameters
    ----------
    logits, target, valid : tensor, of one shape, (N, 1, Y, X) or (N, 1, Z, Y, X)
        As for `dice_loss`.
    alpha : float
        Share of the soft clDice, in [0, 1].
    smooth : float
        Of both.
    iterations : int
        As for `soft_cldice_loss`.

    Returns
    -------
    tensor, scalar
    """
    overlap = dice_loss(logits, target, valid, smooth)
    return (1 - alpha) * overlap + alpha * soft_cldice_loss(logits, target, valid, smooth, iterations)


def soft_skeleton(image: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return the soft skeleton of an image, shape (N, C, Y, X) or (N, C, Z, Y, X), values in [0, 1].

    What an opening takes away is skeleton, at each of so many erosions (0 or more); the gradient flows through all of
    it.
    """
    skeleton = torch.relu(image - _opened(image))
    for _ in range(iterations):
        image = _eroded(image)
        ridge = torch.relu(image - _opened(image))
        skeleton = skeleton + torch.relu(ridge - skeleton * ridge)
    return skeleton


def _eroded(image: torch.Tensor) -> torch.Tensor:
    """Take the least of each voxel and its neighbours along the axes."""
    axes = image.dim() - 2
    pool = functional.max_pool2d if axes == 2 else functional.max_pool3d
    result = image
    for axis in range(axes):
        side = [3 if other == axis else 1 for other in range(axes)]
        result = torch.minimum(result, -pool(-image, side, stride=1, padding=[length // 2 for length in side]))
    return result


def _opened(image: torch.Tensor) -> torch.Tensor:
    pool = functional.max_pool2d if image.dim() == 4 else functional.max_pool3d
    return pool(_eroded(image), 3, stride=1, padding=1)
