"""Images, labels and answers at another pixel size.

Two grids over one picture: the areas of their pixels together are the same, so pixel j of a grid of m pixels lies where
(j + 1/2) n / m - 1/2 is in a grid of n. Values are filtered with a triangle as wide as two pixels of the coarser grid
(linear interpolation where pixels become smaller, and no aliasing where they become larger); Pillow does it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels, Space
from segue.errors import ImageError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.scratch import BlockArray, NewArray

SAME = 0.1
"""Along an axis whose pixel sizes differ by no more than this share, nothing is resampled: networks are trained with
images that are magnified and reduced by more, and resampling blurs."""
LARGEST_RATIO = 12.0
"""Pixels that are more times larger or smaller than those of the network show other things, or the file is wrong."""
_LINES = 1 << 22
"""Values that are resampled at a time: large arrays need not be in memory, and lines of Pillow are limited to 2^29."""


def needed_shape(shape: Sequence[int], space: Space, wanted: Space) -> tuple[int, ...]:
    """The shape that a picture of `shape` pixels of `space` has with the pixels of `wanted`.

    An axis along which both agree within `SAME` keeps its length; so do all if one of the two sizes is not known.
    """
    sizes, targets = space.micrometres, wanted.micrometres
    if sizes is None or targets is None or not len(shape) == len(sizes) == len(targets):
        return tuple(shape)
    ratios = [size / target for size, target in zip(sizes, targets, strict=True)]
    return tuple(
        length if are_alike(ratio) else max(1, int(length * ratio + 0.5))
        for length, ratio in zip(shape, ratios, strict=True)
    )


def are_alike(ratio: float) -> bool:
    """Whether two pixel sizes of this ratio count as one."""
    return max(ratio, 1 / ratio) <= 1 + SAME


def with_pixel_size(image: Image, wanted: Space, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """`image` with pixels of the size of `wanted`; itself if that is what it has, or if either size is not known.

    Raises ImageError if the sizes are more than `LARGEST_RATIO` apart, or the image would have more than `max_pixels`
    values.
    """
    shape, space = grid_at(image.shape, image.space, wanted, channels=image.channels, name=image.name, limit=max_pixels)
    return image if shape == image.shape else replace(image, pixels=resample_values(image.pixels, shape), space=space)


def grid_at(
    shape: tuple[int, ...], space: Space, wanted: Space, *, channels: int, name: str, limit: int
) -> tuple[tuple[int, ...], Space]:
    """The grid of an image of `shape` at the pixel size of `wanted`, as `with_pixel_size` makes it. Raises likewise."""
    new = needed_shape(shape, space, wanted)
    if new == shape:
        return shape, space
    sizes, targets = space.micrometres, wanted.micrometres
    assert sizes is not None
    assert targets is not None
    if is_wild(sizes, targets):
        raise ImageError(
            f"{name or 'the image'}: its pixels are {shown(space)}, but the network works at "
            f"{shown(wanted)}, more than {LARGEST_RATIO:g} times larger or smaller; "
            "if the file is wrong, say the size (--pixel-size, or pixel_size in dataset.toml)"
        )
    if channels * prod(new) > limit:
        raise ImageError(
            f"{name or 'the image'}: at the network's pixel size of {shown(wanted)} it would have "
            f"{' x '.join(map(str, new))} pixels, more than {limit:,} values; cut it into pieces, or raise "
            "--max-pixels"
        )
    kept = [old == length for old, length in zip(shape, new, strict=True)]
    sizes = tuple(size if keep else target for size, target, keep in zip(sizes, targets, kept, strict=True))
    return new, Space(pixel_size=sizes, unit="micrometer")


def is_wild(sizes: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two pixel sizes in one unit are more than `LARGEST_RATIO` apart along some axis."""
    return any(max(a / b, b / a) > LARGEST_RATIO for a, b in zip(sizes, others, strict=True))


def shown(space: Space) -> str:
    """A pixel size for people: "0.1 micrometer", or "5 x 0.5 x 0.5 micrometer" where axes differ."""
    sizes = space.pixel_size or ()
    alike = len(set(sizes)) == 1
    return " x ".join(f"{size:.4g}" for size in (sizes[:1] if alike else sizes)) + f" {space.unit}"


def resample_values(values: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """`values`, (C, Y, X) or (C, Z, Y, X) float32, over the same area with `shape` pixels; itself if it has them.

    Every new value is a mean of old ones with weights that sum to 1: constants stay, and probabilities still sum to 1.
    Linear ramps stay but for the last pixels at the edges (within a tenth of an old pixel where the image is reduced by
    a broken factor).
    """
    return cast("NDArray[np.float32]", resample_in_blocks(values, shape, new_array=np.zeros))


def resample_in_blocks(values: BlockArray, shape: Sequence[int], *, new_array: NewArray) -> BlockArray:
    """As `resample_values`, of arrays that are read and written in parts.

    One axis after the other, from the last on: `new_array` makes what lies between them too. (In one call Pillow takes
    rows or columns first, by the size of the picture, and so rounds parts of it unlike the whole.)
    """
    lengths = list(values.shape)
    for axis in reversed(range(1, len(lengths))):
        if lengths[axis] == shape[axis - 1]:
            continue
        source, lengths[axis] = values, shape[axis - 1]
        values = new_array(lengths, np.float32)
        for block in _lines_along(axis, source.shape):
            target = (*block[:axis], slice(0, lengths[axis]), *block[axis + 1 :])
            values[target] = _resized_along(axis, source[block], lengths[axis])
    return values


def _resized_along(axis: int, values: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    # Pillow sums along the rows of a picture and down its columns in ways that round differently.
    if axis == values.ndim - 1:
        rows = _resized(values.reshape(-1, values.shape[-1]), (values.size // values.shape[-1], length))
        return rows.reshape(*values.shape[:-1], length)
    lines = np.moveaxis(values, axis, 0)
    columns = _resized(lines.reshape(len(lines), -1), (length, lines[0].size))
    return np.moveaxis(columns.reshape(-1, *lines.shape[1:]), 0, axis)


def _lines_along(axis: int, shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Blocks that cover an array of `shape`, each whole along `axis` and of about `_LINES` values."""
    room = max(_LINES // max(shape[axis], 1), 1)
    steps = list(shape)
    for other in reversed([number for number in range(len(shape)) if number != axis]):
        steps[other] = max(min(shape[other], room), 1)
        room = max(room // steps[other], 1)
    parts = [
        [slice(at, min(at + step, length)) for at in range(0, length, step)]
        for step, length in zip(steps, shape, strict=True)
    ]
    return product(*parts)


def _resized(plane: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image as Pillow

    picture = Pillow.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize((shape[1], shape[0]), Pillow.Resampling.BILINEAR))


def resample_labels(labels: Labels, shape: Sequence[int], *, space: Space | None = None) -> Labels:
    """`labels` over the same area with `shape` pixels; themselves if they have them.

    A pixel gets the class that covers most of it, by the filter for values. Objects cover it in the same way; inside
    of them it gets the id of the nearest old pixel, so that no new ids appear and touching objects keep their border.
    """
    if labels.shape == tuple(shape):
        return labels
    ids = _resample_classes(labels.ids, shape) if labels.kind == "classes" else _resample_objects(labels.ids, shape)
    return replace(labels, ids=ids, space=space or Space())


def _resample_classes(ids: NDArray[np.int32], shape: Sequence[int]) -> NDArray[np.int32]:
    result: NDArray[np.int32] | None = None
    most: NDArray[np.float32] | None = None
    # Two classes that cover half a pixel each share such pixels like the fields of a chessboard: given to the lower
    # class, every object would lose half a pixel of its rim wherever an image is reduced to exactly half its size.
    field = np.zeros(shape, np.bool_)
    for axis, length in enumerate(shape):
        field ^= (np.arange(length) % 2 == 1).reshape([-1 if other == axis else 1 for other in range(len(shape))])
    for number in np.unique(ids):
        share = resample_values((ids == number)[None].astype(np.float32), shape)[0]
        if result is None or most is None:
            result, most = np.full(shape, number, np.int32), share
            continue
        wins = (share > most) | ((share == most) & field)
        result[wins] = number
        np.maximum(most, share, out=most)
    return np.zeros(shape, np.int32) if result is None else result


def _resample_objects(ids: NDArray[np.int32], shape: Sequence[int]) -> NDArray[np.int32]:
    from skimage.segmentation import expand_labels

    covered = _resample_classes(np.sign(ids), shape)
    nearest = np.maximum(resample_nearest(ids, shape), 0)
    # The nearest old pixel of a pixel at the rim may be background: such pixels get the id of the object beside them.
    reach = max(1.5, *(new / old for new, old in zip(shape, ids.shape, strict=True)))
    grown = expand_labels(nearest, distance=reach)  # type: ignore[no-untyped-call]
    return np.where(covered > 0, grown, np.minimum(covered, 0)).astype(np.int32)


def resample_nearest(ids: NDArray[np.int32], shape: Sequence[int]) -> NDArray[np.int32]:
    """For each new pixel the value of the old one that holds its centre (the later one where it lies between two)."""
    places = [(2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(shape, ids.shape, strict=True)]
    return ids[np.ix_(*places)]
