"""The single door for images: any file in, one `Image` out; labels and probabilities out to files.

The format is told by the first bytes of a file, never by its name alone. Limits on the claimed size are
checked before anything is decoded, and whatever a decoder raises leaves here as one ImageError with the path
and the reason.

Rules of reading: alpha is dropped; a palette becomes RGB, or gray if all its used colours are gray; an RGB
image whose channels are equal stays RGB (whether a data set is gray is a question for all of its images
together); integers, floats and booleans become float32 as they are; NaN and infinite values are kept,
`check_finite` finds them.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, LabelKind, Probabilities, Space
from segue.errors import ImageError, LabelError, MissingInputError, SegueError, UsageError
from segue.io.decoded import DEFAULT_MAX_PIXELS, Decoded, DecodeError, check_kind
from segue.io.files import whole_file
from segue.io.kinds import first_bytes, guess, is_tiff, raster_kind
from segue.io.natural import IMAGE_SUFFIXES, has_image_suffix, image_files, natural_key, stem_of
from segue.io.nifti import decode_nifti, encode_nifti
from segue.io.raster import decode_raster, encode_png
from segue.io.tiff import RGB_NAMES, decode_tiff, encode_tiff

__all__ = [
    *("DEFAULT_MAX_PIXELS", "answer_name", "check_finite", "decode", "list_images", "read_image"),
    *("write_image", "write_labels", "write_png", "write_probabilities"),
]

_TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
_NIFTI_SUFFIXES = (".nii", ".nii.gz")


def read_image(path: Path | str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """Read one image or volume, float32, channels first, in the units of the file.

    `max_pixels` limits the values (pixels times channels) the file may claim.
    Raises MissingInputError if there is no such file, ImageError if it cannot be used.
    """
    path = Path(path)
    decoded = decode(path, max_pixels=max_pixels)
    values, is_rgb = decoded.values, decoded.is_rgb
    if decoded.palette is not None:
        colours = decoded.palette[values[0]]  # ([Z,] Y, X, 3)
        is_rgb = bool((colours[..., :1] != colours).any())
        values = np.moveaxis(colours, -1, 0) if is_rgb else colours[np.newaxis, ..., 0]
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32 is infinite, for check_finite to find
        pixels = np.ascontiguousarray(values, dtype=np.float32)
    return Image(pixels=pixels, space=decoded.space, name=str(path), is_rgb=is_rgb)


def check_finite(image: Image) -> None:
    """Raise ImageError if a pixel is NaN or infinite, saying how many are and where the first one is."""
    bad = ~np.isfinite(image.pixels)
    count = int(bad.sum())
    if count:
        first = np.unravel_index(int(bad.argmax()), bad.shape)
        axes = ("channel", "z", "y", "x") if bad.ndim == 4 else ("channel", "y", "x")
        place = ", ".join(f"{axis} {int(index)}" for axis, index in zip(axes, first, strict=True))
        raise ImageError(
            f"{image.name or 'the image'}: {count:,} of {bad.size:,} values are NaN or infinite, the first "
            f"at {place}; replace them by measured values"
        )


def decode(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Decoded:
    """The values of a file as stored. Raises MissingInputError or ImageError, whatever is wrong with the
    file."""
    head = first_bytes(path)
    with telling(path):
        decoded = _decoder(head)(path, max_pixels)
        check_kind(decoded.values.dtype)
    return decoded


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn whatever is raised while a file is decoded into an ImageError that names it."""
    try:
        with _quiet_decoders():
            yield
    except SegueError:
        raise
    except DecodeError as error:
        raise ImageError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{path}: there is not enough memory to read it") from error
    except Exception as error:  # decoders raise over a dozen classes for damaged files
        raise ImageError(
            f"{path}: it is damaged or of an unusual kind and cannot be read ({_short(error)}); "
            "open it in the program it came from and save it again"
        ) from error


def write_labels(path: Path | str, ids: NDArray[Any], *, space: Space, kind: LabelKind = "classes") -> None:
    """Write a label image ([Z,] Y, X) of integers, whole or not at all: TIFF, NIfTI or PNG by the suffix of
    `path`.

    Classes become uint8 (uint16 above 255), objects uint16 (uint32 above 65,535). NIfTI is written in the
    orientation and with the affine that `space` remembers.
    Raises LabelError for ids that are negative or too large, UsageError for a suffix that cannot hold them.
    """
    path = Path(path)
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise LabelError(f"{path}: ids must lie between 0 and 4,294,967,295 to be written, these reach {low} to {high}")
    first = np.uint8 if kind == "classes" else np.uint16
    dtype = next(one for one in (first, np.uint16, np.uint32) if high <= np.iinfo(one).max)
    values = ids.astype(dtype)
    if _suffix(path) == ".png":
        if values.ndim != 2 or dtype is np.uint32:
            raise UsageError(f"{path}: a PNG holds a 2D label image with ids up to 65,535; write it as .tif")
        with whole_file(path) as temporary:
            encode_png(temporary, values)
        return
    _write(path, values, space=space)


def write_probabilities(path: Path | str, probabilities: Probabilities) -> None:
    """Write probabilities as float32, channels first in TIFF (axes CYX or CZYX), channels last in NIfTI.

    Raises UsageError for another suffix.
    """
    _write(Path(path), probabilities.values, space=probabilities.space, channels=probabilities.classes)


def write_image(path: Path | str, image: Image) -> None:
    """Write an image without loss: as the smallest of uint8, uint16 and float32 that holds its values.

    TIFF and NIfTI hold any image; PNG holds 2D gray images of whole values up to 65,535, and RGB up to 255.
    Raises UsageError for a suffix that cannot hold it.
    """
    path = Path(path)
    values = _smallest(image.pixels)
    if _suffix(path) == ".png":
        fits = image.spatial_axes == 2 and (
            (image.channels == 1 and values.dtype != np.float32) or (image.is_rgb and values.dtype == np.uint8)
        )
        if not fits:
            raise UsageError(
                f"{path}: a PNG holds whole values from 0 to 65,535 (gray) or 255 (RGB), this image is "
                f"{values.dtype} with {image.channels} channels; write it as .tif"
            )
        with whole_file(path) as temporary:
            encode_png(temporary, np.moveaxis(values, 0, -1) if image.is_rgb else values[0])
        return
    if image.channels == 1:
        _write(path, values[0], space=image.space)
        return
    names = RGB_NAMES if image.is_rgb else tuple(f"channel {i}" for i in range(image.channels))
    _write(path, values, space=image.space, channels=names)


def write_png(path: Path | str, values: NDArray[np.uint8]) -> None:
    """Write a picture (Y, X) or (Y, X, 3), uint8, whole or not at all."""
    with whole_file(Path(path)) as temporary:
        encode_png(temporary, values)


def answer_name(input_path: Path, *, stem: str | None = None) -> str:
    """The file name that answers an input: `a.png` -> `a.tif`, `c.ome.tif` -> `c.tif`; NIfTI stays NIfTI.

    `stem` is what the image is called if not like its file.
    """
    suffix = _suffix(input_path)
    return (stem or stem_of(input_path)) + (suffix if suffix in _NIFTI_SUFFIXES else ".tif")


def list_images(path: Path | str) -> list[Path]:
    """The image files that `path` means: itself, those in a folder (hidden ones aside), or those of a glob
    pattern.

    In natural order (t2 before t10). Raises MissingInputError if there is none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = image_files(path)
        if not found:
            raise MissingInputError(f"{path}: the folder holds no images; looked for {', '.join(IMAGE_SUFFIXES)}")
        return found
    fixed = [part for part in path.parts if not set("*?[") & set(part)]
    if len(fixed) == len(path.parts):
        raise MissingInputError(f"{path}: there is no such file or folder")
    depth = next(number for number, part in enumerate(path.parts) if set("*?[") & set(part))
    root = Path(*path.parts[:depth])
    matches = root.glob(str(Path(*path.parts[depth:])))
    found = [one for one in matches if one.is_file() and has_image_suffix(one)]
    if not found:
        raise MissingInputError(f"{path}: no image file matches this pattern")
    return sorted(found, key=lambda one: natural_key(str(one)))


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Keep decoders from logging on stderr what leaves here as an error with the file's name.

    Each call adds and removes a filter of its own, so that threads do not disturb each other (as they would
    with `warnings.catch_warnings`).
    """

    def refuse(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("tifffile", "nibabel.global")]
    for logger in loggers:
        logger.addFilter(refuse)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(refuse)


def _decoder(head: bytes) -> Callable[[Path, int], Decoded]:
    if kind := raster_kind(head):
        return lambda path, limit: decode_raster(path, kind=kind, max_pixels=limit)
    if is_tiff(head):
        return lambda path, limit: decode_tiff(path, max_pixels=limit)
    if head[:2] == b"\x1f\x8b" or head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"):
        return lambda path, limit: decode_nifti(path, max_pixels=limit)
    raise DecodeError(
        f"it is not an image that Segue reads: {guess(head)}; Segue reads PNG, JPEG, BMP, GIF, TIFF and NIfTI"
    )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _suffix(path: Path) -> str:
    lower = path.name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else path.suffix.lower()


def _write(path: Path, values: NDArray[Any], *, space: Space, channels: tuple[str, ...] = ()) -> None:
    suffix = _suffix(path)
    if suffix not in _TIFF_SUFFIXES + _NIFTI_SUFFIXES:
        raise UsageError(f"{path}: cannot write {suffix or 'a file without a suffix'} here; use .tif, .nii or .nii.gz")
    with whole_file(path) as temporary:
        if suffix in _NIFTI_SUFFIXES:
            encode_nifti(temporary, values, space=space, channels=bool(channels))
        else:
            encode_tiff(temporary, values, space=space, channels=channels)


def _smallest(pixels: NDArray[np.float32]) -> NDArray[Any]:
    low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
    if low >= 0 and high <= 65535 and bool((pixels == np.rint(pixels)).all()):
        return pixels.astype(np.uint8 if high <= 255 else np.uint16)
    return pixels
