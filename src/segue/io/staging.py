"""Images too large for memory: their values are brought into a temporary file, a few rows at a time.

TIFF is read strip by strip or tile by tile; the values of a compressed one are in another temporary file, as they are
stored, until all are converted. PNG, JPEG, BMP and GIF can only be decoded whole; of them the values as stored are in
memory for a moment, but never all as float32. NIfTI is not staged.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Space
from segue.errors import SegueError
from segue.io.decoded import Decoded
from segue.io.images import decode, telling
from segue.io.kinds import first_bytes, is_tiff, raster_kind
from segue.io.raster import raster_shape
from segue.io.scratch import Block, Scratch, ScratchArray
from segue.io.tiff import Layout, opened

_BAND = 1 << 22
"""Values that are converted at a time."""


@dataclass(frozen=True, kw_only=True)
class StagedImage:
    """An `Image` whose pixels are in a file."""

    pixels: ScratchArray
    """(C, Y, X) or (C, Z, Y, X), float32, in the units of the image file."""
    space: Space
    name: str
    is_rgb: bool

    def image(self) -> Image:
        """The same as an `Image`, whose pixels take memory only while they are looked at."""
        return Image(pixels=self.pixels.mapped(), space=self.space, name=self.name, is_rgb=self.is_rgb)


def claimed_shape(path: Path, *, max_pixels: int) -> tuple[int, ...] | None:
    """Channels and lengths of the spatial axes of an image that can be staged, from the head of its file.

    None for all others, and for files that cannot be read: reading them tells why.
    """
    try:
        head = first_bytes(path)
        with telling(path):
            if kind := raster_kind(head):
                return raster_shape(path, kind=kind)
            if is_tiff(head):
                with opened(path, max_pixels=max_pixels) as layout:
                    return None if layout.has_palette else layout.shape
    except SegueError:
        return None
    return None


def stage_image(path: Path, *, scratch: Scratch, max_pixels: int) -> StagedImage:
    """What `read_image` reads, its pixels in a file. Raises as it does, and StorageError if the disk is full.

    The image must have a `claimed_shape`.
    """
    if is_tiff(first_bytes(path)):
        with telling(path), opened(path, max_pixels=max_pixels) as layout, Scratch(scratch.folder) as for_now:
            values = _stored_values(path, layout, for_now)
            return _staged(path, layout.shape[1:], lambda part: layout.interpreted(values(part)), scratch)
    decoded = decode(path, max_pixels=max_pixels)
    colours = decoded.palette
    if colours is not None:
        used = colours[np.unique(decoded.values)]
        if bool((used[:, :1] == used).all()):
            colours = colours[:, :1]

    def rows(part: Block) -> Decoded:
        values = decoded.values[:, *part]
        if colours is None:
            return Decoded(values=values, space=decoded.space, is_rgb=decoded.is_rgb)
        values = np.moveaxis(colours[values[0]], -1, 0)
        return Decoded(values=values, space=decoded.space, is_rgb=len(values) == 3)

    return _staged(path, decoded.values.shape[1:], rows, scratch)


def _staged(path: Path, shape: Sequence[int], read: Callable[[Block], Decoded], scratch: Scratch) -> StagedImage:
    pixels: ScratchArray | None = None
    for part in bands(shape):
        decoded = read(part)
        if pixels is None:
            pixels = scratch.array((len(decoded.values), *shape), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # as in read_image
            pixels[slice(0, len(decoded.values)), *part] = np.asarray(decoded.values, np.float32)
    assert pixels is not None
    return StagedImage(pixels=pixels, space=decoded.space, name=str(path), is_rgb=decoded.is_rgb)


def bands(shape: Sequence[int]) -> Iterator[Block]:
    """Blocks of whole rows that cover an image of `shape`, (Y, X) or (Z, Y, X), in the order of a scan."""
    rows = max(_BAND // max(shape[-1], 1), 1)
    planes = [[slice(at, at + 1) for at in range(length)] for length in shape[:-2]]
    within = [slice(at, min(at + rows, shape[-2])) for at in range(0, shape[-2], rows)]
    for *plane, row in product(*planes, within):
        yield (*plane, row, slice(0, shape[-1]))


def _stored_values(path: Path, layout: Layout, scratch: Scratch) -> Callable[[Block], NDArray[Any]]:
    """Reads parts of the values of a TIFF as they are stored: from the file itself if they are bare, else unpacked."""
    series = layout.series
    if series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(layout.tif.byteorder)
        return lambda part: np.array(
            np.memmap(path, dtype, mode="r", offset=series.dataoffset, shape=series.shape)[layout.part(part)]
        )
    page_shape = series.keyframe.shaped
    unpacked = scratch.array((len(series.pages), *page_shape), series.dtype)
    _, depth, length, width, samples = page_shape
    for number, page in enumerate(series.pages):
        # As tifffile's own asarray does it, but into a file.
        for values, (s, d, h, w, _), size in page.segments(sort=True, buffersize=_BAND):
            spans = [(d, min(d + size[0], depth)), (h, min(h + size[1], length)), (w, min(w + size[2], width))]
            block = (slice(number, number + 1), slice(s, s + 1), *(slice(*span) for span in spans), slice(0, samples))
            unpacked[block] = (
                series.keyframe.nodata
                if values is None
                else values[tuple(slice(0, stop - start) for start, stop in spans)]
            )
    return lambda part: unpacked.reshaped(series.shape)[layout.part(part)]
