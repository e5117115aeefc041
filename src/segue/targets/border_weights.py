"""Pixel weights of the loss: class balance, and the thin background between neighbouring cells.

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

Equation 2 of Ronneberger, Fischer & Brox (2015), https://arxiv.org/abs/1505.04597. d1 and d2 are the
distances from pixel x to the nearest and to the second nearest cell, measured between pixel centres. The
formula is evaluated on every pixel as it is printed: a pixel of a cell has d1 = 0, and its d2 is the distance
to the next cell, so that both sides of a narrow gap weigh as much as the gap. With fewer than two cells the
second distance is infinite and the border term is 0.

The term needs no full distance transform. Beyond d1 + d2 = R = sigma sqrt(2 ln(w0 / eps)) it is smaller than
eps; so each cell's distances are computed in its bounding box grown by R alone, and two running minima keep
d1 and d2. A pixel with d1 + d2 <= R has both of its cells within R and gets the exact value; any other gets a
value between 0 and the true one, which is below eps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE
from segue.errors import UsageError
from segue.targets.boxes import Box, object_boxes

LIMIT = 10.0
"""No class weighs more than this many times as much as another."""

_BATCH_VALUES = 1 << 17
# Values of one batch of neighbourhoods: half a megabyte, which stays in the processor's second-level cache.


@dataclass(frozen=True, kw_only=True)
class BorderWeights:
    """How much the background between neighbouring cells counts."""

    w0: float = 10.0
    """Weight in the limit of no distance; 10 in the paper. 0 switches the term off."""
    sigma: float = 5.0
    """Width of the term in pixels (5 in the paper), or in the unit of `spacing` where that is given."""
    eps: float = 5e-5
    """Largest absolute error of the term; terms below it may be taken for 0."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.w0) and self.w0 >= 0):
            raise UsageError(f"w0 = {self.w0} is no weight; give 0 (no border weights) or more")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise UsageError(f"sigma = {self.sigma} is no width; give a positive number of pixels")
        if not self.eps > 0:
            raise UsageError(f"eps = {self.eps} is no error bound; give a positive number such as 5e-5")

    @property
    def radius(self) -> float:
        """R: where d1 + d2 is greater, the term is below `eps`. In the unit of `sigma`."""
        return self.sigma * math.sqrt(2 * math.log(self.w0 / self.eps)) if self.w0 > self.eps else 0.0


def border_term(
    cells: NDArray[np.int32], config: BorderWeights, *, spacing: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """w0 exp(-(d1 + d2)^2 / (2 sigma^2)) of every pixel of an id image, within `config.eps`.

    `cells` is (Y, X) or (Z, Y, X), int32, an id of 1 or more for every cell; 0 and below are no cells.
    `spacing` is the size of a pixel along each axis in the unit of sigma; without it distances are in pixels.
    The result is float32 of the same shape in [0, w0]. Memory: two float32 arrays of that shape besides small
    ones.

    Raises UsageError for a spacing that does not fit.
    """
    steps = _check_spacing(spacing, cells.ndim)
    if config.radius == 0.0 or cells.size == 0:
        return np.zeros(cells.shape, np.float32)
    nearest, second = _two_nearest(cells, config.radius, steps)
    np.sqrt(nearest, out=nearest)
    np.sqrt(second, out=second)
    term = np.add(nearest, second, out=nearest)
    term *= 1 / (math.sqrt(2) * config.sigma)
    np.square(term, out=term)
    np.exp(np.negative(term, out=term), out=term)
    term *= config.w0
    return term


def class_weights(frequencies: Sequence[float] | NDArray[np.floating]) -> tuple[float, ...]:
    """w_c for each class from the share of pixels it has, so that rare classes count as much as common ones.

    r_k = 1 / f_k, cut at LIMIT times the smallest r (which a class without pixels gets), then scaled so that the
    mean weight of a pixel is 1: sum_k f_k w_k = 1. The scale keeps w0 comparable to w_c whatever the frequencies.
    Frequencies may be counts; they are divided by their sum.

    Raises UsageError if a frequency is negative or not finite, or if all are 0.
    """
    shares = np.asarray(frequencies, np.float64)
    if shares.size == 0 or not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() == 0:
        raise UsageError(f"class frequencies {shares.tolist()} are no shares; give numbers >= 0, not all 0")
    shares = shares / shares.sum()
    raw = 1 / np.maximum(shares, shares.max() / LIMIT)
    return tuple(float(weight) for weight in raw / (shares @ raw))


def weight_map(
    classes: NDArray[np.integer],
    *,
    cells: NDArray[np.int32] | None = None,
    class_weights: Sequence[float] | None = None,
    border: BorderWeights | None = None,
    spacing: Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """w(x) of every pixel: class weight and border term, 0 where the class is IGNORE.

    `classes` is (Y, X) or (Z, Y, X) of class ids 0..K-1 or IGNORE; `class_weights` are the K numbers w_c, 1
    for every class without them; `cells` is the id image for `border` and `spacing` (see `border_term`).
    Without `border` or `cells` there is no border term. Compute it on whole images: a patch cut from the
    result knows the cells outside.

    Raises UsageError for a spacing that does not fit, or too few class weights.
    """
    if border is not None and cells is not None:
        weights = border_term(cells, border, spacing=spacing)
    else:
        weights = np.zeros(classes.shape, np.float32)
    if class_weights is None:
        weights += 1
    else:
        highest = int(classes.max(initial=0))
        if highest >= len(class_weights):
            raise UsageError(f"{len(class_weights)} class weights for a map with class {highest}; give one a class")
        weights += np.asarray([*class_weights, 0.0], np.float32)[
            classes
        ]  # IGNORE = -1 takes the last, any value will do
    weights[classes == IGNORE] = 0
    return weights


def _check_spacing(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * axes
    if len(spacing) != axes or not all(math.isfinite(step) and step > 0 for step in spacing):
        raise UsageError(f"spacing {tuple(spacing)} does not fit {axes} axes; give {axes} positive numbers")
    return tuple(float(step) for step in spacing)


def _two_nearest(
    cells: NDArray[np.int32], radius: float, steps: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Squared distances to the two nearest cells, exact where the distances sum to `radius` or less."""
    reach = tuple(min(int(radius / step), length - 1) for step, length in zip(steps, cells.shape, strict=True))
    nearest = np.full(cells.shape, np.inf, np.float32)
    second = np.full(cells.shape, np.inf, np.float32)
    for batch in _batches(list(object_boxes(cells)), reach):
        for box, distances in zip(batch, _neighbourhoods(cells, batch, reach, steps), strict=True):
            inside = tuple(
                slice(max(side.start - margin, 0), min(side.stop + margin, length))
                for side, margin, length in zip(box.region, reach, cells.shape, strict=True)
            )
            seen = distances[
                tuple(
                    slice(part.start - side.start + margin, part.stop - side.start + margin)
                    for part, side, margin in zip(inside, box.region, reach, strict=True)
                )
            ]
            first, then = nearest[inside], second[inside]
            np.minimum(then, np.maximum(first, seen), out=then)
            np.minimum(first, seen, out=first)
    return nearest, second


def _batches(boxes: list[Box], reach: tuple[int, ...]) -> Iterator[list[Box]]:
    """Boxes of like shape together: one numpy call then works on many small objects at once."""
    order = sorted(
        (*(-(-side // 8) for side in box.shape[:-1]), box.shape[-1], place) for place, box in enumerate(boxes)
    )
    batch: list[Box] = []
    largest = (0,) * len(reach)
    for *_, place in order:
        box = boxes[place]
        larger = tuple(map(max, largest, box.shape))
        values = math.prod(side + 2 * margin for side, margin in zip(larger, reach, strict=True))
        if batch and values * (len(batch) + 1) > _BATCH_VALUES:
            yield batch
            batch, larger = [], box.shape
        batch.append(box)
        largest = larger
    if batch:
        yield batch


def _neighbourhoods(
    cells: NDArray[np.int32], batch: list[Box], reach: tuple[int, ...], steps: tuple[float, ...]
) -> NDArray[np.float32]:
    """Squared distances to each object of a batch: (object, *box grown by `reach`), padded to the largest."""
    shape = tuple(max(sides) for sides in zip(*(box.shape for box in batch), strict=True))
    squared = np.full((*shape, len(batch)), np.inf, np.float32)
    for place, box in enumerate(batch):
        corner = tuple(slice(0, side) for side in box.shape)
        squared[..., place][corner][cells[box.region] == box.number] = 0
    for margin, step in zip(reversed(reach), reversed(steps), strict=True):
        squared = _spread(squared, margin, step)
    return np.ascontiguousarray(np.moveaxis(squared, -1, 0))


def _spread(squared: NDArray[np.float32], margin: int, step: float) -> NDArray[np.float32]:
    """Take in the last spatial axis and put it first, `margin` longer at both ends.

    One dimension of an exact Euclidean distance transform (Felzenszwalb & Huttenlocher 2012, section 2): the
    minimum over sources of squared distance + (step * offset)^2, here over offsets of at most `margin`.
    Rotating the axes makes every turn the same, and after as many turns as axes the order is the old one.
    """
    sources = np.ascontiguousarray(np.moveaxis(squared, -2, 0))
    length = len(sources)
    spread = np.full((length + 2 * margin, *sources.shape[1:]), np.inf, np.float32)
    spread[margin : margin + length] = sources
    candidates = np.empty_like(sources)
    for offset in range(1, margin + 1):
        np.add(sources, np.float32((step * offset) ** 2), out=candidates)
        for start in (margin - offset, margin + offset):
            band = spread[start : start + length]
            np.minimum(band, candidates, out=band)
    return spread
