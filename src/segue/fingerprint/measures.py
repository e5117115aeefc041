"""What one image and its labels are, in numbers small enough to keep for a whole data set."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Image, Labels
from segue.fingerprint.orientation import class_centres
from segue.fingerprint.planes import middle_plane
from segue.ranks import ranked

THUMBNAIL = 32
"""Side of the square thumbnails that near-duplicates are looked for with, in pixels."""

_SAMPLE = 2**17
"""Percentiles are those of at least this many pixels a channel, evenly spaced; of all if there are fewer."""


@dataclass(frozen=True, kw_only=True)
class ChannelMeasure:
    """The intensities of one channel of one image; pixels that are not finite are left out."""

    lowest: float
    low: float
    """Percentile 0.5."""
    median: float
    high: float
    """Percentile 99.5."""
    highest: float
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class ImageMeasure:
    """One image in numbers."""

    shape: tuple[int, ...]
    """Lengths of the spatial axes in pixels, (Y, X) or (Z, Y, X)."""
    channels: tuple[ChannelMeasure, ...]
    is_rgb: bool
    """The channels are red, green and blue."""
    is_colourful: bool
    """An RGB image whose channels differ; False for a gray image saved as RGB."""
    pixel_size: tuple[float, ...] | None
    unit: str
    whole_numbers: bool
    """All finite values are whole numbers."""
    not_finite: int
    """Values that are NaN or infinite."""
    digest: str
    """SHA-256 of shape and pixels: equal images have equal digests."""
    thumbnail: NDArray[np.float32]
    """(THUMBNAIL, THUMBNAIL) means over blocks of the middle slice, averaged over channels."""

    @property
    def is_constant(self) -> bool:
        """No channel holds two different values."""
        return all(channel.lowest == channel.highest for channel in self.channels)


@dataclass(frozen=True, kw_only=True)
class ObjectMeasure:
    """The objects of one mask in numbers."""

    sizes: NDArray[np.int64]
    """(N,) pixels of each object, in the order of the ids."""
    touching: int
    """Objects with a pixel beside (also diagonally) a pixel of another object."""
    at_border: int
    """Objects with a pixel on the border of the image."""
    in_pieces: tuple[int, ...]
    """Ids whose pixels form several pieces (diagonal neighbours are connected)."""
    highest_id: int
    of_class: tuple[int, ...] = ()
    """Number of objects of each class 0..K-1 (0 of the background); empty if all are of one class."""

    @property
    def count(self) -> int:
        """Number of objects."""
        return len(self.sizes)

    @property
    def of_one_pixel(self) -> int:
        """Objects that are a single pixel."""
        return int((self.sizes == 1).sum())


@dataclass(frozen=True, kw_only=True)
class LabelMeasure:
    """One mask in numbers."""

    counts: tuple[int, ...]
    """Pixels of each class; for objects of one class, of background and of all objects together."""
    ignored: int
    """Pixels that nobody has annotated, or that belong to an object of unknown class."""
    objects: ObjectMeasure | None
    """None for class labels."""
    digest: str
    """SHA-256 of shape and ids, and of the classes of objects: equal masks have equal digests."""
    centres: NDArray[np.float64] | None = None
    """(K - 1, axes), where each class but the background lies (`class_centres`); None for objects."""

    @property
    def is_empty(self) -> bool:
        """All annotated pixels are of one class, or there is no object."""
        return sum(count > 0 for count in self.counts) < 2 and not (self.objects and self.objects.count)


def measure_image(image: Image) -> ImageMeasure:
    """Measure one image, (C, Y, X) or (C, Z, Y, X)."""
    pixels = image.pixels
    finite = np.isfinite(pixels)
    not_finite = int(finite.size - finite.sum())
    clean = pixels if not_finite == 0 else np.where(finite, pixels, np.nan)
    return ImageMeasure(
        shape=image.shape,
        channels=tuple(_measure_channel(channel) for channel in clean),
        is_rgb=image.is_rgb,
        is_colourful=image.is_rgb and bool((pixels[1:] != pixels[:1]).any()),
        pixel_size=image.space.pixel_size,
        unit=image.space.unit,
        whole_numbers=bool((np.floor(clean) == clean)[finite].all()),
        not_finite=not_finite,
        digest=image_digest(image),
        thumbnail=_thumbnail(np.nan_to_num(middle_plane(clean), nan=0.0).mean(axis=0)),
    )


def _measure_channel(channel: NDArray[np.float32]) -> ChannelMeasure:
    values = channel.ravel()
    if np.isnan(values.sum()):
        values = values[~np.isnan(values)]
    if values.size == 0:
        values = np.zeros(1, np.float32)
    sample = values[:: max(values.size // _SAMPLE, 1)]
    low, median, high = np.percentile(sample, (0.5, 50, 99.5))
    return ChannelMeasure(
        lowest=float(values.min()),
        low=float(low),
        median=float(median),
        high=float(high),
        highest=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        std=float(values.std(dtype=np.float64)),
    )


def _thumbnail(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over THUMBNAIL x THUMBNAIL blocks of nearly one size; they repeat where the plane is smaller."""
    small = plane
    for axis in (0, 1):
        length = small.shape[axis]
        edges = np.round(np.linspace(0, length, THUMBNAIL + 1)).astype(np.int64)
        starts = np.minimum(edges[:-1], length - 1)
        sums = np.concatenate([np.zeros_like(small.take([0], axis)), small.cumsum(axis, np.float64)], axis)
        stops = np.maximum(edges[1:], starts + 1)
        sizes = (stops - starts).reshape([-1 if other == axis else 1 for other in (0, 1)])
        small = (sums.take(stops, axis) - sums.take(starts, axis)) / sizes
    return small.astype(np.float32)


def measure_labels(labels: Labels) -> LabelMeasure:
    """Measure one mask, (Y, X) or (Z, Y, X)."""
    ids = labels.ids
    ignored = int((ids == IGNORE).sum())
    digest = _digest(ids)
    if labels.object_classes is not None:
        return _measure_object_classes(labels, ids_digest=digest)
    if labels.kind == "objects":
        objects = _measure_objects(np.maximum(ids, 0))
        covered = int(objects.sizes.sum())
        counts = (ids.size - ignored - covered, covered)
        return LabelMeasure(counts=counts, ignored=ignored, objects=objects, digest=digest)
    per_class = np.bincount(ids[ids >= 0].ravel(), minlength=len(labels.classes))
    return LabelMeasure(
        counts=tuple(per_class.tolist()),
        ignored=ignored,
        objects=None,
        digest=digest,
        centres=class_centres(ids, classes=len(labels.classes)),
    )


def _measure_object_classes(labels: Labels, *, ids_digest: str) -> LabelMeasure:
    """Objects of several classes: pixels of each class as for class labels, objects as for objects."""
    objects = _measure_objects(np.maximum(labels.ids, 0))
    present = np.unique(labels.ids[labels.ids > 0])
    classes = labels.classes_of(present)
    of_class = np.bincount(classes[classes >= 0], minlength=len(labels.classes))
    pixel_classes = labels.classes_of(labels.ids)
    known = pixel_classes[pixel_classes >= 0]
    digest = hashlib.sha256(ids_digest.encode())
    digest.update(np.stack([present, classes]).tobytes())
    return LabelMeasure(
        counts=tuple(np.bincount(known, minlength=len(labels.classes)).tolist()),
        ignored=labels.ids.size - known.size,
        objects=replace(objects, of_class=tuple(of_class.tolist())),
        digest=digest.hexdigest(),
    )


def image_digest(image: Image) -> str:
    """SHA-256 of shape and pixels: equal images have equal digests, whatever their files are."""
    return _digest(image.pixels)


def _digest(array: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _measure_objects(ids: NDArray[np.int32]) -> ObjectMeasure:
    from skimage import measure

    numbers, compact = _renumber(ids)
    sizes = np.bincount(compact.ravel(), minlength=len(numbers) + 1)[1:]
    pieces = measure.label(compact, background=0)  # type: ignore[no-untyped-call]
    first_of_piece = np.unique(pieces, return_index=True)[1]
    owners = compact.ravel()[first_of_piece]
    per_object = np.bincount(owners, minlength=len(numbers) + 1)[1:]
    border = [np.unique(compact.take(place, axis)) for axis in range(ids.ndim) for place in (0, -1) if ids.size]
    at_border = np.unique(np.concatenate(border)) if border else np.zeros(0, np.int32)
    return ObjectMeasure(
        sizes=sizes.astype(np.int64),
        touching=len(_touching(compact)),
        at_border=int((at_border > 0).sum()),
        in_pieces=tuple(numbers[per_object > 1].tolist()),
        highest_id=int(numbers.max(initial=0)),
    )


def _renumber(ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The ids in use, ascending, without 0; and the image with the n-th of them as n, from 1."""
    numbers, compact, _ = ranked(ids)
    if numbers.size and numbers[0] == 0:
        return numbers[1:].astype(np.int64), compact
    return numbers.astype(np.int64), compact + np.int32(1)


def _touching(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The ids with a pixel beside a pixel of another id, diagonal neighbours included."""
    found = [np.zeros(0, np.int32)]
    for here, there in neighbour_views(ids):
        meet = (here != there) & (here > 0) & (there > 0)
        if meet.any():
            found += [np.unique(here[meet]), np.unique(there[meet])]
    return np.unique(np.concatenate(found))


def neighbour_views(array: NDArray[np.int32]) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Pairs of views in which each two neighbours (also diagonal) meet once: 4 in 2D, 13 in 3D."""
    views = []
    for step in np.ndindex(*(3,) * array.ndim):
        shift = tuple(s - 1 for s in step)
        if shift <= (0,) * array.ndim:  # its mirror image is in the list
            continue
        here = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in shift)
        there = tuple(slice(max(s, 0), min(s, 0) or None) for s in shift)
        views.append((array[here], array[there]))
    return views
