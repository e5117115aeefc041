"""Whether images have a right way up: in scans of a body a class lies on the same side in every one of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_IMAGES = 12
"""Fewer say nothing: that all of a few lie the same way round may be chance."""
LEAST_OFFSET = 0.05
"""A class that is nearer to the middle, or to another class, as a part of the image's length, lies on no side."""
LEAST_CERTAINTY = 3.0
"""So many standard deviations (over the images) lie between a place and the place of its mirror image."""


def class_centres(ids: NDArray[np.int32], *, classes: int) -> NDArray[np.float64]:
    """Where the pixels of each class but 0 lie on average: (classes - 1, axes), NaN for a class that does not occur.

    `ids` is (Y, X) or (Z, Y, X). A place is a part of the image's length along an axis, from -0.5 to 0.5; 0 is its
    middle, so that a mirror image has the same place with the other sign.
    """
    centres = np.full((max(classes - 1, 0), ids.ndim), np.nan)
    for axis, length in enumerate(ids.shape):
        places = (np.arange(length) + 0.5) / max(length, 1) - 0.5
        planes = np.moveaxis(ids, axis, 0).reshape(length, -1)
        for number in range(1, classes):
            counts = (planes == number).sum(axis=1)
            if counts.any():
                centres[number - 1, axis] = places @ counts / counts.sum()
    return centres


def oriented_axes(centres: Sequence[NDArray[np.float64]]) -> tuple[bool, ...]:
    """Along which axes a mirror image would show what none of the images shows; `centres` is as `class_centres` says.

    Along such an axis some class lies on one side of the image's middle, or of another class, in all images but rare
    ones. Images of one class in changing places, and images that lie as they happened to be put, have no such axis.
    """
    places = np.stack(centres)
    first, second = np.triu_indices(places.shape[1], k=1)
    offsets = np.concatenate([places, places[:, second] - places[:, first]], axis=1)
    known = np.isfinite(offsets)
    count = known.sum(axis=0)
    mean = np.where(known, offsets, 0).sum(axis=0) / np.maximum(count, 1)
    deviation = np.sqrt((np.where(known, offsets - mean, 0) ** 2).sum(axis=0) / np.maximum(count, 1))
    one_sided = (count >= FEWEST_IMAGES) & (abs(mean) >= LEAST_OFFSET) & (abs(mean) >= LEAST_CERTAINTY * deviation)
    return tuple(one_sided.any(axis=0).tolist())
