"""Annotated images to what training and validation hold in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.augment.sampling import Sources
from segue.targets.prepare import TargetConfig, make_targets

PLACES_PER_CLASS = 4096
"""So many pixels of every class are remembered of each image as places to sample at."""

Slices = tuple[slice, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Example:
    """One training image, normalised, with its targets and places to sample at."""

    sources: Sources
    """Image, classes, weights (nearest pixel) and auxiliary maps (interpolated)."""
    places: tuple[NDArray[np.int32], ...]
    """(n, axes) pixels that patches should show more often: those of each class but 0 that occurs, and those between
    two near objects, which stand alone where there is one class only."""
    known: NDArray[np.int32] | None
    """(n, axes) annotated pixels, if the annotation is sparse; None if most pixels are annotated."""
    spacing: tuple[float, ...] | None = None
    """Relative pixel sizes, so that rotations are those of space; None if all are alike."""


@dataclass(frozen=True)
class Judged:
    """One held-out image, normalised, with its truth."""

    name: str
    pixels: NDArray[np.float32]
    """(C, [Z,] Y, X) float32, normalised, at the pixel size that the network works at."""
    labels: Labels
    """At the image's own pixel size: over the same area as `pixels`, but perhaps of another shape."""


def make_example(
    pixels: NDArray[np.float32],
    labels: Labels,
    config: TargetConfig,
    *,
    seed: int,
    spacing: Sequence[float] | None = None,
    part: Slices | None = None,
) -> Example:
    """An example of a normalised image (C, [Z,] Y, X) and its labels, or of the `part` of them that is for training.

    Targets are made of the whole before the part is cut out: its weights know the cells outside.
    Raises LabelError if the labels hold a class without a name.
    """
    targets = make_targets(labels, config, spacing=spacing)
    classes = _own(targets.classes, part)
    sources = Sources(
        image=_own(pixels, part),
        labels=classes,
        nearest=(_own(targets.weights, part),),
        linear=tuple(_own(one, part) for one in targets.maps),
    )
    rng = np.random.default_rng(seed)
    rare = [number for number in np.unique(classes) if number > 0]
    narrow = sources.nearest[0] > config.narrow
    if narrow.any() and len(rare) == 1:  # the narrow places stand for the one class: there is the most to learn
        rare = []
    places = tuple(_some_places(classes == number, rng) for number in rare)
    if narrow.any():
        places = (*places, _some_places(narrow, rng))
    annotated = classes != IGNORE
    sparse = bool(annotated.any()) and annotated.mean() < 0.5
    known = _some_places(annotated, rng) if sparse else None
    return Example(sources, places, known, tuple(spacing) if spacing else None)


def make_judged(name: str, pixels: NDArray[np.float32], labels: Labels, *, part: Slices | None = None) -> Judged:
    """A held-out image of that name, or the `part` of it that is for validation."""
    return Judged(name, _own(pixels, part), replace(labels, ids=_own(labels.ids, part)))


def _own(array: NDArray[Scalar], part: Slices | None) -> NDArray[Scalar]:
    """The `part` of the last axes, contiguous; a copy where it is smaller: a view would keep the whole in memory."""
    if part is None:
        return np.ascontiguousarray(array)
    cut = array[(slice(None),) * (array.ndim - len(part)) + part]
    return cut.copy() if cut.size < array.size else np.ascontiguousarray(cut)


def _some_places(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int32]:
    flat = np.flatnonzero(mask)
    if flat.size > PLACES_PER_CLASS:
        flat = rng.choice(flat, PLACES_PER_CLASS, replace=False)
    return np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int32)
