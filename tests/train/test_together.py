import pytest
import torch
from torch import nn

from segue.model.unet import UNet, isotropic_config, memory_format
from segue.train.together import SharedDropout, give_training_layers
from segue.train.world import World


def features(axes):
    torch.manual_seed(0)
    return (3 + 2 * torch.randn(4, 5, *(6, 4, 3)[:axes])).contiguous(memory_format=memory_format(axes))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("axes", [2, 3])
def test_shares_of_a_batch_drop_what_the_whole_batch_drops(axes, dtype):
    x = features(axes).to(dtype)
    torch.manual_seed(7)
    whole = nn.Dropout(0.5)(x)
    assert 0 < (whole == 0).sum() < x.numel()
    for rank in range(3):
        samples = range(rank, 4, 3)
        torch.manual_seed(7)
        share = SharedDropout(0.5, batch=4, samples=samples)(x[rank::3])
        assert torch.equal(share, whole[rank::3])


def test_dropout_drops_nothing_outside_of_training():
    x = features(2)
    assert SharedDropout(0.5, batch=8, samples=range(4)).eval()(x) is x
    assert SharedDropout(0.0, batch=8, samples=range(4)).train()(x) is x


def test_the_names_in_the_state_and_the_parameters_stay_the_same():
    network = UNet(isotropic_config(spatial_axes=2, depth=2, width=2, normalization="batch", dropout=0.5))
    names, parameters = list(network.state_dict()), list(network.parameters())
    give_training_layers(network, World(rank=1, size=2), batch=4)
    assert list(network.state_dict()) == names
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    assert not any(isinstance(module, nn.BatchNorm2d | nn.Dropout) for module in network.modules())


def test_a_process_alone_keeps_its_layers():
    network = UNet(isotropic_config(spatial_axes=2, depth=1, width=2, normalization="batch"))
    before = list(network.modules())
    give_training_layers(network, World(), batch=4)
    assert all(one is other for one, other in zip(network.modules(), before, strict=True))
