"""Who is there: ids, sizes, places, boxes and sums of all objects, counted block by block.

Nothing of the size of the image is held in memory, so that objects in files are counted like those in arrays; what
grows is some numbers for each object and each block that it meets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.io.scratch import Block, Readable
from segue.objects.blocks import Grid
from segue.objects.numbers import consecutive

Body = tuple[int, Block, NDArray[np.bool_]]
"""Id of an object, its bounding box, and which pixels of the box are the object's."""


@dataclass(frozen=True, kw_only=True)
class Census:
    """What is known of n objects, ascending by id. Lengths are in pixels."""

    ids: NDArray[Any]
    """(n,), in the type of the image of ids."""
    sizes: NDArray[np.int64]
    """(n,): number of pixels."""
    centroids: NDArray[np.float64]
    """(n, axes): mean of the places of the pixels."""
    covariances: NDArray[np.float64]
    """(n, axes, axes): of the places of the pixels."""
    boxes: NDArray[np.int64]
    """(n, 2, axes): first pixel, and last pixel + 1."""
    sums: dict[str, NDArray[np.float64]]
    """(n, M) by name: over the pixels of each object, of M maps."""
    shape: tuple[int, ...]
    """Of the image."""

    def means(self, name: str) -> NDArray[np.float64]:
        """(n, M): `sums` over `sizes`."""
        means: NDArray[np.float64] = self.sums[name] / self.sizes[:, None]
        return means

    def touches_border(self) -> NDArray[np.bool_]:
        """(n,): whether an object has a pixel at the border of the image."""
        low, high = self.boxes[:, 0], self.boxes[:, 1]
        touches: NDArray[np.bool_] = ((low == 0) | (high == np.array(self.shape))).any(axis=1)
        return touches

    def bodies(self, ids: Readable) -> Iterator[Body]:
        """Each object with its pixels; `ids` are those that were counted."""
        for number, (low, high) in zip(self.ids.tolist(), self.boxes.tolist(), strict=True):
            box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
            yield number, box, ids[box] == number


def take_census(ids: Readable, maps: Mapping[str, Readable] | None = None) -> Census:
    """Count the objects of `ids` ([Z,] Y, X), where 0 is background, and add up `maps`, each (M, [Z,] Y, X)."""
    nothing = tuple(slice(0, 0) for _ in ids.shape)
    return _merged([_count(ids, block, maps or {}) for block in Grid(ids.shape).blocks or [nothing]])


def _count(ids: Readable, block: Block, maps: Mapping[str, Readable]) -> Census:
    """The census of one block, its places those of the image."""
    here, numbers = consecutive(ids[block])
    inside = np.nonzero(numbers)
    owner = numbers[inside] - 1
    sizes = np.bincount(owner, minlength=len(here))
    start = np.array([part.start for part in block])

    def means(values: NDArray[Any]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.bincount(owner, weights=values, minlength=len(here)) / sizes
        return summed

    centroids = np.stack([means(places) for places in inside], axis=-1)
    from_centre = [places - centroid[owner] for places, centroid in zip(inside, centroids.T, strict=True)]
    covariances = np.empty((len(here), len(block), len(block)))
    for first, second in combinations_with_replacement(range(len(block)), 2):
        shared = means(from_centre[first] * from_centre[second])
        covariances[:, first, second] = covariances[:, second, first] = shared
    boxes = [[[part.start for part in box], [part.stop for part in box]] for box in _boxes(numbers)]
    sums: dict[str, NDArray[np.float64]] = {}
    for name, values in maps.items():
        pixels = values[(slice(0, values.shape[0]), *block)]
        sums[name] = np.zeros((len(here), len(pixels)))
        for number, one in enumerate(pixels):
            sums[name][:, number] = np.bincount(owner, weights=one[inside], minlength=len(here))
    return Census(
        ids=here if here.dtype.kind in "iu" else here.astype(np.int64),
        sizes=sizes.astype(np.int64),
        centroids=centroids + start,
        covariances=covariances,
        boxes=np.array(boxes, np.int64).reshape(len(here), 2, len(block)) + start,
        sums=sums,
        shape=tuple(ids.shape),
    )


def _merged(parts: Sequence[Census]) -> Census:
    """One census of all: sizes and sums add up, and the covariance is that within the parts and that between them."""
    ids, index = np.unique(np.concatenate([part.ids for part in parts]), return_inverse=True)

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        result = np.zeros((len(ids), *values.shape[1:]))
        np.add.at(result, index, values)
        return result

    own = np.concatenate([part.sizes for part in parts])
    places = np.concatenate([part.centroids for part in parts])
    within = np.concatenate([part.covariances for part in parts])
    boxes = np.concatenate([part.boxes for part in parts])
    sizes = total(own)
    centroids = total(own[:, None] * places) / sizes[:, None]
    off = places - centroids[index]
    between = off[:, :, None] * off[:, None, :]
    low = np.full((len(ids), boxes.shape[2]), np.iinfo(np.int64).max)
    high = np.zeros_like(low)
    np.minimum.at(low, index, boxes[:, 0])
    np.maximum.at(high, index, boxes[:, 1])
    return Census(
        ids=ids,
        sizes=sizes.astype(np.int64),
        centroids=centroids,
        covariances=total(own[:, None, None] * (within + between)) / sizes[:, None, None],
        boxes=np.stack([low, high], axis=1),
        sums={name: total(np.concatenate([part.sums[name] for part in parts])) for name in parts[0].sums},
        shape=parts[0].shape,
    )


def _boxes(numbers: NDArray[Any]) -> list[Block]:
    """The bounding boxes of the objects 1..n, which are all there."""
    from scipy import ndimage

    return list(ndimage.find_objects(numbers)) if numbers.size else []
