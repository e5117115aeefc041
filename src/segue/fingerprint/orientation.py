"""Whether images have a right way up: in scans of a body a class lies on the same side in every one of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_IMAGES = 12
"""Fewer say nothing: that all of a few lie the same way round may be chance."""
LEAST_OFFSET = 0.05
"""A class that is nearer to the middle, or to another class, as a part of the image's length, lies on no side."""
LEAST_CERTAINTY = 3.0
"""A place is so many standard deviations (over the images) away from the middle."""


def class_centres(ids: NDArray[np.int32], *, classes: int) -> NDArray[np.float64]:
    """Where the pixels of each class but 0 lie on average: (classes - 1, axes), NaN for a class that does not occur.

    `ids` is (Y, X) or (Z, Y, X). A place is a part of the image's length along an axis, counted from the centre of all
    annotated pixels (ids of 0 or more): in a mirror image it is the same with the other sign.
    """
    centres = np.full((max(classes - 1, 0), ids.ndim), np.nan)
    middle = _centre(ids >= 0)
    for number in range(1, classes):
        centres[number - 1] = (_centre(ids == number) - middle) / ids.shape
    return centres


def oriented_axes(centres: Sequence[NDArray[np.float64]]) -> tuple[bool, ...]:
    """Along which axes a mirror image would show what hardly any of the images shows; `centres` as of `class_centres`.

    Along such an axis some class lies on one side of the middle, or of another class, in all images but rare ones.
    Images that lie as they happened to be put have no such axis, if they show different scenes.
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


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean index of the pixels of a mask along each axis; NaN if there are none."""
    if not mask.any():
        return np.full(mask.ndim, np.nan)
    others = [tuple(other for other in range(mask.ndim) if other != axis) for axis in range(mask.ndim)]
    counts = [np.count_nonzero(mask, axis=rest) for rest in others]
    return np.array([one @ np.arange(len(one)) / one.sum() for one in counts])
