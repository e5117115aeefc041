import pytest
import torch

from segue.errors import TileError
from segue.model.geometry import AxisGeometry, axis_geometries
from segue.model.unet import UNet, UNetConfig, isotropic_config, paper_config

PAPER = axis_geometries(paper_config())[0]


def test_the_paper_network_lacks_92_pixels_at_each_side():
    assert PAPER.margin == 92
    assert PAPER.output_size(572) == 388


def test_the_smallest_input_of_the_paper_network_is_188_pixels_and_leaves_4():
    assert PAPER.legal_size(1) == 188
    assert PAPER.output_size(188) == 4
    assert PAPER.legal_size_below(187) is None


def test_an_illegal_size_is_refused_with_its_neighbours():
    with pytest.raises(TileError, match="573 px along an axis; the nearest sizes it can take are 572 or 588 px"):
        PAPER.output_size(573)
    with pytest.raises(TileError, match="188, the smallest"):
        PAPER.output_size(100)


def test_a_same_network_takes_exactly_the_multiples_of_its_stride():
    geometry = AxisGeometry(factors=(2, 2, 2), kernels=(3, 3, 3, 3), valid=False)
    assert [size for size in range(1, 33) if geometry.is_legal(size)] == [8, 16, 24, 32]
    assert geometry.output_size(24) == 24


@pytest.mark.parametrize("size", range(1, 60))
def test_a_size_is_legal_exactly_if_the_network_can_be_run_without_losing_a_pixel(size):
    config = isotropic_config(spatial_axes=2, depth=2, width=1)
    geometry = axis_geometries(config)[0]
    with torch.device("meta"):
        network = UNet(config)
        try:
            out = network(torch.empty(1, 1, size, 44)).shape[2]
        except (RuntimeError, ValueError):
            out = 0
    if geometry.is_legal(size):
        assert out == geometry.output_size(size)
    else:
        # Either nothing is left, or a pooling dropped a pixel and the output is off centre.
        assert out == 0 or any(odd for odd in _odd_before_pooling(size))


def _odd_before_pooling(size):
    for _ in range(2):
        size -= 4
        yield size % 2
        size //= 2


def measured_reach(config: UNetConfig) -> list[int]:
    """How far the farthest input pixel with a gradient is, for every position on the stride grid, by running it."""
    geometries = axis_geometries(config)
    network = UNet(config).double()
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 1)  # positive weights: nothing cancels, no ReLU closes
    sizes = [g.legal_size(4 * g.radius + 2 * g.stride) for g in geometries]
    image = torch.rand(1, 1, *sizes, dtype=torch.double, requires_grad=True)
    output = network(image)[0, 0]
    reach = [0] * len(sizes)
    for offset in range(max(g.stride for g in geometries)):
        at = [size // 2 // g.stride * g.stride + offset for size, g in zip(sizes, geometries, strict=True)]
        (gradient,) = torch.autograd.grad(
            output[tuple(p - g.margin for p, g in zip(at, geometries, strict=True))], image, retain_graph=True
        )
        for axis, position in enumerate(at):
            hit = gradient[0, 0].abs().sum([a for a in range(len(sizes)) if a != axis]).nonzero()
            reach[axis] = max(reach[axis], position - int(hit.min()), int(hit.max()) - position)
    return reach


@pytest.mark.parametrize(
    "config",
    [
        isotropic_config(spatial_axes=2, depth=1, width=1, dropout=0.0),
        isotropic_config(spatial_axes=2, depth=2, width=1, dropout=0.0),
        isotropic_config(spatial_axes=2, depth=2, width=1, padding="same", dropout=0.0),
        UNetConfig(factors=((3, 2), (1, 2)), kernels=((3, 5), (3, 3), (1, 3)), width=1, padding="same", dropout=0.0),
        isotropic_config(spatial_axes=3, depth=1, width=1, padding="same", dropout=0.0),
    ],
)
def test_the_receptive_field_radius_is_the_reach_of_the_gradient(config):
    assert measured_reach(config) == [geometry.radius for geometry in axis_geometries(config)]
