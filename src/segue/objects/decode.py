"""From what a network says of every pixel to objects: the hills of a map, and a watershed between them.

Everything is a function of the pixels alone: the same input gives the same ids on every machine. Objects,
hills and the watershed connect through faces (4 neighbours in 2D, 6 in 3D), so that an object is always one
face-connected region.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.objects.flood import LEVELS, flood_heights, heights
from segue.objects.hills import hilltops, owners, peaks, saddles
from segue.objects.numbers import renumber, runs

_TRUNCATE = 4.0
"""Standard deviations at which the Gaussian of the smoothing ends."""


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How probabilities become objects."""

    foreground_threshold: float = 0.5
    """A pixel belongs to some object if its probability of foreground is above this, in [0, 1)."""
    smallest_dip: float = 0.15
    """Two places are of two objects if every way between them dips so far below the lower of the two tops, in [0, 1).
    The way is over the distance; without one, over the probability of foreground."""
    smallest_object: int = 1
    """Objects of fewer pixels are removed."""
    smallest_confidence: float = 0.0
    """Objects whose mean probability of foreground is below this are removed, in [0, 1)."""
    smoothing: float = 0.0
    """Standard deviation in pixels of a Gaussian that smooths both maps first; 0 leaves them as they are."""
    fill_holes: bool = True
    """Whether background that one object encloses becomes part of it."""

    def __post_init__(self) -> None:
        for name in ("foreground_threshold", "smallest_dip", "smallest_confidence"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UsageError(f"{name} = {value} cannot work; give a number from 0 to below 1")
        if self.smallest_object < 1:
            raise UsageError(
                f"smallest_object = {self.smallest_object} is not a size in pixels; use 1 to keep everything"
            )
        if not 0 <= self.smoothing < 100:
            raise UsageError(f"smoothing = {self.smoothing} cannot work; give 0 to 100 pixels, 0 for none")


def decode_objects(
    foreground: NDArray[np.float32],
    distance: NDArray[np.float32] | None = None,
    *,
    config: DecodeConfig,
) -> NDArray[np.uint32]:
    """The objects of an image or a volume: ids 1..n in the order of their first pixels, 0 for background.

    `foreground` is (Y, X) or (Z, Y, X), float32, the probability in [0, 1] of not being background.
    `distance`, of the same shape, is near 0 at the border of an object and near 1 at its innermost place.

    Every hill of the distance that is deep enough (see `segue.objects.hills`) is an object; a watershed finds its
    part of the foreground. Without a distance, the probability of foreground takes its place: the border weights of
    Ronneberger et al. (2015) teach the network a valley of background between touching cells. Raises UsageError if
    the maps differ in shape or hold NaN.
    """
    found = find_objects(foreground, distance, config=config)
    kept = found.kept(config)
    new = np.cumsum(kept, dtype=np.uint32) * kept
    return found.ids if kept[1:].all() else new[found.ids]


@dataclass(frozen=True)
class Found:
    """Objects, before those that are too small or too doubtful are removed."""

    ids: NDArray[np.uint32]
    """1..n in the order of their first pixels, 0 for background."""
    sizes: NDArray[np.int64]
    """(n + 1,) pixels of each id, filled holes included."""
    own_sizes: NDArray[np.int64]
    """(n + 1,) pixels without filled holes."""
    sureties: NDArray[np.int64]
    """(n + 1,) sums of `surety` over these."""

    def kept(self, config: DecodeConfig) -> NDArray[np.bool_]:
        """(n + 1,) which objects are large and sure enough; never the background."""
        kept = self.sizes >= config.smallest_object
        kept &= ~is_doubtful(self.sureties, self.own_sizes, below=config.smallest_confidence)
        kept[0] = False
        return kept


def find_objects(
    foreground: NDArray[np.float32], distance: NDArray[np.float32] | None = None, *, config: DecodeConfig
) -> Found:
    """What `decode_objects` finds before it removes anything; `smallest_object` and `smallest_confidence` do not count.

    Raises UsageError as `decode_objects` does.
    """
    if distance is not None and distance.shape != foreground.shape:
        raise UsageError(f"the foreground has the shape {foreground.shape} and the distance {distance.shape}")
    for name, map_ in (("foreground", foreground), ("distance", distance)):
        if map_ is not None and np.isnan(map_.max(initial=0)):
            raise UsageError(f"the {name} holds NaN; check the image and the model")
    landscape = smooth(foreground if distance is None else distance, config.smoothing)
    presence = landscape if distance is None else smooth(foreground, config.smoothing)
    inside = presence > config.foreground_threshold
    objects = _part(inside, landscape, dip=config.smallest_dip)
    ids = renumber(fill_holes(objects) if config.fill_holes else objects)
    number = int(ids.max(initial=0))
    new = np.where(objects > 0, ids, 0).reshape(-1)  # the new number of every pixel that is not of a filled hole
    own_sizes = np.bincount(new, minlength=number + 1)
    sums = np.bincount(new, weights=surety(foreground).reshape(-1), minlength=number + 1)
    return Found(ids, np.bincount(ids.reshape(-1), minlength=number + 1), own_sizes, sums.astype(np.int64))


def fill_holes(objects: NDArray[Any]) -> NDArray[Any]:
    """Give background that touches exactly one object, and not the edge of the image, to that object.

    `objects` holds ids, 0 for background, any number of axes. Background connects through corners, as the
    complement of face-connected objects does. A hole with another object inside touches two and stays. The
    input is not changed.
    """
    from scipy import ndimage

    if objects.size == 0:
        return objects
    everywhere = ndimage.generate_binary_structure(objects.ndim, objects.ndim)
    gaps, number = ndimage.label(objects == 0, structure=everywhere)
    enclosed = np.ones(number + 1, bool)
    enclosed[0] = False
    for axis in range(objects.ndim):
        enclosed[gaps.take([0, -1], axis)] = False
    if not enclosed.any():
        return objects
    gaps = np.where(enclosed, np.arange(number + 1), 0).astype(gaps.dtype)[gaps]
    lowest, highest = owners_of(gaps, objects, number=number)
    owner = np.where(lowest == highest, highest, 0)
    return np.where(objects == 0, owner[gaps], objects)


def owners_of(gaps: NDArray[Any], objects: NDArray[Any], *, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The lowest and the highest id that each of `number` gaps touches through faces, (number + 1,) each.

    `gaps` numbers pixels without an object from 1; others are 0. A gap that touches nothing has the greatest
    number of the type as lowest and 0 as highest id.
    """
    lowest = np.full(number + 1, np.iinfo(objects.dtype).max, objects.dtype)
    highest = np.zeros(number + 1, objects.dtype)
    for axis in range(objects.ndim):
        for gap, neighbour in _across(axis, gaps, objects):
            rim = (gap > 0) & (neighbour > 0)
            np.minimum.at(lowest, gap[rim], neighbour[rim])
            np.maximum.at(highest, gap[rim], neighbour[rim])
    return lowest, highest


def smooth(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A map smoothed by a Gaussian, as far as `reach_of_smoothing` pixels away."""
    if sigma == 0:
        return pixels
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(pixels, sigma, mode="reflect", truncate=_TRUNCATE), np.float32)


def reach_of_smoothing(sigma: float) -> int:
    """How many pixels away a pixel still counts in `smooth`."""
    return int(_TRUNCATE * sigma + 0.5)


def surety(foreground: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The probability of foreground in 255 steps: sums of whole numbers do not depend on their order."""
    return np.asarray(np.rint(foreground * 255), np.uint8)


def is_doubtful(sureties: NDArray[Any], sizes: NDArray[Any], *, below: float) -> NDArray[np.bool_]:
    """Whether objects of so many pixels with such sums of `surety` have a mean probability `below` what is asked."""
    return np.asarray(sureties < below * 255 * sizes)


def _part(inside: NDArray[np.bool_], landscape: NDArray[np.float32], *, dip: float) -> NDArray[np.int32]:
    """Every pixel of `inside` gets the number of its object; numbers are not consecutive.

    Only where a component of the foreground holds several hills is there anything to decide, and only there
    does the watershed run; it is the slow part.
    """
    from scipy import ndimage

    components, number = ndimage.label(inside)
    height = heights(landscape, inside)
    tops, count = hilltops(height, dip=int(dip * LEVELS))
    several = _holds_several(components, tops, number)
    contested = several[components]
    if not contested.any():
        return np.asarray(components, np.int32)
    height[~contested] = 0
    hills = flood_heights(height, tops)
    values, _, _, first = runs(hills)
    places = np.zeros(count + 1, np.int64)
    places[values] = first
    owner = owners(peaks(tops, height, number=count), places, *saddles(hills, height), dip=dip * LEVELS)
    return np.where(contested, (owner + number).astype(np.int32)[hills], components)


def _holds_several(components: NDArray[Any], tops: NDArray[Any], number: int) -> NDArray[np.bool_]:
    """(number + 1,) whether a component of the foreground holds more than one hilltop."""
    places = np.flatnonzero(tops)
    component_of = np.zeros(int(tops.max(initial=0)) + 1, np.intp)
    component_of[tops.reshape(-1)[places]] = components.reshape(-1)[places]
    return np.bincount(component_of[component_of > 0], minlength=number + 1) > 1


def _across(axis: int, first: NDArray[Any], second: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Pairs of values of `first` and `second` at pixels that are neighbours along `axis`, both ways."""
    front, back = [slice(None)] * first.ndim, [slice(None)] * first.ndim
    front[axis], back[axis] = slice(None, -1), slice(1, None)
    yield first[tuple(front)], second[tuple(back)]
    yield first[tuple(back)], second[tuple(front)]
