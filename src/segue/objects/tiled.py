"""The objects of a map of any size, decoded block by block: exactly those of `decode_objects`, ids included.

Nothing of the size of the map is held in memory; what grows with it are numbers for each hilltop and for each piece of
an object or of a gap in a block. Together they are 200 to 300 bytes for an object in one block, and up to 500 for each
piece of one in several. How a decoding of the whole is had from blocks:

1. Hilltops and components of the foreground are labelled in each block; pieces that touch across a face between
   blocks are joined. Then it is known which components hold several hills.
2. Each block is flooded with some pixels around it. What lies beyond can make that wrong near its faces; but the
   time at which the water reaches a pixel is the only solution of an equation between neighbours (see `flood`), so
   blocks are compared with their neighbours and mended until all agree.
3. Hills know their tops and the saddles between them, also across faces, and are joined where the dip is small.
4. Gaps between objects are labelled and joined like components; each knows which objects it touches.
5. Objects are numbered by their first pixels.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.io.scratch import Block, BlockArray, NewArray, Readable
from segue.objects.blocks import Grid, Pairs, distinct, facing, joined
from segue.objects.decode import DecodeConfig, reach_of_smoothing, smooth
from segue.objects.flood import LEVELS, NEVER, flood_timed, heights, settle
from segue.objects.hills import crossings, highest_crossings, hilltops, owners, peaks, saddles, terraces
from segue.objects.survey import Survey

HALOS = {2: 32, 3: 8}
"""Pixels around a block that are flooded with it, about half a cell. Fewer leave more to be mended; any are right."""


def decode_in_blocks(
    foreground: Readable,
    distance: Readable | None = None,
    *,
    config: DecodeConfig,
    out: BlockArray,
    side: int | None = None,
    new_array: NewArray = np.zeros,
) -> int:
    """Fill `out` (uint32, the shape of the maps) with what `decode_objects` returns; returns the number of objects.

    The maps are those of `decode_objects`, read in blocks of `side` pixels along every axis and some around them.
    `new_array` makes three arrays to work in, 9 bytes a pixel together. Raises UsageError as `decode_objects` does.
    """
    shape = tuple(foreground.shape)
    if distance is not None and tuple(distance.shape) != shape:
        raise UsageError(f"the foreground has the shape {shape} and the distance {tuple(distance.shape)}")
    grid = Grid(shape, side)
    height, times, parts = new_array(shape, np.uint8), new_array(shape, np.uint32), new_array(shape, np.uint32)
    pieces = _find_pieces(_Maps(foreground, distance, config), grid, height=height, parts=parts)
    fates = _decide(pieces, grid, parts, height, dip=int(config.smallest_dip * LEVELS))
    highest = np.zeros(fates.groups + 1, np.int64)
    contested = [_flood_block(grid, block, fates, highest, (height, times, parts, out)) for block in grid.blocks]
    _settle_blocks(grid, height, times, out, first=np.flatnonzero(contested).tolist())
    survey = Survey(groups=fates.groups)
    for block in grid.blocks:
        survey.measure(grid, block, out, foreground if config.smallest_confidence > 0 else None)
    owner = owners(highest, survey.first, *_saddles(grid, out, height), dip=config.smallest_dip * LEVELS)
    for block in grid.blocks:
        out[block] = owner[out[block]]
    survey.join(owner)
    if config.fill_holes:
        for block in grid.blocks:
            survey.find_gaps(grid, block, out)
        survey.join_gaps(grid, out)
    number, new = survey.numbers(smallest=config.smallest_object, surest=config.smallest_confidence)
    for block in grid.blocks:
        out[block] = new[out[block]]
    return number


@dataclass(frozen=True)
class _Maps:
    foreground: Readable
    distance: Readable | None
    config: DecodeConfig

    def read(self, grid: Grid, block: Block) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """What is foreground in a block, and the landscape there."""
        wide, inner = grid.around(block, reach_of_smoothing(self.config.smoothing))
        maps = []
        for name, map_ in (("foreground", self.foreground), ("distance", self.distance)):
            if map_ is not None:
                values = np.asarray(map_[wide], np.float32)
                if np.isnan(values.max(initial=0)):
                    raise UsageError(f"the {name} holds NaN; check the image and the model")
                maps.append(smooth(values, self.config.smoothing)[inner])
        return maps[0] > self.config.foreground_threshold, maps[-1]


@dataclass(frozen=True)
class _Pieces:
    """All pieces of components and of hilltops, numbered from 1; what is said of number 0 means nothing."""

    component: NDArray[np.int64]
    """The piece of a component that each piece is in: for a component's piece itself."""
    is_top: NDArray[np.bool_]
    """Whether it is a piece of a hilltop, as far as its own block tells."""


@dataclass(frozen=True)
class _Fates:
    """What becomes of the pixels of each piece."""

    contested: NDArray[np.bool_]
    """Whether its component holds several hills and must be flooded."""
    hill: NDArray[np.int32]
    """In contested components, the number of its hill, or 0."""
    owner: NDArray[np.uint32]
    """In other components, the number of its object."""
    groups: int
    """The greatest number of a hill or an object."""


def _find_pieces(maps: _Maps, grid: Grid, *, height: BlockArray, parts: BlockArray) -> _Pieces:
    """Label every block by itself: `parts` gets the number of a piece of a hilltop, or else of a component."""
    from scipy import ndimage

    components, tops = [np.zeros(1, np.int64)], [np.zeros(1, bool)]
    known = 0
    for block in grid.blocks:
        wide, inner = grid.around(block, 1)
        inside, landscape = maps.read(grid, wide)
        level = heights(landscape, inside)
        component, count = ndimage.label(inside[inner])
        top, top_count = hilltops(level, dip=int(maps.config.smallest_dip * LEVELS), inner=inner)
        places = np.flatnonzero(top)
        home = np.zeros(top_count + 1, np.int64)
        home[top.reshape(-1)[places]] = component.reshape(-1)[places]
        components += [known + np.arange(1, count + 1), known + home[1:]]
        tops += [np.zeros(count, bool), np.ones(top_count, bool)]
        parts[block] = np.where(top > 0, top + (count + known), np.where(inside[inner], component + known, 0))
        height[block] = level[inner]
        known += count + top_count
    return _Pieces(np.concatenate(components), np.concatenate(tops))


def _decide(pieces: _Pieces, grid: Grid, parts: BlockArray, height: BlockArray, *, dip: int) -> _Fates:
    component, is_top = pieces.component, pieces.is_top
    pairs: list[Pairs] = []
    beaten = np.zeros(len(component), bool)
    for axis, seam in grid.seams():
        terrace = facing(terraces(height[seam], dip=dip), axis, corners=False)
        for (low, high), (low_level, high_level) in zip(facing(parts[seam], axis, corners=False), terrace, strict=True):
            touching = (low > 0) & (high > 0)
            pairs.append(component[distinct(low[touching], high[touching])])
            level = touching & (low_level == high_level)
            first, second = distinct(low[level], high[level])
            both = is_top[first] & is_top[second]
            pairs.append(np.stack([first[both], second[both]]))
            # A plateau that is beaten beyond the seam is beaten here too.
            beaten[first[is_top[first] & ~is_top[second]]] = True
            beaten[second[is_top[second] & ~is_top[first]]] = True
    group = joined(len(component), pairs) + 1
    group[0] = 0
    groups = int(group.max())
    home = np.zeros(groups + 1, np.int64)
    home[group] = group[component]
    alive = np.zeros(groups + 1, bool)
    alive[group[is_top]] = True
    alive[group[beaten]] = False
    several = np.bincount(home[alive], minlength=groups + 1) > 1
    contested = several[group[component]]
    hill = np.where(contested & is_top & alive[group], group, 0)
    owner = np.where(contested, 0, group[component])
    return _Fates(contested, hill.astype(np.int32), owner.astype(np.uint32), groups)


def _flood_block(
    grid: Grid,
    block: Block,
    fates: _Fates,
    highest: NDArray[np.int64],
    arrays: tuple[BlockArray, BlockArray, BlockArray, BlockArray],
) -> bool:
    """Fill one block of `times` and `out`; returns whether it was flooded. `height` becomes 0 where it was not.

    `highest`, the peaks of all hills, is raised to what is seen in the block.
    """
    height, times, parts, out = arrays
    wide, inner = grid.around(block, HALOS[len(block)])
    here = parts[wide]
    contested = fates.contested[here]
    if not contested[inner].any():
        out[block] = fates.owner[here[inner]]
        height[block] = 0
        return False
    level = np.where(contested, height[wide], 0)
    tops = fates.hill[here]
    np.maximum(highest, peaks(tops, level, number=fates.groups), out=highest)
    ids, came = flood_timed(level, tops)
    out[block] = np.where(contested[inner], ids[inner], fates.owner[here[inner]])
    times[block] = came[inner]
    height[block] = level[inner]
    return True


def _settle_blocks(grid: Grid, height: BlockArray, times: BlockArray, ids: BlockArray, *, first: Sequence[int]) -> None:
    """Compare the blocks `first` with their neighbours and mend them until nothing changes any more."""
    waiting = deque(first)
    while waiting:
        number = waiting.popleft()
        changed = _settle_block(grid, grid.blocks[number], height, times, ids)
        for axis in range(len(grid.shape)):
            for step, face in ((-1, 0), (1, -1)):
                other = grid.neighbour(number, axis, step)
                if other is not None and other not in waiting and changed.take(face, axis).any():
                    waiting.append(other)


def _settle_block(
    grid: Grid, block: Block, height: BlockArray, times: BlockArray, ids: BlockArray
) -> NDArray[np.bool_]:
    """Mend one block; returns where it has changed."""
    wide, inner = grid.around(block, 1)
    # At the end of the image there is no neighbour to read: a rim of outside takes its place.
    missing = [
        (1 - place.start, place.stop + 1 - (outer.stop - outer.start)) for place, outer in zip(inner, wide, strict=True)
    ]
    core = (slice(1, -1),) * len(block)
    level = np.pad(height[wide], missing)
    faces = np.zeros(level.shape, bool)
    faces[core] = True
    faces[(slice(2, -2),) * len(block)] = False
    if not (faces & (level > 0)).any():
        return np.zeros([part.stop - part.start for part in block], bool)
    came = np.where(level > 0, np.pad(times[wide], missing), NEVER)
    own = np.pad(ids[wide], missing)
    changed = settle(level, came, own, start=faces)[core]
    if changed.any():
        times[block] = came[core]
        ids[block] = own[core]
    return changed


def _saddles(grid: Grid, hills: BlockArray, height: BlockArray) -> tuple[Pairs, NDArray[np.int64]]:
    """As `saddles`, in all blocks and across their faces. Where nothing was flooded there is no height."""
    pairs, ways = [], []
    for block in grid.blocks:
        here, level = hills[block], height[block]
        if level.any():
            found, way = saddles(np.where(level > 0, here, 0), level)
            pairs.append(found)
            ways.append(way)
    for axis, seam in grid.seams():
        level = facing(height[seam], axis, corners=False)
        for (low, high), (low_level, high_level) in zip(facing(hills[seam], axis, corners=False), level, strict=True):
            found, way = crossings(low, high, low_level, high_level)
            pairs.append(found)
            ways.append(way)
    return highest_crossings(pairs, ways)
