"""A trained U-Net applied quickly: piece by piece, and only where something is needed.

A tile is computed band by band, and of a band every block in pieces that fit into the cache, so that what lies between
its convolutions hardly goes to main memory; each thread works on pieces of its own. Nothing is computed that no kept
pixel depends on, and hardly anything twice. The answer is that of the network, up to the rounding of the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from segue.model.folding import folded
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, memory_format
from segue.predict.crew import Crew
from segue.predict.layers import Block, Convolution, Features, LastRows, Rise, parameters, pool
from segue.predict.levels import (
    Box,
    Held,
    Level,
    grown,
    held_rows,
    pieces,
    plan_bands,
    plan_levels,
    shifted,
    shrunk,
)
from segue.predict.tile_choice import choose_rows

PIECE_BYTES = 8 << 20
"""Bytes of the input of a decoder's block, its widest features, in one piece: about what a cache holds."""
PIECE_LENGTHS = (48, 240)
"""No piece is shorter or longer: around small ones too much is computed twice."""
PIECE_ROWS = 128
"""No piece has more rows, of which only the first convolution of a block computes two twice."""
DEFAULT_MEMORY = 1 << 28
"""Bytes that the features of one tile may take when nobody says. Twice as much saves a thirtieth of the time."""


class QuickUNet:
    """A network prepared for prediction: normalisation folded, weights in the type and layout of the machine."""

    def __init__(self, network: UNet, *, dtype: torch.dtype) -> None:
        plain = folded(network)
        self.config = network.config
        self.dtype = dtype
        self.device = next(network.parameters()).device
        self.encoders = [Block(encoder.block, dtype=dtype) for encoder in plain.encoders]  # type: ignore[arg-type]
        self.bottom = Block(plain.bottom, dtype=dtype)
        self.rises = [Rise(decoder.rise, dtype=dtype) for decoder in plain.decoders]  # type: ignore[arg-type]
        self.decoders = [Block(decoder.block, dtype=dtype) for decoder in plain.decoders]  # type: ignore[arg-type]
        self.head = Convolution(*parameters(plain.head), relu=False, dtype=dtype)


@dataclass(frozen=True)
class _Maps:
    """The features of one tile that are kept from band to band, the top level first."""

    entering: list[LastRows]
    """What each level is given: the image at the top, pooled features below."""
    skips: list[LastRows]
    """What each level but the bottom keeps for its decoder."""
    leaving: list[LastRows]
    """What each level gives to the one above; at the top logits."""


class Runner:
    """Applies a prepared network to one tile after another, and keeps the memory for features from tile to tile."""

    def __init__(
        self,
        network: QuickUNet,
        *,
        crew: Crew,
        memory: int = DEFAULT_MEMORY,
        rows: int | None = None,
        side: int | None = None,
    ) -> None:
        """Bands have `rows` rows, a multiple of the stride, and pieces about the length `side`.

        None chooses them, the rows by `memory`.
        """
        self.network = network
        self._crew = crew
        self._memory = memory
        self._rows = rows
        self._side = side
        self._geometries = axis_geometries(network.config)
        self._room: dict[str, Tensor] = {}

    def logits(self, image: Tensor, *, kept: Box) -> Tensor:
        """Intensities (1, C, [Z,] Y, X) to logits (1, K, ...) float32: the part `kept` of the network's output.

        Raises TileError if the network cannot take an image of that size.
        """
        lengths = tuple(image.shape[2:])
        levels = plan_levels(self._geometries, lengths=lengths, kept=kept)
        rows = self._rows or choose_rows(
            lengths, kept, config=self.network.config, memory=self._memory, itemsize=self.network.dtype.itemsize
        )
        bands = plan_bands(self._geometries[0], length=lengths[0], kept=kept[0], rows=rows)
        maps = self._maps(image, levels, held_rows(bands))
        for band in bands:
            self._run([level.with_rows(own) for level, own in zip(levels, band, strict=True)], maps)
        return maps.leaving[0].part(kept)

    def _maps(self, image: Tensor, levels: Sequence[Level], held: Sequence[Held]) -> _Maps:
        """Room for all features of a tile that are kept from band to band."""
        entering = [LastRows(image.to(self.network.dtype), tuple((0, length) for length in image.shape[2:]))]
        answered = levels[0].decoded
        size = (1, self.network.config.outputs, *(high - low for low, high in answered))
        skips, leaving = [], [LastRows(torch.empty(size, device=self.network.device), answered)]
        for depth, (level, below) in enumerate(pairwise(levels)):
            width, deeper = self.network.config.widths[depth : depth + 2]
            pooled = shrunk(level.encoded, level.factor)
            skips.append(self._last_rows(f"skip {depth}", width, level.skip, held[depth].skip))
            entering.append(self._last_rows(f"entering {depth + 1}", width, pooled, held[depth + 1].entering))
            leaving.append(self._last_rows(f"leaving {depth + 1}", deeper, below.decoded, held[depth + 1].leaving))
        return _Maps(entering, skips, leaving)

    def _last_rows(self, name: str, channels: int, box: Box, rows: int) -> LastRows:
        """Room for features under a name, which the next tile uses again: the system clears new memory first."""
        lengths = [rows, *(high - low for low, high in box[1:])]
        count = channels * prod(lengths)
        room = self._room.get(name)
        if room is None or len(room) < count:
            self._room.pop(name, None)
            room = self._room[name] = torch.empty(count, dtype=self.network.dtype, device=self.network.device)
        return LastRows(room[:count].view(1, *lengths, channels).movedim(-1, 1), box)

    def _run(self, levels: Sequence[Level], maps: _Maps) -> None:
        """One band: down to the bottom and up again."""
        for depth, level in enumerate(levels[:-1]):
            self._encode(depth, level, maps)
        self._reach_bottom(levels[-1], maps)
        for depth, level in reversed(list(enumerate(levels[:-1]))):
            self._decode(depth, level, maps)

    def _encode(self, depth: int, level: Level, maps: _Maps) -> None:
        """The features for the skip connection and the pooled ones for the next level."""
        block, x = self.network.encoders[depth], maps.entering[depth]

        def work(box: Box) -> None:
            values = block.part(x.part(level.encoder.source(box)), box, level.encoder)
            maps.skips[depth].add(Features(values, box))
            maps.entering[depth + 1].add(Features(pool(values, level.factor), shrunk(box, level.factor)))

        self._crew.work(work, self._pieces(level.encoded, block.channels, level.factor))

    def _reach_bottom(self, level: Level, maps: _Maps) -> None:
        block, x = self.network.bottom, maps.entering[-1]
        is_last = self.network.config.depth == 0

        def work(box: Box) -> None:
            values = block.part(x.part(level.encoder.source(box)), box, level.encoder)
            maps.leaving[-1].add(Features(self.network.head(values) if is_last else values, box))

        self._crew.work(work, self._pieces(level.encoded, block.channels, level.factor))

    def _decode(self, depth: int, level: Level, maps: _Maps) -> None:
        """The features of a level on the way up; at the top, logits."""
        rise, block = self.network.rises[-1 - depth], self.network.decoders[-1 - depth]
        x, skip = maps.leaving[depth + 1], maps.skips[depth]

        def work(box: Box) -> None:
            source = level.decoder.source(box)
            below = shrunk(source, level.factor)
            around = grown(below, level.factor)  # larger than the source where that does not end with a window
            both = Features(self._empty(2 * rise.channels, around), around)
            skip.copy_to(both.part(source)[:, : rise.channels], shifted(source, level.shift))
            rise.into(both.values[:, rise.channels :], x.part(below))
            values = block.part(both.part(source), box, level.decoder)
            maps.leaving[depth].add(Features(values if depth else self.network.head(values), box))

        self._crew.work(work, self._pieces(level.decoded, block.channels, level.factor))

    def _empty(self, channels: int, box: Box) -> Tensor:
        size = (1, channels, *(high - low for low, high in box))
        return torch.empty(
            size, dtype=self.network.dtype, device=self.network.device, memory_format=memory_format(len(box))
        )

    def _pieces(self, box: Box, channels: int, factor: Sequence[int]) -> list[Box]:
        if self.network.device.type != "cpu" and self._side is None:
            return pieces(box, sides=[high - low for low, high in box], multiple=factor)
        sides = [self._side] * len(box) if self._side else piece_sides(channels, len(box))
        return pieces(box, sides=sides, multiple=factor, workers=self._crew.workers)


def piece_sides(channels: int, axes: int) -> list[int]:
    """Rows and other lengths of the pieces of a level with so many channels."""
    shortest, longest = PIECE_LENGTHS
    side = (PIECE_BYTES / (2 * channels * torch.bfloat16.itemsize)) ** (1 / axes)
    rows = min(PIECE_ROWS, max(shortest, round(side)))
    return [rows, *[min(longest, max(shortest, round(1.25 * side)))] * (axes - 1)]
