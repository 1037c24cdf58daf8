from __future__ import annotations

import math

import pytest
import torch

from vesselseg.networks.dropout import Dropout

SHAPE = (3, 8, 51, 65)  # not divisible by four: the last random number is not used up


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_share_is_dropped_and_the_rest_scaled_up(
    share: float, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    features = torch.ones(SHAPE, dtype=dtype).contiguous(memory_format=layout)
    found = Dropout(share)(features)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=layout)
    dropped = float((found == 0).float().mean())
    assert abs(dropped - share) < 4 * math.sqrt(share * (1 - share) / features.numel())
    kept = found[found != 0].float()
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - share)), rtol=5e-3 if dtype == torch.bfloat16 else 1e-3)


@pytest.mark.parametrize("distance", range(1, 9))
def test_neighbours_are_dropped_independently(distance: int) -> None:
    torch.manual_seed(1)
    dropped = Dropout(0.3)(torch.ones(200_003)) == 0
    both = float((dropped[distance:] & dropped[:-distance]).float().mean())
    assert abs(both - 0.09) < 4 * math.sqrt(0.09 * 0.91 / 200_000)


def test_the_gradient_goes_through_what_was_kept_only() -> None:
    features = torch.randn(SHAPE, requires_grad=True)
    found = Dropout(0.4)(features)
    found.sum().backward()
    assert features.grad is not None
    assert torch.allclose(features.grad * features.detach(), found.detach())
    assert (features.grad == 0).any()


def test_the_mask_follows_the_seed() -> None:
    dropout, features = Dropout(0.5), torch.ones(SHAPE)
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(dropout(features))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(("share", "factor"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_or_everything_is_dropped_exactly(share: float, factor: float) -> None:
    features = torch.rand(SHAPE)
    assert torch.equal(Dropout(share)(features), features * factor)


def test_nothing_happens_outside_training() -> None:
    features = torch.rand(SHAPE)
    assert torch.equal(Dropout(0.5).eval()(features), features)


def test_features_with_gaps_between_them_in_memory() -> None:
    features = torch.ones(6, 40)[:, ::3]
    found = Dropout(0.5)(features)
    assert found.shape == features.shape
    assert set(found.unique().tolist()) <= {0.0, 2.0}
