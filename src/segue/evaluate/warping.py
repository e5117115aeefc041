"""The warping error of Jain et al. (2010): differences that no shift of a boundary explains.

V. Jain et al., "Boundary learning by optimization with topological constraints", CVPR 2010,
doi:10.1109/CVPR.2010.5539950. The truth is warped towards the prediction by flipping only simple points,
pixels whose change leaves the topology as it is; what still differs at the end is a split, a merge, a hole or
a speck. Two-dimensional; volumes are judged slice by slice, as the ISBI 2012 challenge did.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The eight neighbours in order around a pixel; neighbour i is bit i of a neighbourhood's code."""


def warping_error(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    max_distance: float | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> float:
    """The share of pixels that differ after the truth was warped to the prediction; 0 is best.

    `truth` and `predicted` are (Y, X) or (Z, Y, X), True inside of cells. With `max_distance` only pixels at
    most so many pixels away from the true boundary may flip. Pixels of `ignore` are neither flipped nor
    counted. A volume scores the mean over its slices, weighted by the pixels that count; NaN if no pixel
    counts.
    """
    counts = np.ones(truth.shape, bool) if ignore is None else ~ignore
    if truth.ndim == 2:
        truth, predicted, counts = truth[None], predicted[None], counts[None]
    wrong = 0
    for true, found, counted in zip(truth, predicted, counts, strict=True):
        allowed = counted if max_distance is None else counted & _near_boundary(true, max_distance)
        wrong += int(((warp(true, found, allowed=allowed) != found) & counted).sum())
    total = int(counts.sum())
    return wrong / total if total else float("nan")


def warp(
    source: NDArray[np.bool_], target: NDArray[np.bool_], *, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Flip simple points of `source` (Y, X) where it differs from `target` until none is left; a new array.

    True pixels connect through edges (4), False pixels also through corners (8), and outside of the image is
    False, as in the ISBI 2012 scoring. The order of flips is fixed: in every round the pixels of even rows
    and columns, of even rows and odd columns, and so on. No two pixels of such a field are neighbours, so
    that flipping a field at once is the same as one pixel after another.
    """
    simple = simple_points()
    image = np.pad(source, 1)
    flat = image.reshape(-1)
    width = image.shape[1]
    steps = np.array([y * width + x for y, x in RING])
    differs = source != target if allowed is None else (source != target) & allowed
    y, x = np.nonzero(differs)
    places = (y + 1) * width + (x + 1)
    field = (y % 2) * 2 + x % 2
    fields = [places[field == index] for index in range(4)]
    flipped = True
    while flipped:
        flipped = False
        for index, waiting in enumerate(fields):
            codes = (flat[waiting[:, None] + steps] << np.arange(8)).sum(axis=1)
            flips = simple[codes]
            flat[waiting[flips]] ^= True
            fields[index] = waiting[~flips]
            flipped |= bool(flips.any())
    return image[1:-1, 1:-1].copy()


@cache
def simple_points() -> NDArray[np.bool_]:
    """(256,) for each neighbourhood, whether changing its centre keeps the topology.

    A point is simple if, within its eight neighbours, the True ones that touch its edges form one 4-connected
    component and the False ones form one 8-connected component (Bertrand & Malandain 1994, the two
    topological numbers are 1). The value of the centre does not matter.
    """
    table = np.array([_topological_numbers(code) == (1, 1) for code in range(256)])
    table.setflags(write=False)
    return table


def _topological_numbers(code: int) -> tuple[int, int]:
    inside = {place for bit, place in enumerate(RING) if code >> bit & 1}
    edges = {place for place in RING if 0 in place}
    return _components(inside, edges, reach=1), _components(set(RING) - inside, set(RING), reach=2)


def _components(places: set[tuple[int, int]], touching: set[tuple[int, int]], *, reach: int) -> int:
    """Number of components of `places` that hold one of `touching`; steps of squared length up to `reach`."""
    left, number = set(places), 0
    while left:
        component = [left.pop()]
        for y, x in component:
            near = {p for p in left if (p[0] - y) ** 2 + (p[1] - x) ** 2 <= reach}
            component.extend(sorted(near))
            left -= near
        number += not touching.isdisjoint(component)
    return number


def _near_boundary(inside: NDArray[np.bool_], distance: float) -> NDArray[Any]:
    """Where a pixel of the other kind is at most `distance` pixels away (centre to centre)."""
    from scipy import ndimage

    if inside.all() or not inside.any():
        return np.zeros(inside.shape, bool)
    other = np.where(inside, ndimage.distance_transform_edt(inside), ndimage.distance_transform_edt(~inside))
    return np.asarray(other <= distance)
