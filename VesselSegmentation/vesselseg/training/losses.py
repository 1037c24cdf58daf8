"""Losses on logits, with voxels that do not count."""

from __future__ import annotations

import torch
from torch.nn import functional


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
    logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, positive_weight: float = 1.0
) -> torch.Tensor:
    """Return the sum of the Dice loss and the mean binary cross-entropy; parameters as for `dice_loss`."""
    entropy = functional.binary_cross_entropy_with_logits(
        logits, target, weight=valid, reduction="sum", pos_weight=torch.tensor(positive_weight)
    )
    return dice_loss(logits, target, valid) + entropy / valid.sum().clamp_min(1)
