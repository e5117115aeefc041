"""The three kinds of array that travel through Segue, each frozen, named and with its place in space.

`Image` goes in, `Labels` teach, `Probabilities` come out. All hold numpy arrays; axes are always in the order
channels, Z, Y, X, where Z is missing in 2D.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

LabelKind = Literal["classes", "objects"]

IGNORE = -1
"""The id of pixels in `Labels` that nobody has annotated: they weigh 0 in training and do not count in scores."""


MICROMETRES = {"micrometer": 1.0, "millimeter": 1000.0}
"""Micrometres in each unit of length."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """Where the pixels of an array are: what it takes to write a result that lies on its image."""

    pixel_size: tuple[float, ...] | None = None
    """Size of a pixel along each spatial axis, in the order of the axes (z y x); None if the file does not say."""
    unit: str = "pixel"
    """Unit of `pixel_size`: "pixel", "micrometer" or "millimeter"."""
    affine: tuple[tuple[float, ...], ...] | None = None
    """NIfTI only: the 4x4 matrix from voxel (i, j, k) of the file to RAS+ millimetres."""
    orientation: str = ""
    """NIfTI only: axis codes of the file such as "LPS"; the array in memory is always RAS+, transposed to z y x."""
    affine_codes: tuple[int, int] = (2, 0)
    """NIfTI only: what the affine refers to, as codes of sform and qform; 0 for the form that does not hold it."""

    @property
    def micrometres(self) -> tuple[float, ...] | None:
        """`pixel_size` in micrometres; None if it is not known, or not in a unit of length."""
        factor = MICROMETRES.get(self.unit)
        return tuple(size * factor for size in self.pixel_size) if self.pixel_size and factor else None

    def with_micrometres(self, pixel_size: tuple[float, ...]) -> "Space":
        """The same place with pixels of this size in micrometres, written in the unit of length that it has.

        The unit stays because it tells scans of a body, in millimetres, from images of a microscope.
        """
        unit = self.unit if self.unit in MICROMETRES else "micrometer"
        return replace(self, pixel_size=tuple(size / MICROMETRES[unit] for size in pixel_size), unit=unit)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of one or more channels, as measured (not normalised)."""

    pixels: NDArray[np.float32]
    """(C, Y, X) or (C, Z, Y, X), float32, in the units of the file."""
    space: Space = field(default_factory=Space)
    """Where the pixels are."""
    name: str = ""
    """What messages call this image: usually its path."""
    is_rgb: bool = False
    """True if the three channels are red, green and blue of one colour image."""

    def __post_init__(self) -> None:
        assert self.pixels.ndim in (3, 4), self.pixels.shape
        assert self.pixels.dtype == np.float32, self.pixels.dtype

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.pixels.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes, (Y, X) or (Z, Y, X)."""
        return self.pixels.shape[1:]

    @property
    def spatial_axes(self) -> int:
        """2 for an image, 3 for a volume."""
        return self.pixels.ndim - 1


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What an annotator says of every pixel: a class, or the object it belongs to."""

    ids: NDArray[np.int32]
    """(Y, X) or (Z, Y, X), int32. Class ids 0..K-1, or object ids with 0 for background; `IGNORE` where unknown."""
    kind: LabelKind
    """Whether `ids` are classes or objects."""
    classes: tuple[str, ...] = ("background", "foreground")
    """Names of the K classes; for objects, background and the class or the classes of the objects."""
    object_classes: Mapping[int, int] | None = None
    """For objects of several classes: object id -> class id 1..K-1, or `IGNORE` where nobody has said it. It may name
    ids that are not in `ids`. None if all objects are of class 1, and for class labels."""
    space: Space = field(default_factory=Space)
    """Where the pixels are."""
    name: str = ""
    """What messages call these labels: usually their path."""

    def __post_init__(self) -> None:
        assert self.ids.ndim in (2, 3), self.ids.shape
        assert self.ids.dtype == np.int32, self.ids.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes, (Y, X) or (Z, Y, X)."""
        return self.ids.shape

    def classes_of(self, ids: NDArray[Any]) -> NDArray[np.int32]:
        """The class of each of the object `ids` (any shape), int32: 0 for 0, `IGNORE` where unknown.

        Without `object_classes` every object is of class 1; with it, an id that it does not name is unknown.
        """
        if self.object_classes is None:
            of_one: NDArray[np.int32] = np.minimum(ids, 1).astype(np.int32)
            return of_one
        table = {IGNORE: IGNORE, **self.object_classes, 0: 0}
        known = np.array(sorted(table), np.int64)
        meaning = np.array([table[int(one)] for one in known], np.int32)
        place = np.searchsorted(known, ids).clip(max=len(known) - 1)
        return np.where(known[place] == ids, meaning[place], np.int32(IGNORE)).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Probabilities:
    """What a network says of every pixel."""

    values: NDArray[np.float32]
    """(K, Y, X) or (K, Z, Y, X), float32 in [0, 1]; sums to 1 over K."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    space: Space = field(default_factory=Space)
    """Where the pixels are."""
