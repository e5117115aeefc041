"""A seeded watershed for many pixels: from high to low, each level flooded breadth first, in whole arrays.

The watershed of Meyer & Beucher (1990) with its queue of single pixels replaced by fronts: every pixel gets a
seed from which the best path reaches it, the path whose lowest place is highest. Time grows with the number
of pixels (a heap of pixels grows faster, and its jumps through memory cost more than the sorting).

When the water comes. Number the fronts in the order of time: 0 for the seeds, and for front k of a level
(levels + 2 - level) * 2^24 + k. The time of a pixel p of the height h then is the only solution of

    time(p) = max((levels + 2 - h) * 2^24, 1 + least time of its neighbours)

and which neighbour gives it its seed is told by the times and heights of the neighbours alone. So whether an
image that was flooded in parts was flooded right can be seen, and mended, pixel by pixel: that is `settle`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import DataError

LEVELS = 254
"""Steps of height between 0 and 1; two heights that fall into one step count as equal."""

NEVER = np.uint32(0xFFFFFFFF)
"""The time of pixels that no water reaches."""

_FRONTS = 24
"""Bits of a time that number the fronts of one level."""


def heights(landscape: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The height of every pixel in steps, 1..LEVELS + 1, and 0 outside of `inside`. Values of `landscape` beyond 0
    and 1 are clipped."""
    return np.where(inside, (landscape * LEVELS).clip(0, LEVELS).astype(np.uint8) + 1, 0).astype(np.uint8)


def flood_heights(height: NDArray[np.uint8], seeds: NDArray[Any]) -> NDArray[np.int32]:
    """Grow `seeds` downhill from the highest places of what `heights` gives.

    Both have one shape and any number of axes; `seeds` holds ids, 0 for none. Returns int32 ids, 0 outside and
    where no seed can be reached through faces. A seed counts as the highest place wherever it lies. Of several
    neighbours at once the highest gives its seed to a pixel; of equal ones the first along the axes.
    """
    return _flood(height, seeds, None)


def flood_timed(height: NDArray[np.uint8], seeds: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """As `flood_heights`, for fewer than 2^24 pixels; returns the ids and when the water came."""
    times = np.full(tuple(length + 2 for length in height.shape), NEVER, np.uint32)
    ids = _flood(height, seeds, times)
    return ids, times[(slice(1, -1),) * height.ndim]


def settle(
    height: NDArray[np.uint8], times: NDArray[np.uint32], ids: NDArray[Any], *, start: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Mend `times` and `ids`, in place, until every pixel agrees with its neighbours; returns which have changed.

    All have one shape, with a rim of one pixel around what may be changed. No time may be earlier than that of
    a true way of the water. `start` marks the pixels that may disagree with a neighbour; the rim is not looked at.
    Raises DataError if the water goes more than 2^24 steps along one level.
    """
    core = np.zeros(height.shape, bool)
    core[(slice(1, -1),) * height.ndim] = True
    mendable = (core & (height > 0) & (times > 0)).reshape(-1)
    flat = height.reshape(-1), times.reshape(-1), ids.reshape(-1)
    steps = np.array(_steps(height.shape))
    changed = np.zeros(height.size, bool)
    active = np.flatnonzero(start.reshape(-1) & mendable)
    while active.size:
        moved = _mend(active, *flat, steps)
        changed[moved] = True
        near = (moved[:, None] + steps).reshape(-1)
        active = np.unique(near[mendable[near]])
    return changed.reshape(height.shape)


def _mend(
    places: NDArray[Any], height: NDArray[np.uint8], times: NDArray[np.uint32], ids: NDArray[Any], steps: NDArray[Any]
) -> NDArray[Any]:
    """Bring `places` to what their neighbours say; returns those that have changed."""
    near = places[:, None] + steps
    near_times = times[near].astype(np.int64)
    entry = (LEVELS + 2 - height[places].astype(np.int64)) << _FRONTS
    old = times[places].astype(np.int64)
    best = near_times.min(axis=1)
    time = np.where(best == NEVER, old, np.minimum(old, np.maximum(entry, best + 1)))
    if ((time & 0xFFFFFF) == 0xFFFFFF)[time < NEVER].any():
        raise DataError("one level of the map winds over more than 16 million steps; decode smaller parts of the image")
    # From above comes the seed of the highest neighbour, the first of equals; along a level that of the front before,
    # the first by the way it moves, which is the opposite of where it comes from.
    before = near_times < time[:, None]
    from_above = np.where(before, height[near], 0).argmax(axis=1)
    opposite = np.arange(len(steps)) ^ 1
    along = opposite[(near_times == time[:, None] - 1)[:, opposite].argmax(axis=1)]
    source = np.where(time == entry, from_above, along)
    row = np.arange(len(places))
    known = np.where(time == entry, before[row, from_above], near_times[row, along] == time - 1)
    new_ids = np.where(known, ids[near[row, source]], ids[places])
    moved: NDArray[np.bool_] = (time != old) | (new_ids != ids[places])
    times[places] = time
    ids[places] = new_ids
    return np.asarray(places[moved])


def _flood(height: NDArray[np.uint8], seeds: NDArray[Any], times: NDArray[np.uint32] | None) -> NDArray[np.int32]:
    """`times`, if wanted, is filled; it has a rim of one pixel more than `height`."""
    shape = tuple(length + 2 for length in height.shape)
    core = (slice(1, -1),) * height.ndim
    ids = np.zeros(shape, np.int32)
    ids[core] = np.where(height > 0, seeds, 0)
    wet = np.zeros(shape, np.uint8)  # the height of pixels with an id; 0 for others and for the rim
    dry = np.zeros(shape, np.uint8)  # the height of pixels without
    seeded = ids[core] > 0
    wet[core] = np.where(seeded, height, 0)
    dry[core] = np.where(seeded, 0, height)
    if times is not None:
        times[core][seeded] = 0
    pools = _Pools(wet.reshape(-1), dry.reshape(-1), ids.reshape(-1), _steps(shape))
    pools.fill(None if times is None else times.reshape(-1))
    return ids[core].copy()


class _Pools:
    """The flat arrays of one flood, padded so that no neighbour is outside."""

    def __init__(self, wet: NDArray[np.uint8], dry: NDArray[np.uint8], ids: NDArray[np.int32], steps: list[int]):
        self.wet, self.dry, self.ids = wet, dry, ids
        self.steps = steps
        """Differences of flat index between a pixel and its neighbours."""

    def fill(self, times: NDArray[np.uint32] | None) -> None:
        """Flood from the highest level to the lowest."""
        waiting = np.flatnonzero(self.dry)
        if len(self.dry) < np.iinfo(np.int32).max:
            waiting = waiting.astype(np.int32)
        own = self.dry[waiting]
        waiting = waiting[np.argsort(own, kind="stable")]
        ends = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=LEVELS + 2))])
        for level in range(LEVELS + 1, 0, -1):
            time = (LEVELS + 2 - level) << _FRONTS
            front = self._enter(waiting[ends[level] : ends[level + 1]])
            while front.size:
                if times is not None:
                    times[front] = time
                    time += 1
                front = self._spread(front, level)

    def _enter(self, places: NDArray[Any]) -> NDArray[Any]:
        """Give those of `places` that have neighbours with an id the id of the highest; returns them."""
        places = places[self.dry[places] > 0]
        if not places.size:
            return places
        best_height = self.wet[places + self.steps[0]]
        best = np.full(len(places), self.steps[0], places.dtype)
        for step in self.steps[1:]:
            its_height = self.wet[places + step]
            better = its_height > best_height
            np.copyto(best, step, where=better)
            np.maximum(best_height, its_height, out=best_height)
        reached = best_height > 0
        front: NDArray[Any] = places[reached]
        self._wet(front, self.ids[front + best[reached]])
        return front

    def _spread(self, front: NDArray[Any], level: int) -> NDArray[Any]:
        """Give the ids of `front` to its neighbours at `level` or above that have none; returns these."""
        reached = []
        own = self.ids[front]
        for step in self.steps:
            neighbour = front + step
            free = self.dry[neighbour] >= level
            neighbour = neighbour[free]
            self._wet(neighbour, own[free])
            reached.append(neighbour)
        return np.concatenate(reached)

    def _wet(self, places: NDArray[Any], ids: NDArray[np.int32]) -> None:
        self.ids[places] = ids
        self.wet[places] = self.dry[places]
        self.dry[places] = 0


def _steps(shape: tuple[int, ...]) -> list[int]:
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    return [sign * stride for stride in strides for sign in (-1, 1)]
