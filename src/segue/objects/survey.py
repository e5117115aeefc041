"""What there is to know of objects that are spread over blocks: sizes, first pixels, and the gaps between them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.io.scratch import Block, BlockArray, Readable
from segue.objects.blocks import Grid, Pairs, distinct, facing, joined
from segue.objects.decode import is_doubtful, owners_of, surety
from segue.objects.numbers import runs


class Survey:
    """Where objects and gaps are. Objects have the numbers up to `groups`, gaps those above."""

    def __init__(self, *, groups: int) -> None:
        self.groups = groups
        self.size = np.zeros(groups + 1, np.int64)
        self.sureties = np.zeros(groups + 1, np.int64)
        self.first = np.full(groups + 1, np.iinfo(np.int64).max)
        self.gaps = 0
        self._gap_sizes: list[NDArray[np.int64]] = []
        self._open: list[NDArray[np.bool_]] = []
        self._lowest: list[NDArray[Any]] = []
        self._highest: list[NDArray[Any]] = []
        self._pairs: list[Pairs] = []
        self._rims: list[Pairs] = []

    def measure(self, grid: Grid, block: Block, ids: BlockArray, foreground: Readable | None) -> None:
        """Count the pixels of each object in a block, remember the first, and add up their foreground if given."""
        here = ids[block]
        values, index, lengths, first = runs(here)
        self.size[values] += np.bincount(index, weights=lengths, minlength=len(values)).astype(np.int64)
        within = np.unravel_index(first, here.shape)
        places = np.ravel_multi_index([w + part.start for w, part in zip(within, block, strict=True)], grid.shape)
        self.first[values] = np.minimum(self.first[values], places)
        if foreground is not None:
            sure = surety(np.asarray(foreground[block], np.float32)).reshape(-1)
            sums = np.bincount(np.repeat(index, lengths), weights=sure, minlength=len(values))
            self.sureties[values] += sums.astype(np.int64)

    def join(self, owner: NDArray[np.int64]) -> None:
        """Count each object for its owner."""
        moved = np.flatnonzero(owner != np.arange(len(owner)))
        for counted in (self.size, self.sureties):
            np.add.at(counted, owner[moved], counted[moved])
            counted[moved] = 0
        np.minimum.at(self.first, owner[moved], self.first[moved])

    def find_gaps(self, grid: Grid, block: Block, ids: BlockArray) -> None:
        """Number the gaps of a block; gap n becomes groups + n in `ids`."""
        from scipy import ndimage

        here = ids[block]
        gaps, count = ndimage.label(here == 0, structure=ndimage.generate_binary_structure(here.ndim, here.ndim))
        at_edge = np.zeros(count + 1, bool)
        for axis, (part, length) in enumerate(zip(block, grid.shape, strict=True)):
            for at_end, face in ((part.start == 0, 0), (part.stop == length, -1)):
                if at_end:
                    at_edge[gaps.take(face, axis)] = True
        lowest, highest = owners_of(np.where(at_edge, 0, np.arange(count + 1))[gaps], here, number=count)
        self._gap_sizes.append(np.bincount(gaps.reshape(-1), minlength=count + 1)[1:])
        self._open.append(at_edge[1:])
        self._lowest.append(lowest[1:])
        self._highest.append(highest[1:])
        ids[block] = np.where(gaps > 0, gaps + (self.groups + self.gaps), here)
        self.gaps += count

    def join_gaps(self, grid: Grid, ids: BlockArray) -> None:
        """Join gaps across seams, and see what objects they touch there."""
        for axis, seam in grid.seams():
            here = ids[seam]
            for low, high in facing(here, axis, corners=True):
                both = (low > self.groups) & (high > self.groups)
                self._pairs.append(distinct(low[both], high[both]) - self.groups - 1)
            for low, high in facing(here, axis, corners=False):
                for gap, owner in ((low, high), (high, low)):
                    rim = (gap > self.groups) & (owner > 0) & (owner <= self.groups)
                    pairs = distinct(gap[rim], owner[rim])
                    pairs[0] -= self.groups + 1
                    self._rims.append(pairs)

    def numbers(self, *, smallest: int, surest: float) -> tuple[int, NDArray[np.uint32]]:
        """How many objects there are, and the final number for each of the present ones."""
        owner = self._owners()
        size = self.size.copy()
        doubtful = is_doubtful(self.sureties, size, below=surest)
        np.add.at(size, owner, np.concatenate([np.zeros(0, np.int64), *self._gap_sizes]))
        size[0] = 0
        kept = np.flatnonzero((size >= smallest) & ~doubtful)
        new = np.zeros(self.groups + 1 + self.gaps, np.uint32)
        # The first pixel of a filled object lies outside of its holes: it comes before all that it encloses.
        new[kept[np.argsort(self.first[kept])]] = np.arange(1, len(kept) + 1, dtype=np.uint32)
        new[self.groups + 1 :] = new[owner]
        return len(kept), new

    def _owners(self) -> NDArray[np.int64]:
        """The object that each gap belongs to, or 0: the one that all pieces of an enclosed gap touch."""
        group = joined(self.gaps, self._pairs)
        count = int(group.max(initial=-1)) + 1
        lowest, highest = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
        is_open = np.zeros(count, bool)
        if count:
            is_open[group[np.concatenate(self._open)]] = True
            edges = np.concatenate([np.zeros((2, 0), np.int64), *self._rims], axis=1)
            low, high = np.concatenate(self._lowest), np.concatenate(self._highest)
            touching = np.flatnonzero(high)
            np.minimum.at(lowest, group[touching], low[touching].astype(np.int64))
            np.maximum.at(highest, group[touching], high[touching].astype(np.int64))
            np.minimum.at(lowest, group[edges[0]], edges[1])
            np.maximum.at(highest, group[edges[0]], edges[1])
        return np.where(~is_open & (lowest == highest), highest, 0)[group]
