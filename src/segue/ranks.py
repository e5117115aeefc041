"""The values in use in an array of whole numbers, and the place of each pixel's value among them."""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Whole = TypeVar("Whole", bound=np.integer[Any])

_CHUNK = 2**20
"""Pixels that are looked at in one go, so that what is computed on the way stays small."""


def ranked(array: NDArray[Whole]) -> tuple[NDArray[Whole], NDArray[np.int32], NDArray[np.int64]]:
    """What `np.unique` says of integers of any shape, without a sort where their range is no longer than the array.

    Returns the values in use (n,), ascending and of the array's type; for each element the place of its value among
    them, int32 of the array's shape, 0 to n - 1; and how many elements have each value (n,).
    """
    flat = array.ravel()
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, 0)
    length = high - low + 1
    if length > flat.size:  # a table would be longer than the array; packed colours are such values
        values, places, counts = np.unique(flat, return_inverse=True, return_counts=True)
        return values, places.reshape(array.shape).astype(np.int32), counts.astype(np.int64)
    table = np.zeros(length, np.int64)
    for _, above in _chunks(flat, low, length):
        table += np.bincount(above, minlength=length)
    used = np.flatnonzero(table)
    place_of = np.zeros(length, np.int32)
    place_of[used] = np.arange(len(used), dtype=np.int32)
    ranks = np.empty(flat.size, np.int32)
    for chunk, above in _chunks(flat, low, length):
        ranks[chunk] = place_of[above]
    values = (used.astype(np.uint64) + _wrapped(low)).astype(array.dtype)
    return values, ranks.reshape(array.shape), table[used]


def _chunks(flat: NDArray[Whole], low: int, length: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Places in `flat` and how far its values there lie above `low`: 0 to `length` - 1."""
    size = max(_CHUNK, length)
    for start in range(0, flat.size, size):
        chunk = slice(start, start + size)
        yield chunk, (flat[chunk].astype(np.uint64) - _wrapped(low)).astype(np.int64)


def _wrapped(value: int) -> np.uint64:
    """A whole number modulo 2^64: sums and differences of such numbers are right for signed and unsigned types."""
    return np.uint64(value % 2**64)
