"""A table of objects: where they are, how large, of what shape, how bright; in pixels and in real units.

Sizes, centroids, second moments and intensities are sums over pixels, taken for all objects at once. The
perimeter is scikit-image's Crofton estimate in four directions (Legland et al. 2007), which also measures a
single pixel; the surface of a volume is the mesh of marching cubes at half height (Lewiner et al. 2003). The
hull of solidity is that of the corners of the pixels, as in ImageJ: a rectangle has 1, and so has a line or a
single pixel.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Space
from segue.errors import LabelError
from segue.io.files import write_whole
from segue.objects.numbers import consecutive

Table = dict[str, list[Any]]
"""Columns by name, all of one length; a value that does not exist is None."""

AXES = ("z", "y", "x")
UNITS = {"micrometer": "um", "millimeter": "mm"}
"""How column names abbreviate units; pixels are "px"."""


def measure_objects(
    ids: NDArray[Any],
    image: Image | None = None,
    *,
    foreground: NDArray[np.float32] | None = None,
    space: Space | None = None,
    class_map: NDArray[Any] | None = None,
    classes: Sequence[str] = ("background", "object"),
) -> Table:
    """One row for each object of `ids` (Y, X) or (Z, Y, X), ascending; 0 is background.

    Columns: id, class, centroid_*, area or volume, perimeter or surface, major_axis and minor_axis (of the
    ellipse or ellipsoid of equal second moments), orientation (2D: angle in degrees from the y axis to the
    major axis, in (-90, 90]), solidity (area / area of the convex hull), mean_* and sum_* intensity of every
    channel of `image`, touches_border, and confidence (mean of `foreground`, the probability of not being
    background). Lengths are in pixels ("_px"); if `space` (or that of `image`) knows the size of a pixel,
    they follow in its unit too.

    `class_map` gives a class id to every pixel, and an object has the class of most of its pixels (the lower
    id if two are equal); without it all objects are of class 1 of `classes`. In volumes lengths in pixels are
    only meant for isotropic voxels. A value that cannot be had is None. Raises LabelError if a shape differs.
    """
    _check_shapes(ids, image, foreground, class_map)
    where = space if space is not None else (image.space if image is not None else Space())
    values, numbers = consecutive(ids)
    inside = np.nonzero(numbers)
    owner = numbers[inside] - 1
    table: Table = {"id": values.tolist(), "class": _classes(numbers, class_map, classes)}
    table |= _geometry(owner, inside, (1.0,) * ids.ndim, "px")
    if where.pixel_size is not None and where.unit in UNITS:
        table |= _geometry(owner, inside, where.pixel_size, UNITS[where.unit])
    table |= _shells(numbers, where)
    if ids.ndim == 2:
        shape = where.pixel_size or (1.0, 1.0)
        table["orientation"] = _orientations(_second_moments(owner, inside, shape)[1])
    table["solidity"] = _solidities(numbers)
    for channel, pixels in enumerate(() if image is None else image.pixels):
        total = np.bincount(owner, weights=pixels[inside])
        table[f"mean_{channel}"] = (total / np.bincount(owner)).tolist()
        table[f"sum_{channel}"] = total.tolist()
    table["touches_border"] = _touches_border(numbers)
    if foreground is not None:
        total = np.bincount(owner, weights=foreground[inside])
        table["confidence"] = (total / np.bincount(owner)).tolist()
    return table


def write_table(path: Path, table: Mapping[str, Sequence[Any]]) -> None:
    """Write a table as CSV (comma, point, UTF-8, empty for None), whole or not at all.

    Raises CannotCreateError or StorageError.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    write_whole(path, text.getvalue().encode())


def _geometry(owner: NDArray[Any], inside: tuple[NDArray[Any], ...], pixel_size: tuple[float, ...], unit: str) -> Table:
    """Centroid, area or volume, and axes in `unit`.

    `owner` is number - 1 of the object of each pixel of `inside`.
    """
    axes = len(inside)
    centroids, moments = _second_moments(owner, inside, pixel_size)
    # An ellipse or ellipsoid with half axes a has the variance a^2 / (axes + 2) along each of them.
    lengths = 2 * np.sqrt((axes + 2) * np.linalg.eigvalsh(moments).clip(min=0))
    sizes = np.bincount(owner) * math.prod(pixel_size)
    table: Table = {f"centroid_{AXES[axis - axes]}_{unit}": centroids[:, axis].tolist() for axis in range(axes)}
    table["area" + _power(unit, 2) if axes == 2 else "volume" + _power(unit, 3)] = sizes.tolist()
    table[f"major_axis_{unit}"] = lengths[:, -1].tolist()
    table[f"minor_axis_{unit}"] = lengths[:, 0].tolist()
    return table


def _shells(numbers: NDArray[Any], where: Space) -> Table:
    """Perimeters or surfaces; where pixels are not square the physical perimeter is None."""
    unit, size = UNITS.get(where.unit), where.pixel_size
    if numbers.ndim == 3:
        table: Table = {"surface_px": _surfaces(numbers, (1.0, 1.0, 1.0))}
        if unit is not None and size is not None:
            table["surface" + _power(unit, 2)] = _surfaces(numbers, size)
        return table
    perimeters = _perimeters(numbers)
    table = {"perimeter_px": perimeters}
    if unit is not None and size is not None:
        square = math.isclose(*size, rel_tol=1e-6)
        table[f"perimeter_{unit}"] = [length * size[0] if square else None for length in perimeters]
    return table


def _power(unit: str, power: int) -> str:
    """The end of a column name: "_px", or "_um2" for a power of a physical unit."""
    return f"_{unit}" if unit == "px" else f"_{unit}{power}"


def _second_moments(
    owner: NDArray[Any], inside: tuple[NDArray[Any], ...], pixel_size: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, axes) centroids and (n, axes, axes) covariances of the pixel centres of each object."""
    sizes = np.bincount(owner)
    centroids, from_centre = [], []
    for places, length in zip(inside, pixel_size, strict=True):
        centroid = np.bincount(owner, weights=places) / sizes * length
        centroids.append(centroid)
        from_centre.append(places * length - centroid[owner])
    moments = [[np.bincount(owner, weights=a * b) / sizes for b in from_centre] for a in from_centre]
    return np.stack(centroids, axis=-1), np.moveaxis(np.array(moments), -1, 0)


def _orientations(moments: NDArray[np.float64]) -> list[float | None]:
    """Degrees from the y axis to the major axis, positive towards x; None if no axis is the longest."""
    skew, stretch = 2 * moments[:, 0, 1], moments[:, 0, 0] - moments[:, 1, 1]
    angles = np.degrees(np.arctan2(skew, stretch) / 2)
    round_ = np.hypot(skew, stretch) < 1e-9 * (moments[:, 0, 0] + moments[:, 1, 1] + 1e-12)
    return [None if is_round else float(angle) for angle, is_round in zip(angles, round_, strict=True)]


def _perimeters(numbers: NDArray[Any]) -> list[float]:
    """In pixels."""
    from skimage.measure import perimeter_crofton

    return [
        float(perimeter_crofton(body, directions=4))  # type: ignore[no-untyped-call]
        for body in _bodies(numbers)
    ]


def _surfaces(numbers: NDArray[Any], pixel_size: tuple[float, ...]) -> list[float]:
    from skimage.measure import marching_cubes, mesh_surface_area

    surfaces = []
    for body in _bodies(numbers):
        solid = np.pad(body, 1).astype(np.float32)
        corners, faces, *_ = marching_cubes(solid, 0.5, spacing=pixel_size)  # type: ignore[no-untyped-call]
        surfaces.append(float(mesh_surface_area(corners, faces)))  # type: ignore[no-untyped-call]
    return surfaces


def _solidities(numbers: NDArray[Any]) -> list[float]:
    """Pixels of each object over the content of the convex hull of their corners."""
    from scipy.spatial import ConvexHull

    offsets = np.stack(np.meshgrid(*[(0, 1)] * numbers.ndim, indexing="ij"), axis=-1).reshape(-1, numbers.ndim)
    solidities = []
    for body in _bodies(numbers):
        lines = body.any(axis=-1)
        where = np.argwhere(lines)
        first = body.argmax(axis=-1)[lines]
        last = body.shape[-1] - 1 - body[..., ::-1].argmax(axis=-1)[lines]
        ends = np.concatenate([np.column_stack([where, first]), np.column_stack([where, last])])
        corners = (ends[:, None] + offsets).reshape(-1, numbers.ndim)
        solidities.append(float(body.sum() / ConvexHull(corners).volume))
    return solidities


def _bodies(numbers: NDArray[Any]) -> Iterator[NDArray[np.bool_]]:
    """The pixels of every object within its bounding box."""
    from scipy import ndimage

    boxes = ndimage.find_objects(numbers) if numbers.size else []
    for number, box in enumerate(boxes, start=1):
        if box is not None:
            yield numbers[box] == number


def _classes(numbers: NDArray[Any], class_map: NDArray[Any] | None, classes: Sequence[str]) -> list[str]:
    count = int(numbers.max(initial=0))
    if class_map is None:
        return [classes[1]] * count
    if class_map.size and not 0 <= class_map.min() <= class_map.max() < len(classes):
        raise LabelError(
            f"the class map holds classes {class_map.min()} to {class_map.max()}, "
            f"but only the {len(classes)} classes {', '.join(classes)} have names; name all of them"
        )

    votes = np.bincount(
        (numbers.astype(np.int64) * len(classes) + class_map).reshape(-1),
        minlength=(count + 1) * len(classes),
    ).reshape(count + 1, len(classes))
    return [classes[index] for index in votes[1:].argmax(axis=1)]


def _touches_border(numbers: NDArray[Any]) -> list[bool]:
    touches = np.zeros(int(numbers.max(initial=0)) + 1, bool)
    for axis in range(numbers.ndim):
        if numbers.shape[axis]:
            touches[numbers.take([0, -1], axis)] = True
    return [bool(touch) for touch in touches[1:]]


def _check_shapes(ids: NDArray[Any], image: Image | None, *maps: NDArray[Any] | None) -> None:
    shapes = {"image": None if image is None else image.shape}
    shapes |= {
        name: None if given is None else given.shape
        for name, given in zip(("foreground", "class map"), maps, strict=True)
    }
    for name, shape in shapes.items():
        if shape is not None and shape != ids.shape:
            raise LabelError(f"the objects have the shape {ids.shape} and the {name} {shape}; give what fits")
