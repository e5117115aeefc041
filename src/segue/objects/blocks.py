"""Blocks that partition an array, what touches what across their faces, and which parts of blocks are one."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.io.scratch import Block

Pairs = NDArray[np.int64]
"""(2, n): numbers that belong together."""


SIDES = {2: 1024, 3: 128}
"""Pixels along each axis of a block, for 2 and 3 axes: what fits into the caches."""


class Grid:
    """An array of `shape`, cut into blocks of `side` pixels along every axis, in the order of a scan."""

    def __init__(self, shape: Sequence[int], side: int | None = None) -> None:
        """`side` None is the usual one of `SIDES`."""
        self.shape = tuple(shape)
        side = side or SIDES[len(self.shape)]
        self.counts = tuple(-(-length // side) for length in shape)
        spans = [[slice(at, min(at + side, length)) for at in range(0, length, side)] for length in shape]
        self.blocks: list[Block] = list(product(*spans))

    def around(self, block: Block, margin: int) -> tuple[Block, Block]:
        """The block with `margin` more pixels on each side as far as there are any, and where in it the block is."""
        wide = tuple(
            slice(max(part.start - margin, 0), min(part.stop + margin, length))
            for part, length in zip(block, self.shape, strict=True)
        )
        inner = tuple(
            slice(part.start - outer.start, part.stop - outer.start) for part, outer in zip(block, wide, strict=True)
        )
        return wide, inner

    def neighbour(self, number: int, axis: int, step: int) -> int | None:
        """The number of the block that is `step` blocks on along `axis`, or None beyond the end."""
        place = list(np.unravel_index(number, self.counts))
        place[axis] += step
        if not 0 <= place[axis] < self.counts[axis]:
            return None
        return int(np.ravel_multi_index(place, self.counts))

    def seams(self) -> Iterator[tuple[int, Block]]:
        """Axis and place of every face between two blocks: two pixels thick along the axis, and one wider around."""
        for number, block in enumerate(self.blocks):
            for axis in range(len(self.shape)):
                if self.neighbour(number, axis, -1) is not None:
                    wide, _ = self.around(block, 1)
                    thin = slice(block[axis].start - 1, block[axis].start + 1)
                    yield axis, (*wide[:axis], thin, *wide[axis + 1 :])


def facing(values: NDArray[Any], axis: int, *, corners: bool) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """What touches across a seam, as pairs of equally long arrays: through faces, or through corners as well.

    `values` is two pixels thick along `axis`.
    """
    low, high = (values.take(side, axis) for side in (0, 1))
    reach = (-1, 0, 1) if corners else (0,)
    for shifts in product(reach, repeat=low.ndim):
        first = tuple(slice(max(shift, 0), shift if shift < 0 else None) for shift in shifts)
        second = tuple(slice(max(-shift, 0), -shift if shift > 0 else None) for shift in shifts)
        yield low[first].reshape(-1), high[second].reshape(-1)


def distinct(first: NDArray[Any], second: NDArray[Any]) -> Pairs:
    """The pairs of two equally long arrays, each once."""
    together = np.stack([first.astype(np.int64), second.astype(np.int64)])
    # Equal pairs mostly follow each other: dropping those first leaves little to sort.
    new = np.ones(together.shape[1], bool)
    new[1:] = (together[:, 1:] != together[:, :-1]).any(axis=0)
    return np.unique(together[:, new], axis=1)


def joined(number: int, pairs: Sequence[Pairs]) -> NDArray[np.int64]:
    """For 0..`number` - 1, the group that each belongs to if the pairs belong together; groups count from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(number, number))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
