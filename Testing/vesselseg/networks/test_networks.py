from __future__ import annotations

import pytest
import torch
from torch import nn

from vesselseg.errors import VesselSegError
from vesselseg.networks import architectures, build_network, register
from vesselseg.networks.traits import Traits, reach

#: Of Livne et al. 2019.
FULL_CHANNELS = (64, 128, 256, 512, 1024)
HALF_CHANNELS = (32, 64, 128, 256, 512)


@pytest.mark.parametrize(("channels", "count"), [(FULL_CHANNELS, 31_377_793), (HALF_CHANNELS, 7_846_081)])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_papers_networks_have_the_papers_parameters(channels: tuple[int, ...], count: int, dropout: float) -> None:
    network = build_network("unet2d", channels=channels, dropout=dropout)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == count
    rates = [m.p for m in network.modules() if isinstance(m, nn.Dropout)]
    assert rates == [dropout] * 9  # between the convolutions of every block


def test_the_papers_network_starts_from_kerass_weights() -> None:
    torch.manual_seed(0)
    network = build_network("unet2d", channels=HALF_CHANNELS)
    kernels = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(kernels) == 19
    for kernel in kernels:
        # glorot_uniform: a flat distribution within this bound; no bias.
        bound = (6 / (kernel.weight[0].numel() + kernel.weight[:, 0].numel())) ** 0.5
        assert 0.8 * bound < kernel.weight.abs().max() <= bound
        assert torch.count_nonzero(kernel.bias) == 0


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
    divisor, furthest = network.traits.divisor, network.traits.overlap
    side = 4 * divisor * (1 + furthest // divisor)
    slices = torch.rand(1, 1, side, 2 * divisor, dtype=torch.float64, requires_grad=True)
    for row in range(side // 2, side // 2 + divisor):
        (gradient,) = torch.autograd.grad(network(slices)[0, 0, row].sum(), slices)
        touched = torch.nonzero(gradient[0, 0].abs().sum(dim=1))
        assert row - touched.min() <= furthest
        assert touched.max() - row <= furthest


def test_three_dimensional_network_has_its_parameters_and_keeps_the_size() -> None:
    network = build_network("unet3d", channels=[16, 32, 64, 128, 128]).eval()
    assert sum(p.numel() for p in network.parameters()) == 2_967_857
    assert network.traits == Traits(dimensions=3, divisor=16, overlap=32, features_per_voxel=112)
    assert reach(16) == 107
    with torch.no_grad():
        assert network(torch.rand(2, 1, 16, 32, 48)).shape == (2, 1, 16, 32, 48)


@pytest.mark.parametrize("channels", [(2, 3), (2, 3, 4)])
def test_reach_bounds_what_an_output_voxel_depends_on(channels: tuple[int, ...]) -> None:
    network = build_network("unet3d", channels=channels).eval().double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            # So that no ReLU hides what an output depends on; the shifts of the normalisation would only add to it.
            parameter.abs_() if "weight" in name else parameter.zero_()
    divisor = network.traits.divisor
    side = 4 * divisor * (1 + reach(divisor) // divisor)
    blocks = torch.rand(1, 1, side, divisor, divisor, dtype=torch.float64, requires_grad=True)
    furthest = 0
    for z in range(side // 2, side // 2 + divisor):
        (gradient,) = torch.autograd.grad(network(blocks)[0, 0, z].sum(), blocks)
        touched = torch.nonzero(gradient[0, 0].abs().sum(dim=(1, 2)))
        furthest = max(furthest, int(z - touched.min()), int(touched.max() - z))
    assert furthest <= reach(divisor)
    assert furthest > 0.6 * reach(divisor)  # and the bound is not idle


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet2d", {"channels": (8,)}),
        ("unet2d", {"in_slices": 2}),
        ("unet2d", {"norm": "layer"}),
        ("unet2d", {"colour": "red"}),
        ("unet3d", {"channels": (8,)}),
        ("unet3d", {"channels": (8, 0)}),
        ("unet3d", {"in_slices": 3}),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict) -> None:
    with pytest.raises(VesselSegError, match="does not take these options"):
        build_network(name, **options)


def test_a_new_architecture_is_one_registration() -> None:
    with pytest.raises(VesselSegError, match="unknown network architecture"):
        build_network("one-convolution")
    register("one-convolution", lambda width: nn.Conv2d(1, 1, width))
    register("one-linear-layer", "torch.nn:Linear")
    assert "one-convolution" in architectures()
    assert isinstance(build_network("one-convolution", width=3), nn.Conv2d)
    assert isinstance(build_network("one-linear-layer", in_features=3, out_features=2), nn.Linear)
