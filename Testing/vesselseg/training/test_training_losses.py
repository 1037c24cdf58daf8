"""Losses: voxels that do not count, agreement with MONAI, gradients."""

from __future__ import annotations

from pathlib import Path

import pytest

from training_cases import write_config
from vesselseg.errors import VesselSegError
from vesselseg.training.config import TrainingConfig

torch = pytest.importorskip("torch")

SHAPES = [(2, 1, 16, 16), (2, 1, 8, 16, 16)]


def random_case(shape: tuple[int, ...], seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator), (torch.rand(shape, generator=generator) > 0.7).float()


def test_loss_ignores_unsure_voxels_and_rewards_the_truth() -> None:
    from vesselseg.training.losses import dice_cross_entropy

    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:5, 2:5] = 1
    valid = torch.ones_like(target)
    valid[..., 7] = 0
    good = (target * 2 - 1) * 10
    spoiled = good.clone()
    spoiled[..., 7] = 10  # wrong, but does not count
    assert dice_cross_entropy(good, target, valid) < 0.01
    assert dice_cross_entropy(spoiled, target, valid) == pytest.approx(float(dice_cross_entropy(good, target, valid)))
    assert dice_cross_entropy(-good, target, valid) > 1


def test_dice_loss_agrees_with_monai() -> None:
    monai = pytest.importorskip("monai.losses")
    from vesselseg.training.losses import dice_loss

    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    target = (torch.rand(3, 1, 8, 8, generator=generator) > 0.7).float()
    theirs = monai.DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target)
    assert float(dice_loss(logits, target, torch.ones_like(target))) == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, *shape[1:]) for shape in SHAPES], ids=["2d", "3d"])
def test_soft_cldice_agrees_with_monai(shape: tuple[int, ...]) -> None:
    monai = pytest.importorskip("monai.losses")
    from vesselseg.training.losses import soft_cldice_loss

    logits, target = random_case(shape)
    theirs = monai.SoftclDiceLoss(iter_=3, sigmoid=True)(logits, target)
    ours = soft_cldice_loss(logits, target, torch.ones_like(target), iterations=3)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d"])
@pytest.mark.parametrize("loss", ["dice", "dice_cross_entropy", "soft_cldice"])
def test_unsure_voxels_change_no_loss_and_get_no_gradient(tmp_path: Path, loss: str, shape: tuple[int, ...]) -> None:
    from vesselseg.training.losses import build_loss

    measure = build_loss(TrainingConfig.read(write_config(tmp_path / "c.json", loss=loss)))
    logits, target = random_case(shape)
    valid = torch.ones_like(target)
    valid[..., 10:] = 0
    logits.requires_grad_()
    value = measure(logits, target, valid)
    value.backward()
    assert (logits.grad[..., 10:] == 0).all()
    assert (logits.grad[..., :10] != 0).any()
    other = torch.where(valid == 1, logits.detach(), -logits.detach())
    assert float(measure(other, 1 - (1 - target) * valid, valid)) == pytest.approx(float(value.detach()), abs=1e-6)


def test_soft_cldice_punishes_a_gap_more_than_a_thin_vessel() -> None:
    from vesselseg.training.losses import dice_loss, soft_cldice_loss

    target = torch.zeros(1, 1, 9, 9, 40)
    target[..., 3:6, 3:6, :] = 1
    valid = torch.ones_like(target)
    thin, gap = target.clone(), target.clone()
    thin[..., 3, :, :], thin[..., :, 3, :] = 0, 0
    gap[..., 15:25] = 0
    thin, gap = (part * 20 - 10 for part in (thin, gap))
    assert soft_cldice_loss(thin, target, valid) < 0.1 < soft_cldice_loss(gap, target, valid)
    assert dice_loss(thin, target, valid) > dice_loss(gap, target, valid)


def test_unknown_options_of_a_loss_are_named(tmp_path: Path) -> None:
    from vesselseg.training.losses import build_loss

    config = TrainingConfig.read(write_config(tmp_path / "c.json", loss="dice", loss_options={"alpha": 1}))
    with pytest.raises(VesselSegError, match="alpha"):
        build_loss(config)
    config = TrainingConfig.read(write_config(tmp_path / "c.json", loss="soft_cldice", loss_options={"alpha": 2}))
    with pytest.raises(VesselSegError, match="alpha"):
        build_loss(config)
