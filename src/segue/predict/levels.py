"""What of every level of a U-Net must be computed to know some pixels of its answer. Integers only: no torch.

A tile sees a wide surrounding because the deepest level does; on the way up a level needs hardly more than the pixels
that are kept. A tile is computed band by band along its first axis, whose places are called rows here; what a band has
computed is kept for the next one, as long as that needs it. All ranges are half open and count from the first place of
the tile at their level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Self

from segue.model.geometry import AxisGeometry, round_up

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

    def meets_end(self, part: Range) -> bool:
        """Whether `part` of the output depends on zeros beyond an end, which unpadded convolutions never see."""
        return not self.valid and (part[0] < self.reach or part[1] + self.reach > self.length)

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
    decoded = (kept[0] // factor * factor, min(round_up(kept[1], factor), decoder.output_length))
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


def plan_bands(geometry: AxisGeometry, *, length: int, kept: Range, rows: int) -> list[list[LevelAxis]]:
    """The levels of an axis as `plan_axis` gives them, in bands of `rows` rows of the answer.

    `encoded` and `decoded` of a band are what it computes and no band before it did; at some levels that may be
    nothing. `rows` is a multiple of the stride. Raises TileError if the network cannot take that length.
    """
    bands: list[list[LevelAxis]] = []
    for start in range(kept[0] // geometry.stride * geometry.stride, kept[1], rows):
        part = (max(kept[0], start), min(kept[1], start + rows))
        levels = plan_axis(geometry, length=length, kept=part)
        if bands:
            levels = [
                replace(
                    level,
                    encoded=_beyond(level.encoded, before.encoded[1]),
                    decoded=_beyond(level.decoded, before.decoded[1]),
                )
                for level, before in zip(levels, bands[-1], strict=True)
            ]
        bands.append(levels)
    return bands


@dataclass(frozen=True, kw_only=True)
class Held:
    """How many rows of the features of one level must be held for the bands to come."""

    entering: int
    """Of the pooled features of the level above; 0 at the top, where the image enters."""
    skip: int
    """Of the features for the decoder; 0 at the bottom."""
    leaving: int
    """Of the features for the level above; 0 at the top, where they are the answer."""


def held_rows(bands: Sequence[Sequence[LevelAxis]]) -> list[Held]:
    """The rows to hold at each level: every one of `bands` finds what it needs, and has room for what it adds."""
    held = []
    for depth in range(len(bands[0])):
        entering = skip = leaving = 0
        first_skip = bands[0][depth].skip[0]
        for levels in bands:
            level = levels[depth]
            skip = max(skip, level.encoded[1] - max(level.encoded[0], first_skip))
            if level.decoded[0] < level.decoded[1]:
                skip = max(skip, level.encoded[1] - level.skip[0])
            if not depth:
                continue
            above = levels[depth - 1]
            entering = max(entering, (above.encoded[1] - above.encoded[0]) // above.factor)
            if level.encoded[0] < level.encoded[1]:
                entering = max(entering, above.encoded[1] // above.factor - level.encoder.source(level.encoded)[0])
            leaving = max(leaving, level.decoded[1] - level.decoded[0])
            if above.decoded[0] < above.decoded[1]:
                leaving = max(leaving, level.decoded[1] - above.decoder.source(above.decoded)[0] // above.factor)
        at_bottom = depth == len(bands[0]) - 1
        held.append(Held(entering=entering, skip=0 if at_bottom else skip, leaving=leaving))
    return held


@dataclass(frozen=True)
class BlockPlace:
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

    encoder: BlockPlace
    encoded: Box
    decoder: BlockPlace
    decoded: Box
    skip: Box
    shift: tuple[int, ...]
    factor: tuple[int, ...]

    @classmethod
    def of(cls, axes: Sequence[LevelAxis]) -> Self:
        """The level with these axes."""
        return cls(
            encoder=BlockPlace(tuple(axis.encoder for axis in axes)),
            encoded=tuple(axis.encoded for axis in axes),
            decoder=BlockPlace(tuple(axis.decoder for axis in axes)),
            decoded=tuple(axis.decoded for axis in axes),
            skip=tuple(axis.skip for axis in axes),
            shift=tuple(axis.shift for axis in axes),
            factor=tuple(axis.factor for axis in axes),
        )

    def with_rows(self, axis: LevelAxis) -> Self:
        """The same level with other ranges along its first axis."""
        return replace(
            self,
            encoded=(axis.encoded, *self.encoded[1:]),
            decoded=(axis.decoded, *self.decoded[1:]),
            skip=(axis.skip, *self.skip[1:]),
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


def pieces(box: Box, *, sides: Sequence[int], multiple: Sequence[int], workers: int = 1) -> list[Box]:
    """Cut a box into even pieces of about the length `sides` along each axis, so that `workers` have equally many.

    Their corners lie multiples of `multiple` apart. Nothing of an empty box.
    """
    if any(low >= high for low, high in box):
        return []
    numbers = [max(1, round((high - low) / side)) for (low, high), side in zip(box, sides, strict=True)]
    while 1 < prod(numbers) < 4 * workers and prod(numbers) % workers:
        numbers[-1] += 1
    axes = []
    for (low, high), number, grid in zip(box, numbers, multiple, strict=True):
        step = round_up(-(-(high - low) // number), grid)
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


def _beyond(part: Range, end: int) -> Range:
    """What of `part` lies beyond `end`; nothing, at its end, if there is nothing."""
    return max(part[0], end), max(part[1], end)
