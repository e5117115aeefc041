"""TIFF in all its flavours through tifffile and imagecodecs; everything Segue writes as TIFF is OME-TIFF.

Which image of a file is read: of several series (images of different size or kind) the one with the most
values, the first among equals; of a pyramid the full resolution. Pages of one size but of different kinds
are refused, except in OME-TIFF, where they are images of their own.
What its axes become: C, S (samples) and E (wavelength) are channels; Z is Z; pages whose meaning the file
does not say (Q, I) are Z; axes of length 1 are dropped; a time axis, or any other, must be split by the user.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Space
from segue.io.decoded import Decoded, DecodeError, check_claim, check_kind
from segue.io.scratch import Readable
from segue.io.tiff_guard import check_contiguous, check_directories, check_segments
from segue.io.tiff_scale import ome_root, tiff_space

_LOSSY = {6, 7, 33007, 34892, 34934, 50001}
"""Compressions that may change values: JPEG in its several codes, lossy JPEG variants, WebP."""
_MIN_IS_WHITE, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 2, 3, 5, 6
_CHUNKY = 1
"""Planar configuration in which the samples of a pixel stand side by side."""
_TILED_FROM = 1024
"""Images with a side longer than this are written in tiles, so that a viewer need not read all of it."""
_TILE = 256
_BIG = 2**31
"""Bytes above which a file is written as BigTIFF."""
_BUFFER = 1 << 24
"""Bytes of tiles that are compressed at a time where memory counts."""


def decode_tiff(path: Path, *, max_pixels: int) -> Decoded:
    """Read a file whose first bytes say that it is a TIFF.

    Raises DecodeError for what Segue does not read, and whatever tifffile raises for a damaged file.
    """
    with opened(path, max_pixels=max_pixels) as layout:
        return layout.interpreted(layout.series.asarray())


@contextmanager
def opened(path: Path, *, max_pixels: int) -> Iterator["Layout"]:
    """The image that is read of a TIFF, when all that can be checked before decoding is. Raises as `decode_tiff`."""
    import tifffile

    check_directories(path)
    # _multifile=False: the planes of an OME-TIFF are not fetched from other files that its text names.
    with tifffile.TiffFile(path, _multifile=False) as tif:
        if not tif.series:
            raise DecodeError("it is a TIFF without any image")
        if tif.is_ome and tif.series[0].kind != "ome" and len(tif.pages) > 1 and ome_root(tif) is None:
            raise DecodeError(
                f"its OME-XML is damaged, so nothing says whether its {len(tif.pages)} pages are slices, channels or "
                "times; open it in the program it came from and save it again"
            )
        series = _choose(tif)
        plan = _plan_axes(series.axes, series.shape)
        layout = Layout(tif, series, plan)
        check_claim(layout.shape[1:], channels=layout.shape[0], max_pixels=max_pixels)
        _check_page(series.keyframe, max_pixels=max_pixels)
        check_kind(np.dtype(series.dtype))
        length = path.stat().st_size
        if series.dataoffset is not None:
            check_contiguous(series.dataoffset, series.nbytes, length=length)
        else:
            check_segments(series.pages, length=length)
        yield layout


class Layout:
    """How the values of an open TIFF lie in the file, and what they mean."""

    def __init__(self, tif: Any, series: Any, plan: "_Plan") -> None:
        self.tif, self.series, self._plan = tif, series, plan
        lengths = dict(zip(series.axes, series.shape, strict=True))
        self.shape = (
            math.prod(lengths[axis] for axis in plan.channels),
            *(lengths[axis] for axis in plan.spatial),
        )
        """Channels as stored and lengths of the spatial axes."""
        self.space = tiff_space(tif, series, spatial_axes=len(plan.spatial))

    @property
    def has_palette(self) -> bool:
        """Whether the values are indices into a table of colours."""
        page = self.series.keyframe
        return int(page.photometric) == _PALETTE and page.colormap is not None and not self.tif.is_imagej

    def part(self, spatial: Sequence[slice]) -> tuple[slice, ...]:
        """Where in the series a block of the spatial axes is, in all channels."""
        wanted = dict(zip(self._plan.spatial, spatial, strict=True))
        return tuple(
            wanted.get(axis, slice(0, length)) for axis, length in zip(self.series.axes, self.series.shape, strict=True)
        )

    def interpreted(self, values: NDArray[Any]) -> Decoded:
        """What stored values mean; `values` is the series, or a `part` of it."""
        first = _channels_first(values, self.series.axes, self._plan)
        return _interpret(first, self.tif, self.series.keyframe, space=self.space)


RGB_NAMES = ("red", "green", "blue")
"""Channels of these names are written as the samples of one colour image."""


def encode_tiff(path: Path, values: NDArray[Any], *, space: Space, channels: tuple[str, ...] = ()) -> None:
    """Write `values` to `path` as an OME-TIFF, compressed without loss (zlib).

    `values` is ([Z,] Y, X), or (C, [Z,] Y, X) if `channels` names its C channels.
    """
    import tifffile

    is_rgb = channels == RGB_NAMES
    spatial = "ZYX"[-(values.ndim - bool(channels)) :]
    if is_rgb:
        values = np.moveaxis(values, 0, -1)
    axes = spatial + "S" if is_rgb else "C" * bool(channels) + spatial
    tifffile.imwrite(
        path,
        np.ascontiguousarray(values),
        ome=True,
        bigtiff=values.nbytes > _BIG,
        tile=(_TILE, _TILE)
        if max(values.shape[axes.index("Y")], values.shape[axes.index("X")]) > _TILED_FROM
        else None,
        photometric="rgb" if is_rgb else "minisblack",
        planarconfig="contig" if is_rgb else None,
        compression="zlib",
        metadata=_description(
            axes, _identity(values.shape, values.dtype, [values]), space=space, channels=() if is_rgb else channels
        ),
        software="Segue",
    )


def encode_tiff_in_blocks(
    path: Path, values: Readable, *, dtype: np.dtype[Any], space: Space, channels: tuple[str, ...] = ()
) -> None:
    """As `encode_tiff`, tile by tile: of `values` only a few rows of tiles are in memory at a time.

    `values` become `dtype`. What reads the file sees no difference.
    """
    import tifffile

    shape = tuple(values.shape)
    axes = "C" * bool(channels) + "ZYX"[-(len(shape) - bool(channels)) :]
    pages = list(product(*[[slice(at, at + 1) for at in range(length)] for length in shape[:-2]]))
    rows, columns = ([slice(at, min(at + _TILE, length)) for at in range(0, length, _TILE)] for length in shape[-2:])

    def bands() -> Iterator[NDArray[Any]]:
        for page in pages:
            for row in rows:
                yield np.asarray(values[*page, row, slice(0, shape[-1])]).astype(dtype).reshape(-1, shape[-1])

    def tiles() -> Iterator[NDArray[Any]]:
        for band in bands():
            for column in columns:
                part = band[:, column]
                yield np.pad(part, [(0, _TILE - length) for length in part.shape])

    tifffile.imwrite(
        path,
        tiles(),
        shape=shape,
        dtype=dtype,
        ome=True,
        bigtiff=math.prod(shape) * dtype.itemsize > _BIG,
        tile=(_TILE, _TILE),
        photometric="minisblack",
        compression="zlib",
        metadata=_description(axes, _identity(shape, dtype, bands()), space=space, channels=channels),
        software="Segue",
        buffersize=_BUFFER,
    )


def _description(axes: str, identity: str, *, space: Space, channels: tuple[str, ...]) -> dict[str, Any]:
    """What OME-XML says of the pixels."""
    metadata: dict[str, Any] = {"axes": axes, "UUID": identity}
    if channels:
        metadata["Channel"] = {"Name": list(channels)}
    if space.pixel_size is not None and space.unit != "pixel":
        factor = 1000.0 if space.unit == "millimeter" else 1.0
        for axis, size in zip("XYZ", reversed(space.pixel_size), strict=False):
            metadata[f"PhysicalSize{axis}"] = size * factor
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    return metadata


def _choose(tif: Any) -> Any:
    """The series with the most values, the first among equals."""
    series = max(tif.series, key=lambda one: math.prod(one.shape))
    plane = (series.keyframe.imagelength, series.keyframe.imagewidth)
    alike = [one for one in tif.series if (one.keyframe.imagelength, one.keyframe.imagewidth) == plane]
    if len(alike) > 1 and not tif.is_ome:
        raise DecodeError(
            f"its pages of {plane[0]} x {plane[1]} pixels are of {len(alike)} kinds (type, colour or "
            f"compression "
            "differ), so they are no volume; save them alike, or one image a file"
        )
    return series


class _Plan:
    """Which axis letters of a series are channels and which are space."""

    def __init__(self, *, channels: str, spatial: str) -> None:
        self.channels = channels
        self.spatial = spatial


def _plan_axes(axes: str, shape: tuple[int, ...]) -> _Plan:
    long = [axis for axis, length in zip(axes, shape, strict=True) if length > 1 or axis in "YX"]
    if len(set(axes)) != len(axes) or "Y" not in axes or "X" not in axes:
        raise DecodeError(f"its axes are {axes!r}; Segue needs one Y and one X, and each other axis once")
    if "T" in long:
        frames = shape[axes.index("T")]
        raise DecodeError(
            f"it is a time series of {frames} frames (axes {axes}); split it into one file a frame. "
            "If the frames are really the planes of a volume, save it with Z as its axis"
        )
    depth = [axis for axis in long if axis in "ZQI"]
    odd = [axis for axis in long if axis not in "CSEZQIYX"]
    if odd or len(depth) > 1:
        lengths = ", ".join(f"{axis} {length}" for axis, length in zip(axes, shape, strict=True))
        raise DecodeError(
            f"its axes are {lengths}; Segue reads channels (C or S), Z, Y and X, so split it along "
            f"{', '.join(odd or depth[1:])}"
        )
    return _Plan(channels="".join(axis for axis in axes if axis in "CSE"), spatial="".join([*depth, "Y", "X"]))


def _channels_first(values: NDArray[Any], axes: str, plan: _Plan) -> NDArray[Any]:
    rest = [axis for axis in axes if axis not in plan.channels + plan.spatial]
    order = [axes.index(axis) for axis in [*rest, *plan.channels, *plan.spatial]]
    moved = np.transpose(values, order)
    return moved.reshape((-1, *moved.shape[moved.ndim - len(plan.spatial) :]))


def _check_page(page: Any, *, max_pixels: int) -> None:
    """The size of one page and of one tile too: both are allocated, whatever the series says."""
    check_claim((page.imagedepth, page.imagelength, page.imagewidth), channels=1, max_pixels=max_pixels)
    if page.is_tiled:
        check_claim((page.tiledepth, page.tilelength, page.tilewidth), channels=1, max_pixels=max_pixels)


def _interpret(values: NDArray[Any], tif: Any, page: Any, *, space: Space) -> Decoded:
    """Give the values the meaning that the photometric interpretation of the page says."""
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    lossy = int(page.compression) in _LOSSY
    alpha = [int(kind) in (1, 2) for kind in page.extrasamples]
    # In planes of their own four samples are four channels: tifffile marks the fourth as alpha without being told.
    if samples > 1 and len(values) == samples and any(alpha) and int(page.planarconfig) == _CHUNKY:
        keep = [True] * (samples - len(alpha)) + [not is_alpha for is_alpha in alpha]
        values = values[np.array(keep)]
    # ImageJ's tables, inverting ones too, only say how gray values are to be shown, so the values stay what they are.
    white = None
    if photometric == _MIN_IS_WHITE and values.dtype.kind in "bu" and not tif.is_imagej:
        white = 2 ** int(page.bitspersample) - 1
        values = ~values if values.dtype.kind == "b" else white - values
    if photometric == _PALETTE and page.colormap is not None and not tif.is_imagej and len(values) == 1:
        return _palette(values, page.colormap, space=space)
    if photometric == _CMYK and len(values) == 4 and values.dtype.kind == "u":
        top = float(np.iinfo(values.dtype).max)
        light = (top - values[:3].astype(np.float64)) * (top - values[3:].astype(np.float64)) / top
        return Decoded(values=np.rint(light).astype(values.dtype), space=space, is_rgb=True, lossy=lossy)
    is_rgb = photometric in (_RGB, _YCBCR) and len(values) == 3
    return Decoded(values=values, space=space, is_rgb=is_rgb, lossy=lossy, white=white)


def _palette(values: NDArray[Any], colormap: NDArray[Any], *, space: Space) -> Decoded:
    table = np.asarray(colormap).T  # (N, 3), 0..65535 by the standard, 0..255 by some writers
    colours = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)
    if values.max(initial=0) >= len(colours):
        raise DecodeError(f"it uses colour {int(values.max())} of a palette of {len(colours)} colours")
    return Decoded(values=values, space=space, palette=colours)


def _identity(shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[NDArray[Any]]) -> str:
    """The UUID that OME-XML wants, made from the values, so that equal results are equal files.

    `parts` are the values in the order of a scan.
    """
    import uuid
    import zlib

    checksum = 0
    for part in parts:
        checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{shape}{dtype}{checksum}"))
