"""Beyond its edge the image goes on, mirrored (as in Ronneberger et al. 2015, fig. 2)."""

import numpy as np
from numpy.typing import NDArray


def mirrored(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices of any size folded into 0..length-1 by mirrors on the first and the last pixel, not repeated.

    The same as numpy.pad's "reflect", and the same pixel everywhere if `length` is 1.
    """
    if length == 1:
        return np.zeros_like(indices)
    folded = indices % (2 * length - 2)
    return np.minimum(folded, 2 * length - 2 - folded)


def read_mirrored(array: NDArray[np.generic], ranges: tuple[tuple[int, int], ...]) -> NDArray[np.generic]:
    """The half-open `ranges` of the last axes of `array`, one for each, mirrored where they lie outside.

    A view if nothing does. Only what the ranges cover is read.
    """
    leading = array.ndim - len(ranges)
    for axis, (start, stop) in enumerate(ranges, start=leading):
        length = array.shape[axis]
        if start >= 0 and stop <= length:
            array = array[(slice(None),) * axis + (slice(start, stop),)]
        else:
            array = array.take(mirrored(np.arange(start, stop), length), axis=axis)
    return array
