"""PNG, JPEG, BMP and GIF through Pillow; PNG of several 16-bit channels through imagecodecs, because Pillow keeps
only 8 bits of them.

Resolutions in these formats are those of printers and screens, so the pixel size stays unknown.
Pixels are taken as stored: a rotation noted in EXIF data is not applied, for a mask beside the image has
none.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.io.decoded import Decoded, DecodeError, check_claim, check_kind

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_PLAIN_MODES = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "F": 1, "RGB": 3}
"""Modes whose values are taken as they are, with their number of channels."""
_CONVERSIONS = {
    "LA": "L",
    "La": "L",
    "RGBA": "RGB",
    "RGBa": "RGB",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}
"""Modes that are turned into another one: alpha is dropped, colours become red, green, blue."""
_GRAY_WITH_ALPHA = 4
"""Its code in the head of a PNG."""


def decode_raster(path: Path, *, kind: str, max_pixels: int) -> Decoded:
    """Read a file whose first bytes say that it is a `kind` ("PNG", "JPEG", "BMP" or "GIF").

    Raises DecodeError for what Segue does not read, and whatever Pillow raises for a damaged file.
    """
    with path.open("rb") as stream:
        picture = _open(stream, kind)
        with picture:
            width, height = picture.size
            check_claim((height, width), channels=1, max_pixels=max_pixels, raster=True)
            if getattr(picture, "is_animated", False):
                raise DecodeError(
                    f"it is an animation of {getattr(picture, 'n_frames', 'several')} frames; save each "
                    f"frame as an image, or the planes of a volume as a multi-page TIFF"
                )
            if kind == "PNG" and picture.mode in ("RGB", "RGBA") and _png_type(path)[0] == 16:
                return _decode_deep_png(path)
            if picture.mode in ("P", "PA"):
                return _decode_palette(picture, kind)
            if picture.mode in _CONVERSIONS:
                values = np.asarray(picture.convert(_CONVERSIONS[picture.mode]))
            elif picture.mode in _PLAIN_MODES:
                values = np.asarray(picture)
            else:
                raise DecodeError(f"its colour mode is {picture.mode!r}; save it as gray, RGB or a palette image")
    return Decoded(values=_channels_first(values), is_rgb=values.ndim == 3, lossy=kind == "JPEG")


def raster_shape(path: Path, *, kind: str) -> tuple[int, int, int]:
    """Channels, height and width that the head of a file claims. Raises whatever Pillow raises for a damaged file."""
    with path.open("rb") as stream, _open(stream, kind) as picture:
        colours = _CONVERSIONS.get(picture.mode, picture.mode) in ("RGB", "P")
        if kind == "PNG" and _png_type(path)[1] == _GRAY_WITH_ALPHA:  # which Pillow calls RGBA if it has 16 bits
            colours = False
        return (3 if colours else 1, picture.size[1], picture.size[0])


def encode_png(path: Path, values: NDArray[Any]) -> None:
    """Write (Y, X) uint8 or uint16, or (Y, X, 3) uint8, to `path` as a PNG."""
    from PIL import Image

    assert values.dtype in (np.uint8, np.uint16), values.dtype
    assert values.ndim == 2 or (values.shape[2:] == (3,) and values.dtype == np.uint8), values.shape
    Image.fromarray(np.ascontiguousarray(values)).save(path, format="PNG")


def _open(stream: Any, kind: str) -> "PillowImage":
    # The plugin itself, not Image.open: no other format can be tried, and the pixel limit is the caller's
    # (Pillow's own is one number for the whole process).
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin

    plugins: dict[str, Any] = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    picture: PillowImage = plugins[kind](stream)
    return picture


def _decode_palette(picture: "PillowImage", kind: str) -> Decoded:
    indices = np.asarray(picture if picture.mode == "P" else picture.getchannel("P"))
    colours = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    if indices.max(initial=0) >= len(colours):
        raise DecodeError(
            f"it uses colour {int(indices.max())} of a palette of {len(colours)} colours, so it is damaged"
        )
    if kind == "GIF":  # every GIF has a palette, made when it is saved, so its indices mean nothing
        used = colours[np.unique(indices)]
        is_rgb = bool((used[:, :1] != used).any())
        return Decoded(values=_channels_first(colours[indices] if is_rgb else colours[indices, 0]), is_rgb=is_rgb)
    return Decoded(values=indices[np.newaxis], palette=colours)


def _png_type(path: Path) -> tuple[int, int]:
    """Bits of a channel, and the code of the kind of colour."""
    with path.open("rb") as stream:
        head = stream.read(26)
    return head[24], head[25]


def _decode_deep_png(path: Path) -> Decoded:
    import imagecodecs

    values = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    check_kind(values.dtype)
    is_rgb = values.shape[-1] > 2
    return Decoded(values=_channels_first(values[..., : 3 if is_rgb else 1]), is_rgb=is_rgb)


def _channels_first(values: NDArray[Any]) -> NDArray[Any]:
    """(Y, X) or (Y, X, C) to (C, Y, X)."""
    return values[np.newaxis] if values.ndim == 2 else np.moveaxis(values, -1, 0)
