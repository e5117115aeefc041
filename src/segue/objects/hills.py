"""Which hills of a map are objects: a small dip between two tops is noise, a deep one is where two objects touch.

A hill stands for itself if its top is at least `dip` above the saddle to a higher hill, its dynamics in the words of
Grimaud (1992); else it is a part of that one. Against a fixed threshold for seeds this finds objects whose tops are low
and parts objects whose saddle is high (docs/decisions/0012-dips-instead-of-seeds.md has the figures).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
"""(2, n): two hills that touch, the lower number first."""


def terraces(height: NDArray[np.uint8], *, dip: int) -> NDArray[np.uint8]:
    """Heights in steps of `dip`, 0 outside: a hill that is as deep as `dip` has a terrace higher than all around it."""
    return np.asarray(-(-height.astype(np.int16) // max(dip, 1)), np.uint8)


def plateaus(
    terrace: NDArray[np.uint8], inner: tuple[slice, ...] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The plateaus of a map, numbered from 1 in the order of a scan, and whether each has a higher neighbour.

    A plateau is a face-connected region of one value above 0. What lies around `inner` counts only as neighbour.
    """
    from skimage.measure import label

    inner = inner or (slice(None),) * terrace.ndim
    if terrace.size == 0:
        return np.zeros(terrace[inner].shape, np.int32), np.zeros(1, bool)
    beaten = np.zeros(terrace.shape, bool)
    for low, high in _neighbours(terrace.ndim):
        beaten[low] |= terrace[low] < terrace[high]
        beaten[high] |= terrace[high] < terrace[low]
    numbers, count = label(terrace[inner], background=0, connectivity=1, return_num=True)  # type: ignore[no-untyped-call]
    has_higher = np.zeros(count + 1, bool)
    has_higher[numbers[beaten[inner]]] = True
    return numbers.astype(np.int32), has_higher


def hilltops(
    height: NDArray[np.uint8], *, dip: int, inner: tuple[slice, ...] | None = None
) -> tuple[NDArray[np.int32], int]:
    """The plateaus that no neighbour rises above, numbered from 1 in the order of a scan, 0 elsewhere; their number.

    What lies around `inner` counts only as neighbour.
    """
    numbers, has_higher = plateaus(terraces(height, dip=dip), inner)
    has_higher[0] = True
    new = np.where(has_higher, 0, np.cumsum(~has_higher)).astype(np.int32)
    return new[numbers], int(new.max())


def peaks(tops: NDArray[Any], height: NDArray[np.uint8], *, number: int) -> NDArray[np.int64]:
    """The greatest height of each of the hills 1..`number`, (number + 1,), from their tops (or all of them)."""
    highest = np.zeros(number + 1, np.int64)
    places = np.flatnonzero(tops)
    np.maximum.at(highest, tops.reshape(-1)[places], height.reshape(-1)[places])
    return highest


def saddles(hills: NDArray[Any], height: NDArray[np.uint8]) -> tuple[Pairs, NDArray[np.int64]]:
    """Every pair of hills that touch through faces, once, and the height of the highest way from one to the other."""
    found = []
    for low, high in _neighbours(hills.ndim):
        found.append(crossings(hills[low], hills[high], height[low], height[high]))
    return highest_crossings([pairs for pairs, _ in found], [way for _, way in found])


def crossings(
    first: NDArray[Any], second: NDArray[Any], first_height: NDArray[np.uint8], second_height: NDArray[np.uint8]
) -> tuple[Pairs, NDArray[np.int64]]:
    """Where neighbours (equally shaped arrays) belong to two hills: which, and the lower of the two heights."""
    differ = (first != second) & (first > 0) & (second > 0)
    one, other = first[differ].astype(np.int64), second[differ].astype(np.int64)
    ways = np.minimum(first_height[differ], second_height[differ]).astype(np.int64)
    return np.stack([np.minimum(one, other), np.maximum(one, other)]), ways


def highest_crossings(pairs: list[Pairs], ways: list[NDArray[np.int64]]) -> tuple[Pairs, NDArray[np.int64]]:
    """Each pair once, with the highest of its ways."""
    every, heights = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1), np.concatenate([[0], *ways])[1:]
    order = np.lexsort((-heights, every[1], every[0]))
    every, heights = every[:, order], heights[order]
    new = np.ones(len(heights), bool)
    new[1:] = (every[:, 1:] != every[:, :-1]).any(axis=0)
    return every[:, new], heights[new].astype(np.int64)


def owners(
    highest: NDArray[np.int64],
    first: NDArray[np.int64],
    pairs: Pairs,
    ways: NDArray[np.int64],
    *,
    dip: float,
) -> NDArray[np.int64]:
    """For each hill the one it is a part of, itself if it stands for itself.

    `highest` are the peaks and `first` the places that name the hills: of equal saddles and tops the one whose hills
    come first counts first, so that the answer does not depend on their numbers. `dip` is in units of height.
    """
    # Only of hills that touch others are there numbers of Python, which take much memory; all others stay as they are.
    owner = np.arange(len(highest), dtype=np.int64)
    touching, index = np.unique(pairs, return_inverse=True)
    pairs, highest, first = index.reshape(pairs.shape), highest[touching], first[touching]
    one, other = np.where(first[pairs[0]] <= first[pairs[1]], pairs, pairs[::-1])
    order = np.lexsort((first[other], first[one], -np.minimum(highest[one], highest[other]), -ways))
    root = list(range(len(highest)))
    top = highest.tolist()
    place = first.tolist()

    def find(hill: int) -> int:
        while root[hill] != hill:
            root[hill] = root[root[hill]]
            hill = root[hill]
        return hill

    for a, b, way in zip(one[order].tolist(), other[order].tolist(), ways[order].tolist(), strict=True):
        higher, lower = find(a), find(b)
        if higher == lower:
            continue
        if (top[higher], -place[higher]) < (top[lower], -place[lower]):
            higher, lower = lower, higher
        if top[lower] - way < dip:
            root[lower] = higher
    owner[touching] = touching[[find(hill) for hill in range(len(root))]]
    return owner


def _neighbours(axes: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Two places for each axis: all pixels with a next one, and these next ones."""
    low, high = slice(None, -1), slice(1, None)
    leading = [(slice(None),) * axis for axis in range(axes)]
    return [((*before, low), (*before, high)) for before in leading]
