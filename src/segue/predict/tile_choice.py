"""The size of the tiles and of their bands: of those that the memory holds the ones that take the least work.

Large tiles compute little twice, but take memory. What a tile takes and costs is counted level by level, because the
wide surrounding of a tile is needed on the way down, and hardly any of it on the way up; and of the features only the
rows count that a band needs, so that a tile may be as high as its image and its answer allow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from segue.model.geometry import AxisGeometry, axis_geometries, round_up
from segue.model.unet import UNetConfig
from segue.predict.levels import Held, LevelAxis, Range, held_rows, plan_axis, plan_bands
from segue.predict.tiles import even_tiles

FP32_BYTES = 4
BAND_STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Rows of a band, in strides of the network."""


@dataclass(frozen=True)
class _Candidate:
    """One way to cut one axis; each list has an entry a level."""

    tile: int
    """Length of the tiles."""
    rows: int
    """Length of the bands that a tile is cut into; 0 where it is not cut."""
    held: list[Held]
    """How much of a tile's features is held."""
    encoded: list[int]
    """How much of the encoders' features all tiles compute together."""
    decoded: list[int]
    """How much of the decoders' features all tiles compute together."""
    again: list[int]
    """How much more a block's first convolution computes at the edges of bands; doubled, as short pieces are slower."""
    answered: int
    """How much of a tile is answered."""


_Axes = list[list[_Candidate]]
"""The candidates of every axis."""


def choose_tile(
    shape: Sequence[int],
    *,
    config: UNetConfig,
    context: Sequence[int],
    memory: int,
    itemsize: int,
    transposed: bool = False,
) -> list[int]:
    """Length of the tiles along each axis of an image of `shape`, context included.

    Image, features and answer of a tile take at most `memory` bytes, where a number takes `itemsize`; but a tile may
    always take twice what the smallest one takes, because the smallest keeps next to nothing. `context` is that of
    `plan_spans`. With `transposed` the same holds for a tile whose two axes are exchanged.
    """
    along = list(zip(shape, axis_geometries(config), context, strict=True))
    axes = [_tile_candidates(*axis, banded=not place) for place, axis in enumerate(along)]
    needed = _bytes(axes, config, itemsize)
    if transposed:
        across = [_tile_candidates(*axis, banded=not place) for place, axis in enumerate(reversed(along))]
        least = _least_of_tiles(_bytes(across, config, itemsize), across[0])  # rows can still be chosen there
        tiles = {candidate.tile: row for candidate, row in zip(across[1], least.T, strict=True)}
        needed = np.maximum(needed, [tiles[candidate.tile] for candidate in axes[0]])
    best = _least_work(axes, config, needed, limit=max(memory, 2 * needed.min()))
    return [candidate.tile for candidate in best]


@lru_cache(maxsize=64)
def choose_rows(
    lengths: tuple[int, ...], kept: tuple[Range, ...], *, config: UNetConfig, memory: int, itemsize: int
) -> int:
    """Rows of the bands for one tile of `lengths` of whose answer `kept` is kept; as little work as `memory` allows."""
    geometries = axis_geometries(config)
    axes = [
        [_candidate(length, 0, [(plan_axis(geometry, length=length, kept=part), 1)])]
        for geometry, length, part in zip(geometries, lengths, kept, strict=True)
    ]
    axes[0] = _with_bands(axes[0][0], geometries[0], _held_by_bands(geometries[0], lengths[0], kept[0]))
    needed = _bytes(axes, config, itemsize)
    rows = _least_work(axes, config, needed, limit=max(memory, needed.min()))[0].rows
    return rows or round_up(lengths[0], geometries[0].stride)


def _least_work(axes: _Axes, config: UNetConfig, needed: NDArray[np.float64], *, limit: float) -> list[_Candidate]:
    """The candidate of each axis that together take the least work, of those that need no more than `limit`."""
    work = np.where(needed <= limit, _work(axes, config), np.inf)
    best = np.unravel_index(work.argmin(), work.shape)
    return [axis[place] for axis, place in zip(axes, best, strict=True)]


def _least_of_tiles(needed: NDArray[np.float64], banded: list[_Candidate]) -> NDArray[np.float64]:
    """Of all bands of one tile those that need the least: one row for each length of tiles along the first axis."""
    tiles = list(dict.fromkeys(candidate.tile for candidate in banded))
    same = [[candidate.tile == tile for candidate in banded] for tile in tiles]
    return np.stack([needed[of_tile].min(axis=0) for of_tile in same])


def _tile_candidates(length: int, geometry: AxisGeometry, context: int, *, banded: bool) -> list[_Candidate]:
    found: list[_Candidate] = []
    held: dict[int, list[Held]] = {}
    for tile, number in even_tiles(length, geometry=geometry, context=context):
        end = geometry.output_size(tile)
        halo = 0 if geometry.valid else geometry.halo
        outer = (0, end if number == 1 else end - halo)
        kinds = [(plan_axis(geometry, length=tile, kept=outer), min(number, 2))]
        if number > 2:  # tiles that touch no end of the frame have a halo at both of theirs
            kinds.append((plan_axis(geometry, length=tile, kept=(halo, end - halo)), number - 2))
        candidate = _candidate(tile, 0, kinds)
        if not banded:
            found.append(candidate)
            continue
        held = held or _held_by_bands(geometry, tile, outer)  # of the longest tile; of shorter ones it is no more
        found.extend(_with_bands(candidate, geometry, held))
    return found


def _candidate(tile: int, rows: int, kinds: list[tuple[list[LevelAxis], int]]) -> _Candidate:
    """A way to cut an axis without bands; `kinds` are the levels of the largest tiles, of others, and their numbers."""
    largest = kinds[0][0]

    def total(part: Callable[[LevelAxis], Range]) -> list[int]:
        return [sum(number * _length(part(levels[depth])) for levels, number in kinds) for depth in range(len(largest))]

    return _Candidate(
        tile=tile,
        rows=rows,
        held=held_rows([largest]),
        encoded=total(lambda level: level.encoded),
        decoded=total(lambda level: level.decoded),
        again=[0] * len(largest),
        answered=_length(largest[0].decoded),
    )


def _held_by_bands(geometry: AxisGeometry, length: int, kept: Range) -> dict[int, list[Held]]:
    """What is held of a tile for each number of rows that cuts it into bands. A few bands show it: all are alike."""
    choices = [strides * geometry.stride for strides in BAND_STRIDES]
    return {
        rows: held_rows(
            plan_bands(geometry, length=length, kept=(kept[0], min(kept[1], kept[0] + 4 * rows)), rows=rows)
        )
        for rows in choices
        if rows < _length(kept)
    }


def _with_bands(whole: _Candidate, geometry: AxisGeometry, held: dict[int, list[Held]]) -> list[_Candidate]:
    """A way to cut an axis, with its tiles in one band and in several."""
    found = [whole]
    for rows, own in held.items():
        if rows < whole.answered:
            number = -(-whole.encoded[0] // rows)
            again = [2 * (kernel - 1) * number for kernel in geometry.kernels]
            found.append(
                _Candidate(whole.tile, rows, own, whole.encoded, whole.decoded, again, whole.answered),
            )
    return found


def _bytes(axes: _Axes, config: UNetConfig, itemsize: int) -> NDArray[np.float64]:
    """Bytes of one of the largest tiles, for every combination of candidates.

    That is its features as `Runner` keeps them, the image as it is read and as the network sees it, and the answer to
    one mirror image beside the sum of them.
    """

    def held(part: Callable[[Held], int], depth: int) -> NDArray[np.float64]:
        return _outer([[part(one.held[depth]) for one in axis] for axis in axes])

    image = _outer([[one.tile for one in axis] for axis in axes]) * config.channels
    answer = _outer([[one.answered for one in axis] for axis in axes]) * config.outputs
    total = image * (itemsize + FP32_BYTES) + answer * 2 * FP32_BYTES
    for depth, (above, width) in enumerate(zip((0, *config.widths), config.widths, strict=False)):
        total += itemsize * above * held(lambda one: one.entering, depth)
        total += itemsize * width * (held(lambda one: one.skip, depth) + held(lambda one: one.leaving, depth))
    return total


def _work(axes: _Axes, config: UNetConfig) -> NDArray[np.float64]:
    """Multiplications for all tiles together, for every combination of candidates."""

    def encoded(depth: int, *, again: bool) -> NDArray[np.float64]:
        return _outer([[one.encoded[depth] + again * one.again[depth] for one in axis] for axis in axes])

    def decoded(depth: int, *, again: bool) -> NDArray[np.float64]:
        return _outer([[one.decoded[depth] + again * one.again[depth] for one in axis] for axis in axes])

    total = np.zeros([len(axis) for axis in axes])
    for depth, (before, width) in enumerate(zip((config.channels, *config.widths), config.widths, strict=False)):
        taps = prod(config.kernels[depth])
        total += taps * width * (before * encoded(depth, again=True) + width * encoded(depth, again=False))
        if depth < config.depth:
            risen = width * config.widths[depth + 1] * decoded(depth, again=False)
            joined = 2 * decoded(depth, again=True) + decoded(depth, again=False)  # skip and risen features, then one
            total += risen + taps * width**2 * joined
    return total


def _length(part: Range) -> int:
    return part[1] - part[0]


def _outer(axes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The product of one number of each axis, for every combination of them."""
    result: NDArray[np.float64] = reduce(np.multiply.outer, [np.array(axis, float) for axis in axes])
    return result
