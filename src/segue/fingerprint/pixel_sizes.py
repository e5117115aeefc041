"""The pixel sizes of a data set together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segue.arrays import MICROMETRES, Space
from segue.fingerprint.measures import ImageMeasure
from segue.resample import is_wild, needed_shape


@dataclass(frozen=True, kw_only=True)
class PixelSizes:
    """What the images say of their pixels, along (z) y x, in one unit."""

    unit: str
    """The unit of most images."""
    middle: tuple[float, ...]
    """Median along each axis."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    silent: int
    """Images that say none."""

    @property
    def space(self) -> Space:
        """The median as a Space."""
        return Space(pixel_size=self.middle, unit=self.unit)

    @property
    def differ(self) -> bool:
        """Some image differs from the median by more than 1 %, or says no size."""
        return self.silent > 0 or any(
            low < 0.99 * middle or high > 1.01 * middle
            for low, middle, high in zip(self.low, self.middle, self.high, strict=True)
        )


def pixel_sizes(images: Sequence[ImageMeasure], *, axes: int) -> PixelSizes | None:
    """The pixel sizes of the images with so many spatial axes; None if none of them says one.

    Images in another unit of length than most are converted; those without any are silent if others have one.
    """
    images = [image for image in images if len(image.shape) == axes]
    units = Counter(image.unit for image in images if image.pixel_size is not None)
    if not units:
        return None
    unit = next((unit for unit, _ in units.most_common() if unit in MICROMETRES), next(iter(units)))
    said = [size for image in images if (size := _in_unit(image, unit)) is not None]
    return PixelSizes(
        unit=unit,
        middle=tuple(np.median(said, axis=0).tolist()),
        low=tuple(np.min(said, axis=0).tolist()),
        high=tuple(np.max(said, axis=0).tolist()),
        silent=len(images) - len(said),
    )


def working_shape(images: Sequence[ImageMeasure], sizes: PixelSizes) -> tuple[int, ...]:
    """The median shape of the images once their pixels have the median size."""
    axes = len(sizes.middle)
    shapes = [
        needed_shape(image.shape, Space(pixel_size=image.pixel_size, unit=image.unit), sizes.space)
        for image in images
        if len(image.shape) == axes
    ]
    return tuple(np.median(shapes, axis=0).round().astype(int).tolist())


def looks_wrong(image: ImageMeasure, sizes: PixelSizes) -> bool:
    """Whether the image's pixels are so much larger or smaller than the median that they cannot be resampled."""
    size = _in_unit(image, sizes.unit)
    return size is not None and len(size) == len(sizes.middle) and is_wild(size, sizes.middle)


def _in_unit(image: ImageMeasure, unit: str) -> tuple[float, ...] | None:
    if image.pixel_size is None or image.unit == unit:
        return image.pixel_size
    if image.unit not in MICROMETRES or unit not in MICROMETRES:
        return None
    return tuple(size * MICROMETRES[image.unit] / MICROMETRES[unit] for size in image.pixel_size)
