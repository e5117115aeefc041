"""What of every level of a U-Net must be computed to know some pixels of its answer. Integers only: no torch.

A tile sees a wide surrounding because the deepest level does; on the way up a level needs hardly more than the pixels
that are kept. All ranges are half open and count from the first place of the tile at their level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

from segue.model.geometry import AxisGeometry

Range = tuple[int, int]
"""First place and end of a part of one axis."""
Box = tuple[Range, ...]
"""One range for each spatial axis."""


@dataclass(frozen=True, kw_only=True)
class BlockAxis:
    """The two convolutions of a block, along one axis."""

    length: int
    """Length of the input."""
    kernel: int
    """Size of each convolution."""
    valid: bool
    """Whether they are unpadded."""

    @property
    def reach(self) -> int:
        """How far away an input pixel can be that an output pixel depends on."""
        return self.kernel - 1

    @property
    def output_length(self) -> int:
        """Length of the output."""
        return self.length - 2 * self.reach if self.valid else self.length

    def source(self, part: Range) -> Range:
        """The part of the input that `part` of the output depends on.

        Padded convolutions keep the place of a pixel and see zeros beyond the ends; the output of unpadded ones
        begins with the first pixel that has all its neighbours.
        """
        if self.valid:
            return part[0], part[1] + 2 * self.reach
        return max(0, part[0] - self.reach), min(self.length, part[1] + self.reach)

    def seen(self, source: Range) -> Range:
        """Where in the output that lies which is as large as the part `source` of the input, around the same pixels."""
        shift = self.reach if self.valid else 0
        return source[0] - shift, source[1] - shift


@dataclass(frozen=True, kw_only=True)
class LevelAxis:
    """What is needed of one level along one axis."""

    encoder: BlockAxis
    """From the image, or from the pooled features of the level above."""
    encoded: Range
    """The part of the encoder's features that is needed."""
    decoder: BlockAxis
    """From the skip features beside the risen ones; at the bottom, which has none, the same as the encoder."""
    decoded: Range
    """The part of the decoder's features that is needed; at the bottom the same as of the encoder's."""
    shift: int
    """Place in the encoder's features of the first one that the decoder takes; 0 for padded convolutions."""
    factor: int
    """How much the pooling to the level below shrinks the axis; 1 at the bottom."""

    @property
    def skip(self) -> Range:
        """The part of the encoder's features that the decoder takes."""
        low, high = self.decoder.source(self.decoded)
        return low + self.shift, high + self.shift


def plan_axis(geometry: AxisGeometry, *, length: int, kept: Range) -> list[LevelAxis]:
    """The levels of an axis for an input of `length`, so that `kept` of the output is known; the bottom last.

    Raises TileError if the network cannot take that length.
    """
    geometry.output_size(length)  # refuses lengths that do not fit
    encoder = BlockAxis(length=length, kernel=geometry.kernels[0], valid=geometry.valid)
    if not geometry.factors:
        return [LevelAxis(encoder=encoder, encoded=kept, decoder=encoder, decoded=kept, shift=0, factor=1)]
    factor = geometry.factors[0]
    deeper = AxisGeometry(geometry.factors[1:], geometry.kernels[1:], geometry.valid)
    pooled = encoder.output_length // factor
    decoder = BlockAxis(length=deeper.output_size(pooled) * factor, kernel=encoder.kernel, valid=encoder.valid)
    # Whole windows: then the decoder's input mostly begins where the risen features begin, and nothing is copied.
    decoded = (kept[0] // factor * factor, min(_round_up(kept[1], factor), decoder.output_length))
    low, high = decoder.source(decoded)
    below = plan_axis(deeper, length=pooled, kept=(low // factor, -(-high // factor)))
    low, high = below[0].encoder.source(below[0].encoded)
    level = LevelAxis(
        encoder=encoder,
        encoded=(low * factor, high * factor),
        decoder=decoder,
        decoded=decoded,
        shift=(encoder.output_length - decoder.length) // 2,
        factor=factor,
    )
    return [level, *below]


@dataclass(frozen=True)
class Block:
    """The two convolutions of a block, along all axes."""

    axes: tuple[BlockAxis, ...]

    def source(self, box: Box) -> Box:
        """The part of the input that the part `box` of the output depends on."""
        return tuple(axis.source(part) for axis, part in zip(self.axes, box, strict=True))

    def seen(self, source: Box) -> Box:
        """Where in the output that lies which is as large as the part `source` of the input, around the same pixels."""
        return tuple(axis.seen(part) for axis, part in zip(self.axes, source, strict=True))


@dataclass(frozen=True, kw_only=True)
class Level:
    """What is needed of one level; the fields are those of `LevelAxis`, of all axes."""

    encoder: Block
    encoded: Box
    decoder: Block
    decoded: Box
    skip: Box
    shift: tuple[int, ...]
    factor: tuple[int, ...]

    @classmethod
    def of(cls, axes: Sequence[LevelAxis]) -> Self:
        """The level with these axes."""
        return cls(
            encoder=Block(tuple(axis.encoder for axis in axes)),
            encoded=tuple(axis.encoded for axis in axes),
            decoder=Block(tuple(axis.decoder for axis in axes)),
            decoded=tuple(axis.decoded for axis in axes),
            skip=tuple(axis.skip for axis in axes),
            shift=tuple(axis.shift for axis in axes),
            factor=tuple(axis.factor for axis in axes),
        )


def plan_levels(geometries: Sequence[AxisGeometry], *, lengths: Sequence[int], kept: Box) -> list[Level]:
    """The levels for an input of `lengths`, so that the part `kept` of the output is known; the bottom last.

    Raises TileError if the network cannot take these lengths.
    """
    axes = [
        plan_axis(geometry, length=length, kept=part)
        for geometry, length, part in zip(geometries, lengths, kept, strict=True)
    ]
    return [Level.of(level) for level in zip(*axes, strict=True)]


def pieces(box: Box, *, side: int, multiple: Sequence[int]) -> list[Box]:
    """Cut a box into even pieces of about `side` along every axis, whose corners lie multiples of `multiple` apart."""
    axes = []
    for (low, high), grid in zip(box, multiple, strict=True):
        number = max(1, round((high - low) / side))
        step = _round_up(-(-(high - low) // number), grid)
        axes.append([(start, min(high, start + step)) for start in range(low, high, step)])
    return list(product(*axes))


def shrunk(box: Box, factor: Sequence[int]) -> Box:
    """The windows of a pooling by `factor` that a box touches."""
    return tuple((low // f, -(-high // f)) for (low, high), f in zip(box, factor, strict=True))


def grown(box: Box, factor: Sequence[int]) -> Box:
    """What a box becomes when its features rise by `factor`."""
    return tuple((low * f, high * f) for (low, high), f in zip(box, factor, strict=True))


def shifted(box: Box, by: Sequence[int]) -> Box:
    """The box moved by some pixels along each axis."""
    return tuple((low + step, high + step) for (low, high), step in zip(box, by, strict=True))


def overlap(one: Box, other: Box) -> Box | None:
    """What two boxes have in common, if anything."""
    box = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return box if all(low < high for low, high in box) else None


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
