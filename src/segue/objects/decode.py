"""From what a network says of every pixel to objects: seeds, and a watershed that grows them.

Everything is a function of the pixels alone: the same input gives the same ids on every machine. Objects,
seeds and the watershed connect through faces (4 neighbours in 2D, 6 in 3D), so that an object is always one
face-connected region.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.objects.flood import flood
from segue.objects.numbers import renumber


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How probabilities become objects."""

    foreground_threshold: float = 0.5
    """A pixel belongs to some object if its probability of foreground is above this, in [0, 1)."""
    seed_threshold: float = 0.5
    """A pixel is of a seed if its distance is above this, in [0, 1); without one, its probability of
    foreground."""
    smallest_object: int = 1
    """Objects of fewer pixels are removed."""
    smallest_seed: int = 1
    """Seeds of fewer pixels are no seeds."""
    smoothing: float = 0.0
    """Standard deviation in pixels of a Gaussian that smooths both maps first; 0 leaves them as they are."""
    fill_holes: bool = True
    """Whether background that one object encloses becomes part of it."""

    def __post_init__(self) -> None:
        for name in ("foreground_threshold", "seed_threshold"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UsageError(f"{name} = {value} cannot work; give a number from 0 to below 1")
        for name in ("smallest_object", "smallest_seed"):
            value = getattr(self, name)
            if value < 1:
                raise UsageError(f"{name} = {value} is not a size in pixels; use 1 to keep everything")
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

    Seeds are the components of high distance inside of the foreground. A watershed on the distance grows them
    over the foreground; a component of the foreground without any seed is one object. Without a distance, the
    probability of foreground takes its place: the border weights of Ronneberger et al. (2015) teach the
    network a valley of background between touching cells. Raises UsageError if the maps differ in shape or
    hold NaN.
    """
    if distance is not None and distance.shape != foreground.shape:
        raise UsageError(f"the foreground has the shape {foreground.shape} and the distance {distance.shape}")
    for name, map_ in (("foreground", foreground), ("distance", distance)):
        if map_ is not None and np.isnan(map_.max(initial=0)):
            raise UsageError(f"the {name} holds NaN; check the image and the model")
    landscape = _smooth(foreground if distance is None else distance, config.smoothing)
    presence = landscape if distance is None else _smooth(foreground, config.smoothing)
    inside = presence > config.foreground_threshold
    objects = _grow(inside, landscape, config)
    if config.fill_holes:
        objects = fill_holes(objects)
    return renumber(objects, smallest=config.smallest_object)


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
    highest = np.iinfo(objects.dtype).max
    lowest_owner = np.full(number + 1, highest, objects.dtype)
    highest_owner = np.zeros(number + 1, objects.dtype)
    for axis in range(objects.ndim):
        for gap, neighbour in _across(axis, gaps, objects):
            rim = enclosed[gap] & (neighbour > 0)
            np.minimum.at(lowest_owner, gap[rim], neighbour[rim])
            np.maximum.at(highest_owner, gap[rim], neighbour[rim])
    owner = np.where(lowest_owner == highest_owner, highest_owner, 0)
    return np.where(objects == 0, owner[gaps], objects)


def _smooth(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    if sigma == 0:
        return pixels
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(pixels, sigma, mode="reflect"), np.float32)


def _grow(inside: NDArray[np.bool_], landscape: NDArray[np.float32], config: DecodeConfig) -> NDArray[np.int32]:
    """Every pixel of `inside` gets the number of its object; numbers are not consecutive.

    Only where a component of the foreground holds several seeds is there anything to decide, and only there
    does the watershed run; it is the slow part.
    """
    from scipy import ndimage

    components, number = ndimage.label(inside)
    seeds, seed_number = ndimage.label(inside & (landscape > config.seed_threshold))
    if config.smallest_seed > 1:
        small = np.bincount(seeds.reshape(-1), minlength=seed_number + 1) < config.smallest_seed
        seeds[small[seeds]] = 0
    several = _holds_several(components, seeds, number)
    contested = several[components]
    if not contested.any():
        return np.asarray(components)
    seeds[~contested] = 0
    seeds[seeds > 0] += number
    return np.where(contested, flood(landscape, seeds, inside=contested), components)


def _holds_several(components: NDArray[Any], seeds: NDArray[Any], number: int) -> NDArray[np.bool_]:
    """(number + 1,) whether a component of the foreground holds more than one seed."""
    places = np.flatnonzero(seeds)
    component_of = np.zeros(int(seeds.max(initial=0)) + 1, np.intp)
    component_of[seeds.reshape(-1)[places]] = components.reshape(-1)[places]
    return np.bincount(component_of[component_of > 0], minlength=number + 1) > 1


def _across(axis: int, first: NDArray[Any], second: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Pairs of values of `first` and `second` at pixels that are neighbours along `axis`, both ways."""
    front, back = [slice(None)] * first.ndim, [slice(None)] * first.ndim
    front[axis], back[axis] = slice(None, -1), slice(1, None)
    yield first[tuple(front)], second[tuple(back)]
    yield first[tuple(back)], second[tuple(front)]
