import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segue.model.blocks import ConvBlock
from segue.model.unet import memory_format
from segue.predict import layers
from segue.predict.layers import Block, Convolution, Features, LastRows, Rise, parameters, pool
from segue.predict.levels import BlockAxis, BlockPlace

FP32 = torch.float32


def features(*shape: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=memory_format(len(shape) - 2))


def worst(answer: torch.Tensor, expected: torch.Tensor) -> float:
    assert answer.shape == expected.shape
    return float((answer - expected).detach().abs().max() / expected.detach().abs().max())


@pytest.fixture(params=[True, False], ids=["oneDNN", "plain"])
def engine(request, monkeypatch):
    """With the quick convolutions of this processor, and as if it had none."""
    if not request.param:
        monkeypatch.setattr(layers, "has_onednn", lambda _device, _dtype: False)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (1, 1)])
def test_a_convolution_is_that_of_torch(kernel):
    layer = nn.Conv2d(5, 7, kernel)
    x = features(1, 5, 20, 31)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=[length // 2 for length in kernel])
    assert worst(Convolution(*parameters(layer), relu=False, dtype=FP32)(x), expected) < 1e-5
    assert worst(Convolution(*parameters(layer), relu=True, dtype=FP32)(x), expected.relu()) < 1e-5


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_takes_a_part_of_larger_features_too(dtype):
    layer = nn.Conv3d(4, 6, 3)
    x = features(1, 4, 12, 10, 14)[:, :, 2:9, 1:8, 3:13]
    expected = F.conv3d(x, layer.weight, layer.bias, padding=1)
    answer = Convolution(*parameters(layer), relu=False, dtype=dtype)(x.to(dtype))
    assert answer.dtype == dtype
    assert worst(answer.float(), expected) < (1e-5 if dtype == FP32 else 0.02)


@pytest.mark.parametrize("factor", [(2, 2), (3, 1), (1, 2, 2), (2, 3, 2)])
def test_a_rise_is_a_transposed_convolution(factor):
    axes = len(factor)
    layer = (nn.ConvTranspose2d if axes == 2 else nn.ConvTranspose3d)(6, 3, factor, stride=factor)
    x = features(1, 6, *range(5, 5 + axes))
    with torch.inference_mode():
        expected = layer(x)
        target = torch.full((1, 5, *expected.shape[2:]), torch.nan)
        Rise(layer, dtype=FP32).into(target[:, 2:], x)
    assert worst(target[:, 2:], expected) < 1e-5
    assert target[:, :2].isnan().all()


@pytest.mark.parametrize("box", [((0, 20), (0, 30)), ((7, 9), (12, 13)), ((0, 5), (29, 30)), ((1, 19), (2, 28))])
def test_a_part_of_a_block_is_that_part_of_its_whole_answer(box):
    block = ConvBlock(3, 4, kernel=(3, 3), same=True, normalize=False)
    x = features(1, 3, 20, 30)
    place = BlockPlace(tuple(BlockAxis(length=length, kernel=3, valid=False) for length in (20, 30)))
    with torch.inference_mode():
        expected = block(x)[:, :, slice(*box[0]), slice(*box[1])]
        source = Features(x, ((0, 20), (0, 30))).part(place.source(box))
        answer = Block(block, dtype=FP32).part(source, box, place)
    assert worst(answer, expected) < 1e-5


def test_last_rows_are_found_where_older_ones_were():
    values = features(1, 2, 9, 4)
    held = LastRows(torch.full((1, 2, 4, 2), torch.nan), ((10, 19), (5, 7)))
    for low, high in ((10, 13), (13, 16), (16, 19)):
        inside = values[:, :, low - 10 : high - 10]
        held.add(Features(inside, ((low, high), (4, 8))))  # of its columns the held ones are 5 and 6
        box = ((max(10, high - 4), high), (5, 7))
        expected = values[:, :, box[0][0] - 10 : high - 10, 1:3]
        assert torch.equal(held.part(box), expected)
        target = torch.empty_like(expected)
        held.copy_to(target, box)
        assert torch.equal(target, expected)


@pytest.mark.parametrize("factor", [(2, 2), (3, 1), (1, 1), (1, 2, 2), (2, 3, 2)])
def test_pooling_is_that_of_torch(factor):
    x = features(1, 5, *(12 for _ in factor))
    expected = (F.max_pool2d if len(factor) == 2 else F.max_pool3d)(x, factor)
    assert torch.equal(pool(x, factor), expected)
