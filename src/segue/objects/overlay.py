"""A picture of an image with its objects outlined, in colours that differ between neighbours."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image
from segue.errors import LabelError
from segue.objects.numbers import consecutive

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

PERCENTILES = (0.5, 99.5)
"""Grey values below and above these percentiles are drawn black and white."""


def overlay(image: Image, ids: NDArray[Any], *, reach: int = 3) -> NDArray[np.uint8]:
    """(Y, X, 3) uint8: the image, with the border pixels of each object of `ids` (Y, X) coloured.

    Objects closer than about 2 `reach` pixels count as neighbours. An RGB image of values in 0..255 keeps its
    colours; of others the first channel is drawn, stretched between its percentiles. Raises LabelError if the
    shapes differ or the image is a volume.
    """
    if image.spatial_axes != 2 or image.shape != ids.shape:
        raise LabelError(f"an overlay needs an image and objects of one plane, not {image.shape} and {ids.shape}")
    picture = _canvas(image)
    numbers = consecutive(ids)[1]
    rim = _rims(numbers)
    picture[rim] = COLOURS[colour_neighbours(numbers, reach=reach)[numbers[rim]]]
    return picture


def colour_neighbours(numbers: NDArray[Any], *, reach: int = 3) -> NDArray[np.intp]:
    """(n + 1,) the index of a colour for each of the objects 1..n, so that neighbours have different ones.

    Each object grows by `reach` pixels; those that then touch are neighbours. Objects are coloured in the
    order of smallest last (Matula & Beck 1983), so that at most six colours are needed when, as in a plane,
    every map has an object with five neighbours or less; with more than seven neighbours of different
    colours, colours repeat.
    """
    neighbours = _neighbours(_grow(numbers, reach))
    colour = np.full(int(numbers.max(initial=0)) + 1, -1, np.intp)
    for number in reversed(_smallest_last(neighbours)):
        used = {int(colour[other]) for other in neighbours[number]}
        colour[number] = next((index for index in range(len(COLOURS)) if index not in used), number % len(COLOURS))
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


def _neighbours(numbers: NDArray[Any]) -> dict[int, set[int]]:
    """Which objects touch, through edges or corners."""
    found: dict[int, set[int]] = {number: set() for number in range(1, int(numbers.max(initial=0)) + 1)}
    height, width = numbers.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left = numbers[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        right = numbers[dy:, max(dx, 0) : width + min(dx, 0)]
        touching = (left != right) & (left > 0) & (right > 0)
        pairs = np.unique(left[touching].astype(np.int64) * (len(found) + 1) + right[touching])
        for first, second in (divmod(pair, len(found) + 1) for pair in pairs.tolist()):
            found[first].add(second)
            found[second].add(first)
    return found


def _grow(numbers: NDArray[Any], reach: int) -> NDArray[Any]:
    from skimage.segmentation import expand_labels

    if not numbers.any():
        return numbers
    return np.asarray(expand_labels(numbers, reach))  # type: ignore[no-untyped-call]


def _rims(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects that have a neighbour through an edge, or the outside, that is something else."""
    framed = np.pad(numbers, 1)
    inner = framed[1:-1, 1:-1]
    rim = np.zeros(numbers.shape, bool)
    for other in (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:]):
        rim |= inner != other
    return rim & (inner > 0)


def _canvas(image: Image) -> NDArray[np.uint8]:
    pixels = np.nan_to_num(image.pixels, posinf=0, neginf=0)
    if image.is_rgb and pixels.max(initial=0) <= 255 and pixels.min(initial=0) >= 0:
        return np.moveaxis(pixels, 0, -1).astype(np.uint8)
    grey = pixels[0]
    low, high = np.percentile(grey, PERCENTILES) if grey.size else (0.0, 1.0)
    scaled = ((grey - low) / max(float(high - low), 1e-12)).clip(0, 1) * 255
    return np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=-1)
