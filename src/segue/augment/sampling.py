"""One sampling: what the drawn parameters make of a place in an image, its labels and its maps together.

A patch pixel p (offset from the patch's centre) shows the image point matrix (p + u(p)) + shift (offset from
the same centre), with the elastic displacement u. The image is interpolated there, labels are those of the
nearest pixel, and beyond the edges everything is mirrored. Of the image only the region a patch can reach is
touched.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.augment.compose import Parameters
from segue.augment.elastic import Elastic, grid_displacements, upsample
from segue.augment.geometry import Geometry, identity
from segue.augment.intensity import apply_intensity
from segue.augment.mirror import mirrored, read_mirrored

if TYPE_CHECKING:
    from torch import Tensor

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """One whole training image and everything that has to move with it. Arrays may be memory maps."""

    image: NDArray[np.float32]
    """(C, Y, X) or (C, Z, Y, X), float32, normalised."""
    labels: NDArray[Any]
    """(Y, X) or (Z, Y, X), any integer type: class ids or object ids."""
    linear: tuple[NDArray[np.float32], ...] = ()
    """Further maps shaped like the labels that are interpolated, such as distances."""
    nearest: tuple[NDArray[Any], ...] = ()
    """Further maps that take the value of the nearest pixel, the same one as the label: weights that are 0
    where the label is IGNORE stay so."""

    def __post_init__(self) -> None:
        for array in (self.labels, *self.linear, *self.nearest):
            assert array.shape == self.image.shape[1:], (array.shape, self.image.shape)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """What was sampled, in the order of the sources. All arrays are new and contiguous."""

    image: NDArray[np.float32]
    """(C, *patch), float32."""
    labels: NDArray[Any]
    """(*patch), of the type of the source."""
    linear: tuple[NDArray[np.float32], ...]
    """Each (*patch), float32."""
    nearest: tuple[NDArray[Any], ...]
    """Each (*patch), of the type of the source."""


def sample_patch(
    sources: Sources,
    *,
    corner: tuple[int, ...],
    patch_shape: tuple[int, ...],
    parameters: Parameters | None = None,
) -> Patch:
    """The patch whose first pixel would be `corner` without augmentation; it may lie outside of the image.

    Without `parameters` it is cut out as it is, mirrored beyond the edges: the same pixels, exactly. Flips,
    quarter turns and whole-pixel shifts give exact copies of pixels too.
    """
    import torch

    geometry = identity(len(patch_shape)) if parameters is None else parameters.geometry
    elastic = None if parameters is None else parameters.elastic
    lattice = _lattice_map(geometry, patch_shape) if elastic is None else None
    if lattice is None:
        patch = _interpolate(sources, corner, _coordinates(patch_shape, geometry, elastic))
    else:
        patch = _copy(sources, corner, lattice)
    if parameters is None:
        return patch
    changed = apply_intensity(torch.from_numpy(patch.image), parameters.intensity)
    return Patch(image=changed.numpy(), labels=patch.labels, linear=patch.linear, nearest=patch.nearest)


@dataclass(frozen=True, kw_only=True)
class _Lattice:
    """A map that takes whole pixels to whole pixels: image axis i follows patch axis order[i]."""

    order: tuple[int, ...]
    indices: tuple[NDArray[np.int64], ...]
    """For each image axis the pixels wanted, from the corner of the patch."""


def _lattice_map(geometry: Geometry, patch_shape: tuple[int, ...]) -> _Lattice | None:
    """The map as plain indexing, if it takes whole pixels to whole pixels: interpolation would copy them."""
    matrix = np.asarray(geometry.matrix)
    if (
        not np.isin(matrix, (-1, 0, 1)).all()
        or (np.abs(matrix).sum(0) != 1).any()
        or (np.abs(matrix).sum(1) != 1).any()
    ):
        return None
    order = tuple(int(place) for place in np.abs(matrix).argmax(axis=1))
    indices = []
    for axis, follows in enumerate(order):
        doubled = matrix[axis, follows] * (2 * np.arange(patch_shape[follows]) - (patch_shape[follows] - 1))
        doubled = doubled.astype(np.int64) + patch_shape[axis] - 1 + 2 * geometry.shift[axis]
        if (doubled % 2).any():  # an even side turned onto an odd one: half a pixel between them
            return None
        indices.append(doubled // 2)
    return _Lattice(order=order, indices=tuple(indices))


def _copy(sources: Sources, corner: tuple[int, ...], lattice: _Lattice) -> Patch:
    def cut(array: NDArray[Any]) -> NDArray[Any]:
        leading = array.ndim - len(lattice.order)
        for axis, (index, start) in enumerate(zip(lattice.indices, corner, strict=True), start=leading):
            low, high = int(index.min()) + start, int(index.max()) + start
            if low < 0 or high >= array.shape[axis]:
                array = array.take(mirrored(index + start, array.shape[axis]), axis=axis)
                continue
            array = array[(slice(None),) * axis + (slice(low, high + 1),)]
            if index[0] > index[-1]:
                array = np.flip(array, axis)
        places = tuple(leading + axis for axis in np.argsort(lattice.order))
        return array.transpose(*range(leading), *places).copy(order="C")

    return Patch(
        image=cut(sources.image),
        labels=cut(sources.labels),
        linear=tuple(cut(array) for array in sources.linear),
        nearest=tuple(cut(array) for array in sources.nearest),
    )


def _coordinates(patch_shape: tuple[int, ...], geometry: Geometry, elastic: Elastic | None) -> "list[Tensor]":
    """Where in the image each patch pixel looks, from its corner: a (*patch) float32 tensor an axis."""
    import torch

    axes = len(patch_shape)
    matrix = np.asarray(geometry.matrix)
    centre = (np.asarray(patch_shape) - 1) / 2
    displaced = None
    if elastic is not None:
        grid = np.tensordot(matrix, grid_displacements(elastic, patch_shape), axes=1).astype(np.float32)
        displaced = upsample(grid, patch_shape, elastic.spacing)
    coordinates = []
    for axis in range(axes):
        total = displaced[axis] if displaced is not None else torch.zeros(patch_shape)
        for follows in range(axes):
            ramp = matrix[axis, follows] * (np.arange(patch_shape[follows]) - centre[follows])
            if follows == 0:
                ramp = ramp + centre[axis] + geometry.shift[axis]
            column = torch.from_numpy(ramp.astype(np.float32))
            total.add_(column.reshape(-1, *(1,) * (axes - 1 - follows)))
        coordinates.append(total)
    return coordinates


def _interpolate(sources: Sources, corner: tuple[int, ...], coordinates: "list[Tensor]") -> Patch:
    """Sample everything at the coordinates, from the one region of the image that holds them all."""
    import torch

    ranges = []
    for start, coordinate in zip(corner, coordinates, strict=True):
        low, high = (int(extreme.floor()) for extreme in torch.aminmax(coordinate))
        ranges.append((start + low, start + high + 2))
        coordinate -= low
    region = tuple(ranges)
    channels = len(sources.image)
    smooth = _sample_linear([*sources.image, *sources.linear], region, coordinates)
    labels, *nearest = _sample_nearest([sources.labels, *sources.nearest], region, coordinates)
    return Patch(image=smooth[:channels], labels=labels, linear=tuple(smooth[channels:]), nearest=tuple(nearest))


def _sample_linear(maps: list[NDArray[np.float32]], region: Ranges, coordinates: "list[Tensor]") -> NDArray[np.float32]:
    """`maps` interpolated at `coordinates`, from the region's corner: (len(maps), *patch), float32."""
    import torch
    from torch.nn import functional as F

    sizes = [stop - start for start, stop in region]
    pixels = np.empty((len(maps), *sizes), np.float32)
    for place, array in enumerate(maps):
        pixels[place] = read_mirrored(array, region)
    grid = torch.empty(1, *coordinates[0].shape, len(sizes))
    for place, (coordinate, size) in enumerate(zip(reversed(coordinates), reversed(sizes), strict=True)):
        # -1 and 1 are the centres of the end pixels
        torch.mul(coordinate, 2 / (size - 1), out=grid[0, ..., place])
    grid -= 1
    sampled = F.grid_sample(torch.from_numpy(pixels)[None], grid, padding_mode="border", align_corners=True)
    return sampled[0].numpy()


def _sample_nearest(maps: list[NDArray[Any]], region: Ranges, coordinates: "list[Tensor]") -> list[NDArray[Any]]:
    """The values of `maps` at the pixels nearest to `coordinates`, counted from the region's corner."""
    import torch

    flat = torch.zeros(coordinates[0].shape, dtype=torch.int64)
    for coordinate, (start, stop) in zip(coordinates, region, strict=True):
        flat.mul_(stop - start).add_((coordinate + 0.5).long())
    places = flat.numpy()
    return [np.ascontiguousarray(read_mirrored(array, region)).reshape(-1).take(places) for array in maps]
