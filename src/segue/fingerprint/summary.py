"""The fingerprint of a data set: what a plan needs to know of all its images together. Plain data."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.arrays import LabelKind
from segue.fingerprint.duplicates import Group
from segue.fingerprint.hounsfield import AnnotatedSummary, are_hounsfield, summarise_annotated
from segue.fingerprint.measures import ImageMeasure, LabelMeasure, ObjectMeasure
from segue.fingerprint.orientation import oriented_axes
from segue.fingerprint.pixel_sizes import pixel_sizes, working_shape

Colour = Literal["gray", "rgb", "mixed"]


@dataclass(frozen=True, kw_only=True)
class ChannelSummary:
    """The intensities of one channel over a data set; each image counts the same, whatever its size."""

    lowest: float
    """Least value of any image."""
    low: float
    """Percentile 0.5: the median over images."""
    median: float
    """Median of the images' medians."""
    high: float
    """Percentile 99.5: the median over images."""
    highest: float
    """Greatest value of any image."""
    mean: float
    """Mean of the images' means."""
    std: float
    """Mean of the images' standard deviations."""
    spread_of_means: float
    """Standard deviation of the images' means: how much brightness differs from image to image."""
    largest_std_ratio: float
    """Greatest over least (above 0) standard deviation of an image: how much contrast differs."""


@dataclass(frozen=True, kw_only=True)
class ObjectSummary:
    """The objects of a data set. Diameters are those of a disc or ball of the same size, in pixels."""

    total: int
    per_image: tuple[int, int, int]
    """Least, median and greatest number in an image."""
    diameter: tuple[float, float, float, float, float]
    """Least, percentile 5, median, percentile 95 and greatest; zeros if there is no object."""
    touching: float
    """Part of the objects that touch another one, 0..1."""
    at_border: float
    """Part of the objects that the image border may cut, 0..1."""
    of_class: tuple[int, ...] = ()
    """Number of objects of each class 0..K-1 (0 of the background); empty if all are of one class."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What a data set is. `to_dict` and `from_dict` turn it into JSON and back."""

    images: int
    spatial_axes: int
    """2 or 3; of a mixed set, that of most images."""
    channels: int
    """Of a mixed set, that of most images; 3 if colour and gray images are mixed."""
    colour: Colour
    """RGB images whose channels are all equal count as gray; "mixed" if some are gray and some in colour."""
    smallest_shape: tuple[int, ...]
    """Least length of each spatial axis over the images, in pixels."""
    median_shape: tuple[int, ...]
    largest_shape: tuple[int, ...]
    shapes: int
    """Number of different shapes."""
    bits: int | None
    """8, 12, 16 or 32 if all values are whole numbers from 0 that fit; None for others."""
    pixel_size: tuple[float, ...] | None
    """Median over the images that say it, along (z) y x, in `unit`."""
    unit: str
    pixel_size_differs: bool
    """Images differ in pixel size by more than 1 %, or some do not say it."""
    pixel_size_range: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Least and greatest pixel size along each axis, in `unit`, of the images that say it."""
    without_pixel_size: int = 0
    """Images that do not say it, if some do."""
    working_shape: tuple[int, ...] | None = None
    """Median shape once all images have pixels of the median size; None if no image says its own."""
    intensities: tuple[ChannelSummary, ...]
    """One for each channel that all images have."""
    kind: LabelKind
    classes: tuple[str, ...]
    class_frequencies: tuple[float, ...]
    """Part of the annotated pixels in each class; for objects of one class, of background and of objects. Sums to 1."""
    ignored: float
    """Part of all pixels that nobody has annotated, 0..1."""
    objects: ObjectSummary | None
    """None for class labels."""
    near_duplicates: tuple[Group, ...]
    """Groups of images (numbers in the order of the pairs) that show nearly the same."""
    oriented: tuple[bool, ...] = ()
    """Along which axes all images lie the same way round, as scans of a body do; empty for objects, and for images
    without a pixel size in millimetres: slides lie as they were put, though pictures of one slide may look alike."""

    hounsfield: tuple[bool, ...] = ()
    """Which channels are CT: a value means the same tissue in each image."""
    annotated: tuple[AnnotatedSummary, ...] = ()
    """Intensities under all classes but the background, one for each channel if some are `hounsfield`; else empty."""

    @property
    def oriented_axes(self) -> str:
        """Names of the `oriented` axes, such as "z and y"; empty if there is none."""
        names = zip("zyx"[-self.spatial_axes :], self.oriented, strict=False)
        return " and ".join(name for name, oriented in names if oriented)

    def to_dict(self) -> dict[str, Any]:
        """Lists, dictionaries, numbers and texts only."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Fingerprint":
        """The inverse of `to_dict`, also after a way through JSON."""
        values = {name: _frozen(value) for name, value in plain.items()}
        values["intensities"] = tuple(ChannelSummary(**channel) for channel in plain["intensities"])
        values["annotated"] = tuple(AnnotatedSummary(**channel) for channel in plain.get("annotated", ()))
        if plain["objects"] is not None:
            values["objects"] = ObjectSummary(**{k: _frozen(v) for k, v in plain["objects"].items()})
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def summarise_set(
    images: Sequence[ImageMeasure],
    labels: Sequence[LabelMeasure],
    *,
    kind: LabelKind,
    classes: tuple[str, ...],
    near_duplicates: Sequence[Group] = (),
    annotated: Sequence[NDArray[np.float32]] = (),
    channel_names: Sequence[str] | None = None,
) -> Fingerprint:
    """Put the measures of all images and their labels together; there must be at least one.

    `annotated` holds, for each image, intensities (C, N) under all classes but the background.
    """
    axes = _most(len(image.shape) for image in images)
    shapes = np.array([image.shape for image in images if len(image.shape) == axes])
    sizes = pixel_sizes(images, axes=axes)
    colourful = sum(image.is_colourful for image in images)
    gray = sum(len(image.channels) == 1 or (image.is_rgb and not image.is_colourful) for image in images)
    colour: Colour = "mixed" if colourful and gray else "rgb" if colourful else "gray"
    counts = np.sum([label.counts for label in labels], axis=0, dtype=np.float64)
    centres = [label.centres for label in labels if label.centres is not None and label.centres.shape[1] == axes]
    ignored = sum(label.ignored for label in labels)
    channels = 3 if colourful else _most(1 if image.is_rgb else len(image.channels) for image in images)
    unit = sizes.unit if sizes else "pixel"
    hounsfield = are_hounsfield(images, channels=channels, unit=unit, names=channel_names)
    return Fingerprint(
        images=len(images),
        spatial_axes=axes,
        channels=channels,
        colour=colour,
        smallest_shape=tuple(shapes.min(axis=0).tolist()),
        median_shape=tuple(np.median(shapes, axis=0).round().astype(int).tolist()),
        largest_shape=tuple(shapes.max(axis=0).tolist()),
        shapes=len({image.shape for image in images}),
        bits=_bits(images),
        pixel_size=sizes.middle if sizes else None,
        unit=unit,
        pixel_size_differs=sizes.differ if sizes else False,
        pixel_size_range=(sizes.low, sizes.high) if sizes else None,
        without_pixel_size=sizes.silent if sizes else 0,
        working_shape=working_shape(images, sizes) if sizes else None,
        intensities=_intensities(images, channels=channels),
        kind=kind,
        classes=classes,
        class_frequencies=tuple((counts / max(counts.sum(), 1)).tolist()),
        ignored=ignored / max(counts.sum() + ignored, 1),
        objects=_objects([label.objects for label in labels if label.objects is not None], axes=axes),
        near_duplicates=tuple(near_duplicates),
        oriented=oriented_axes(centres) if centres and unit == "millimeter" else (),
        hounsfield=hounsfield,
        annotated=summarise_annotated([one for one in annotated if len(one) == channels]) if any(hounsfield) else (),
    )


def _most(values: Any) -> int:
    """The most frequent value, the first of several."""
    return int(Counter(values).most_common(1)[0][0])


def _bits(images: Sequence[ImageMeasure]) -> int | None:
    lowest = min(channel.lowest for image in images for channel in image.channels)
    highest = max(channel.highest for image in images for channel in image.channels)
    if lowest < 0 or not all(image.whole_numbers for image in images):
        return None
    return next((bits for bits in (8, 12, 16, 32) if highest < 2**bits), None)


def _intensities(images: Sequence[ImageMeasure], *, channels: int) -> tuple[ChannelSummary, ...]:
    """A gray image among colour ones counts in all three channels."""
    summaries = []
    for number in range(channels):
        measures = [
            image.channels[number if number < len(image.channels) else 0]
            for image in images
            if number < len(image.channels) or len(image.channels) == 1
        ]
        columns = {
            name: np.array([getattr(measure, name) for measure in measures])
            for name in ("lowest", "low", "median", "high", "highest", "mean", "std")
        }
        contrasts = columns["std"][columns["std"] > 0]
        summaries.append(
            ChannelSummary(
                lowest=float(columns["lowest"].min()),
                low=float(np.median(columns["low"])),
                median=float(np.median(columns["median"])),
                high=float(np.median(columns["high"])),
                highest=float(columns["highest"].max()),
                mean=float(columns["mean"].mean()),
                std=float(columns["std"].mean()),
                spread_of_means=float(columns["mean"].std()),
                largest_std_ratio=float(contrasts.max() / contrasts.min()) if len(contrasts) else 1.0,
            )
        )
    return tuple(summaries)


def _objects(objects: Sequence[ObjectMeasure], *, axes: int) -> ObjectSummary | None:
    if not objects:
        return None
    sizes = np.concatenate([one.sizes for one in objects])
    counts = [one.count for one in objects]
    total = len(sizes)
    if total == 0:
        diameter = [0.0] * 5
    else:
        diameters = equivalent_diameter(sizes, axes=axes)
        diameter = np.percentile(diameters, (0, 5, 50, 95, 100)).tolist()
    return ObjectSummary(
        total=total,
        per_image=(min(counts), round(float(np.median(counts))), max(counts)),
        diameter=(diameter[0], diameter[1], diameter[2], diameter[3], diameter[4]),
        touching=sum(one.touching for one in objects) / max(total, 1),
        at_border=sum(one.at_border for one in objects) / max(total, 1),
        of_class=tuple(map(sum, zip(*(one.of_class for one in objects if one.of_class), strict=True))),
    )


def equivalent_diameter(sizes: Any, *, axes: int) -> Any:
    """Diameter in pixels of the disc (2 axes) or ball (3 axes) of `sizes` pixels."""
    sizes = np.asarray(sizes, float)
    return 2 * np.sqrt(sizes / np.pi) if axes == 2 else np.cbrt(6 * sizes / np.pi)
