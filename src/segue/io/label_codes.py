"""Which values of masks were meant, when smoothing or JPEG compression has put others in between.

An anti-aliased mask of 0 and 255 holds most values from 1 to 254 too, each in a few pixels along edges. They
are told from object ids by five marks: hardly any of their pixels has only equals around it, they lie in
value between their neighbours (or close to a main value), there are several of them, together they cover
little, and few of them are one piece with an inside, as a small object is.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segue.errors import LabelError

_GAP = 16
"""Values closer than this to a more frequent one are noise around it, not a code of their own."""
_NEAR = 24
"""Ringing of JPEG compression stays within this distance of a main value (other in-between values lie at
edges)."""
_MOST_MAIN = 12
"""More main values than this are no codes of classes."""
_LEAST_INNER = 0.005
"""A main value has at least this share of all inner pixels."""
_MOST_UNCLEAR = 1 / 3
"""Of the pixels of JPEG masks besides the background, no more may lie between the main values. Binary masks and gray
codes stay below 0.3 even at quality 20, numbered objects reach 0.5 at any quality."""


class Evidence(Protocol):
    """The parts of a mask's summary that are used here; arrays are (n,), one entry a value."""

    @property
    def coding(self) -> str: ...  # noqa: D102
    @property
    def lossy(self) -> bool: ...  # noqa: D102
    @property
    def values(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def counts(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def inner(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def between(self) -> NDArray[np.int64]: ...  # noqa: D102
    @property
    def pieces(self) -> NDArray[np.int64]: ...  # noqa: D102


def main_values(masks: Sequence[Evidence]) -> tuple[list[int], str | None]:
    """The values that were meant, ascending, and why others are set aside: None if all values were meant.

    Raises LabelError for JPEG masks whose values cannot be told apart any more.
    """
    values = np.unique(np.concatenate([one.values for one in masks])) if masks else np.zeros(0, np.int64)
    everything = [int(value) for value in values]
    lossy = any(one.lossy for one in masks)
    if len(values) < (3 if lossy else 5):
        return everything, None
    colour = masks[0].coding == "colour"
    counts, inner, between = (_total(masks, values, what) for what in ("counts", "inner", "between"))
    main = _peaks(values, inner, colour=colour)
    if lossy:
        if len(main) < 2:
            main = _extremes(values, counts, colour=colour)
        if _unclear(values, counts, np.array(main), colour=colour) > _MOST_UNCLEAR:
            raise LabelError(
                f"the masks are JPEG files, which invent values, and their {len(values):,} values do not gather around "
                "a few far apart, so what was meant cannot be told any more; export the masks again as PNG or TIFF"
            )
        return sorted(main), "the masks are JPEG files, which invent values"
    if not 2 <= len(main) <= _MOST_MAIN:
        return everything, None
    minor = ~np.isin(values, main)
    distance = _distance(values, np.array(main), colour=colour).min(axis=1)
    small = counts[minor].sum() <= 0.25 * counts.sum()
    far = minor & (distance > _NEAR)  # an object whose number is none of the main values has an inside
    thin = inner[minor].sum() <= 0.25 * counts[minor].sum() and inner[far].sum() <= 0.02 * counts[far].sum()
    explained = np.where(distance <= _NEAR, counts, between) if not colour else counts
    lies_between = explained[minor].sum() >= 0.8 * counts[minor].sum()
    if minor.sum() >= 3 and small and thin and lies_between and not _are_objects(masks, main):
        return sorted(main), "the masks are anti-aliased (smoothed at their edges)"
    return everything, None


def _are_objects(masks: Sequence[Evidence], main: Sequence[int]) -> bool:
    """Whether most values besides the main ones lie, in each mask, in one piece with an inside, as objects do.

    What smoothing leaves of a value lies in shreds along edges, a pixel wide.
    """
    minor = [~np.isin(one.values, main) for one in masks]
    solid = sum(int(((one.pieces == 1) & (one.inner > 0))[rest].sum()) for one, rest in zip(masks, minor, strict=True))
    return 2 * solid > sum(int(rest.sum()) for rest in minor)


def _peaks(values: NDArray[np.int64], inner: NDArray[np.int64], *, colour: bool) -> list[int]:
    """The values with most inner pixels, none within `_GAP` of a stronger one."""
    main: list[int] = []
    for index in np.argsort(-inner, kind="stable"):
        if inner[index] < max(1, _LEAST_INNER * inner.sum()) or len(main) > _MOST_MAIN:
            break
        one = values[index : index + 1]
        if not main or _distance(one, np.array(main), colour=colour).min() >= _GAP:
            main.append(int(one[0]))
    return main


def _extremes(values: NDArray[np.int64], counts: NDArray[np.int64], *, colour: bool) -> list[int]:
    """The most frequent value and the most frequent of those far from it: for structures too thin to have an
    inside."""
    first = int(values[counts.argmax()])
    distance = _distance(values, np.array([first]), colour=colour)[:, 0]
    far = distance >= distance.max() / 2
    if distance.max() < _GAP:
        return [first]
    return [first, int(values[far][counts[far].argmax()])]


def _unclear(values: NDArray[np.int64], counts: NDArray[np.int64], main: NDArray[np.int64], *, colour: bool) -> float:
    """Of the pixels besides the background (what is most frequent), the share that is near none of the main values."""
    if len(main) < 2:
        return 1.0
    distance = _distance(values, main, colour=colour)
    apart = _distance(main, main, colour=colour)
    clear = distance.min(axis=1) <= apart[apart > 0].min() / 4
    owner = distance.argmin(axis=1)
    background = np.bincount(owner, weights=counts).argmax()
    unclear = int(counts[~clear].sum())
    return unclear / max(unclear + int(counts[clear & (owner != background)].sum()), 1)


def _distance(values: NDArray[np.int64], known: NDArray[np.int64], *, colour: bool) -> NDArray[np.int64]:
    """(n, m): how far apart values are; of colours, the largest difference of the three."""
    distance = np.zeros((len(values), len(known)), np.int64)
    for shift, part in ((16, 0xFF), (8, 0xFF), (0, 0xFF)) if colour else ((0, -1),):
        one = np.abs((values >> shift & part)[:, np.newaxis] - (known >> shift & part))
        distance = np.maximum(distance, one)
    return distance


def _total(masks: Sequence[Evidence], values: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    total = np.zeros(len(values), np.int64)
    for one in masks:
        total[np.searchsorted(values, one.values)] += getattr(one, what)
    return total
