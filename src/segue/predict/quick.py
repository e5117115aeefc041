"""A trained U-Net applied quickly: piece by piece, and only where something is needed.

Every block is computed in pieces that fit into the cache, so that what lies between its convolutions hardly goes to
main memory, and each thread works on pieces of its own. Nothing is computed that no kept pixel depends on. The answer
is that of the network, up to the rounding of the numbers.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from segue.model.folding import folded
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, memory_format
from segue.predict.crew import Crew
from segue.predict.layers import Block, Convolution, Features, Rise, parameters
from segue.predict.levels import Box, Level, grown, overlap, pieces, plan_levels, shifted, shrunk

PIECE_BYTES = 8 << 20
"""Bytes of the input of a decoder's block, its widest features, in one piece: about what a cache holds."""
PIECE_SIDES = {2: (96, 256), 3: (48, 64)}
"""No piece is shorter or longer, for each number of spatial axes: around small ones too much is computed twice."""


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


class Runner:
    """Applies a prepared network to one tile after another, and keeps the memory for features from tile to tile."""

    def __init__(self, network: QuickUNet, *, crew: Crew, side: int | None = None) -> None:
        """Pieces have about the length `side`; None chooses it for each level."""
        self.network = network
        self._crew = crew
        self._side = side
        self._geometries = axis_geometries(network.config)
        self._pool = F.max_pool2d if network.config.spatial_axes == 2 else F.max_pool3d
        self._room: dict[str, Tensor] = {}

    def logits(self, image: Tensor, *, kept: Box) -> Tensor:
        """Intensities (1, C, [Z,] Y, X) to logits (1, K, ...) float32: the part `kept` of the network's output.

        Raises TileError if the network cannot take an image of that size.
        """
        lengths = image.shape[2:]
        levels = plan_levels(self._geometries, lengths=lengths, kept=kept)
        skips = []
        x = Features(image.to(self.network.dtype), tuple((0, length) for length in lengths))
        for depth, level in enumerate(levels[:-1]):
            skip, x = self._encode(depth, level, x)
            skips.append(skip)
        x = self._reach_bottom(levels[-1], x)
        for depth, level in reversed(list(enumerate(levels[:-1]))):
            x = self._decode(depth, level, x, skips.pop())
        return x.part(kept)

    def _encode(self, depth: int, level: Level, x: Features) -> tuple[Features, Features]:
        """The features for the skip connection and the pooled ones for the next level."""
        block = self.network.encoders[depth]
        skip = self._features(f"skip {depth}", block.channels, level.skip)
        pooled = self._features(_between(depth + 1), block.channels, shrunk(level.encoded, level.factor))

        def work(box: Box) -> None:
            y = Features(block.part(x, box, level.encoder), box)
            if taken := overlap(box, level.skip):
                skip.part(taken).copy_(y.part(taken))
            pooled.part(shrunk(box, level.factor)).copy_(self._pool(y.values, level.factor))

        self._crew(work, self._pieces(level.encoded, block.channels, level.factor))
        return skip, pooled

    def _reach_bottom(self, level: Level, x: Features) -> Features:
        block = self.network.bottom
        is_last = self.network.config.depth == 0
        y = self._logits(level.encoded) if is_last else self._features("bottom", block.channels, level.encoded)

        def work(box: Box) -> None:
            values = block.part(x, box, level.encoder)
            y.part(box).copy_(self.network.head(values) if is_last else values)

        self._crew(work, self._pieces(level.encoded, block.channels, level.factor))
        return y

    def _decode(self, depth: int, level: Level, x: Features, skip: Features) -> Features:
        """The features of a level on the way up; at the top, logits."""
        rise, block = self.network.rises[-1 - depth], self.network.decoders[-1 - depth]
        y = self._features(_between(depth), block.channels, level.decoded) if depth else self._logits(level.decoded)

        def work(box: Box) -> None:
            source = level.decoder.source(box)
            below = shrunk(source, level.factor)
            around = grown(below, level.factor)  # larger than the source where that does not end with a window
            both = Features(self._empty(2 * rise.channels, around), around)
            both.part(source)[:, : rise.channels].copy_(skip.part(shifted(source, level.shift)))
            rise.into(both.values[:, rise.channels :], x.part(below))
            values = block.part(both, box, level.decoder)
            y.part(box).copy_(values if depth else self.network.head(values))

        self._crew(work, self._pieces(level.decoded, block.channels, level.factor))
        return y

    def _pieces(self, box: Box, channels: int, factor: Sequence[int]) -> list[Box]:
        if self.network.device.type != "cpu" and self._side is None:
            return [box]
        return pieces(box, side=self._side or piece_side(channels, len(box)), multiple=factor)

    def _empty(self, channels: int, box: Box) -> Tensor:
        size = (1, channels, *(high - low for low, high in box))
        return torch.empty(
            size, dtype=self.network.dtype, device=self.network.device, memory_format=memory_format(len(box))
        )

    def _logits(self, box: Box) -> Features:
        size = (1, self.network.config.outputs, *(high - low for low, high in box))
        return Features(torch.empty(size, device=self.network.device), box)

    def _features(self, name: str, channels: int, box: Box) -> Features:
        """Room for features under a name, which the next tile uses again: the system clears new memory first."""
        lengths = [high - low for low, high in box]
        count = channels * prod(lengths)
        room = self._room.get(name)
        if room is None or len(room) < count:
            self._room.pop(name, None)
            room = self._room[name] = torch.empty(count, dtype=self.network.dtype, device=self.network.device)
        return Features(room[:count].view(1, *lengths, channels).movedim(-1, 1), box)


def piece_side(channels: int, axes: int) -> int:
    """Length of the pieces of a level with so many channels, a multiple of 16."""
    shortest, longest = PIECE_SIDES[axes]
    side: float = (PIECE_BYTES / (2 * channels * torch.bfloat16.itemsize)) ** (1 / axes)
    return min(longest, max(shortest, round(side / 16) * 16))


def _between(depth: int) -> str:
    """Name of the room for what enters a level, or leaves it upwards. Two rooms serve all levels in turn."""
    return "even" if depth % 2 == 0 else "odd"
