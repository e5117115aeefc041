"""A table of objects: where they are, how large, of what shape, how bright; in pixels and in real units.

Sizes, centroids, second moments and intensities are sums over pixels, taken for all objects at once. The
perimeter is scikit-image's Crofton estimate in four directions (Legland et al. 2007), which also measures a
single pixel; the surface of a volume is the mesh of marching cubes at half height (Lewiner et al. 2003). The
hull of solidity is that of the corners of the pixels, as in ImageJ: a rectangle has 1, and so has a line or a
single pixel.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Space
from segue.errors import LabelError
from segue.objects.naming import class_names
from segue.objects.numbers import consecutive
from segue.objects.tables import Table

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
    values, numbers = consecutive(ids)
    inside = np.nonzero(numbers)
    owner = numbers[inside] - 1
    table: Table = {"id": values.tolist(), "class": class_names(values, object_classes)}
    body = _Moments(owner, inside)
    table |= _geometry(body, (1.0,) * ids.ndim, "px")
    if where.pixel_size is not None and where.unit in UNITS:
        table |= _geometry(body, where.pixel_size, UNITS[where.unit])
    table |= _shells(numbers, where)
    covariances = body.covariances(where.pixel_size or (1.0,) * ids.ndim)
    if ids.ndim == 2:
        table["orientation"] = _orientations(covariances)
    else:
        table |= _directions(covariances)
    table["solidity"] = _solidities(numbers)
    for channel, pixels in enumerate(() if image is None else image.pixels):
        total = np.bincount(owner, weights=pixels[inside])
        table[f"mean_{channel}"] = (total / body.sizes).tolist()
        table[f"sum_{channel}"] = total.tolist()
    table["touches_border"] = _touches_border(numbers)
    if foreground is not None:
        total = np.bincount(owner, weights=foreground[inside])
        table["confidence"] = (total / body.sizes).tolist()
    return table


class _Moments:
    """Size, centroid and second moments of each object, in pixels: sums over the pixels of all objects at once."""

    def __init__(self, owner: NDArray[Any], inside: tuple[NDArray[Any], ...]) -> None:
        """`owner` is number - 1 of the object of each pixel of `inside`."""
        self.sizes = np.bincount(owner)
        centroids, from_centre = [], []
        for places in inside:
            centroid = np.bincount(owner, weights=places) / self.sizes
            centroids.append(centroid)
            from_centre.append(places - centroid[owner])
        self.centroids = np.stack(centroids, axis=-1)  # (n, axes)
        self._covariances = np.empty((len(self.sizes), len(inside), len(inside)))
        for first, second in combinations_with_replacement(range(len(inside)), 2):
            shared = np.bincount(owner, weights=from_centre[first] * from_centre[second]) / self.sizes
            self._covariances[:, first, second] = self._covariances[:, second, first] = shared

    def covariances(self, pixel_size: tuple[float, ...]) -> NDArray[np.float64]:
        """(n, axes, axes), of the pixel centres, in the unit of `pixel_size`."""
        scaled: NDArray[np.float64] = self._covariances * np.outer(pixel_size, pixel_size)
        return scaled


def _geometry(body: _Moments, pixel_size: tuple[float, ...], unit: str) -> Table:
    """Centroid, area or volume, and axes in `unit`."""
    axes = len(pixel_size)
    centroids = body.centroids * pixel_size
    # An ellipse or ellipsoid with half axes a has the variance a^2 / (axes + 2) along each of them.
    lengths = 2 * np.sqrt((axes + 2) * np.linalg.eigvalsh(body.covariances(pixel_size)).clip(min=0))
    sizes = body.sizes * math.prod(pixel_size)
    table: Table = {f"centroid_{AXES[axis - axes]}_{unit}": centroids[:, axis].tolist() for axis in range(axes)}
    table["area" + _power(unit, 2) if axes == 2 else "volume" + _power(unit, 3)] = sizes.tolist()
    table[f"major_axis_{unit}"] = lengths[:, -1].tolist()
    if axes == 3:
        table[f"middle_axis_{unit}"] = lengths[:, 1].tolist()
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


def _touches_border(numbers: NDArray[Any]) -> list[bool]:
    touches = np.zeros(int(numbers.max(initial=0)) + 1, bool)
    for axis in range(numbers.ndim):
        if numbers.shape[axis]:
            touches[numbers.take([0, -1], axis)] = True
    return [bool(touch) for touch in touches[1:]]


def _check_shapes(ids: NDArray[Any], image: Image | None, foreground: NDArray[Any] | None) -> None:
    image_shape = None if image is None else image.shape
    foreground_shape = None if foreground is None else foreground.shape
    for name, shape in (("image", image_shape), ("foreground", foreground_shape)):
        if shape is not None and shape != ids.shape:
            raise LabelError(f"the objects have the shape {ids.shape} and the {name} {shape}; give what fits")
