from __future__ import annotations

import pytest
import torch
from torch import nn

from vesselseg.errors import VesselSegError
from vesselseg.networks import architectures, build_network, register
from vesselseg.networks.unet2d import FULL_CHANNELS, HALF_CHANNELS


@pytest.mark.parametrize(("channels", "count"), [(FULL_CHANNELS, 31_377_793), (HALF_CHANNELS, 7_846_081)])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_papers_networks_have_the_papers_parameters(channels: tuple[int, ...], count: int, dropout: float) -> None:
    network = build_network("unet2d", channels=channels, dropout=dropout)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == count
    rates = [m.p for m in network.modules() if isinstance(m, nn.Dropout)]
    assert rates == [dropout] * 9  # between the convolutions of every block


def test_output_has_the_size_of_the_input_and_changes_with_dropout_only_in_training() -> None:
    network = build_network("unet2d", channels=(4, 8, 16), dropout=0.5, in_slices=3)
    slices = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        assert network(slices).shape == (2, 1, 32, 48)
        assert not torch.equal(network(slices), network(slices))
        network.eval()
        assert torch.equal(network(slices), network(slices))


@pytest.mark.parametrize("channels", [(4, 8, 16), (2, 4, 8, 16, 32)])
def test_reach_bounds_what_an_output_depends_on(channels: tuple[int, ...]) -> None:
    network = build_network("unet2d", channels=channels).eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # so that no ReLU hides what an output depends on
    side = 4 * network.divisor * (1 + network.reach // network.divisor)
    slices = torch.rand(1, 1, side, 2 * network.divisor, dtype=torch.float64, requires_grad=True)
    for row in range(side // 2, side // 2 + network.divisor):
        (gradient,) = torch.autograd.grad(network(slices)[0, 0, row].sum(), slices)
        touched = torch.nonzero(gradient[0, 0].abs().sum(dim=1))
        assert row - touched.min() <= network.reach
        assert touched.max() - row <= network.reach


@pytest.mark.parametrize(
    "options", [{"channels": (8,)}, {"in_slices": 2}, {"norm": "layer"}, {"colour": "red"}], ids=lambda o: next(iter(o))
)
def test_impossible_options_are_refused(options: dict) -> None:
    with pytest.raises(VesselSegError, match="does not take these options"):
        build_network("unet2d", **options)


def test_a_new_architecture_is_one_registration() -> None:
    with pytest.raises(VesselSegError, match="unknown network architecture"):
        build_network("one-convolution")
    register("one-convolution")(lambda width: nn.Conv2d(1, 1, width))
    assert "one-convolution" in architectures()
    assert isinstance(build_network("one-convolution", width=3), nn.Conv2d)
