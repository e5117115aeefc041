"""Number objects anew, fast: ids seldom change along a line, so runs are sorted, not pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def consecutive(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The ids without 0, ascending, and the objects numbered 1..n in that order (int32, 0 is background)."""
    values, index, lengths, _ = runs(ids)
    background = int(values.size > 0 and values[0] == 0)
    numbers = (index + 1 - background).astype(np.int32)
    return values[background:], np.repeat(numbers, lengths).reshape(ids.shape)


def renumber(ids: NDArray[Any]) -> NDArray[np.uint32]:
    """Ids 1..n in the order in which a scan meets the objects."""
    values, index, lengths, first = runs(ids)
    objects = np.flatnonzero(values)
    new = np.zeros(len(values), np.uint32)
    new[objects[np.argsort(first[objects])]] = np.arange(1, len(objects) + 1, dtype=np.uint32)
    return np.repeat(new[index], lengths).reshape(ids.shape)


def runs(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The distinct values of `ids` and where they stand in a scan, cut into runs of equal values.

    Returns the values, ascending; which of them each run holds; how long each run is; and the place in the scan
    (flat index) where each value is first met.
    """
    flat = ids.reshape(-1)
    starts = np.flatnonzero(np.concatenate([np.ones(min(flat.size, 1), bool), flat[1:] != flat[:-1]]))
    values, first, index = np.unique(flat[starts], return_index=True, return_inverse=True)
    return values, index, np.diff(np.append(starts, flat.size)), starts[first]
