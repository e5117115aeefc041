"""Objects outlined in a picture, in colours that differ between neighbours, and slices of a volume side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import LabelError
from segue.objects.colours import COLOURS, colour_neighbours
from segue.objects.numbers import consecutive

COLUMNS = 3
"""How many slices of a volume stand side by side."""
GAP = 4
"""Pixels between them."""


def draw_outlines(picture: NDArray[np.uint8], ids: NDArray[Any], *, reach: int = 3) -> NDArray[np.uint8]:
    """A copy of `picture` with the border pixels of each object coloured; they lie inside of the object.

    `picture` is (Y, X, 3) uint8 and `ids` (Y, X), or (Z, Y, X, 3) and (Z, Y, X): then each slice is outlined, and an
    object has one colour in all of them. Objects closer than about 2 `reach` pixels count as neighbours. Raises
    LabelError if the shapes differ.
    """
    if picture.shape != (*ids.shape, 3) or ids.ndim not in (2, 3):
        raise LabelError(
            f"objects of the shape {ids.shape} cannot be drawn into a picture of the shape {picture.shape}"
        )
    drawn = picture.copy()
    numbers = consecutive(ids)[1]
    rim = rims(numbers)
    drawn[rim] = COLOURS[colour_neighbours(numbers, reach=reach)[numbers[rim]]]
    return drawn


def rims(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects that have a neighbour in their plane, or the outside, that is something else."""
    framed = np.pad(ids, [(0, 0)] * (ids.ndim - 2) + [(1, 1), (1, 1)])
    inner = framed[..., 1:-1, 1:-1]
    rim = np.zeros(ids.shape, bool)
    for other in (framed[..., :-2, 1:-1], framed[..., 2:, 1:-1], framed[..., 1:-1, :-2], framed[..., 1:-1, 2:]):
        rim |= inner != other
    return rim & (inner > 0)


def pick_slices(depth: int, *, most: int = COLUMNS * COLUMNS) -> list[int]:
    """At most `most` slices of a volume of `depth` slices: the middles of parts of equal thickness."""
    parts = min(depth, most)
    return [(2 * part + 1) * depth // (2 * parts) for part in range(parts)]


def side_by_side(slices: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(Z, Y, X, 3) in rows of `COLUMNS`, a white gap between them: one picture (Y, X, 3)."""
    depth, height, width, _ = slices.shape
    columns = min(depth, COLUMNS)
    rows = -(-depth // max(columns, 1))
    sheet = np.full((max(rows * (height + GAP) - GAP, 0), max(columns * (width + GAP) - GAP, 0), 3), 255, np.uint8)
    for place, one in enumerate(slices):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = one
    return sheet
