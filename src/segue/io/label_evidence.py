"""What masks show of the meaning of their values: one small record a mask, for `label_decision` to judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.io.labels import Coding, RawMask, as_coding
from segue.ranks import ranked

_SPECK = 4
"""Pieces of no more pixels than this are slips of the brush, and a value with no more of them tells nothing."""

_LARGEST_COUNTED = 2**24
"""Pixels of a mask in which connected pieces are counted; of a larger one, only in its middle."""
_MOST_COUNTED = 1000
"""Values of one mask whose pieces are counted; of more, an even selection."""


@dataclass(frozen=True, kw_only=True)
class MaskSummary:
    """What the decision needs to know of one mask. All arrays are (n,), one entry a value."""

    name: str
    coding: Coding
    lossy: bool
    values: NDArray[np.int64]
    """The different raw values, ascending."""
    counts: NDArray[np.int64]
    """Pixels of each value."""
    inner: NDArray[np.int64]
    """Pixels of each value all of whose direct neighbours, diagonal ones included, have that value too."""
    between: NDArray[np.int64]
    """Pixels of each value with both a smaller and a larger value within 2 pixels."""
    pieces: NDArray[np.int64]
    """Connected components of each value, diagonal neighbours connected, specks left out; 0 where they were not
    counted."""
    border: NDArray[np.int64]
    """Pixels of each value on the border of the image (of a volume: of its slices)."""
    colours: NDArray[np.int64] | None = None
    """Packed colour of each value, if the values are indices into a palette."""


_COUNTED = ("counts", "inner", "between", "pieces", "border")
"""The fields of a summary that count something of each value."""


def summarise(raw: RawMask) -> MaskSummary:
    """Gather the evidence of one mask."""
    from scipy import ndimage

    values, rank, counts = ranked(raw.values)
    is_inner = ndimage.minimum_filter(rank, size=3) == ndimage.maximum_filter(rank, size=3)
    is_between = (ndimage.minimum_filter(rank, size=5) < rank) & (rank < ndimage.maximum_filter(rank, size=5))
    return MaskSummary(
        name=raw.name,
        coding=raw.coding,
        lossy=raw.lossy,
        values=values,
        counts=counts,
        inner=np.bincount(rank[is_inner], minlength=len(values)).astype(np.int64),
        between=np.bincount(rank[is_between], minlength=len(values)).astype(np.int64),
        pieces=_count_pieces(_middle(rank), len(values)),
        border=_count_border(rank, len(values)),
        colours=None if raw.palette is None else raw.palette[values],
    )


def common_coding(summaries: Sequence[MaskSummary]) -> Coding:
    """Colours if one mask is coloured, or if an index into a palette is another colour in another mask."""
    if any(one.coding == "colour" for one in summaries):
        return "colour"
    colours: dict[int, int] = {}
    for one in summaries:
        if one.colours is not None:
            for value, colour in zip(one.values.tolist(), one.colours.tolist(), strict=True):
                if colours.setdefault(value, colour) != colour:
                    return "colour"
    return "gray"


def recoded(one: MaskSummary, coding: Coding) -> MaskSummary:
    """The same evidence with values in `coding`."""
    if one.coding == coding:
        return one
    recoded = one.colours if one.colours is not None else as_coding(RawMask(values=one.values, name=one.name), coding)
    values, where = np.unique(recoded, return_inverse=True)  # two indices of a palette may have one colour

    def added(what: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(where, weights=what, minlength=len(values)).astype(np.int64)

    counted: dict[str, Any] = {name: added(getattr(one, name)) for name in _COUNTED}
    return replace(one, coding=coding, values=values, colours=None, **counted)


def without(one: MaskSummary, ignore: frozenset[int]) -> MaskSummary:
    """The evidence of all values but those to `ignore`."""
    keep = ~np.isin(one.values, list(ignore))
    colours = None if one.colours is None else one.colours[keep]
    kept: dict[str, Any] = {name: getattr(one, name)[keep] for name in ("values", *_COUNTED)}
    return replace(one, colours=colours, **kept)


def _middle(rank: NDArray[np.int32]) -> NDArray[np.int32]:
    shrink = min(1.0, (_LARGEST_COUNTED / max(rank.size, 1)) ** (1 / rank.ndim))
    window = []
    for length in rank.shape:
        kept = max(1, int(length * shrink))
        window.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
    return rank[tuple(window)]


def _count_pieces(rank: NDArray[np.int32], values: int) -> NDArray[np.int64]:
    from scipy import ndimage

    pieces = np.zeros(values, np.int64)
    boxes = ndimage.find_objects(rank + 1, max_label=values)
    whole = np.ones((3,) * rank.ndim, bool)
    for index in range(0, values, max(1, values // _MOST_COUNTED)):
        box = boxes[index]
        if box is not None:
            pieces[index] = _solid(np.bincount(ndimage.label(rank[box] == index, structure=whole)[0].ravel())[1:])
    return pieces


def _count_border(rank: NDArray[np.int32], values: int) -> NDArray[np.int64]:
    """(n,) pixels of each of `values` ranks along the edges of the last two axes of `rank`."""
    sides = (rank[..., :1, :], rank[..., -1:, :], rank[..., 1:-1, :1], rank[..., 1:-1, -1:])
    return np.bincount(np.concatenate([side.ravel() for side in sides]), minlength=values).astype(np.int64)


def _solid(sizes: NDArray[np.int64]) -> int:
    """Pieces of a value that count, of which `sizes` (n,) are in pixels: 0 of a speck, else 1 if all but the largest
    are specks or have less than a hundredth of the pixels together."""
    if sizes.sum() <= _SPECK:
        return 0
    solid = sizes[sizes > min(_SPECK, sizes.max() / 2)]
    return len(solid) if solid.sum() - solid.max() >= 0.01 * sizes.sum() else 1
