"""Where each object of an id image lies: the bounding boxes that let the targets work near objects only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST_DENSE_ID = 10_000_000
# Above this, a table with a row for every possible id would cost more than sorting the pixels.


@dataclass(frozen=True, kw_only=True)
class Box:
    """One object: its id and the smallest box that holds all its pixels."""

    number: int
    """The object's id in the id image, 1 or more."""
    region: tuple[slice, ...]
    """The box, half open, in pixels of the image; one slice for each axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the box."""
        return tuple(side.stop - side.start for side in self.region)


def object_boxes(ids: NDArray[np.int32]) -> Iterator[Box]:
    """The boxes of all objects, by growing id. Ids of 0 and below are no objects; ids may have gaps.

    An object in several pieces has one box around them all.
    """
    from scipy import ndimage

    numbers = None
    if ids.size and ids.max() > _LARGEST_DENSE_ID:
        numbers, ranks = np.unique(ids, return_inverse=True)
        below_one = int(np.searchsorted(numbers, 1))
        ids = (ranks.reshape(ids.shape) - below_one + 1).astype(np.int32)
        numbers = numbers[below_one:]
    for rank, region in enumerate(ndimage.find_objects(ids) if ids.size else [], start=1):
        if region is not None:
            yield Box(number=rank if numbers is None else int(numbers[rank - 1]), region=region)
