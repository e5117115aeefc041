"""The panels of a picture: an image as people like to see it, its labels, its errors: (Y, X, 3) uint8."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Image
from segue.fingerprint.planes import middle_plane
from segue.objects.colours import COLOURS, colour_neighbours
from segue.objects.numbers import consecutive
from segue.objects.overlaps import Overlaps, count_overlaps
from segue.objects.overlay import rims
from segue.report.colours import (
    DARK,
    GREEN,
    PURPLE,
    SKY,
    UNKNOWN,
    VERMILION,
    YELLOW,
    Colour,
    class_colour,
)

Ids = NDArray[np.integer]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a legend."""

    colour: Colour
    text: str


def show_image(image: Image) -> Pixels:
    """The middle slice of `image`, from its darkest to its brightest 0.3 % of pixels.

    Colour images keep the balance of their channels; of other images with several channels the first three
    are shown in cyan, magenta and yellow, added up. NaN is black.
    """
    pixels = middle_plane(image.pixels)
    if image.is_rgb:
        return _stretch(np.moveaxis(pixels, 0, -1))
    if len(pixels) == 1:
        return np.repeat(_stretch(pixels[0])[..., None], 3, axis=-1)
    tints = np.asarray([[0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32)
    light = np.zeros((*pixels.shape[1:], 3), np.float32)
    for channel, tint in zip(pixels, tints, strict=False):
        light += _stretch(channel)[..., None] * tint
    return np.minimum(light, 255).astype(np.uint8)


def _stretch(pixels: NDArray[np.generic]) -> Pixels:
    """Grey values to 0..255, without the outermost 0.3 %; a gamma of at least 0.5 lifts dark images."""
    values = np.nan_to_num(np.asarray(pixels, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if values.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(values, (0.3, 99.7))
    if high <= low:
        low, high = values.min(), max(values.max(), values.min() + 1)
    relative = np.clip((values - low) / (high - low), 0, 1)
    gamma = np.clip(np.log(0.3) / np.log(np.clip(relative.mean(), 1e-3, 0.3)), 0.5, 1)
    return np.asarray(np.rint(relative**gamma * 255), np.uint8)


def show_classes(ids: Ids) -> Pixels:
    """Class ids (Y, X) in flat colours; what nobody has annotated is grey."""
    numbers, inverse = np.unique(ids, return_inverse=True)
    table = [UNKNOWN if number < 0 else class_colour(int(number)) for number in numbers]
    return np.asarray(table, np.uint8).reshape(-1, 3)[inverse.reshape(ids.shape)]


def show_objects(ids: Ids) -> Pixels:
    """Object ids (Y, X): neighbours differ in colour, the rims of objects are darker; unknown pixels are grey."""
    numbers = consecutive(np.maximum(ids, 0))[1]
    painted = COLOURS[colour_neighbours(numbers)[numbers]]
    painted[ids == 0] = DARK
    painted[ids < 0] = UNKNOWN
    rim = rims(numbers)
    painted[rim] = (painted[rim] * 0.55).astype(np.uint8)
    return painted


def class_entries(classes: tuple[str, ...]) -> list[Entry]:
    """What the flat colours of the classes mean."""
    return [Entry(colour=class_colour(number), text=name) for number, name in enumerate(classes)]


def show_class_errors(backdrop: Pixels, truth: Ids, predicted: Ids) -> Pixels:
    """A dimmed image with the wrong pixels in colour: see `class_error_entries`. All (Y, X)."""
    painted = _dim(backdrop)
    known = truth != IGNORE
    wrong = known & (truth != predicted)
    _paint(painted, wrong & (truth == 0), VERMILION)
    _paint(painted, wrong & (truth != 0) & (predicted == 0), SKY)
    _paint(painted, wrong & (truth != 0) & (predicted != 0), YELLOW)
    _paint(painted, ~known, UNKNOWN, strength=0.6)
    return painted


def class_error_entries(classes: tuple[str, ...]) -> list[Entry]:
    """What the colours of `show_class_errors` mean, in the names of the classes."""
    if len(classes) == 2:
        return [
            Entry(colour=VERMILION, text=f"false {classes[1]} (truth: {classes[0]})"),
            Entry(colour=SKY, text=f"false {classes[0]} (truth: {classes[1]})"),
        ]
    return [
        Entry(colour=VERMILION, text=f"invented (truth: {classes[0]})"),
        Entry(colour=SKY, text=f"missed (predicted: {classes[0]})"),
        Entry(colour=YELLOW, text="wrong class"),
    ]


OBJECT_ERROR_ENTRIES = [
    Entry(colour=GREEN, text="matched (IoU at least 0.5)"),
    Entry(colour=SKY, text="missed"),
    Entry(colour=VERMILION, text="spurious"),
    Entry(colour=PURPLE, text="merged"),
    Entry(colour=YELLOW, text="split"),
]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Ids by what became of them in the whole image or volume. Each predicted id is in one group."""

    matched: NDArray[np.int64]
    """Predicted objects that match a true one at IoU 0.5."""
    missed: NDArray[np.int64]
    """True objects that are not matched, not merged and not split."""
    spurious: NDArray[np.int64]
    """Predicted objects that are none of the others."""
    merged: NDArray[np.int64]
    """Predicted objects that cover more than half of two true ones or more."""
    split: NDArray[np.int64]
    """Predicted objects that lie by more than half in a true one that holds two such objects or more."""


def judge_objects(truth: Ids, predicted: Ids) -> Verdicts:
    """Sort the objects of (Y, X) or (Z, Y, X) ids by what became of them."""
    table = count_overlaps(truth, predicted)
    pairs = table.matches(0.5)
    matched = _flags(table.predicted_index[pairs], len(table.predicted_ids))
    found = _flags(table.truth_index[pairs], len(table.truth_ids))

    swallowed = 2 * table.shared > table.truth_areas[table.truth_index]
    merged = _counts(table.predicted_index[swallowed], len(table.predicted_ids)) >= 2
    found |= _flags(table.truth_index[swallowed & merged[table.predicted_index]], len(found))

    piece = 2 * table.shared > table.predicted_areas[table.predicted_index]
    broken = _counts(table.truth_index[piece], len(table.truth_ids)) >= 2
    of_broken = piece & broken[table.truth_index]
    split = _flags(table.predicted_index[of_broken], len(merged)) & ~merged
    found |= broken
    return _verdicts(table, matched=matched & ~merged & ~split, found=found, merged=merged, split=split)


def _verdicts(
    table: Overlaps,
    *,
    matched: NDArray[np.bool_],
    found: NDArray[np.bool_],
    merged: NDArray[np.bool_],
    split: NDArray[np.bool_],
) -> Verdicts:
    return Verdicts(
        matched=table.predicted_ids[matched],
        missed=table.truth_ids[~found],
        spurious=table.predicted_ids[~matched & ~merged & ~split],
        merged=table.predicted_ids[merged],
        split=table.predicted_ids[split],
    )


def _flags(index: NDArray[np.intp], length: int) -> NDArray[np.bool_]:
    return _counts(index, length) > 0


def _counts(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    return np.bincount(index, minlength=length)


def show_object_errors(backdrop: Pixels, truth: Ids, predicted: Ids, verdicts: Verdicts) -> Pixels:
    """A dimmed image with every object in the colour of what became of it: see OBJECT_ERROR_ENTRIES."""
    painted = _dim(backdrop)
    _paint(painted, truth == IGNORE, UNKNOWN, strength=0.6)
    layers = (
        (predicted, verdicts.matched, GREEN, 0.3),
        (truth, verdicts.missed, SKY, 0.65),
        (predicted, verdicts.spurious, VERMILION, 0.65),
        (predicted, verdicts.split, YELLOW, 0.65),
        (predicted, verdicts.merged, PURPLE, 0.65),
    )
    for ids, chosen, colour, strength in layers:
        mask = np.isin(ids, chosen)
        _paint(painted, mask, colour, strength=strength)
        _paint(painted, mask & rims(ids), colour)
    return painted


def _dim(backdrop: Pixels) -> Pixels:
    """The image without its colours, darker, so that the colours painted over it stand out."""
    grey = backdrop.astype(np.float32).mean(axis=-1, keepdims=True)
    return np.repeat((np.float32(DARK[0]) + 0.42 * grey), 3, axis=-1).astype(np.uint8)


def _paint(painted: Pixels, mask: NDArray[np.bool_], colour: Colour, *, strength: float = 1.0) -> None:
    """Mix `colour` into the pixels of `mask`, in place."""
    mixed = (1 - strength) * painted[mask] + strength * np.asarray(colour, np.float32)
    painted[mask] = mixed.astype(np.uint8)
