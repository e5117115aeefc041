import pytest
import torch

from segue.model.blocks import ConvBlock
from segue.model.folding import folded
from segue.model.unet import UNet, initialize, isotropic_config


def trained(axes: int, *, padding: str = "same", normalization: str = "batch", depth: int = 2) -> UNet:
    """A network whose weights and statistics are as different from their first values as those of a trained one."""
    config = isotropic_config(
        spatial_axes=axes, depth=depth, width=4, padding=padding, normalization=normalization, outputs=3
    )
    network = UNet(config)
    generator = torch.Generator().manual_seed(0)
    initialize(network, generator=generator)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.normal_(generator=generator)
    return network


@pytest.mark.parametrize(("axes", "padding"), [(2, "same"), (2, "valid"), (3, "same")])
def test_a_folded_network_answers_as_the_network_it_was_made_of(axes, padding):
    network = trained(axes, padding=padding).eval()
    image = torch.randn(2, 1, *(44,) * axes, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(image)
        difference = (folded(network)(image) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()


def test_folding_leaves_the_network_as_it_was():
    network = trained(2).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = folded(network)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_folded_network_has_no_normalisation_left_and_is_ready_for_prediction():
    plain = folded(trained(2))
    assert plain.config.normalization == "none"
    assert not any("running" in name for name in plain.state_dict())
    assert not plain.training


def test_a_network_without_normalisation_is_copied():
    network = trained(2, normalization="none")
    plain = folded(network)
    assert plain.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in plain.state_dict().items())


def test_folding_by_hand():
    # One channel: weight 2 and statistics mean 3, variance 4 - eps, scale 5, shift 7: 5 (2 x - 3) / 2 + 7 = 5 x - 0.5
    config = isotropic_config(spatial_axes=2, depth=0, width=1, padding="same", normalization="batch", outputs=1)
    network = UNet(config)
    block = network.bottom
    assert isinstance(block, ConvBlock)
    weights = network.state_dict()
    weights["bottom.0.weight"].fill_(2)
    norm = next(name.removesuffix(".running_var") for name in weights if name.endswith("running_var"))
    weights[f"{norm}.running_mean"].fill_(3)
    weights[f"{norm}.running_var"].fill_(4 - 1e-5)
    weights[f"{norm}.weight"].fill_(5)
    weights[f"{norm}.bias"].fill_(7)
    plain = folded(network).state_dict()
    assert plain["bottom.0.weight"].flatten().tolist() == pytest.approx([5] * 9)
    assert plain["bottom.0.bias"].tolist() == pytest.approx([-0.5])
