"""Masks: from the raw values in a file to `Labels`, by a `LabelSpec` that says what each value means.

What the values mean without being told is decided in `label_decision.py`; here nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, LabelKind, Labels, Space
from segue.errors import LabelError
from segue.io.decoded import DEFAULT_MAX_PIXELS, Decoded
from segue.io.images import decode
from segue.io.natural import image_files
from segue.ranks import ranked

Coding = Literal["gray", "colour"]
"""Whether raw values are numbers, or colours packed as 0xRRGGBB."""

_MOST_LISTED = 8
"""Values that a message names before it says how many more there are."""


@dataclass(frozen=True, kw_only=True)
class RawMask:
    """The values of a mask as its file has them, before anybody says what they mean."""

    values: NDArray[np.int64]
    """(Y, X) or (Z, Y, X), int64: gray values, palette indices, or colours packed as 0xRRGGBB."""
    coding: Coding = "gray"
    """Colour only if some pixel is not gray."""
    palette: NDArray[np.int64] | None = None
    """(N,) the packed colour of each gray value, if the values are indices into a palette."""
    top: int = 0
    """Largest value that the file's type can hold (255 for 8 bit), 0 if that says nothing."""
    lossy: bool = False
    """True if the file is JPEG-compressed, so that values at edges are invented."""
    space: Space = field(default_factory=Space)
    """Where the pixels are."""
    name: str = ""
    """What messages call this mask: its path."""


@dataclass(frozen=True, kw_only=True)
class LabelSpec:
    """What the raw values of a data set's masks mean."""

    kind: LabelKind
    """Whether the masks hold classes or objects."""
    classes: tuple[str, ...] = ("background", "foreground")
    """Names of the classes; for objects, background and the class of the objects."""
    values: Mapping[int, int] = field(default_factory=dict)
    """Raw value -> class id. For objects: raw values that mean background (-> 0); all others are object
    ids."""
    ignore: frozenset[int] = frozenset()
    """Raw values of pixels that nobody has annotated."""
    coding: Coding = "gray"
    """What the raw values in `values` and `ignore` are."""
    snap: bool = False
    """Take a raw value that is not in `values` for the nearest one that is (anti-aliased and JPEG masks)."""


def read_mask(path: Path | str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RawMask:
    """Read the raw values of a mask file, or of a folder that holds one file for each object.

    A palette image gives its indices and its palette (a GIF its colours), an RGB mask whose pixels are all gray its
    gray values, any other RGB mask packed colours. Labels are numbers, not light: they are as stored, also where a TIFF
    calls 0 white. Raises MissingInputError, ImageError for a bad file, LabelError for a file that
    cannot be a mask.
    """
    path = Path(path)
    if path.is_dir():
        return _read_mask_folder(path, max_pixels=max_pixels)
    decoded = decode(path, max_pixels=max_pixels)
    values = decoded.values
    if decoded.is_rgb:
        return _colour_mask(decoded, path)
    if len(values) != 1:
        raise LabelError(
            f"{path}: the mask has {len(values)} channels; a mask has one channel, or the three of a colour code"
        )
    if decoded.white is not None:
        values = decoded.white - values
    return RawMask(
        values=_whole_numbers(values[0], path, step=decoded.step),
        palette=None if decoded.palette is None else decoded.palette.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]),
        top=int(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 0,
        lossy=decoded.lossy,
        space=decoded.space,
        name=str(path),
    )


def apply_spec(raw: RawMask, spec: LabelSpec) -> Labels:
    """Give the raw values their meaning. Raises LabelError for a value that the spec does not know."""
    values = as_coding(raw, spec.coding)
    if spec.kind == "objects":
        ids = _object_ids(values, spec, raw.name)
    else:
        ids = _class_ids(values, spec, raw.name)
    return Labels(ids=ids, kind=spec.kind, classes=spec.classes, space=raw.space, name=raw.name)


def as_coding(raw: RawMask, coding: Coding) -> NDArray[np.int64]:
    """The values of `raw` in the coding of its data set: a mask of palette indices, or one that happens to be gray,
    may be one of colour masks.

    Raises LabelError if a colour mask stands among gray ones.
    """
    if raw.coding == coding:
        return raw.values
    if raw.coding == "colour":
        raise LabelError(
            f"{raw.name}: the mask is coloured, but gray values are expected; save it with one number a "
            f"class, "
            'or say in dataset.toml what each colour means: values = { "#000000" = 0, "#ff0000" = 1 }'
        )
    if raw.palette is not None:
        colours: NDArray[np.int64] = raw.palette[raw.values]
        return colours
    fits = (raw.values >= 0) & (raw.values <= 255)
    if not fits.all():
        raise LabelError(
            f"{raw.name}: the mask holds numbers such as {int(raw.values[~fits][0])}, but others of this "
            f"data set are coloured; save all masks in one way"
        )
    return raw.values * 0x010101


def show_value(value: int, coding: Coding) -> str:
    """A raw value as one writes it in dataset.toml: 7, or "#ff0000"."""
    return f'"#{value:06x}"' if coding == "colour" and value >= 0 else str(value)


def nearest(values: NDArray[np.int64], known: NDArray[np.int64], coding: Coding) -> NDArray[np.int64]:
    """For each of `values` (n,) the one of `known` (m,) that is closest: as a number, or as a colour in
    RGB."""
    distance = np.zeros((len(values), len(known)), np.int64)
    for shift in (16, 8, 0) if coding == "colour" else (0,):
        mask = 0xFF if coding == "colour" else -1
        distance += ((values >> shift & mask)[:, np.newaxis] - (known >> shift & mask)) ** 2
    closest: NDArray[np.int64] = known[distance.argmin(axis=1)]
    return closest


def _object_ids(values: NDArray[np.int64], spec: LabelSpec, name: str) -> NDArray[np.int32]:
    ids = values
    for raw_value, meaning in spec.values.items():
        assert meaning == 0, "for objects, values may only say what is background"
        ids = np.where(values == raw_value, 0, ids)
    unknown = np.isin(values, list(spec.ignore))
    low, high = int(ids.min(initial=0, where=~unknown)), int(ids.max(initial=0, where=~unknown))
    if low < 0:
        raise LabelError(
            f"{name}: object ids must not be negative, the smallest is {low}; number the objects from 1, or "
            f"write ignore = {low} in dataset.toml if it marks unannotated pixels"
        )
    if high > np.iinfo(np.int32).max:
        raise LabelError(f"{name}: the object id {high} is too large; number the objects from 1")
    return np.where(unknown, IGNORE, ids).astype(np.int32)


def _class_ids(values: NDArray[np.int64], spec: LabelSpec, name: str) -> NDArray[np.int32]:
    table = {**spec.values, **dict.fromkeys(spec.ignore, IGNORE)}
    present, ranks, counts = ranked(values)
    known = np.array(sorted(table), np.int64)
    present_as = nearest(present, known, spec.coding) if spec.snap else present
    unknown = ~np.isin(present_as, known)
    if unknown.any():
        raise LabelError(_unknown_values(present[unknown], counts[unknown], spec, name))
    meanings = np.array([table[int(value)] for value in present_as], np.int32)
    classes: NDArray[np.int32] = meanings[ranks]
    return classes


def _unknown_values(values: NDArray[Any], counts: NDArray[Any], spec: LabelSpec, name: str) -> str:
    shown = [
        f"{show_value(int(value), spec.coding)} ({int(count):,} px)"
        for value, count in list(zip(values, counts, strict=True))[:_MOST_LISTED]
    ]
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    allowed = ", ".join(
        f"{show_value(value, spec.coding)} = {spec.classes[meaning]}" for value, meaning in sorted(spec.values.items())
    )
    entries = [f"{show_value(value, spec.coding)} = {meaning}" for value, meaning in sorted(spec.values.items())]
    entries.append(f"{show_value(int(values[0]), spec.coding)} = 0")
    return (
        f"{name}: the mask holds the value{'s' if len(values) > 1 else ''} {', '.join(shown)}{more}; "
        f"allowed are {allowed}. Mend the mask, or write in dataset.toml what it means, for example "
        f"values = {{ {', '.join(entries)} }} or ignore = {show_value(int(values[0]), spec.coding)}"
    )


def _whole_numbers(values: NDArray[Any], path: Path, *, step: float = 0.0) -> NDArray[np.int64]:
    """The ids that `values` are; where they were scaled in steps of less than 1, those that they were saved from.

    Raises LabelError if they are none.
    """
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        whole = np.rint(np.where(finite, values, 0))
        # A little more than half a step: the scaled values and the slope are rounded to float32.
        near = 0.51 * step + 2 * np.finfo(np.float32).eps * np.abs(whole) if 0 < step < 1 else 0
        fractional = ~finite | (np.abs(values - whole) > near)
        if fractional.any():
            worst = values[fractional][0]
            scaled = f" because the header scales what is stored (scl_slope = {step:g})" if step else ""
            plainly = " without scaling (in Python Nifti1Image(mask.astype(np.int32), affine))" if step else ""
            raise LabelError(
                f"{path}: {int(fractional.sum()):,} pixels of the mask are not whole numbers (such as "
                f"{worst:g}){scaled}; a mask holds class or object ids, save it as integers{plainly}"
            )
        values = whole
    if values.dtype.kind in "fu" and bool((values >= 2.0**63).any()):
        raise LabelError(f"{path}: the mask holds values of 2^63 and more; number its objects from 1")
    return values.astype(np.int64)


def _colour_mask(decoded: Decoded, path: Path) -> RawMask:
    values = decoded.values
    if values.dtype != np.uint8:
        gray = bool((values[:1] == values).all())
        if not gray:
            raise LabelError(f"{path}: a colour-coded mask must have 8 bits a colour, this one is {values.dtype}")
        packed = _whole_numbers(values[0], path)
        return RawMask(values=packed, lossy=decoded.lossy, space=decoded.space, name=str(path))
    red, green, blue = values.astype(np.int64)
    if bool((red == green).all() and (red == blue).all()):
        return RawMask(values=red, top=255, lossy=decoded.lossy, space=decoded.space, name=str(path))
    packed = red << 16 | green << 8 | blue
    return RawMask(values=packed, coding="colour", lossy=decoded.lossy, space=decoded.space, name=str(path))


def _read_mask_folder(folder: Path, *, max_pixels: int) -> RawMask:
    """One file an object: the n-th file in natural order becomes id n; where objects overlap, the later one
    wins.

    Raises LabelError for a file that holds more than an object and background.
    """
    ids: NDArray[np.int64] | None = None
    for number, path in enumerate(image_files(folder), start=1):
        raw = read_mask(path, max_pixels=max_pixels)
        one = raw.values
        if ids is None:
            ids = np.zeros(one.shape, np.int64)
        if one.shape != ids.shape:
            raise LabelError(f"{path}: its shape is {one.shape}, the masks before it in the folder have {ids.shape}")
        held = len(ranked(one)[0])
        if held > 2 and not raw.lossy:
            raise LabelError(
                f"{path}: this mask holds {held:,} values, but in this layout (a folder of masks for each image) each "
                "file is one object; put all images into images/ and such masks by the same names into masks/"
            )
        # JPEG invents values around 0 and 255: an object is what is above 127 in some channel.
        ids[one & 0x808080 != 0 if raw.lossy else one != 0] = number
    if ids is None:
        raise LabelError(f"{folder}: the folder holds no mask; it should hold one image file for each object")
    return RawMask(values=ids, name=str(folder))
