import gc
import weakref
from collections.abc import Sequence

import pytest
import torch

from segue.errors import TileError
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, UNetConfig, initialize, isotropic_config
from segue.predict.crew import ALONE, crew
from segue.predict.levels import Box
from segue.predict.quick import QuickUNet, Runner, piece_sides

CPU = torch.device("cpu")
CONFIGS = {
    "2D": isotropic_config(spatial_axes=2, depth=2, width=4, padding="same", normalization="batch", outputs=3),
    "2D, unpadded": isotropic_config(spatial_axes=2, depth=2, width=4, padding="valid", normalization="batch"),
    "2D, without normalisation": isotropic_config(spatial_axes=2, depth=1, width=4, padding="same", channels=3),
    "2D, without a pooling": isotropic_config(spatial_axes=2, depth=0, width=4, padding="same", normalization="batch"),
    "2D, no level wider": isotropic_config(spatial_axes=2, depth=2, width=6, widest=8, padding="same"),
    "2D, odd factors": UNetConfig(
        width=4, factors=((3, 2), (1, 2), (2, 2)), kernels=((3, 3), (1, 3), (5, 3), (3, 3)), padding="same"
    ),
    "2D, odd factors, unpadded": UNetConfig(width=4, factors=((3, 2), (1, 2)), kernels=((3, 3), (1, 3), (3, 3))),
    "3D": isotropic_config(spatial_axes=3, depth=2, width=4, padding="same", normalization="batch"),
    "3D, unpadded": isotropic_config(spatial_axes=3, depth=1, width=4, padding="valid", normalization="batch"),
    "3D, flat": UNetConfig(
        spatial_axes=3,
        width=4,
        factors=((1, 2, 2), (2, 2, 2)),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        padding="same",
    ),
}


def trained(config: UNetConfig) -> UNet:
    network = UNet(config)
    generator = torch.Generator().manual_seed(0)
    initialize(network, generator=generator)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.normal_(generator=generator)
    return network.eval()


def image(config: UNetConfig, at_least: int) -> torch.Tensor:
    lengths = [geometry.legal_size(at_least) for geometry in axis_geometries(config)]
    return torch.randn(1, config.channels, *lengths, generator=torch.Generator().manual_seed(1))


def whole(logits: torch.Tensor) -> Box:
    return tuple((0, length) for length in logits.shape[2:])


def worst(answer: torch.Tensor, expected: torch.Tensor) -> float:
    return float((answer - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("side", [6, 17, 1000])
@pytest.mark.parametrize("strides", [None, 1, 3])
def test_piece_by_piece_and_band_by_band_the_answer_is_that_of_the_network(name, side, strides):
    network = trained(CONFIGS[name])
    rows = strides and strides * axis_geometries(network.config)[0].stride
    pixels = image(network.config, 60 if network.config.spatial_axes == 2 else 34)
    runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE, side=side, rows=rows)
    with torch.inference_mode():
        expected = network(pixels)
        assert worst(runner.logits(pixels, kept=whole(expected)), expected) < 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_kept_is_the_part_of_the_whole(name):
    network = trained(CONFIGS[name])
    pixels = image(network.config, 60 if network.config.spatial_axes == 2 else 34)
    stride = axis_geometries(network.config)[0].stride
    runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE, side=8, rows=stride)
    with torch.inference_mode():
        expected = network(pixels)
        sizes = expected.shape[2:]
        for kept in (
            tuple((0, 1) for _ in sizes),
            tuple((length - 1, length) for length in sizes),
            tuple((length // 3, length // 2 + 1) for length in sizes),
        ):
            inside: Sequence[slice] = [slice(*part) for part in kept]
            part = expected[(slice(None), slice(None), *inside)]
            answer = runner.logits(pixels, kept=kept)
            assert answer.shape == part.shape
            assert float((answer - part).abs().max() / expected.abs().max()) < 1e-5


def test_memory_that_was_used_before_changes_nothing():
    network = trained(CONFIGS["2D"])
    runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE, side=16)
    with torch.inference_mode():
        for size in (40, 100, 40, 64):
            pixels = image(network.config, size)
            expected = network(pixels)
            assert worst(runner.logits(pixels, kept=whole(expected)), expected) < 1e-5


def test_the_threads_of_a_crew_give_the_same_answer_and_torch_its_threads_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        network = trained(CONFIGS["2D"])
        pixels = image(network.config, 100)
        runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE, side=16)
        with torch.inference_mode():
            expected = network(pixels)
            alone = runner.logits(pixels, kept=whole(expected))
            with crew(CPU) as two:
                for rows in (None, 4):
                    shared = Runner(runner.network, crew=two, side=16, rows=rows)
                    assert torch.equal(shared.logits(pixels, kept=whole(expected)), alone)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("axes", [2, 3])
def test_bands_and_pieces_change_no_bit_in_bf16(axes):
    network = trained(isotropic_config(spatial_axes=axes, depth=2, width=16, padding="same", normalization="batch"))
    pixels = image(network.config, 100 if axes == 2 else 40)
    prepared = QuickUNet(network, dtype=torch.bfloat16)
    kept = tuple((3, length - 2) for length in pixels.shape[2:])
    with torch.inference_mode():
        expected = Runner(prepared, crew=ALONE, rows=1 << 20, side=1 << 20).logits(pixels, kept=kept)
        for rows, side in ((4, 1000), (8, 20), (1 << 20, 24), (12, 33)):
            assert torch.equal(Runner(prepared, crew=ALONE, rows=rows, side=side).logits(pixels, kept=kept), expected)


def test_bf16_differs_by_its_own_precision_only():
    network = trained(CONFIGS["2D"])
    pixels = image(network.config, 64)
    runner = Runner(QuickUNet(network, dtype=torch.bfloat16), crew=ALONE)
    with torch.inference_mode():
        expected = network(pixels)
        answer = runner.logits(pixels, kept=whole(expected))
    assert answer.dtype == torch.float32
    assert 0 < worst(answer, expected) < 0.03


def test_a_prepared_network_goes_when_nobody_holds_it():
    # Without waiting for the collector of circles: a training prepares a network for every validation.
    prepared = QuickUNet(trained(CONFIGS["2D"]), dtype=torch.float32)
    parts = [weakref.ref(part) for part in (prepared.head, prepared.encoders[0], prepared.rises[0])]
    gc.disable()
    try:
        del prepared
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()


def test_preparing_leaves_the_network_as_it_was():
    network = trained(CONFIGS["2D"]).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE)
    with torch.inference_mode():
        runner.logits(image(network.config, 32), kept=((0, 8), (0, 8)))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_size_that_the_network_cannot_take_is_refused():
    network = trained(CONFIGS["2D"])
    runner = Runner(QuickUNet(network, dtype=torch.float32), crew=ALONE)
    with pytest.raises(TileError, match="cannot take 33 px"):
        runner.logits(torch.zeros(1, 1, 33, 32), kept=((0, 1), (0, 1)))


def test_wide_levels_have_smaller_pieces():
    sides = [piece_sides(channels, 2) for channels in (8, 64, 256, 1024)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] != sides[-1]
    assert all(48 <= side <= 240 for each in sides for side in each)
    assert len(piece_sides(32, 3)) == 3
