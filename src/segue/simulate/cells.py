"""Touching cells as a fluorescence microscope sees them, with the id of every pixel exactly known. 2D and 3D.

Each cell is a shape function: 0 at its heart, growing outwards. A pixel belongs to the cell whose function
is least, if it is below one threshold for the whole image; so cells that meet share a border, pixel beside
pixel.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import dist

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.errors import UsageError
from segue.simulate.fields import (
    Generator,
    camera,
    check_fractions,
    check_positive,
    check_shape,
    shading,
    smooth_field,
    texture,
    to_grey_values,
)
from segue.simulate.shapes import REACH, draw_skeleton, shape_function


@dataclass(frozen=True, kw_only=True)
class CellsConfig:
    """What the cells and the microscope are like."""

    diameter: float = 30.0
    """Mean diameter of a cell in pixels."""
    size_spread: float = 0.22
    """Standard deviation of the logarithm of the diameter."""
    density: float = 0.35
    """Part of the image that cells cover, 0 (none) to 1 (a closed layer)."""
    touching: float = 0.5
    """Part of the cells that are set down beside another one instead of on free ground, 0..1."""
    branching: float = 0.15
    """Shape: 0 ellipses, about 0.4 lobed, 1 branching with long arms."""
    elongation: float = 1.0
    """Length of a mean cell's body in its widths, 1 or more: 1 roundish, 3 like rods. The area stays the same."""
    brightness_spread: float = 0.35
    """Standard deviation of the logarithm of the brightness from cell to cell."""
    texture: float = 0.25
    """Strength of the texture inside of cells."""
    shading: float = 0.35
    """How much less light the darkest corner gets, 0..1."""
    blur: tuple[float, float] = (0.7, 1.6)
    """Least and greatest defocus of an image: sigma of the Gaussian in pixels (twice as much along Z)."""
    photons: float = 120.0
    """Photons at the brightness of a mean cell: fewer are noisier."""
    read_noise: float = 0.02
    """Deviation of the camera's own noise, in units of a mean cell."""
    background: float = 0.08
    """Light where no cell is, in units of a mean cell."""
    second_kind: float = 0.0
    """Part of the cells that are of a second kind, "white" beside "red" ones, 0..1: larger, branching and brighter."""
    second_diameter: float = 1.4
    """Diameter of a mean cell of the second kind, in diameters of the first."""
    second_branching: float = 0.6
    """Shape of the second kind, as `branching`."""
    second_brightness: float = 2.0
    """Brightness of a mean cell of the second kind, in units of a mean cell of the first."""

    def __post_init__(self) -> None:
        check_fractions(density=self.density, touching=self.touching, branching=self.branching, shading=self.shading)
        check_fractions(second_kind=self.second_kind, second_branching=self.second_branching)
        check_positive(diameter=self.diameter, photons=self.photons)
        check_positive(second_diameter=self.second_diameter, second_brightness=self.second_brightness)
        if not 1 <= self.elongation <= 10:
            raise UsageError(f"elongation is {self.elongation}; give 1 (roundish) to 10 times as long as wide")
        if not 0 <= self.blur[0] <= self.blur[1]:
            raise UsageError(
                f"blur is {self.blur}; give the least and the greatest sigma in pixels, such as (0.7, 1.6)"
            )


def simulate_cells(shape: tuple[int, ...], *, seed: int, config: CellsConfig | None = None) -> tuple[Image, Labels]:
    """Draw an image of cells and its truth.

    `shape` is (Y, X) or (Z, Y, X). The image has one channel of whole numbers 0..255; the labels are
    objects with consecutive ids from 1, each id one connected piece. With `second_kind` they have the classes 1 "red"
    and 2 "white". Raises UsageError for a shape that is not 2D or 3D.
    """
    shape = check_shape(shape, axes=(2, 3))
    config = config or CellsConfig()
    generator = np.random.default_rng(seed)
    ids, second = _draw_ids(shape, config=config, generator=generator)
    pixels = _expose(ids, second=second, config=config, generator=generator)
    name = f"cells, seed {seed}"
    labels = Labels(ids=ids, kind="objects", classes=("background", "cell"), name=name)
    if config.second_kind:
        told = {number: 2 if second[number] else 1 for number in range(1, len(second))}
        labels = replace(labels, classes=("background", "red", "white"), object_classes=told)
    return Image(pixels=pixels[None], name=name), labels


def _draw_ids(
    shape: tuple[int, ...], *, config: CellsConfig, generator: Generator
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Place, shape and compose the cells; ids are consecutive from 1, int32.

    The second array, (n + 1,), says whether the cell of each id is of the second kind.
    """
    radii, centres, kinds = _place(shape, config=config, generator=generator)
    nearest = np.full(shape, REACH, np.float32)
    owner = np.zeros(shape, np.int32)
    strength = np.float32((0.035 + 0.07 * config.branching) * config.diameter)
    bend = [strength * smooth_field(shape, scale=0.5 * config.diameter, generator=generator) for _ in shape]
    for number, (radius, centre, second) in enumerate(zip(radii, centres, kinds, strict=True), start=1):
        branching = config.second_branching if second else config.branching
        segments = draw_skeleton(
            radius, axes=len(shape), branching=branching, generator=generator, elongation=config.elongation
        )
        reach = max(float(np.abs(s.stop).max() + REACH * s.stop_width) for s in segments)
        longer = config.elongation ** (1 - 1 / len(shape))
        reach = max(reach, REACH * longer * max(s.start_width for s in segments)) + 0.2 * config.diameter
        box = tuple(
            slice(max(int(c - reach), 0), max(min(int(c + reach) + 2, length), 0))
            for c, length in zip(centre, shape, strict=True)
        )
        if any(part.stop <= part.start for part in box):
            continue
        value = shape_function(box, centre=centre, bend=bend, segments=segments)
        wins = value < nearest[box]
        nearest[box][wins] = value[wins]
        owner[box][wins] = number
    owner[nearest >= _threshold(nearest, density=config.density)] = 0
    ids, drawn = _one_piece_each(owner)
    return ids, np.array([False, *kinds])[drawn]


def _threshold(nearest: NDArray[np.float32], *, density: float) -> float:
    """The value below which `density` of the image lies, within limits that keep sizes near the wanted."""
    if density == 0:
        return 0.0
    return float(np.clip(np.quantile(nearest, density), 0.75, REACH))


def _place(
    shape: tuple[int, ...], *, config: CellsConfig, generator: Generator
) -> tuple[list[float], list[NDArray[np.float64]], list[bool]]:
    """Radii and centres in pixels, in and around the image: some beside a cell, the others on free ground.

    The third list says which cells are of the second kind.
    """
    axes = len(shape)
    margin = 0.4 * config.diameter
    size = np.asarray(shape, float)
    area = float(np.prod(size + 2 * margin))
    ball = {2: np.pi / 4, 3: np.pi / 6}[axes] * config.diameter**axes
    lost = 1 - 0.35 * config.branching  # branching cells fill less of their circle
    ball *= 1 + config.second_kind * (config.second_diameter**axes - 1)
    count = int(np.ceil(1.05 * config.density * area / (ball * lost))) if config.density else 0
    radii: list[float] = []
    centres: list[NDArray[np.float64]] = []
    kinds: list[bool] = []
    places = _Places(step=2.5 * config.diameter)
    for _ in range(count):
        # Nothing is drawn where there is but one kind: images of earlier versions stay what they are.
        kinds.append(bool(config.second_kind) and bool(generator.random() < config.second_kind))
        mean = config.diameter * (config.second_diameter if kinds[-1] else 1)
        radius = 0.5 * mean * float(np.exp(generator.normal(0, config.size_spread)))
        if centres and generator.random() < config.touching:
            other = int(generator.integers(len(centres)))
            directions = generator.normal(size=(6, axes))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            candidates = centres[other] + 0.9 * (radius + radii[other]) * directions
            candidates = np.clip(candidates, -margin, size + margin)
        else:
            candidates = generator.uniform(-margin, size + margin, size=(12, axes))
        room = [places.room(candidate) for candidate in candidates]
        centre = candidates[int(np.argmax(room))]  # Mitchell's best candidate (Graphics Interface 1991)
        radii.append(radius)
        centres.append(centre)
        places.add(centre, radius=radius)
    return radii, centres, kinds


class _Places:
    """Cells set down so far, in square bins, so that only those nearby are asked for their distance."""

    def __init__(self, *, step: float) -> None:
        self._step = step
        self._bins: dict[tuple[int, ...], list[tuple[NDArray[np.float64], float]]] = {}

    def add(self, centre: NDArray[np.float64], *, radius: float) -> None:
        """Remember a cell."""
        self._bins.setdefault(tuple(int(c // self._step) for c in centre), []).append((centre, radius))

    def room(self, point: NDArray[np.float64]) -> float:
        """Distance in pixels from `point` to the nearest cell; the bin's side if none is nearer than that."""
        middle = [int(c // self._step) for c in point]
        nearest = self._step
        for step in product((-1, 0, 1), repeat=len(middle)):
            for centre, radius in self._bins.get(tuple(m + s for m, s in zip(middle, step, strict=True)), ()):
                nearest = min(nearest, dist(point, centre) - radius)
        return nearest


def _one_piece_each(owner: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Keep the largest piece of every id, drop those of a few pixels, and number the rest from 1.

    The second array, (n + 1,), holds the number that each id had before.
    """
    from scipy import ndimage

    ids = np.zeros_like(owner)
    numbers, inverse = np.unique(np.append(owner, 0), return_inverse=True)  # no number without a pixel
    owner = inverse[:-1].reshape(owner.shape).astype(np.int32)
    least = 4**owner.ndim
    number = 0
    before = [0]
    for old, box in enumerate(ndimage.find_objects(owner), start=1):
        pieces, _ = ndimage.label(owner[box] == old)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        largest = int(sizes.argmax())
        if sizes[largest] < least:
            continue
        number += 1
        before.append(int(numbers[old]))
        filled = ndimage.binary_fill_holes(pieces == largest)
        ids[box][filled & (owner[box] <= 0) | (pieces == largest)] = number
    return ids, np.array(before, np.intp)


def _expose(
    ids: NDArray[np.int32], *, second: NDArray[np.bool_], config: CellsConfig, generator: Generator
) -> NDArray[np.float32]:
    """Light from the cells, through the optics, onto the camera: whole numbers 0..255."""
    from scipy import ndimage

    shape, diameter = ids.shape, config.diameter
    gains = np.where(second, config.second_brightness, 1.0).astype(np.float32)
    light = _cell_light(ids, gains=gains, config=config, generator=generator)
    specks = (generator.random(shape) < 2e-5 * 30**2 / diameter**2).astype(np.float32)
    light += 12 * ndimage.gaussian_filter(specks, 0.05 * diameter)
    sigma = generator.uniform(*config.blur)
    sigmas = [2 * sigma] * (len(shape) - 2) + [sigma, sigma]
    sharp = ndimage.gaussian_filter(light, sigmas)
    haze = ndimage.gaussian_filter(light, 0.5 * diameter, truncate=2.0)
    glow = 1 + 0.25 * smooth_field(shape, scale=max(shape) / 2, generator=generator)
    light = 0.88 * sharp + 0.12 * haze + config.background * np.maximum(glow, 0.2)
    light *= shading(shape, strength=config.shading, generator=generator)
    seen = camera(light, photons=config.photons, read_noise=config.read_noise, generator=generator)
    brightest = float(np.exp(1.6 * config.brightness_spread)) * generator.uniform(0.8, 1.4)
    brightest *= max(config.second_brightness, 1.0) if config.second_kind else 1.0
    return to_grey_values(seen / np.float32(brightest) + np.float32(0.02))


def _cell_light(
    ids: NDArray[np.int32], *, gains: NDArray[np.float32], config: CellsConfig, generator: Generator
) -> NDArray[np.float32]:
    """Light each pixel sends out: cells are thicker in the middle, grainy, and each of another brightness.

    `gains` (n + 1,) are the mean brightness of the kind of each id.
    """
    from scipy import ndimage

    shape, count = ids.shape, int(ids.max(initial=0))
    brightness = np.exp(generator.normal(0, config.brightness_spread, size=count + 1)).astype(np.float32)
    brightness *= gains
    brightness[0] = 0
    grain = texture(shape, coarsest=0.35 * config.diameter, generator=generator)
    spots = smooth_field(shape, scale=0.14 * config.diameter, generator=generator)
    if count == 0:
        return np.zeros(shape, np.float32)
    edge = np.zeros(shape, bool)  # pixels beside another id; the image border is no border of a cell
    for axis in range(ids.ndim):
        ahead = np.diff(ids, axis=axis) != 0
        before = [slice(None)] * ids.ndim
        behind = [slice(None)] * ids.ndim
        before[axis], behind[axis] = slice(0, -1), slice(1, None)
        edge[tuple(before)] |= ahead
        edge[tuple(behind)] |= ahead
    depth = ndimage.distance_transform_edt(~edge).astype(np.float32) + np.float32(0.5)
    deepest = np.maximum(ndimage.maximum(depth, ids, np.arange(count + 1)), 0.25 * config.diameter)
    relative = np.clip(depth / deepest.astype(np.float32)[ids], 0, 1)
    thickness = np.sqrt(1 - np.square(1 - relative))
    dark_spots = 1 - 0.45 * np.clip(spots - 1.3, 0, 1)
    grainy = np.clip(1 + config.texture * grain, 0.2, None) * dark_spots
    return np.asarray(brightness[ids] * (0.3 + 0.7 * thickness) * grainy, np.float32)
