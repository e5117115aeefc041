"""The size of the tiles: of those that the memory holds the one that takes the least work.

Large tiles compute little twice, but take memory. What a tile takes and costs is counted level by level, because the
wide surrounding of a tile is needed on the way down, and hardly any of it on the way up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from segue.model.geometry import AxisGeometry, axis_geometries
from segue.model.unet import UNetConfig
from segue.predict.levels import LevelAxis, Range, plan_axis
from segue.predict.tiles import even_tiles

FP32_BYTES = 4


@dataclass(frozen=True)
class _Candidate:
    """One way to cut one axis into tiles."""

    tile: int
    """Length of the tiles."""
    kinds: list[tuple[list[LevelAxis], int]]
    """Levels of the tiles that keep the most, and their number; the same of the others if there are any."""


_Axes = list[list[_Candidate]]
"""The candidates of every axis."""
_Part = Callable[[LevelAxis], Range]
"""Names a part of a level."""


def choose_tile(
    shape: Sequence[int], *, config: UNetConfig, context: Sequence[int], memory: int, itemsize: int
) -> list[int]:
    """Length of the tiles along each axis of an image of `shape`, context included.

    The features of a tile take at most `memory` bytes, where a number takes `itemsize`; but a tile may always take
    twice what the smallest one takes, because the smallest keeps next to nothing. `context` is that of `plan_spans`.
    """
    axes = [
        _candidates(length, geometry, reach)
        for length, geometry, reach in zip(shape, axis_geometries(config), context, strict=True)
    ]
    needed = _bytes(axes, config, itemsize)
    work = np.where(needed <= max(memory, 2 * needed.min()), _work(axes, config), np.inf)
    best = np.unravel_index(work.argmin(), work.shape)
    return [axis[place].tile for axis, place in zip(axes, best, strict=True)]


def _candidates(length: int, geometry: AxisGeometry, context: int) -> list[_Candidate]:
    found = []
    for tile, number in even_tiles(length, geometry=geometry, context=context):
        end = geometry.output_size(tile)
        halo = 0 if geometry.valid else geometry.halo
        outer = plan_axis(geometry, length=tile, kept=(0, end if number == 1 else end - halo))
        kinds = [(outer, min(number, 2))]
        if number > 2:  # tiles that touch no end of the frame have a halo at both of theirs
            kinds.append((plan_axis(geometry, length=tile, kept=(halo, end - halo)), number - 2))
        found.append(_Candidate(tile, kinds))
    return found


def _bytes(axes: _Axes, config: UNetConfig, itemsize: int) -> NDArray[np.float64]:
    """Bytes of the features of the largest tile, as `QuickUNet` keeps them, for every combination of candidates."""

    def volume(part: _Part, depth: int) -> NDArray[np.float64]:
        return _outer([[_length(part, candidate.kinds[0][0][depth]) for candidate in axis] for axis in axes])

    between: dict[int, NDArray[np.float64]] = {}
    total = volume(_encoded, config.depth) * config.widths[-1]
    for depth, width in enumerate(config.widths[:-1]):
        total += volume(_skip, depth) * width
        pooled = volume(_encoded, depth) / prod(config.factors[depth]) * width
        risen = volume(_decoded, depth) * width if depth else 0
        for room, content in (((depth + 1) % 2, pooled), (depth % 2, risen)):
            between[room] = np.maximum(between.get(room, 0), content)
    image = volume(_seen, 0) * config.channels * (itemsize + FP32_BYTES)
    answer = volume(_decoded, 0) * config.outputs * 2 * FP32_BYTES
    return (total + sum(between.values())) * itemsize + image + answer


def _work(axes: _Axes, config: UNetConfig) -> NDArray[np.float64]:
    """Multiplications for all tiles together, for every combination of candidates."""

    def volume(part: _Part, depth: int) -> NDArray[np.float64]:
        return _outer(
            [
                [sum(number * _length(part, levels[depth]) for levels, number in candidate.kinds) for candidate in axis]
                for axis in axes
            ]
        )

    total = np.zeros([len(axis) for axis in axes])
    for depth, (before, width) in enumerate(zip((config.channels, *config.widths), config.widths, strict=False)):
        taps = prod(config.kernels[depth])
        total += volume(_encoded, depth) * taps * (before + width) * width
        if depth < config.depth:
            joined = taps * 3 * width + config.widths[depth + 1]  # two convolutions, and the rise into the first
            total += volume(_decoded, depth) * joined * width
    return total


def _seen(level: LevelAxis) -> Range:
    return 0, level.encoder.length


def _encoded(level: LevelAxis) -> Range:
    return level.encoded


def _skip(level: LevelAxis) -> Range:
    return level.skip


def _decoded(level: LevelAxis) -> Range:
    return level.decoded


def _length(part: _Part, level: LevelAxis) -> int:
    low, high = part(level)
    return high - low


def _outer(axes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The product of one number of each axis, for every combination of them."""
    result: NDArray[np.float64] = reduce(np.multiply.outer, [np.array(axis, float) for axis in axes])
    return result
