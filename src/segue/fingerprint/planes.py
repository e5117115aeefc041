"""Which slice of a volume stands for it where one slice is enough."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def middle_plane(pixels: NDArray[Scalar]) -> NDArray[Scalar]:
    """(C, Y, X) as it is, the slice in the middle of Z of (C, Z, Y, X)."""
    return pixels[:, pixels.shape[1] // 2] if pixels.ndim == 4 else pixels


def busiest_plane(ids: NDArray[np.int32]) -> int | None:
    """The Z of the slice of (Z, Y, X) ids with the most changes from pixel to pixel; None for (Y, X)."""
    if ids.ndim == 2:
        return None
    changes = (ids[:, 1:] != ids[:, :-1]).sum(axis=(1, 2)) + (ids[:, :, 1:] != ids[:, :, :-1]).sum(axis=(1, 2))
    return int(changes.argmax())
