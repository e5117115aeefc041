"""The operations of a U-Net without normalisation, each in the form that is quickest for prediction.

Features are (1, C, [Z,] Y, X) with the channels last in memory. On processors with oneDNN, weights are laid out as its
convolutions want them, and ReLU is a part of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.model.unet import memory_format
from segue.predict.levels import BlockPlace, Box, overlap

USUAL_LENGTH = 68
"""Length of the pieces that the layout of the weights is chosen for. Others are computed with it too."""
LAYOUTS = 8
"""So many layouts of the weights of a convolution of length 1 are kept, for the sizes of the last pieces. At width 64
the weights of all of them take 6 MB in bf16."""


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


class LastRows:
    """Features of one level of which the last rows are held: new ones take the place of the oldest."""

    def __init__(self, values: Tensor, box: Box) -> None:
        """`values` is (1, C, rows held, the other lengths of `box`), `box` all that will ever be known."""
        self._values, self._box = values, box

    def add(self, piece: Features) -> None:
        """Take what of a piece lies in the box."""
        if common := overlap(piece.box, self._box):
            features = piece.part(common)
            for rows, values in self._places(common):
                values.copy_(features[:, :, rows])

    def part(self, box: Box) -> Tensor:
        """The features inside of a box, whose rows are all held."""
        places = [values for _, values in self._places(box)]
        return places[0] if len(places) == 1 else torch.cat(places, dim=2)

    def copy_to(self, target: Tensor, box: Box) -> None:
        """Copy the features inside of a box to `target`, which is as large."""
        for rows, values in self._places(box):
            target[:, :, rows].copy_(values)

    def _places(self, box: Box) -> list[tuple[slice, Tensor]]:
        """Which rows of a box are held together, and their features: one part, or two where the room begins anew."""
        inside = [slice(low - start, high - start) for (low, high), (start, _) in zip(box, self._box, strict=True)]
        held, number = self._values.shape[2], inside[0].stop - inside[0].start
        first = inside[0].start % held
        split = min(number, held - first)
        parts = [(slice(split), slice(first, first + split)), (slice(split, number), slice(number - split))]
        return [
            (rows, self._values[(slice(None), slice(None), there, *inside[1:])])
            for rows, there in parts
            if rows.start != number
        ]


class Convolution:
    """A padded convolution, and the ReLU after it if there is one.

    Always padded but for its rows, in unpadded networks too, whose output then is a part of it. Without zeros along
    the other axes oneDNN may sum in another order, and in bf16 that shows; a pixel must not depend on where the image
    was cut.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool, dtype: torch.dtype) -> None:
        self.channels = len(bias)
        self._axes = weight.ndim - 2
        self._padding = tuple(length // 2 for length in weight.shape[2:])
        self._relu = relu
        self._bias = bias.to(dtype)
        self._ones = (1,) * self._axes
        self._onednn = has_onednn(weight.device, dtype)
        weight = weight.to(dtype, memory_format=memory_format(self._axes))
        if self._onednn and any(self._padding):
            weight = _laid_out(weight, self._padding, (USUAL_LENGTH,) * self._axes)
        # The layout that suits one size suits all; but of convolutions of length 1 some sizes want another one, and to
        # lay the weights out anew at every call takes fifty times as long as the convolution.
        of_each_size = self._onednn and not any(self._padding)
        self._weight_for: Callable[[tuple[int, ...]], Tensor] = (
            lru_cache(maxsize=LAYOUTS)(partial(_laid_out, weight, self._padding)) if of_each_size else lambda _: weight
        )

    def __call__(self, x: Tensor, *, bare: bool = False) -> Tensor:
        """Features as large as `x`, as if zeros lay around it; a `bare` one has none before and after its rows.

        Then the answer has fewer rows, those that depend on `x` alone.
        """
        x = x.contiguous(memory_format=memory_format(self._axes))
        weight, padding = self._weight_for(tuple(x.shape[2:])), (0, *self._padding[1:]) if bare else self._padding
        if self._onednn:
            after = "relu" if self._relu else "none"
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, weight, self._bias, padding, self._ones, self._ones, 1, after, [], ""
            )
            return y
        y = (F.conv2d if self._axes == 2 else F.conv3d)(x, weight, self._bias, padding=padding)
        return y.relu_() if self._relu else y


class Block:
    """Two convolutions with ReLU, for any part of their output."""

    def __init__(self, block: nn.Module, *, dtype: torch.dtype) -> None:
        convolutions = [layer for layer in block.children() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
        self._layers = [Convolution(*parameters(layer), relu=True, dtype=dtype) for layer in convolutions]
        self.channels = self._layers[-1].channels

    def part(self, x: Tensor, box: Box, place: BlockPlace) -> Tensor:
        """The part `box` of the block's output; `x` is what it depends on of the input, as `place` says."""
        source, bare = place.source(box), not place.axes[0].meets_end(box[0])
        y = x
        for layer in self._layers:
            y = layer(y, bare=bare)
        seen = place.seen(source)
        if bare:
            seen = (box[0], *seen[1:])
        return Features(y, seen).part(box)  # around it the zeros have spoilt the features


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


def pool(x: Tensor, factor: Sequence[int]) -> Tensor:
    """Max pooling of (1, C, ...), each axis by its factor: the places in a window, compared one after the other.

    Quicker than PyTorch's, which also counts where the largest values were, and wants features that lie together.
    """
    places = [
        x[(slice(None), slice(None), *(slice(start, None, step) for start, step in zip(place, factor, strict=True)))]
        for place in product(*(range(step) for step in factor))
    ]
    if len(places) == 1:
        return x
    y = torch.maximum(places[0], places[1])
    for place in places[2:]:
        torch.maximum(y, place, out=y)
    return y


def parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The weight and the bias of a layer."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight.detach(), bias.detach()


def _laid_out(weight: Tensor, padding: Sequence[int], size: Sequence[int]) -> Tensor:
    """The weights of a convolution as oneDNN wants them for features of `size`."""
    ones = [1] * len(size)
    whole = [1, weight.shape[1], *size]
    laid_out: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, padding, ones, ones, 1, whole)
    return laid_out


def has_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes convolutions of this type here."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
