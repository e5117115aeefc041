import math

import pytest
import torch

from segue.errors import UsageError
from segue.model.blocks import TRANSPOSED_CONVOLUTION, ConvBlock, DecoderBlock, EncoderBlock, crop_like, rise
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, UNetConfig, initialize, isotropic_config, paper_config


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_paper_network_has_exactly_31_030_658_parameters():
    assert parameters(UNet(paper_config(channels=1, classes=2))) == 31_030_658


def test_the_paper_network_turns_572_pixels_into_388():
    with torch.device("meta"):
        network = UNet(paper_config())
        assert network(torch.empty(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def count_by_hand(config: UNetConfig) -> int:
    """Parameters by the definition of the blocks, level by level, without building anything."""

    def block(before: int, after: int, kernel: tuple[int, ...]) -> int:
        normalized = config.normalization == "batch"
        each = (2 * after) if normalized else after  # scale and shift, or a bias
        return (before + after) * after * math.prod(kernel) + 2 * each

    total, before = 0, config.channels
    for width, kernel in zip(config.widths, config.kernels, strict=True):
        total += block(before, width, kernel)
        before = width
    for level in reversed(range(config.depth)):
        wide, narrow = config.widths[level + 1], config.widths[level]
        total += wide * narrow * math.prod(config.factors[level]) + narrow
        total += block(2 * narrow, narrow, config.kernels[level])
    return total + config.widths[0] * config.outputs + config.outputs


@pytest.mark.parametrize(
    "config",
    [
        isotropic_config(spatial_axes=2, depth=1, width=3, outputs=5),
        isotropic_config(spatial_axes=2, depth=3, width=8, channels=3, padding="same", normalization="batch"),
        isotropic_config(spatial_axes=3, depth=2, width=4, padding="same", normalization="batch"),
        isotropic_config(spatial_axes=3, depth=2, width=4, widest=6),
        UNetConfig(spatial_axes=3, width=4, factors=((1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3))),
    ],
)
def test_the_number_of_parameters_is_the_one_counted_by_hand(config):
    assert parameters(UNet(config)) == count_by_hand(config)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("axes", "depth"), [(2, 0), (2, 1), (2, 3), (3, 1), (3, 2)])
def test_the_output_is_as_large_as_geometry_says(padding, axes, depth):
    config = isotropic_config(spatial_axes=axes, depth=depth, width=2, padding=padding)
    geometry = axis_geometries(config)[0]
    size = geometry.legal_size(1)
    sizes = [size, geometry.legal_size(size + 1), *[geometry.legal_size(size + 1)] * (axes - 2)]
    with torch.device("meta"):
        out = UNet(config)(torch.empty(1, 1, *sizes))
    assert list(out.shape[2:]) == [geometry.output_size(size) for size in sizes]


def test_an_encoder_block_gives_the_skip_and_its_pooled_half():
    block = EncoderBlock(1, 4, kernel=(3, 3), factor=(2, 2), same=True, normalize=False)
    skip, pooled = block(torch.randn(2, 1, 8, 6))
    assert skip.shape == (2, 4, 8, 6)
    assert torch.equal(pooled, torch.nn.functional.max_pool2d(skip, 2))


def test_a_valid_conv_block_loses_four_pixels_along_each_axis():
    block = ConvBlock(1, 2, kernel=(3, 3), same=False, normalize=True)
    assert block(torch.randn(1, 1, 9, 7)).shape == (1, 2, 5, 3)


def test_a_decoder_block_doubles_the_size_and_halves_the_channels():
    block = DecoderBlock(8, 4, kernel=(3, 3), factor=(2, 2), same=True, normalize=False)
    assert block(torch.randn(1, 8, 3, 5), torch.randn(1, 4, 12, 10)).shape == (1, 4, 6, 10)


@pytest.mark.parametrize("factor", [(2, 2), (3, 1), (1, 2, 2), (2, 3, 2)])
def test_to_rise_is_a_transposed_convolution_and_so_are_its_gradients(factor):
    layer = TRANSPOSED_CONVOLUTION[len(factor)](6, 3, factor, stride=factor).double()
    x = torch.randn(2, 6, *range(5, 5 + len(factor)), dtype=torch.float64, requires_grad=True)
    weight, bias = layer.parameters()
    of_torch, ours = layer(x), rise(x, weight, bias)
    torch.testing.assert_close(ours, of_torch)
    slope = torch.randn_like(of_torch)
    inputs = (x, weight, bias)
    torch.testing.assert_close(torch.autograd.grad(ours, inputs, slope), torch.autograd.grad(of_torch, inputs, slope))


def test_the_skip_is_cropped_at_its_centre():
    skip = torch.arange(36.0).reshape(1, 1, 6, 6)
    expected = torch.tensor([[14.0, 15.0], [20.0, 21.0]])
    assert torch.equal(crop_like(skip, torch.empty(1, 1, 2, 2))[0, 0], expected)


def test_every_parameter_of_the_network_gets_a_gradient():
    network = UNet(isotropic_config(spatial_axes=2, depth=2, width=4, padding="same", normalization="batch"))
    network(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_he_initialisation_keeps_the_variance_of_the_signal_through_all_levels():
    # Ronneberger et al. 2015, section 3: each feature map should have about unit variance.
    network = UNet(isotropic_config(spatial_axes=2, depth=3, width=32, padding="same", dropout=0.0))
    initialize(network, generator=torch.Generator().manual_seed(0))
    variances = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.out_channels > 2:
            module.register_forward_hook(lambda _m, _i, out: variances.append(out.var().item()))
    with torch.no_grad():
        network(torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert len(variances) == 14
    # 2 after a ReLU; each transposed convolution has none before its skip is joined, and adds a little.
    assert all(1 < variance < 20 for variance in variances), variances


def test_initialisation_is_the_same_for_the_same_seed_and_another_for_another():
    config = isotropic_config(spatial_axes=2, depth=1, width=2)
    networks = [UNet(config) for _ in range(3)]
    for network, seed in zip(networks, (7, 7, 8), strict=True):
        initialize(network, generator=torch.Generator().manual_seed(seed))
    first, same, other = (torch.cat([p.flatten() for p in network.parameters()]) for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_dropout_acts_in_training_only_and_only_at_the_end_of_the_contracting_path():
    network = UNet(isotropic_config(spatial_axes=2, depth=1, width=4, dropout=0.5))
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.5]
    image = torch.randn(1, 1, 20, 20)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spatial_axes": 4}, "2 or 3 spatial axes, not 4"),
        ({"channels": 0}, r"channels \(0\)"),
        ({"width": 64, "widest": 32}, r"widest \(32\)"),
        ({"kernels": ((3, 3),)}, "5 levels of kernels, not 1"),
        ({"kernels": ((2, 2),) * 5}, "kernels odd"),
        ({"factors": ((2, 2, 2),) * 4}, "one number for each of the 2 axes"),
        ({"dropout": 1.0}, "below 1, not 1.0"),
    ],
)
def test_contradicting_sizes_are_refused_with_a_sentence(changes, message):
    with pytest.raises(UsageError, match=message):
        UNetConfig(**changes)
