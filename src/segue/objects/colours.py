"""Colours for objects, such that neighbours differ."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLOURS = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (213, 94, 0),
        (204, 121, 167),
        (0, 114, 255),
    ],
    np.uint8,
)
"""Seven colours that people with any colour vision tell apart, after Okabe & Ito (2008)."""


def colour_neighbours(numbers: NDArray[Any], *, reach: int = 3) -> NDArray[np.intp]:
    """(n + 1,) the index of a colour for each of the objects 1..n, so that neighbours have different ones.

    `numbers` is (Y, X), or (Z, Y, X), where neighbours are those of any slice. Each object grows by `reach` pixels in
    its plane; those that then touch are neighbours. Objects are coloured in the order of smallest last (Matula & Beck
    1983), so that six colours are enough where, as in a plane, every map has an object with five neighbours or less;
    with seven neighbours of different colours, colours repeat.
    """
    count = int(numbers.max(initial=0))
    neighbours: dict[int, set[int]] = {number: set() for number in range(1, count + 1)}
    for plane in numbers if numbers.ndim == 3 else [numbers]:
        for first, second in _touching(_grow(plane, reach), count):
            neighbours[first].add(second)
            neighbours[second].add(first)
    colour = np.full(count + 1, -1, np.intp)
    for number in reversed(_smallest_last(neighbours)):
        used = {int(colour[other]) for other in neighbours[number]}
        order = [(number + step) % len(COLOURS) for step in range(len(COLOURS))]  # all colours are used
        colour[number] = next((index for index in order if index not in used), order[0])
    colour[colour < 0] = 0
    return colour


def _smallest_last(neighbours: dict[int, set[int]]) -> list[int]:
    """Take away again and again an object with fewest neighbours left; the order of taking."""
    degree = {number: len(others) for number, others in neighbours.items()}
    buckets: dict[int, dict[int, None]] = {}
    for number, count in degree.items():
        buckets.setdefault(count, {})[number] = None
    order = []
    while degree:
        fewest = min(count for count, bucket in buckets.items() if bucket)
        number = next(iter(buckets[fewest]))
        del buckets[fewest][number], degree[number]
        order.append(number)
        for other in sorted(neighbours[number]):
            if other in degree:
                del buckets[degree[other]][other]
                degree[other] -= 1
                buckets.setdefault(degree[other], {})[other] = None
    return order


def _touching(plane: NDArray[Any], count: int) -> Iterator[tuple[int, int]]:
    """Pairs of the objects 1..`count` that touch, through edges or corners."""
    height, width = plane.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left = plane[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        right = plane[dy:, max(dx, 0) : width + min(dx, 0)]
        touching = (left != right) & (left > 0) & (right > 0)
        pairs = np.unique(left[touching].astype(np.int64) * (count + 1) + right[touching])
        yield from (divmod(pair, count + 1) for pair in pairs.tolist())


def _grow(numbers: NDArray[Any], reach: int) -> NDArray[Any]:
    from skimage.segmentation import expand_labels

    if not numbers.any():
        return numbers
    return np.asarray(expand_labels(numbers, reach))  # type: ignore[no-untyped-call]
