"""Images that are there twice: equal to the pixel, or nearly (saved again, brightened, turned)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.fingerprint.measures import ImageMeasure
from segue.grouping import connected_groups

_ALIKE = 0.95
"""Correlation of two thumbnails from which images count as near-duplicates."""
_ENOUGH_FOR_MEAN = 8
"""From this many images of one shape on, what all have in common (a field of view) is taken off first."""
_DETAILS_ALIKE = 0.7
"""Correlation of the details of two thumbnails from which they can be neighbours in a sequence."""
_FAINTEST = 1e-4
"""Thumbnails that vary by less than this part of the largest intensity hold nothing to compare."""

_ROWS = 1024
"""So many images at a time are compared with all others: a table of all with all would not fit for many tiles."""
_ENOUGH_FOR_USUAL = 2048
"""What the usual distance of two images is follows from so many of them."""

Group = tuple[int, ...]


def equal_images(images: Sequence[ImageMeasure]) -> list[Group]:
    """Groups of the indices of images with the same pixels, each ascending."""
    by_digest: dict[str, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_digest[image.digest].append(index)
    return [tuple(group) for group in by_digest.values() if len(group) > 1]


def similar_images(images: Sequence[ImageMeasure]) -> list[Group]:
    """Groups of the indices of images that `similar_pairs` lead from one to the other, each ascending."""
    return [group for group in connected_groups(len(images), similar_pairs(images)) if len(group) > 1]


def similar_pairs(images: Sequence[ImageMeasure]) -> list[tuple[int, int]]:
    """Pairs of the indices of images that are equal or nearly; also flipped and turned ones.

    Only images of the same shape (or turned by 90 degrees) and number of channels are compared, by the
    correlation of their thumbnails; of many images also as neighbours in a slow sequence. Of several equal images
    each makes a pair with the first. Images of one value show nothing, so that they are like none.
    """
    shown = [group for group in equal_images(images) if not images[group[0]].is_constant]
    found = [(group[0], index) for group in shown for index in group[1:]]
    for members in _comparable(images):
        thumbnails = _prepare([images[index] for index in members])
        if len(members) >= _ENOUGH_FOR_MEAN:
            pairs = _alike(thumbnails, np.median(thumbnails, axis=0)) + _neighbours(thumbnails)
        else:
            pairs = _alike(thumbnails, np.zeros_like(thumbnails[0]))
        found += [(members[one], members[other]) for one, other in pairs]
    return found


def _comparable(images: Sequence[ImageMeasure]) -> list[list[int]]:
    members: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        if not image.is_constant:
            members[(*image.shape[:-2], *sorted(image.shape[-2:]), len(image.channels))].append(index)
    return [group for group in members.values() if len(group) > 1]


def _prepare(images: Sequence[ImageMeasure]) -> NDArray[np.float64]:
    """(N, side, side) thumbnails of mean 0 and length 1; or 0 if faint."""
    thumbnails = np.stack([image.thumbnail for image in images]).astype(np.float64)
    thumbnails -= thumbnails.mean(axis=(1, 2), keepdims=True)
    size = thumbnails[0].size ** 0.5
    largest = np.array([max(abs(c.highest) for c in image.channels) for image in images])
    faint = np.linalg.norm(thumbnails, axis=(1, 2)) / size <= _FAINTEST * np.maximum(largest, 1e-30)
    thumbnails[faint] = 0
    return _of_length_1(thumbnails)


def _without(thumbnails: NDArray[np.float64], common: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without what all have in common, again of mean 0 and length 1; those that are 0 stay so."""
    rest = thumbnails - common
    rest -= rest.mean(axis=(1, 2), keepdims=True)
    rest[~thumbnails.any(axis=(1, 2))] = 0
    return _of_length_1(rest)


def _of_length_1(arrays: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = arrays / np.maximum(np.linalg.norm(arrays, axis=(1, 2), keepdims=True), 1e-30)
    return scaled


def _neighbours(thumbnails: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of indices that are much nearer to each other than two images of the set usually are.

    In a slow sequence what all have in common is the sequence itself. Distances do not change when it is taken
    off, so that a field of view brings no two images nearer than others. Nearly empty ones are near each other
    too, but their details are noise.
    """
    count = len(thumbnails)
    flat = thumbnails.reshape(count, -1)
    some = flat[np.unique(np.linspace(0, count - 1, min(count, _ENOUGH_FOR_USUAL)).astype(int))]
    near = (1 - _ALIKE) * np.median((1 - some @ some.T)[np.triu_indices(len(some), 1)])
    steps = [np.diff(thumbnails, axis=axis).reshape(count, -1) for axis in (1, 2)]
    details = np.concatenate(steps, axis=1)
    usual = np.median(abs(details), axis=1, keepdims=True)
    details = np.clip(details, -usual, usual)  # or the rim of a field of view outweighs all that is in it
    details /= np.maximum(np.linalg.norm(details, axis=1, keepdims=True), 1e-30)
    return [
        pair
        for part, rest in _parts(count)
        for pair in _pairs(
            (1 - flat[part] @ flat[rest].T <= near) & (details[part] @ details[rest].T >= _DETAILS_ALIKE), part.start
        )
    ]


def _alike(thumbnails: NDArray[np.float64], common: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of indices whose thumbnails without `common` correlate, in any of the eight orientations.

    In a copy that was turned after it was taken the common has been turned too.
    """
    count = len(thumbnails)
    own = _without(thumbnails, common)
    found: set[tuple[int, int]] = set()
    for turns in range(4):
        for flip in (slice(None), slice(None, None, -1)):
            turned = np.rot90(own, turns, axes=(1, 2))[:, :, flip].reshape(count, -1)
            copies = _without(thumbnails, np.rot90(common, turns)[:, flip]).reshape(count, -1)
            for part, rest in _parts(count):
                best = np.maximum(copies[part] @ turned[rest].T, turned[part] @ copies[rest].T)
                found.update(_pairs(best >= _ALIKE, part.start))
    return sorted(found)


def _parts(count: int) -> Iterator[tuple[slice, slice]]:
    """Some of the images, and all from the first of them on: together each pair of them once."""
    for start in range(0, count, _ROWS):
        yield slice(start, start + _ROWS), slice(start, count)


def _pairs(belong: NDArray[np.bool_], start: int) -> list[tuple[int, int]]:
    ones, others = np.nonzero(np.triu(belong, 1))
    return list(zip((ones + start).tolist(), (others + start).tolist(), strict=True))
