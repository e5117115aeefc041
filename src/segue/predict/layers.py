"""The operations of a U-Net without normalisation, each in the form that is quickest for prediction.

Features are (1, C, [Z,] Y, X) with the channels last in memory. On processors with oneDNN, weights are laid out once
for its convolutions, and ReLU is a part of them.
"""

from dataclasses import dataclass
from itertools import product
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.model.unet import memory_format
from segue.predict import levels
from segue.predict.levels import Box

USUAL_LENGTH = 68
"""Length of the pieces that the layout of the weights is chosen for. Others are computed with it too."""


@dataclass(frozen=True)
class Features:
    """Features of one level, known inside of a box."""

    values: Tensor
    """(1, C, lengths of the box)."""
    box: Box

    def part(self, box: Box) -> Tensor:
        """The features inside of another box that lies in this one."""
        inside = tuple(slice(low - start, high - start) for (low, high), (start, _) in zip(box, self.box, strict=True))
        return self.values[(slice(None), slice(None), *inside)]


class Convolution:
    """A padded convolution, and the ReLU after it if there is one.

    Always padded, in unpadded networks too, whose output then is a part of it. With zeros or without them oneDNN may
    sum in another order, and in bf16 that shows; a pixel must not depend on where the image was cut.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool, dtype: torch.dtype) -> None:
        self.channels = len(bias)
        self._axes = weight.ndim - 2
        self._padding = [length // 2 for length in weight.shape[2:]]
        self._relu = relu
        self._weight = weight.to(dtype, memory_format=memory_format(self._axes))
        self._bias = bias.to(dtype)
        self._ones = [1] * self._axes
        self._onednn = _has_onednn(weight.device, dtype)
        if self._onednn:
            usual = [1, weight.shape[1], *[USUAL_LENGTH] * self._axes]
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                self._weight, self._padding, self._ones, self._ones, 1, usual
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Features as large as `x`, as if zeros lay around it."""
        x = x.contiguous(memory_format=memory_format(self._axes))
        if self._onednn:
            after = "relu" if self._relu else "none"
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self._weight, self._bias, self._padding, self._ones, self._ones, 1, after, [], ""
            )
            return y
        y = (F.conv2d if self._axes == 2 else F.conv3d)(x, self._weight, self._bias, padding=self._padding)
        return y.relu_() if self._relu else y


class Block:
    """Two convolutions with ReLU, for any part of their output."""

    def __init__(self, block: nn.Module, *, dtype: torch.dtype) -> None:
        convolutions = [layer for layer in block.children() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
        self._layers = [Convolution(*parameters(layer), relu=True, dtype=dtype) for layer in convolutions]
        self.channels = self._layers[-1].channels

    def part(self, x: Features, box: Box, place: levels.Block) -> Tensor:
        """The part `box` of the block's output from its input `x`; `place` says where they lie."""
        source = place.source(box)
        y = x.part(source)
        for layer in self._layers:
            y = layer(y)
        return Features(y, place.seen(source)).part(box)  # around it the zeros have spoilt the features


class Rise:
    """A transposed convolution whose stride is its kernel: one convolution for each place in a window, all in one.

    A convolution of length 1, because it sums in the same order for every size, which a matrix product does not.
    """

    def __init__(self, layer: nn.Module, *, dtype: torch.dtype) -> None:
        weight, bias = parameters(layer)
        self.channels = len(bias)
        self.factor = tuple(weight.shape[2:])
        places = weight.movedim((0, 1), (-1, -2)).flatten(end_dim=-2)  # (places in a window and channels, C)
        weight = places[(..., *[None] * len(self.factor))]
        self._places = Convolution(weight, bias.repeat(prod(self.factor)), relu=False, dtype=dtype)

    def into(self, target: Tensor, x: Tensor) -> None:
        """Write the risen features of `x` (1, C, ...) into `target` (1, channels, each axis times its factor)."""
        values = torch.split(self._places(x), self.channels, dim=1)
        for value, place in zip(values, product(*(range(f) for f in self.factor)), strict=True):
            there = tuple(slice(start, None, step) for start, step in zip(place, self.factor, strict=True))
            target[(slice(None), slice(None), *there)].copy_(value)


def parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The weight and the bias of a layer."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach(), bias.detach()


def _has_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes convolutions of this type here."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
