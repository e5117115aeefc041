"""Thin dark membranes between irregular cells, as in an electron micrograph of nervous tissue. 2D.

Cells are the pieces of a power diagram seen through a smooth warp; a membrane is what lies near a border.
Mitochondria and vesicles inside of cells are as dark as membranes and are none: what a network has to learn
to leave out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.simulate.fields import (
    Generator,
    check_fractions,
    check_positive,
    check_shape,
    random_rotation,
    shading,
    smooth_field,
    texture,
    to_grey_values,
)


@dataclass(frozen=True, kw_only=True)
class MembranesConfig:
    """What the tissue and the electron microscope are like."""

    diameter: float = 42.0
    """Typical diameter of a cell in pixels; cells vary by several times."""
    thickness: float = 3.6
    """Mean thickness of a membrane in pixels; it varies along the membrane."""
    warp: float = 0.22
    """How far borders are bent, in diameters."""
    mitochondria: float = 0.5
    """Part of the large cells that hold a mitochondrion, 0..1."""
    noise: float = 0.09
    """Deviation of the noise, as part of the full range."""
    shading: float = 0.15
    """How much darker the darkest corner is, 0..1."""

    def __post_init__(self) -> None:
        check_fractions(mitochondria=self.mitochondria, shading=self.shading)
        check_positive(diameter=self.diameter, thickness=self.thickness)


def simulate_membranes(
    shape: tuple[int, ...], *, seed: int, config: MembranesConfig | None = None
) -> tuple[Image, Labels]:
    """Draw an image of membranes and its truth.

    `shape` is (Y, X). The image has one channel of whole numbers 0..255; the labels are classes, 0 membrane
    and 1 cell. Raises UsageError for a shape that is not 2D.
    """
    shape = check_shape(shape, axes=(2,))
    config = config or MembranesConfig()
    generator = np.random.default_rng(seed)
    cells = _draw_cells(shape, config=config, generator=generator)
    distance, half = _membranes(cells, config=config, generator=generator)
    pixels = _expose(cells, distance=distance, half=half, config=config, generator=generator)
    name = f"membranes, seed {seed}"
    return (
        Image(pixels=pixels[None], name=name),
        Labels(ids=(distance > half).astype(np.int32), kind="classes", classes=("membrane", "cell"), name=name),
    )


def _draw_cells(shape: tuple[int, ...], *, config: MembranesConfig, generator: Generator) -> NDArray[np.int32]:
    """The number of the cell at every pixel, from 0.

    The seed nearest in y, x and one further coordinate of the seeds gives a power diagram (Aurenhammer
    1987): seeds far along it get small cells.
    """
    from scipy.spatial import KDTree

    margin = config.diameter
    area = (shape[0] + 2 * margin) * (shape[1] + 2 * margin)
    count = max(int(1.3 * area / config.diameter**2), 2)
    seeds = np.empty((count, 3))
    for axis in range(2):
        seeds[:, axis] = generator.uniform(-margin, shape[axis] + margin, size=count)
    seeds[:, 2] = config.diameter * np.abs(generator.normal(0, 0.55, size=count))
    places = np.zeros((*shape, 3), np.float32)
    for axis, length in enumerate(shape):
        slow = smooth_field(shape, scale=1.1 * config.diameter, generator=generator)
        fast = smooth_field(shape, scale=0.33 * config.diameter, generator=generator)
        line = np.expand_dims(np.arange(length, dtype=np.float32), 1 - axis)
        places[..., axis] = line + np.float32(config.warp * config.diameter) * (slow + np.float32(0.28) * fast)
    _, nearest = KDTree(seeds).query(places.reshape(-1, 3))
    return _without_crumbs(nearest.astype(np.int32).reshape(shape), least=0.06 * config.diameter**2)


def _without_crumbs(cells: NDArray[np.int32], *, least: float) -> NDArray[np.int32]:
    """Give pieces of fewer than `least` pixels, torn off by a strong warp, to the nearest larger piece."""
    from scipy import ndimage
    from skimage import measure

    pieces = measure.label(  # type: ignore[no-untyped-call]
        cells, background=-1, connectivity=1
    )
    crumbs = (np.bincount(pieces.ravel()) < least)[pieces]
    if crumbs.all() or not crumbs.any():
        return cells
    nearest = ndimage.distance_transform_edt(crumbs, return_distances=False, return_indices=True)
    return np.asarray(cells[tuple(nearest)], np.int32)


def _membranes(
    cells: NDArray[np.int32], *, config: MembranesConfig, generator: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance of every pixel to the nearest border of cells, and half the thickness there; in pixels."""
    from scipy import ndimage

    edge = np.zeros(cells.shape, bool)
    down, right = cells[1:] != cells[:-1], cells[:, 1:] != cells[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    if edge.any():
        distance = ndimage.distance_transform_edt(~edge).astype(np.float32) + np.float32(0.5)
        distance = ndimage.gaussian_filter(distance, 0.7)
    else:
        distance = np.full(cells.shape, np.float32(sum(cells.shape)))
    uneven = smooth_field(cells.shape, scale=0.6 * config.diameter, generator=generator)
    half = 0.5 * np.float32(config.thickness) * np.clip(1 + np.float32(0.3) * uneven, 0.65, 2.2)
    return distance, np.asarray(half, np.float32)


def _expose(
    cells: NDArray[np.int32],
    *,
    distance: NDArray[np.float32],
    half: NDArray[np.float32],
    config: MembranesConfig,
    generator: Generator,
) -> NDArray[np.float32]:
    """Membranes, what is inside of the cells, noise: whole numbers 0..255."""
    from scipy import ndimage, special

    shape = cells.shape
    grey = 0.72 + 0.06 * generator.normal(size=int(cells.max(initial=0)) + 1).astype(np.float32)
    inside = grey[cells] + np.float32(0.05) * texture(shape, coarsest=0.2 * config.diameter, generator=generator)
    filaments = np.clip(smooth_field(shape, scale=2.6, generator=generator) - np.float32(1.25), 0, 1)
    inside -= np.float32(0.22) * filaments
    _add_vesicles(inside, distance=distance, config=config, generator=generator)
    _add_mitochondria(inside, cells=cells, distance=distance, config=config, generator=generator)
    dark = np.float32(0.2) + np.float32(0.07) * smooth_field(shape, scale=0.5 * config.diameter, generator=generator)
    share = special.expit((half - distance) / np.float32(0.45))
    seen = ndimage.gaussian_filter(inside * (1 - share) + dark * share, 0.6)
    fine = generator.normal(size=shape).astype(np.float32)
    grain = 0.75 * fine + 1.5 * ndimage.gaussian_filter(generator.normal(size=shape).astype(np.float32), 0.9)
    seen += np.float32(config.noise) * grain * np.float32(0.8)
    return to_grey_values(seen * shading(shape, strength=config.shading, generator=generator))


def _add_vesicles(
    inside: NDArray[np.float32],
    *,
    distance: NDArray[np.float32],
    config: MembranesConfig,
    generator: Generator,
) -> None:
    """Draw small rings with a dark rim in clusters, away from membranes, into `inside`."""
    count = int(inside.size / config.diameter**2 * 4)
    crowd = smooth_field(inside.shape, scale=1.2 * config.diameter, generator=generator)
    for _ in range(count):
        radius = generator.uniform(0.035, 0.06) * config.diameter
        centre = [int(generator.integers(length)) for length in inside.shape]
        if distance[*centre] < radius + config.thickness or crowd[*centre] < 0.2:
            continue
        box, away = _neighbourhood(inside.shape, centre=centre, reach=2 * radius + 2)
        rim = np.exp(-(((np.sqrt((away**2).sum(axis=-1)) - radius) / 0.9) ** 2))
        inside[box] -= np.float32(0.26) * rim


def _add_mitochondria(
    inside: NDArray[np.float32],
    *,
    cells: NDArray[np.int32],
    distance: NDArray[np.float32],
    config: MembranesConfig,
    generator: Generator,
) -> None:
    """Draw dark ellipses with a rim and folds into the roomiest places of some large cells of `inside`."""
    from scipy import ndimage, special

    numbers = np.unique(cells)
    roomiest = ndimage.maximum_position(distance, cells, numbers)
    for centre in roomiest:
        room = float(distance[centre]) - config.thickness
        if room < 0.18 * config.diameter or generator.random() > config.mitochondria:
            continue
        radius = room * generator.uniform(0.6, 0.95)
        radius = min(radius, 0.5 * config.diameter)
        box, away = _neighbourhood(inside.shape, centre=[int(c) for c in centre], reach=1.4 * radius + 2)
        turned = away @ random_rotation(2, generator=generator).astype(np.float32)
        y, x = turned[..., 0], turned[..., 1]
        wave = 0.12 * np.sin(3 * np.arctan2(y, x) + generator.uniform(0, 6))
        level = np.sqrt((y / (0.75 * radius)) ** 2 + (x / radius) ** 2) * (1 + wave)
        body = special.expit((1 - level) * radius / 0.8)
        rim = np.exp(-(((level - 1) * 0.85 * radius / 1.3) ** 2))
        folds = 0.5 + 0.5 * np.sin(
            2 * np.pi * x / max(0.13 * config.diameter, 4) + 2.2 * np.sin(1.7 * y / radius + wave)
        )
        grey = np.float32(0.36) + np.float32(0.14) * folds
        inside[box] = inside[box] * (1 - body) + grey * body - np.float32(0.25) * rim


def _neighbourhood(
    shape: tuple[int, ...], *, centre: list[int], reach: float
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """The box of `reach` pixels around `centre` within the image, and (..., axes) offsets from the centre."""
    box = tuple(
        slice(max(int(c - reach), 0), min(int(c + reach) + 1, length)) for c, length in zip(centre, shape, strict=True)
    )
    grid = np.meshgrid(*(np.arange(part.start, part.stop, dtype=np.float32) for part in box), indexing="ij")
    return box, np.stack([g - np.float32(c) for g, c in zip(grid, centre, strict=True)], axis=-1)
