"""A table of objects: where they are, how large, of what shape, how bright; in pixels and in real units.

Sizes, centroids, second moments and intensities are sums over pixels, taken by a census of all objects. The
perimeter is scikit-image's Crofton estimate in four directions (Legland et al. 2007), which also measures a
single pixel; the surface of a volume is the mesh of marching cubes at half height (Lewiner et al. 2003). The
hull of solidity is that of the corners of the pixels, as in ImageJ: a rectangle has 1, and so has a line or a
single pixel.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Space
from segue.errors import LabelError
from segue.io.scratch import Readable
from segue.objects.census import Census, take_census
from segue.objects.naming import class_names
from segue.objects.tables import Table

IMAGE, FOREGROUND = "image", "foreground"
"""Names of the sums of a census that a table tells of."""
AXES = ("z", "y", "x")
UNITS = {"micrometer": "um", "millimeter": "mm"}
"""How column names abbreviate units; pixels are "px"."""


def measure_objects(
    ids: NDArray[Any],
    image: Image | None = None,
    *,
    foreground: NDArray[np.float32] | None = None,
    space: Space | None = None,
    object_classes: Sequence[str] | None = None,
) -> Table:
    """One row for each object of `ids` (Y, X) or (Z, Y, X), ascending; 0 is background.

    Columns: id, class, centroid_*, area or volume, major_axis, middle_axis (volumes) and minor_axis (of the ellipse or
    ellipsoid of equal second moments), perimeter or surface, orientation (2D: angle in degrees from the y axis to the
    major axis, in (-90, 90]) or direction_z, _y and _x (volumes: unit vector along the major axis, its first
    component that is not 0 is positive), solidity (area / area of the convex hull), mean_* and sum_* intensity of
    every channel of `image`, touches_border, and confidence (mean of `foreground`, the probability of not being
    background). Lengths are in pixels ("_px"); if `space` (or that of `image`) knows the size of a pixel, they follow
    in its unit too, and directions are those of space.

    `object_classes` are the names of the classes of the ids 1..n; without them every class is "object". In volumes
    lengths in pixels are only meant for isotropic voxels. A value that cannot be had is None. Raises LabelError if a
    shape differs or an id has no class.
    """
    _check_shapes(ids, image, foreground)
    where = space if space is not None else (image.space if image is not None else Space())
    maps = {} if image is None else {IMAGE: image.pixels}
    if foreground is not None:
        maps[FOREGROUND] = foreground[np.newaxis]
    return table_of(take_census(ids, maps), ids, space=where, object_classes=object_classes)


def table_of(census: Census, ids: Readable, *, space: Space, object_classes: Sequence[str] | None = None) -> Table:
    """What `measure_objects` says of `ids`, which may be larger than memory, if their census has been taken.

    The sums named `IMAGE` become intensities, that named `FOREGROUND` the confidence.
    """
    table: Table = {"id": census.ids.tolist(), "class": class_names(census.ids, object_classes)}
    table |= _geometry(census, (1.0,) * len(census.shape), "px")
    if space.pixel_size is not None and space.unit in UNITS:
        table |= _geometry(census, space.pixel_size, UNITS[space.unit])
    shells, solidities = _shells_and_solidities(census, ids, space)
    table |= shells
    covariances = _scaled(census.covariances, space.pixel_size or (1.0,) * len(census.shape))
    if len(census.shape) == 2:
        table["orientation"] = _orientations(covariances)
    else:
        table |= _directions(covariances)
    table["solidity"] = solidities
    if IMAGE in census.sums:
        for channel, (means, totals) in enumerate(zip(census.means(IMAGE).T, census.sums[IMAGE].T, strict=True)):
            table[f"mean_{channel}"] = means.tolist()
            table[f"sum_{channel}"] = totals.tolist()
    table["touches_border"] = census.touches_border().tolist()
    if FOREGROUND in census.sums:
        table["confidence"] = census.means(FOREGROUND)[:, 0].tolist()
    return table


def _scaled(covariances: NDArray[np.float64], pixel_size: tuple[float, ...]) -> NDArray[np.float64]:
    """(n, axes, axes), of the pixel centres, in the unit of `pixel_size`."""
    scaled: NDArray[np.float64] = covariances * np.outer(pixel_size, pixel_size)
    return scaled


def _geometry(census: Census, pixel_size: tuple[float, ...], unit: str) -> Table:
    """Centroid, area or volume, and axes in `unit`."""
    axes = len(pixel_size)
    centroids = census.centroids * pixel_size
    # An ellipse or ellipsoid with half axes a has the variance a^2 / (axes + 2) along each of them.
    lengths = 2 * np.sqrt((axes + 2) * np.linalg.eigvalsh(_scaled(census.covariances, pixel_size)).clip(min=0))
    sizes = census.sizes * math.prod(pixel_size)
    table: Table = {f"centroid_{AXES[axis - axes]}_{unit}": centroids[:, axis].tolist() for axis in range(axes)}
    table["area" + _power(unit, 2) if axes == 2 else "volume" + _power(unit, 3)] = sizes.tolist()
    table[f"major_axis_{unit}"] = lengths[:, -1].tolist()
    if axes == 3:
        table[f"middle_axis_{unit}"] = lengths[:, 1].tolist()
    table[f"minor_axis_{unit}"] = lengths[:, 0].tolist()
    return table


def _shells_and_solidities(census: Census, ids: Readable, space: Space) -> tuple[Table, list[float]]:
    """Perimeters or surfaces, and solidities; where pixels are not square the physical perimeter is None."""
    axes = len(census.shape)
    size = space.pixel_size if space.unit in UNITS else None
    square = size is not None and math.isclose(min(size), max(size), rel_tol=1e-6)
    in_pixels: list[float] = []
    in_space: list[float | None] = []
    solidities = []
    for _, _, body in census.bodies(ids):
        in_pixels.append(_perimeter(body) if axes == 2 else _surface(body, (1.0, 1.0, 1.0)))
        if size is not None and axes == 2:
            in_space.append(in_pixels[-1] * size[0] if square else None)
        elif size is not None:
            in_space.append(_surface(body, size))
        solidities.append(_solidity(body))
    name, power = ("perimeter", 1) if axes == 2 else ("surface", 2)
    table: Table = {f"{name}_px": in_pixels}
    if size is not None:
        table[name + _power(UNITS[space.unit], power)] = in_space
    return table, solidities


def _power(unit: str, power: int) -> str:
    """The end of a column name: "_px" for pixels of any power, "_um", or "_um2" for the second power."""
    return f"_{unit}" if unit == "px" or power == 1 else f"_{unit}{power}"


def _orientations(moments: NDArray[np.float64]) -> list[float | None]:
    """Degrees from the y axis to the major axis, positive towards x; None if no axis is the longest."""
    skew, stretch = 2 * moments[:, 0, 1], moments[:, 0, 0] - moments[:, 1, 1]
    angles = np.degrees(np.arctan2(skew, stretch) / 2)
    round_ = np.hypot(skew, stretch) < 1e-9 * (moments[:, 0, 0] + moments[:, 1, 1] + 1e-12)
    return [None if is_round else float(angle) for angle, is_round in zip(angles, round_, strict=True)]


def _directions(moments: NDArray[np.float64]) -> Table:
    """The unit vectors along the longest axes; None if no axis is the longest."""
    lengths, vectors = np.linalg.eigh(moments)
    longest = vectors[:, :, -1]
    longest[np.abs(longest) < 1e-9] = 0  # what is 0 but for rounding has no sign
    first = np.take_along_axis(longest, (longest != 0).argmax(axis=1)[:, None], axis=1)
    longest = longest * np.sign(first)
    unclear = lengths[:, -1] - lengths[:, -2] < 1e-9 * (lengths.sum(axis=1) + 1e-12)
    return {
        f"direction_{axis}": [None if no else float(part) for no, part in zip(unclear, parts, strict=True)]
        for axis, parts in zip(AXES, longest.T, strict=True)
    }


def _perimeter(body: NDArray[np.bool_]) -> float:
    """In pixels."""
    from skimage.measure import perimeter_crofton

    return float(perimeter_crofton(body, directions=4))  # type: ignore[no-untyped-call]


def _surface(body: NDArray[np.bool_], pixel_size: tuple[float, ...]) -> float:
    from skimage.measure import marching_cubes, mesh_surface_area

    solid = np.pad(body, 1).astype(np.float32)
    corners, faces, *_ = marching_cubes(solid, 0.5, spacing=pixel_size)  # type: ignore[no-untyped-call]
    return float(mesh_surface_area(corners, faces))  # type: ignore[no-untyped-call]


def _solidity(body: NDArray[np.bool_]) -> float:
    """Pixels of an object over the content of the convex hull of their corners."""
    from scipy.spatial import ConvexHull

    lines = body.any(axis=-1)
    where = np.argwhere(lines)
    first = body.argmax(axis=-1)[lines]
    last = body.shape[-1] - 1 - body[..., ::-1].argmax(axis=-1)[lines]
    ends = np.concatenate([np.column_stack([where, first]), np.column_stack([where, last])])
    corners = (ends[:, None] + _corners(body.ndim)).reshape(-1, body.ndim)
    return float(body.sum() / ConvexHull(corners).volume)


@cache
def _corners(axes: int) -> NDArray[np.intp]:
    """(2 ** axes, axes): where the corners of a pixel are, from the first of them."""
    return np.stack(np.meshgrid(*[(0, 1)] * axes, indexing="ij"), axis=-1).reshape(-1, axes)


def _check_shapes(ids: NDArray[Any], image: Image | None, foreground: NDArray[Any] | None) -> None:
    image_shape = None if image is None else image.shape
    foreground_shape = None if foreground is None else foreground.shape
    for name, shape in (("image", image_shape), ("foreground", foreground_shape)):
        if shape is not None and shape != ids.shape:
            raise LabelError(f"the objects have the shape {ids.shape} and the {name} {shape}; give what fits")
