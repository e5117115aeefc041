"""The label doctor: what is wrong with a data set, judged from the measures of its images and masks."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Space
from segue.fingerprint import rules
from segue.fingerprint.alignment import REACH, Alignment
from segue.fingerprint.duplicates import Group
from segue.fingerprint.measures import ImageMeasure, LabelMeasure
from segue.fingerprint.pixel_sizes import looks_wrong, pixel_sizes
from segue.fingerprint.rules import Hit
from segue.io.labels import Coding, show_value
from segue.resample import shown

_CONTRAST_RATIO = 100
"""Standard deviations of images that differ by more than this are mentioned."""

_SOME_CONTRAST = 0.3
"""Foreground and background differ in brightness if their means are this many deviations apart."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One pair that could be read, in numbers."""

    index: int
    """Its place among the pairs of the data set."""
    name: str
    group: str
    image_file: str
    mask_file: str
    image: ImageMeasure
    labels: LabelMeasure
    alignment: Alignment | None
    annotated: NDArray[np.float32]
    """(C, N) some intensities under all classes but the background."""


def judge_image(image: ImageMeasure, *, file: str) -> Iterator[Hit]:
    """What is wrong with one image alone."""
    if image.not_finite:
        yield Hit(rule=rules.NOT_FINITE, file=file, detail=f"{image.not_finite:,} values")
    if image.is_constant:
        yield Hit(rule=rules.CONSTANT, file=file, detail=f"{image.channels[0].lowest:g}")


def judge_pair(pair: Examined, *, coding: Coding = "gray") -> Iterator[Hit]:
    """What is wrong with one image or its mask alone. `coding` says whether ids of objects are packed colours."""
    labels = pair.labels
    yield from judge_image(pair.image, file=pair.image_file)
    if sum(labels.counts) == 0:
        yield Hit(rule=rules.ALL_IGNORED, file=pair.mask_file)
    elif labels.is_empty:
        yield Hit(rule=rules.EMPTY, file=pair.mask_file)
    if labels.objects is None:
        return
    objects = labels.objects
    if objects.of_one_pixel:
        yield Hit(rule=rules.ONE_PIXEL, file=pair.mask_file, detail=f"{objects.of_one_pixel:,}")
    if objects.in_pieces:
        shown = ", ".join(show_value(number, coding) for number in objects.in_pieces[:5])
        more = f" and {len(objects.in_pieces) - 5} more" if len(objects.in_pieces) > 5 else ""
        yield Hit(rule=rules.IN_PIECES, file=pair.mask_file, detail=f"id {shown}{more}")
    if coding == "gray" and objects.highest_id != objects.count:
        detail = f"{objects.count} objects, highest id {objects.highest_id}"
        yield Hit(rule=rules.NOT_CONSECUTIVE, file=pair.mask_file, detail=detail)


def judge_set(
    pairs: Sequence[Examined],
    *,
    classes: tuple[str, ...],
    similar: Sequence[Group],
    channel_names: Sequence[str] | None = None,
) -> Iterator[Hit]:
    """What is wrong with the pairs together. `similar` holds groups of places in `pairs`."""
    yield from _judge_kinds(pairs)
    yield from _judge_names(pairs, names=channel_names or ())
    yield from _judge_classes(pairs, classes=classes)
    yield from _judge_duplicates(pairs, similar=similar)
    yield from _judge_inversion(pairs)
    yield from _judge_shift(pairs)


def _judge_kinds(pairs: Sequence[Examined]) -> Iterator[Hit]:
    axes = Counter(len(pair.image.shape) for pair in pairs)
    if len(axes) > 1:
        fewest = min(axes, key=lambda number: (axes[number], number))
        for pair in pairs:
            if len(pair.image.shape) == fewest:
                yield Hit(rule=rules.MIXED_AXES, file=pair.image_file, detail=f"{fewest}D")
    channels = Counter(_channels(pair.image) for pair in pairs)
    usual = channels.most_common(1)[0][0]
    for pair in pairs:
        if _channels(pair.image) != usual:
            detail = f"{len(pair.image.channels)}, not {usual}"
            yield Hit(rule=rules.MIXED_CHANNELS, file=pair.image_file, detail=detail)
    colourful = [pair for pair in pairs if pair.image.is_colourful]
    grays = [pair for pair in pairs if _is_gray(pair.image)]
    if colourful and grays:
        fewer, kind = (colourful, "in colour") if len(colourful) < len(grays) else (grays, "gray")
        for pair in fewer:
            yield Hit(rule=rules.COLOUR_MIXED, file=pair.image_file, detail=kind)
    yield from _judge_scales(pairs)


def _judge_names(pairs: Sequence[Examined], *, names: Sequence[str]) -> Iterator[Hit]:
    """A colour image may have one name or three."""
    for pair in pairs if names else ():
        image = pair.image
        if len(names) != len(image.channels) and not (image.is_rgb and len(names) == 1):
            detail = f"{len(image.channels)}, but named are {', '.join(names)}"
            yield Hit(rule=rules.CHANNELS_NAMED, file=pair.image_file, detail=detail)


def _judge_scales(pairs: Sequence[Examined]) -> Iterator[Hit]:
    """Contrast or pixel size that differs from image to image."""
    contrasts = [max(channel.std for channel in pair.image.channels) for pair in pairs]
    contrasts = [contrast for contrast in contrasts if contrast > 0]
    if contrasts and max(contrasts) > _CONTRAST_RATIO * min(contrasts):
        detail = f"standard deviations from {min(contrasts):.3g} to {max(contrasts):.3g}"
        yield Hit(rule=rules.CONTRAST_DIFFERS, file=pairs[0].image_file, detail=detail)
    axes = Counter(len(pair.image.shape) for pair in pairs).most_common(1)[0][0]
    sizes = pixel_sizes([pair.image for pair in pairs], axes=axes)
    if sizes is None or not sizes.differ:
        return
    low, high = (shown(Space(pixel_size=edge, unit="")).strip() for edge in (sizes.low, sizes.high))
    silent = f", {sizes.silent} images say none" if sizes.silent else ""
    middle = shown(sizes.space)
    detail = f"{low} to {high} {sizes.unit}, median {middle}{silent}"
    yield Hit(rule=rules.PIXEL_SIZE_DIFFERS, file=pairs[0].image_file, detail=detail)
    for pair in pairs:
        if looks_wrong(pair.image, sizes):
            own = Space(pixel_size=pair.image.pixel_size, unit=pair.image.unit)
            yield Hit(rule=rules.PIXEL_SIZE_WILD, file=pair.image_file, detail=f"{shown(own)}, median {middle}")


def _is_gray(image: ImageMeasure) -> bool:
    return len(image.channels) == 1 or (image.is_rgb and not image.is_colourful)


def _channels(image: ImageMeasure) -> int:
    """Number of channels, where RGB and gray are one kind (see COLOUR_MIXED)."""
    return 1 if image.is_rgb else len(image.channels)


def _judge_classes(pairs: Sequence[Examined], *, classes: tuple[str, ...]) -> Iterator[Hit]:
    if all(pair.labels.is_empty for pair in pairs):
        yield Hit(rule=rules.NOTHING_ANNOTATED, file=pairs[0].mask_file)
        return
    totals = np.sum([pair.labels.counts for pair in pairs], axis=0)
    for number, name in enumerate(classes):
        if totals[number] == 0:
            yield Hit(rule=rules.RARE_CLASS, file=pairs[0].mask_file, detail=f"class {number}, {name}")


def _judge_duplicates(pairs: Sequence[Examined], *, similar: Sequence[Group]) -> Iterator[Hit]:
    for group in similar:
        first = pairs[group[0]]
        equal = [pairs[i] for i in group[1:] if pairs[i].image.digest == first.image.digest]
        differ = [pair for pair in equal if pair.labels.digest != first.labels.digest]
        rule = (
            rules.NEARLY_SAME
            if len(equal) < len(group) - 1
            else rules.SAME_BUT_ANNOTATED_DIFFERENTLY
            if differ
            else rules.SAME_TWICE
        )
        names = [pairs[i].name for i in group[1:]]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield Hit(rule=rule, file=first.image_file, detail=f"like {', '.join(names[:3])}{more}")
    by_mask: dict[str, list[Examined]] = defaultdict(list)
    for pair in pairs:
        if not pair.labels.is_empty:
            by_mask[pair.labels.digest].append(pair)
    for same in by_mask.values():
        others = [pair for pair in same[1:] if pair.image.digest != same[0].image.digest]
        if others:
            yield Hit(rule=rules.SAME_MASK, file=same[0].mask_file, detail=f"as for {others[0].name}")


def _judge_inversion(pairs: Sequence[Examined]) -> Iterator[Hit]:
    """Most masks look inverted; or one does and its coverage is that of the others turned round."""
    measured = [(pair, pair.alignment) for pair in pairs if pair.alignment is not None]
    suspect = [(pair, alignment) for pair, alignment in measured if alignment.looks_inverted]
    if len(suspect) > 0.7 * len(pairs):
        detail = f"{len(suspect)} of {len(pairs)}"
        yield Hit(rule=rules.INVERTED, file=suspect[0][0].mask_file, detail=detail)
        return
    if not measured:
        return
    usual = float(np.median([alignment.coverage for _, alignment in measured]))
    sign = float(np.median(np.sign([alignment.contrast for _, alignment in measured])))
    for pair, alignment in measured:
        coverage = alignment.coverage
        turned = abs(coverage - usual) > 0.4 and abs(coverage - (1 - usual)) < 0.15
        opposite = alignment.contrast * sign < -_SOME_CONTRAST
        if turned and (opposite or alignment.looks_inverted):
            detail = f"{coverage:.0%} foreground, {usual:.0%} in the others"
            yield Hit(rule=rules.ONE_INVERTED, file=pair.mask_file, detail=detail)


def _judge_shift(pairs: Sequence[Examined]) -> Iterator[Hit]:
    """The image's edges lie some pixels beside the mask's, in most images alike or clearly in single ones."""
    measured = [pair for pair in pairs if pair.alignment is not None]
    curves = np.array([pair.alignment.curve for pair in measured if pair.alignment is not None])
    if len(curves) == 0:
        return
    places = np.array([_peak(curve) for curve in curves])
    own, best = curves[:, REACH, REACH], curves.max(axis=(1, 2))
    together = _peak(curves.mean(axis=0))
    alike = np.abs(places - together).max(axis=1) <= 1
    mean = curves.mean(axis=0)
    gain = float(mean.max() - mean[REACH, REACH])
    if _is_far(together) and alike.mean() > 0.5 and gain > 0.15 and best[alike].mean() > 0.3:
        if len(curves) > 1 or _is_clear(curves[0]):
            detail = f"by about {_shift_words(together)} in {int(alike.sum())} of {len(measured)} images"
            yield Hit(rule=rules.SHIFTED, file=measured[0].mask_file, detail=detail)
        return
    usual = float(np.median(own))
    settled = (np.abs(places).max(axis=1) <= 1).mean() > 0.7
    for pair, curve, place in zip(measured, curves, places, strict=True):
        strong = curve.max() > 0.6 * usual and curve[REACH, REACH] < 0.4 * usual
        if settled and _is_far(place) and strong and _is_clear(curve):
            detail = f"by about {_shift_words(place)}"
            yield Hit(rule=rules.ONE_SHIFTED, file=pair.mask_file, detail=detail)


def _peak(curve: NDArray[np.float32]) -> NDArray[np.int64]:
    """(2,) the shift (y, x) with the strongest edges."""
    return np.array(np.unravel_index(int(curve.argmax()), curve.shape)) - REACH


def _is_far(shift: NDArray[np.int64]) -> bool:
    """At least 2 px; not at the rim of the tried shifts, where a maximum need not be a peak."""
    return 2 <= int(np.abs(shift).max()) < REACH


def _is_clear(curve: NDArray[np.float32]) -> bool:
    """A peak several deviations above all other shifts, and twice as high as without a shift."""
    y, x = _peak(curve) + REACH
    far = np.ones(curve.shape, bool)
    far[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = False
    rest = curve[far]
    return bool(curve[y, x] > rest.mean() + 4 * rest.std() and curve[y, x] > 2 * max(curve[REACH, REACH], 0.1))


def _shift_words(shift: NDArray[np.int64]) -> str:
    """Where the image's edges are, seen from the mask's."""
    down, right = int(shift[0]), int(shift[1])
    words = []
    if down:
        words.append(f"{abs(down)} px too far {'up' if down > 0 else 'down'}")
    if right:
        words.append(f"{abs(right)} px too far {'left' if right > 0 else 'right'}")
    return " and ".join(words)
