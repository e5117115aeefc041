"""What the format modules hand to the door in `images.py`, and the limits all of them keep.

Nothing here names a file: `DecodeError` carries the reason alone, the door adds the path.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Space

DEFAULT_MAX_PIXELS = 2**30
"""Values (pixels times channels) an image may claim before it is decoded; 4 GiB as float32."""

RASTER_MAX_PIXELS = 178_956_970
"""Under the default limit, PNG, JPEG, BMP and GIF may claim no more than this: the limit of Pillow above
which it speaks of a decompression bomb (a PNG of 190 kB can hold 196 million pixels)."""

MAX_CHANNELS = 1024
"""More channels than this are taken for a damaged or hostile header."""


class DecodeError(Exception):
    """Why a file cannot be read, without its name. Never leaves `segue.io`."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The values of one file as stored, before anything is made of them."""

    values: NDArray[Any]
    """(C, Y, X) or (C, Z, Y, X), the dtype of the file (never complex); alpha is already dropped."""
    space: Space = field(default_factory=Space)
    """Where the pixels are."""
    is_rgb: bool = False
    """True if the three channels are red, green and blue."""
    palette: NDArray[np.uint8] | None = None
    """(N, 3) red, green, blue of each index, if the one channel holds indices into a palette."""
    white: int | None = None
    """The largest value if the file calls 0 white, so that `values` are this minus what is stored."""
    step: float = 0.0
    """How far apart neighbouring values are if the file scales whole numbers, 0 if not: what was saved lies up to half
    a step away."""
    lossy: bool = False
    """True if the compression changes values (JPEG), so that a mask stored like this has invented values."""


def check_claim(shape: Sequence[int], *, channels: int, max_pixels: int, raster: bool = False) -> None:
    """Refuse an image whose header claims too much, before a byte of it is decoded. Raises DecodeError.

    `shape` holds the spatial axes. `raster` chooses the smaller default of the formats that Pillow reads.
    """
    limit = RASTER_MAX_PIXELS if raster and max_pixels == DEFAULT_MAX_PIXELS else max_pixels
    size = " x ".join(f"{length:,}" for length in shape)
    if min(shape, default=0) < 1 or channels < 1:
        raise DecodeError(f"it claims {size} pixels in {channels} channels, so there is nothing in it")
    if channels > MAX_CHANNELS:
        raise DecodeError(
            f"it claims {channels:,} channels, more than the {MAX_CHANNELS:,} allowed; "
            "keep the channels you need in a file of their own"
        )
    values = math.prod(int(length) for length in shape) * channels
    if values > limit:
        of_channels = f" in {channels} channels" if channels > 1 else ""
        larger = "save it as TIFF, which may be larger, or " if raster and values <= DEFAULT_MAX_PIXELS else ""
        raise DecodeError(
            f"it claims {size} pixels{of_channels}, {values:,} values, more than the limit of {limit:,}; if the file "
            f"is genuine, {larger}cut it into pieces; 'segue predict' takes it with --max-pixels {values} "
            f"(max_pixels={values} in Python)"
        )


def check_kind(dtype: np.dtype[Any]) -> None:
    """Refuse values that no intensity can have. Raises DecodeError."""
    if dtype.kind == "c":
        raise DecodeError("its values are complex numbers; save magnitude or phase as a real image")
    if dtype.kind not in "buif":
        raise DecodeError(f"its values are of type {dtype}, not numbers; save it as integers or floats")
