"""NIfTI through nibabel, `.nii` and `.nii.gz`, versions 1 and 2.

In memory a volume is always RAS+ (x to the right, y to the front, z up), transposed to (Z, Y, X); `Space`
keeps the affine and the orientation of the file, so that a result is written in the file's own orientation.
A file of shape (X, Y) or (X, Y, 1) is a 2D image. A fourth axis (or a fifth, after one time point) holds
channels.
"""

import gzip
import io
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Space
from segue.io.decoded import Decoded, DecodeError, check_claim, check_kind

_MAX_EXTENSION = 2**24
"""Bytes that header and extensions may take before the pixels begin."""
_MAX_TRAILER = 2**20
"""Bytes that may follow the pixels of a compressed file."""
_LONGEST_SIDE = 2**15 - 1
"""Voxels along an axis that version 1 can count."""
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Codes of the header for metre, millimetre and micrometre; files that say nothing mean millimetres."""
_RAS = np.array([[0, 1], [1, 1], [2, 1]])
"""The orientation of a volume in memory, in nibabel's notation."""


def decode_nifti(path: Path, *, max_pixels: int) -> Decoded:
    """Read a file whose first bytes (after decompression, if gzip) say that it is NIfTI.

    Raises DecodeError for what Segue does not read, and whatever nibabel or gzip raise for a damaged file.
    """
    nibabel = _nibabel()
    with path.open("rb") as plain, ExitStack() as opened:
        compressed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        stream: BinaryIO = plain
        if compressed:
            stream = cast(BinaryIO, opened.enter_context(gzip.open(plain)))
        head = stream.read(544)
        second = head[4:8] == b"n+2\0"
        if not second and head[344:348] != b"n+1\0":
            raise DecodeError(_not_nifti(head, compressed))
        flavour = nibabel.Nifti2Image if second else nibabel.Nifti1Image
        header = flavour.header_class(head[: 540 if second else 348], check=False)
        end = _check_header(header, max_pixels=max_pixels)
        if not compressed and path.stat().st_size < end:
            raise DecodeError(f"it is cut off: {path.stat().st_size:,} of {end:,} bytes are there")
        source = _inflate(stream, head, end) if compressed else stream
        source.seek(0)
        image = flavour.from_stream(source)
        proxy = image.dataobj
        as_stored = proxy.slope == 1 and proxy.inter == 0
        values = proxy.get_unscaled() if as_stored else np.asarray(proxy, np.float32)
        step = 0.0 if as_stored or proxy.dtype.kind not in "iu" else abs(float(proxy.slope))
        affine = np.array(image.affine, np.float64)
        codes = _affine_codes(image.header, affine)
    affine[:3] *= _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    return replace(_interpret(np.asarray(values), affine, codes), step=step)


def encode_nifti(path: Path, values: NDArray[Any], *, space: Space, channels: bool = False) -> None:
    """Write `values`, ([Z,] Y, X) or with `channels` (C, [Z,] Y, X), in the orientation that `space`
    remembers.

    Without an affine in `space`, the pixel size becomes a diagonal affine in millimetres. A side that version 1
    cannot count makes it a file of version 2.
    """
    nibabel = _nibabel()
    orientations = nibabel.orientations

    body = values if channels else values[np.newaxis]
    flat = body.ndim == 3
    affine = _affine_to_write(space, spatial_axes=body.ndim - 1)
    orientation = orientations.io_orientation(affine)
    if flat:  # the file's third axis has length 1 and lies along x, y or z
        body = np.expand_dims(body, 3 - int(orientation[2, 0]))
    stored = orientations.apply_orientation(
        np.transpose(body, (3, 2, 1, 0)), orientations.ornt_transform(_RAS, orientation)
    )
    if not channels:
        stored = stored[..., 0]
        if len(space.orientation) == 2:
            stored = stored[:, :, 0]
    flavour = nibabel.Nifti1Image if max(stored.shape) <= _LONGEST_SIDE else nibabel.Nifti2Image
    picture = flavour(np.ascontiguousarray(stored), affine)
    picture.header.set_xyzt_units("mm")
    sform, qform = space.affine_codes
    picture.set_qform(affine, qform)
    picture.set_sform(affine, sform)
    nibabel.save(picture, str(path))


def _nibabel() -> Any:
    """nibabel, imported late because it is heavy; its functions carry no types."""
    import nibabel

    return nibabel


def _not_nifti(head: bytes, compressed: bool) -> str:
    if head[344:347] == b"ni1" or head[4:7] == b"ni2":
        return "it is the header of a pair .hdr/.img; save it as one .nii or .nii.gz file"
    if compressed:
        return "it is a gzip file, but what it holds is not NIfTI; unpack it first"
    return "it is not a NIfTI file"


def _check_header(header: Any, *, max_pixels: int) -> int:
    """The length that a file with this header must have, once the header is found to be sane."""
    shape = tuple(int(length) for length in header.get_data_shape())
    if not 2 <= len(shape) <= 5 or (len(shape) == 5 and shape[3] != 1):
        raise DecodeError(f"its shape is {shape}; Segue reads (X, Y), (X, Y, Z), (X, Y, Z, C) and (X, Y, Z, 1, C)")
    channels = shape[-1] if len(shape) > 3 else 1
    check_claim(shape[:3], channels=channels, max_pixels=max_pixels)
    dtype = header.get_data_dtype()
    if dtype.names is None:
        check_kind(dtype)
    start = float(header["vox_offset"])
    if not len(header.binaryblock) <= start <= _MAX_EXTENSION:
        raise DecodeError(f"its header is damaged: the pixels are said to begin at byte {start:g}")
    values = channels
    for length in shape[:3]:
        values *= length
    return int(start) + values * int(dtype.itemsize)


def _inflate(stream: BinaryIO, head: bytes, end: int) -> BinaryIO:
    """All bytes of a compressed file, read to its end so that gzip verifies its checksum."""
    data = head[:end] + stream.read(max(end - len(head), 0))
    if len(data) < end:
        raise DecodeError(f"it is cut off: {len(data):,} of {end:,} bytes are there")
    if len(stream.read(_MAX_TRAILER)) == _MAX_TRAILER:
        raise DecodeError("it goes on for more than a megabyte after its pixels, so its header is damaged")
    return io.BytesIO(data)


def _affine_codes(header: Any, affine: NDArray[np.float64]) -> tuple[int, int]:
    """What `affine`, in the units of the header, refers to; see `Space.affine_codes`."""
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not sform and not qform:
        return Space().affine_codes
    if sform and qform:
        try:
            other = header.get_qform()
        except ValueError:  # its quaternion is none; nobody has to read it, for the sform is the affine
            return sform, 0
        if not np.allclose(other, affine, rtol=1e-4, atol=1e-3 * np.abs(affine[:3, :3]).max()):
            return sform, 0
    return sform, qform


def _interpret(values: NDArray[Any], affine: NDArray[np.float64], codes: tuple[int, int]) -> Decoded:
    """Voxels of the file (X, Y[, Z[, C]]) to channels first, RAS+, transposed; `codes` as in `Space`."""
    nibabel = _nibabel()
    is_rgb = values.dtype.names is not None
    if is_rgb:
        values = np.stack([values[name] for name in ("R", "G", "B")], axis=-1)
        if values.ndim > 4 or (values.ndim == 4 and values.shape[3] != 3):
            raise DecodeError("it has several colour volumes; save one volume a file")
    file_axes = min(values.ndim - is_rgb, 3)
    if file_axes == 2:
        values = values[:, :, np.newaxis]
    if not is_rgb:
        values = values.reshape((*values.shape[:3], -1))
    affine = _complete(affine)
    orientation = nibabel.orientations.io_orientation(affine)
    if not np.isfinite(affine).all() or not np.isfinite(orientation).all():
        raise DecodeError(
            "its affine is singular or not finite, so it does not say where its voxels are; repair its header"
        )
    flat = values.shape[2] == 1
    sizes = nibabel.affines.voxel_sizes(affine)
    moved = np.transpose(nibabel.orientations.apply_orientation(values, orientation), (3, 2, 1, 0))
    out_axes = orientation[:, 0].astype(int)
    by_axis = {int(out): float(size) for out, size in zip(out_axes, sizes, strict=True)}
    kept = [axis for axis in (2, 1, 0) if not (flat and axis == out_axes[2])]
    if flat:
        moved = np.squeeze(moved, axis=3 - int(out_axes[2]))
    space = Space(
        pixel_size=tuple(by_axis[axis] for axis in kept),
        unit="millimeter",
        affine=tuple(tuple(float(value) for value in row) for row in affine),
        orientation="".join(str(code) for code in nibabel.orientations.aff2axcodes(affine))[:file_axes],
        affine_codes=codes,
    )
    return Decoded(values=moved, space=space, is_rgb=is_rgb)


def _complete(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a file of one plane, whose third axis has no size, a third axis across the plane."""
    if affine[:3, 2].any() or not np.isfinite(affine).all():
        return affine
    across = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(across)
    completed = affine.copy()
    if length > 0:
        completed[:3, 2] = across / length
    return completed


def _affine_to_write(space: Space, *, spatial_axes: int) -> NDArray[np.float64]:
    if space.affine is not None:
        return np.array(space.affine, np.float64)
    sizes = space.pixel_size or (1.0,) * spatial_axes
    factor = 0.001 if space.unit == "micrometer" else 1.0
    diagonal = [size * factor for size in reversed(sizes)]
    return np.diag([*diagonal, *[1.0] * (4 - len(diagonal))])
