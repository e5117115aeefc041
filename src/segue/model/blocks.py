"""The blocks of the U-Net, drawn as in Ronneberger, Fischer & Brox (2015), figure 1; 2D and 3D alike.

The number of spatial axes is the length of `kernel` and `factor`: (3, 3) is 2D, (3, 3, 3) is 3D.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTION: dict[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTION: dict[int, Callable[..., nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
BATCH_NORMALIZATION: dict[int, Callable[..., nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLING: dict[int, Callable[..., nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class ConvBlock(nn.Sequential):
    """(Convolution, batch normalisation, ReLU) twice. Valid convolutions lose `kernel - 1` pixels each."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: Sequence[int], same: bool, normalize: bool
    ) -> None:
        axes = len(kernel)
        padding = tuple(size // 2 if same else 0 for size in kernel)
        layers: list[nn.Module] = []
        for before in (channels_in, channels_out):
            # A bias before batch normalisation would be subtracted again by it.
            layers.append(CONVOLUTION[axes](before, channels_out, tuple(kernel), padding=padding, bias=not normalize))
            if normalize:
                layers.append(BATCH_NORMALIZATION[axes](channels_out))
            layers.append(nn.ReLU())
        super().__init__(*layers)


class EncoderBlock(nn.Module):
    """A ConvBlock and a max pooling: one level of the contracting path, with its two outputs."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: Sequence[int],
        factor: Sequence[int],
        same: bool,
        normalize: bool,
    ) -> None:
        super().__init__()
        self.block = ConvBlock(channels_in, channels_out, kernel=kernel, same=same, normalize=normalize)
        self.pool = MAX_POOLING[len(factor)](tuple(factor))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, ...) to the features for the skip connection and the pooled features for the next level."""
        features = self.block(x)
        return features, self.pool(features)


class DecoderBlock(nn.Module):
    """A transposed convolution that halves the channels, the cropped skip beside it, a ConvBlock."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: Sequence[int],
        factor: Sequence[int],
        same: bool,
        normalize: bool,
    ) -> None:
        super().__init__()
        self.rise = TRANSPOSED_CONVOLUTION[len(factor)](channels_in, channels_out, tuple(factor), stride=tuple(factor))
        self.block = ConvBlock(2 * channels_out, channels_out, kernel=kernel, same=same, normalize=normalize)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, 2C, ...) and the skip (B, C, larger) to (B, C, ...) at the skip's resolution."""
        assert self.rise.bias is not None
        x = rise(x, self.rise.weight, self.rise.bias)
        x = torch.cat([crop_like(skip, x), x], dim=1)
        return self.block(x)  # type: ignore[no-any-return]


def rise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The transposed convolution whose stride is its kernel: each pixel becomes a block of pixels.

    `x` is (B, C, ...), `weight` (C, D, *factor) and `bias` (D,); the answer is (B, D, ... times factor). No two blocks
    overlap, so that one matrix product says it all; its gradient is two of them, several times quicker than that of a
    transposed convolution in general.
    """
    factor = weight.shape[2:]
    axes = len(factor)
    matrix = weight.movedim(1, -1).flatten(1)  # (C, factor * D)
    blocks = functional.linear(x.movedim(1, -1), matrix.T, bias.repeat(prod(factor)))
    blocks = blocks.view(*blocks.shape[:-1], *factor, len(bias))  # (B, *pixels, *factor, D)
    interleaved = [part for axis in range(1, axes + 1) for part in (axis, axis + axes)]
    sizes = [length * step for length, step in zip(x.shape[2:], factor, strict=True)]
    return blocks.permute(0, *interleaved, -1).reshape(len(x), *sizes, len(bias)).movedim(-1, 1)


def crop_like(larger: Tensor, smaller: Tensor) -> Tensor:
    """The centre of `larger` (B, C, ...) that is as large as `smaller` along every spatial axis."""
    if larger.shape[2:] == smaller.shape[2:]:
        return larger
    for axis in range(2, larger.ndim):
        surplus = larger.shape[axis] - smaller.shape[axis]
        larger = larger.narrow(axis, surplus // 2, smaller.shape[axis])
    return larger
