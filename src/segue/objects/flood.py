"""A seeded watershed for many pixels: from high to low, each level flooded breadth first, in whole arrays.

The watershed of Meyer & Beucher (1990) with its queue of single pixels replaced by fronts: every pixel gets a
seed from which the best path reaches it, the path whose lowest place is highest. Time grows with the number
of pixels (a heap of pixels grows faster, and its jumps through memory cost more than the sorting).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 254
"""Steps of height between 0 and 1; two heights that fall into one step count as equal."""


def flood(landscape: NDArray[np.float32], seeds: NDArray[Any], *, inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Grow `seeds` over `inside`, downhill from the highest places of `landscape`.

    All three have one shape and any number of axes. `landscape` is in [0, 1] (values beyond are clipped),
    `seeds` holds ids, 0 for none. Returns int32 ids, 0 outside of `inside` and where no seed can be reached
    through faces. A seed counts as the highest place wherever it lies. Of several neighbours at once the
    highest gives its seed to a pixel; of equal ones the first along the axes.
    """
    shape = tuple(length + 2 for length in inside.shape)
    core = (slice(1, -1),) * inside.ndim
    height = np.zeros(shape, np.uint8)  # 0 is outside, so that the rim needs no care
    height[core] = np.where(inside, (landscape * LEVELS).clip(0, LEVELS).astype(np.uint8) + 1, 0)
    ids = np.zeros(shape, np.int32)
    ids[core] = np.where(inside, seeds, 0)
    _flood_flat(height.reshape(-1), ids.reshape(-1), _steps(shape))
    return ids[core].copy()


def _flood_flat(height: NDArray[np.uint8], ids: NDArray[np.int32], steps: list[int]) -> None:
    """Fill `ids` in place. `steps` are the differences of flat index between a pixel and its neighbours."""
    waiting = np.flatnonzero((height > 0) & (ids == 0))
    if len(height) < np.iinfo(np.int32).max:
        waiting = waiting.astype(np.int32)
    waiting = waiting[np.argsort(height[waiting], kind="stable")]
    ends = np.searchsorted(height[waiting], np.arange(LEVELS + 3))
    for level in range(LEVELS + 1, 0, -1):
        dry = waiting[ends[level] : ends[level + 1]]
        dry = dry[ids[dry] == 0]
        front = _wet(dry, height, ids, steps)
        while front.size:
            front = _spread(front, level, height, ids, steps)


def _wet(dry: NDArray[Any], height: NDArray[np.uint8], ids: NDArray[np.int32], steps: list[int]) -> NDArray[Any]:
    """Give those of `dry` that have neighbours with an id the id of the highest; returns them."""
    best = np.zeros(len(dry), np.int32)
    best_height = np.zeros(len(dry), np.uint8)
    for step in steps:
        neighbour = ids[dry + step]
        its_height = np.where(neighbour > 0, height[dry + step], 0)
        better = its_height > best_height
        best[better] = neighbour[better]
        best_height[better] = its_height[better]
    wet = best > 0
    ids[dry[wet]] = best[wet]
    return dry[wet]


def _spread(
    front: NDArray[Any], level: int, height: NDArray[np.uint8], ids: NDArray[np.int32], steps: list[int]
) -> NDArray[Any]:
    """Give the ids of `front` to its neighbours at `level` or above that have none; returns these."""
    reached = []
    own = ids[front]
    for step in steps:
        neighbour = front + step
        free = (ids[neighbour] == 0) & (height[neighbour] >= level)
        neighbour = neighbour[free]
        ids[neighbour] = own[free]
        reached.append(neighbour)
    return np.concatenate(reached)


def _steps(shape: tuple[int, ...]) -> list[int]:
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    return [sign * stride for stride in strides for sign in (-1, 1)]
