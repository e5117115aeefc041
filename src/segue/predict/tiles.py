"""Plan the tiles of an image. Integers only: no pixels, no torch.

Why the answer does not depend on the tiles. The image is first mirrored by `context` pixels on every side
(Ronneberger, Fischer & Brox 2015, fig. 2); the frame so made is what the network is applied to. A tile is a window of
the frame whose corner lies on the network's stride grid, so that poolings fall on the same pixels for every tile. A
pixel is kept only if the window holds all that it depends on: a halo of at least the receptive-field radius, or the
end of the frame itself, where the padding of a "same" network is the same for the tile as for the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from segue.errors import TileError
from segue.model.geometry import AxisGeometry, round_up


@dataclass(frozen=True, kw_only=True)
class Span:
    """One tile along one axis, in pixels of the image, half open."""

    read: tuple[int, int]
    """What the network sees; may lie outside the image, where it is mirrored."""
    write: tuple[int, int]
    """What this tile answers for. The writes of a plan partition the axis."""
    output_start: int
    """Where in the image the network's output for `read` begins."""

    @property
    def output_length(self) -> int:
        """Length of the network's output for `read`, which lacks the same margin at both ends."""
        margin = self.output_start - self.read[0]
        return self.read[1] - self.read[0] - 2 * margin

    @property
    def kept(self) -> slice:
        """The part of the network's output that is written."""
        return slice(self.write[0] - self.output_start, self.write[1] - self.output_start)


Tile = tuple[Span, ...]
"""One `Span` for each spatial axis."""


def plan_spans(length: int, *, geometry: AxisGeometry, tile: int | None, context: int) -> list[Span]:
    """Cover an axis of `length` pixels with windows of at most `tile` pixels (None: one window for all).

    `context` is how far a "same" network's frame reaches beyond the image, rounded up to its stride; a "valid"
    network always sees its margin.

    Raises TileError if nothing of a tile is left once its halo is removed.
    """
    if geometry.valid:
        return _valid_spans(length, geometry, tile)
    stride, halo = geometry.stride, geometry.halo
    low = -round_up(context, stride)
    high = round_up(length + context, stride)
    if tile is None or tile >= high - low:
        return [Span(read=(low, high), write=(0, length), output_start=low)]
    step = tile // stride * stride - 2 * halo
    if step < stride:
        raise TileError(
            f"a tile of {tile} px keeps nothing once the halo of {halo} px is removed from both sides; "
            f"use a tile of at least {2 * halo + stride} px"
        )
    spans = []
    start = low
    while start < length:
        # The first tile needs no halo on its left, and the last none on its right: the frame ends there.
        end = start + step + (halo if start == low else 0)
        if end + halo >= high:
            end = high
        read = (max(low, start - halo), min(high, end + halo))
        write = (max(0, start), min(length, end))
        if write[0] < write[1]:
            spans.append(Span(read=read, write=write, output_start=read[0]))
        start = end
    return spans


def _valid_spans(length: int, geometry: AxisGeometry, tile: int | None) -> list[Span]:
    margin = geometry.margin
    whole = geometry.legal_size(length + 2 * margin)
    if tile is None or tile >= whole:
        size = whole
    else:
        found = geometry.legal_size_below(tile)
        if found is None or (found - 2 * margin) // geometry.stride < 1:
            smallest = geometry.legal_size(2 * margin + geometry.stride)
            raise TileError(
                f"a tile of {tile} px keeps nothing once the margin of {margin} px is removed from both "
                f"sides; use a tile of at least {smallest} px"
            )
        size = found
    kept = size - 2 * margin
    step = kept if kept >= length else kept // geometry.stride * geometry.stride
    return [
        Span(
            read=(start - margin, start - margin + size),
            write=(start, min(start + step, length)),
            output_start=start,
        )
        for start in range(0, length, step)
    ]


def plan_tiles(
    shape: Sequence[int],
    *,
    geometries: Sequence[AxisGeometry],
    tile: Sequence[int | None],
    context: Sequence[int],
) -> list[Tile]:
    """Cover an image of `shape` with tiles, first axis slowest. Raises TileError as `plan_spans` does."""
    axes = [
        plan_spans(length, geometry=geometry, tile=size, context=reach)
        for length, geometry, size, reach in zip(shape, geometries, tile, context, strict=True)
    ]
    return list(product(*axes))


def even_tiles(length: int, *, geometry: AxisGeometry, context: int) -> list[tuple[int, int]]:
    """Lengths of tiles that cover an axis evenly, each with the number it takes; from one tile to the shortest ones.

    The length of a tile includes what is not kept of it. `context` is that of `plan_spans`.
    """
    stride, halo = geometry.stride, geometry.halo
    # What the tiles have to keep together: a "same" tile keeps its halo at the ends of the frame.
    kept = length if geometry.valid else round_up(context, stride) + round_up(length + context, stride) - 2 * halo
    number, tile = 1, geometry.legal_size(kept + 2 * halo)
    found = [(tile, number)]
    while (steps := (tile - 2 * halo) // stride) > 1:
        number = max(2, -(-kept // ((steps - 1) * stride)))  # the next number with shorter tiles
        tile = geometry.legal_size(round_up(-(-kept // number), stride) + 2 * halo)
        found.append((tile, number))
    return found


def mirrored(start: int, stop: int, *, length: int) -> list[int]:
    """Indices `start`..`stop` of an axis of `length` pixels, mirrored at the centres of its first and last pixel.

    As often as needed: a window may be many times as large as the image. A single pixel is repeated.
    """
    if length == 1:
        return [0] * (stop - start)
    period = 2 * (length - 1)
    return [min(i % period, period - i % period) for i in range(start, stop)]
