"""What the values of masks mean when nobody has said so: classes or objects, and which value is which class.

The evidence of every mask is gathered first (`label_evidence.summarise`), then `decide` judges all records together
by rules in a fixed order. The answer names the rule that spoke, how sure it is, and what to
write if it errs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segue.arrays import LabelKind
from segue.errors import LabelError
from segue.io.findings import Finding
from segue.io.label_codes import main_values
from segue.io.label_evidence import MaskSummary, common_coding, recoded, without
from segue.io.labels import Coding, LabelSpec, show_value

Confidence = Literal["sure", "likely", "guess"]

MAX_CLASSES = 64
"""More different values than this are objects, or the mask is none."""
_USUAL_CLASSES = 16
"""More classes than this are rare."""
_RARE = 0.0005
"""A class with a smaller share of all pixels may be stray pixels."""
_MOST_SHOWN = 8
"""Rare values that a message names."""
CODE_GAP = 10
"""Gray codes of classes (0, 50, 100, or 0, 128, 255) lie at least this far apart; ids of objects follow each
other."""
_EVEN = 2
"""Steps between even gray codes differ by no more than this: 0, 128, 255."""
_WHITE = 0xFFFFFF
"""The only colour that may be the background of coloured objects where black occurs too, as in their outlines."""
_LEAST_BORDER = 1 / 3
"""A background has at least this share of the border of each image, if there are several."""
_LEAST_OF_ONE = 2 / 3
"""The same where there is only one image, for one large object among few can have most of its pixels."""
_MANY = 20
"""A mask with more single-piece values than this shows objects."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the masks of a data set were found to mean."""

    spec: LabelSpec
    sentence: str
    """What was decided, why, and how to change it: for people."""
    confidence: Confidence
    """How far to trust it. "sure" also stands for what dataset.toml says."""
    findings: tuple[Finding, ...] = ()
    """What the doctor should say of the masks on the way: anti-aliasing, JPEG, binary masks of objects."""


def decide(
    summaries: Sequence[MaskSummary],
    *,
    kind: LabelKind | None = None,
    classes: tuple[str, ...] | None = None,
    ignore: frozenset[int] = frozenset(),
    ignore_coding: Coding = "gray",
) -> Decision:
    """Decide from the evidence of all masks what their values mean; `kind`, `classes` and `ignore` are given
    facts, and `ignore_coding` says whether values to ignore were written as numbers or as colours.

    Raises LabelError if there is no mask, if the masks are none (images, or smoothed masks), or if the facts and
    the masks contradict each other.
    """
    if not summaries:
        raise LabelError("there is no mask to learn the meaning of values from; add masks")
    coding, ignore = _common_terms(summaries, ignore, ignore_coding)
    masks = [recoded(one, coding) for one in summaries]
    unused = _unused_findings(masks, ignore, coding) if kind != "objects" else ()  # of objects not all masks are seen
    masks = [without(one, ignore) for one in masks]
    ground = _ground_of_objects(masks, coding)
    if kind == "objects":
        why = ", as dataset.toml or the layout of the folders says"
        findings = (*_told_objects_findings(masks, ground), *_ground_findings(masks, ground, coding))
        spec = _object_spec(ground, classes=classes, ignore=ignore, coding=coding)
        sentence = _objects_sentence(masks, ground, coding, why)
        return Decision(spec=spec, confidence="sure", sentence=sentence, findings=findings)
    codes, reason = main_values(masks)
    findings = unused if reason is None else (*unused, _codes_finding(masks, codes, coding, reason))
    snapped = reason is not None
    background, others = _background(masks, codes, coding)
    doubts: list[str] = []
    if kind is None and classes is None and not snapped:
        judged = background if ground == 0 else ground
        what, why, confidence = _judge(masks, judged, [code for code in codes if code != judged], coding)
        if what == "classes":
            doubts = _doubts(masks, background, others, coding)
    else:
        what, confidence = "classes", "likely" if snapped else "sure"
        why = reason or "dataset.toml says so"
    if classes is None and _looks_unannotated(others, coding):
        doubts.append('255 usually means "not annotated" (if so, write ignore = 255; if not, its meaning in values)')
    if doubts:
        confidence, why = "guess", f"{why}; but {', and '.join(doubts)}"
    if what == "objects":
        spec = _object_spec(ground, classes=None, ignore=ignore, coding=coding)
        sentence = _objects_sentence(masks, ground, coding, f": {why}")
        sentence += ' If they hold classes, write labels = "classes" in dataset.toml.'
        findings = (*findings, *_ground_findings(masks, ground, coding))
        return Decision(spec=spec, sentence=sentence, confidence=confidence, findings=findings)
    spec = _class_spec(
        [background, *others], classes=classes, ignore=ignore, coding=coding, snap=snapped, told=kind == "classes"
    )
    meaning = ", ".join(f"{show_value(value, coding)} = {spec.classes[one]}" for value, one in spec.values.items())
    sentence = f"The masks hold classes ({meaning}): {why}."
    if kind is None and classes is None:
        sentence += ' If each value is an object of its own, write labels = "objects" in dataset.toml.'
    return Decision(spec=spec, sentence=sentence, confidence=confidence, findings=findings)


def _common_terms(
    summaries: Sequence[MaskSummary], ignore: frozenset[int], ignore_coding: Coding
) -> tuple[Coding, frozenset[int]]:
    """The coding of all masks, and the values to ignore in it.

    Gray levels and gray colours are turned into each other; other colours make colours of the masks. Raises LabelError
    where the number of a value does not say its colour, or the colour not its number.
    """
    coding = common_coding(summaries)
    if not ignore or coding == ignore_coding:
        return coding, ignore
    indexed = any(one.colours is not None for one in summaries)
    first = show_value(min(ignore), ignore_coding)
    if coding == "colour":
        if indexed or min(ignore) < 0 or max(ignore) > 255:
            raise LabelError(
                f"ignore holds the number {first}, but the masks are coloured; write the colour of the pixels to "
                'ignore, such as ignore = "#ffffff"'
            )
        return coding, frozenset(value * 0x010101 for value in ignore)
    odd = next((int(value) for one in summaries for value in one.values if not 0 <= value <= 255), None)
    if odd is not None:
        raise LabelError(
            f"ignore holds the colour {first}, but the masks hold numbers such as {odd}; write the number of the "
            "pixels to ignore, such as ignore = 255"
        )
    levels = frozenset(value & 0xFF for value in ignore)
    if not indexed and {level * 0x010101 for level in levels} == ignore:
        return coding, levels
    return ignore_coding, ignore


def _unused_findings(masks: Sequence[MaskSummary], ignore: frozenset[int], coding: Coding) -> tuple[Finding, ...]:
    """A warning if a value to ignore occurs in none of the masks."""
    unused = sorted(value for value in ignore if not any((one.values == value).any() for one in masks))
    if not unused:
        return ()
    shown = " and ".join(show_value(value, coding) for value in unused[:_MOST_SHOWN])
    return (
        Finding(
            severity="warning",
            file="dataset.toml",
            reason=f"ignore names {shown}, which no mask holds",
            remedy="nothing is ignored by it; write the value that pixels without annotation have in the masks",
        ),
    )


def _judge(
    masks: Sequence[MaskSummary], background: int, others: Sequence[int], coding: Coding
) -> tuple[LabelKind, str, Confidence]:
    """Classes or objects, why, and how sure: the first rule that applies speaks.

    Classes whose values lie in one piece each are a guess, for objects look the same. Raises LabelError for masks that
    hold neither.
    """
    if not others:
        return "classes", "all of them hold one single value, so there is nothing to learn from them", "guess"
    if len(others) == 1:
        return "classes", "there are two values", "sure"
    sets = [frozenset(int(value) for value in one.values if value != background) for one in masks]
    filled = [one for one in sets if one]
    pieces, inner, between, counts_of = (
        np.concatenate([getattr(one, what)[one.values != background] for one in masks])
        for what in ("pieces", "inner", "between", "counts")
    )
    split = float((pieces[pieces > 0] > 1).mean()) if (pieces > 0).any() else 0.0
    share = f"{split:.0%} of the values in a mask come in several pieces"
    largest = max(len(one) for one in filled)
    shared = float(np.mean([sum(value in one for one in filled) / len(filled) for value in others]))
    alone = "but nearly each lies in one piece, as an object does"
    # Values without an inside that lie between their neighbours are those of images, or of smoothed edges.
    graded = float(((inner == 0) & (2 * between >= counts_of)).mean())
    many = len(others) > MAX_CLASSES
    if (many and split >= 0.5 and shared >= 0.3) or (len(others) > _USUAL_CLASSES and graded > 0.5):
        raise LabelError(
            f"the masks hold {len(others) + 1:,} values, too many for classes, and these are no objects; are they "
            "images, or were masks smoothed or resized? Take the masks as they were drawn, or write labels or values "
            "in dataset.toml"
        )
    if many:
        return "objects", f"there are {len(others):,} different values, and {share}", "sure"
    if split >= 0.3:
        return "classes", f"there are {len(others) + 1} values, and {share}", "sure" if split >= 0.5 else "likely"
    if coding == "gray" and _look_like_codes([background, *others]) and shared >= 0.5:
        even = np.ptp(np.diff(sorted([background, *others]))) <= _EVEN and max(others) == 255
        why = f"the {len(others) + 1} values are spread out like gray codes"
        return ("classes", why, "likely") if even else ("classes", f"{why}, {alone}", "guess")
    if largest > _MANY:
        return "objects", f"one mask holds up to {largest:,} values, nearly each in one piece", "sure"
    counts = {len(one) for one in filled}
    if len(set(filled)) == 1 and len(filled) >= 3 and len(others) <= 10:
        return "classes", f"all {len(filled)} masks hold the same {len(others) + 1} values, {alone}", "guess"
    if coding == "colour" and shared < 0.5 and len(filled) >= 2:
        return "objects", "each mask has colours of its own, each in one piece", "likely"
    numbered = all(one == frozenset(range(1, len(one) + 1)) for one in filled)
    if numbered and len(counts) > 1 and len(others) >= 3:
        return (
            "objects",
            f"each mask counts from 1 to its number of objects, up to {largest}, each in one piece",
            "likely",
        )
    if len(others) <= 5 and len(filled) >= 3 and not numbered and shared >= 0.4:
        return "classes", f"the masks share {len(others) + 1} values, not numbered from 1, {alone}", "guess"
    if len(others) == 2:
        return "classes", f"there are three values, {alone}", "guess"
    return (
        "objects",
        f"there are {len(others)} values besides the background, nearly each in one piece",
        "guess",
    )


def _doubts(masks: Sequence[MaskSummary], background: int, others: Sequence[int], coding: Coding) -> list[str]:
    """What speaks against the decision that these values are classes, each half a sentence."""
    if len(others) < 2:
        return []
    doubts = []
    if len(others) > _USUAL_CLASSES:
        doubts.append(f"{len(others) + 1} classes are many")
    total = sum(int(one.counts.sum()) for one in masks)
    pixels = {value: sum(int(one.counts[one.values == value].sum()) for one in masks) for value in others}
    rare = [show_value(value, coding) for value in others if pixels[value] < _RARE * total]
    if rare:
        doubts.append(f"less than {_RARE:.2%} of the pixels are {' or '.join(rare[:_MOST_SHOWN])}, perhaps by mistake")
    if all((one.values != background).sum() <= 1 for one in masks):
        doubts.append("no mask holds more than one of them besides the background, as if saved in different ways")
    return doubts


def _looks_unannotated(others: Sequence[int], coding: Coding) -> bool:
    """Whether 255 stands beside small numbers, as in PASCAL VOC and Cityscapes."""
    rest = [value for value in others if value != 255]
    small = bool(rest) and max(rest) < MAX_CLASSES and not _look_like_codes([0, *others])
    return coding == "gray" and 255 in others and small


def _told_objects_findings(masks: Sequence[MaskSummary], ground: int) -> tuple[Finding, ...]:
    """A warning if masks of objects, as somebody said, are binary. Raises LabelError if they are JPEG files."""
    lossy = [one for one in masks if one.lossy and len(one.values) > 2]
    if lossy:
        raise LabelError(
            f"{lossy[0].name}: the mask should hold objects but is a JPEG file, whose compression mixes their numbers; "
            "export the masks again as PNG or TIFF"
        )
    found = {int(value) for one in masks for value in one.values if value != ground}
    several = [one for one in masks if (one.pieces[one.values != ground] > 1).any()]
    if len(found) != 1 or not several:
        return ()
    return (
        Finding(
            severity="warning",
            file=several[0].name,
            reason=f"the masks are binary ({ground} and {found.pop()}), so all objects of a mask count as one",
            remedy="touching objects cannot be told apart in such masks: give each object a number of its own, or "
            'write labels = "classes"',
        ),
    )


def _look_like_codes(values: Sequence[int]) -> bool:
    gaps = np.diff(sorted(values))
    if len(values) > 17 or gaps.min() < CODE_GAP:
        return False
    regular = int(gaps.max() - gaps.min()) <= _EVEN
    round_numbers = all(value % 10 == 0 or value % 32 == 0 or (value + 1) % 32 == 0 for value in values)
    return regular or round_numbers or max(values) == 255


def _class_spec(
    values: Sequence[int],
    *,
    classes: tuple[str, ...] | None,
    ignore: frozenset[int],
    coding: Coding,
    snap: bool,
    told: bool,
) -> LabelSpec:
    ordered = list(values)
    if len(ordered) == 1 and classes is None:
        ordered.append(ordered[0] + 1 if ordered[0] == 0 else 0)
        ordered.sort()
    if classes is None:
        several = tuple(f"class {number}" for number in range(1, len(ordered)))
        classes = ("background", *(several if len(ordered) > 2 else ("foreground",)))
    elif coding == "gray" and not snap and set(ordered) <= set(range(len(classes))):
        ordered = list(range(len(classes)))
    elif len(ordered) != len(classes):
        found = ", ".join(show_value(value, coding) for value in sorted(ordered)[:12])
        objects = "" if told else 'if each value is an object of its own, add labels = "objects"; else '
        raise LabelError(
            f"the masks hold {len(ordered)} values ({found}{', ...' if len(ordered) > 12 else ''}), but "
            f"dataset.toml names {len(classes)} classes ({', '.join(classes)}); {objects}write in it which value is "
            f"which class, or which to ignore, "
            f"for example values = {{ {show_value(ordered[0], coding)} = 0 }}"
        )
    table = {value: number for number, value in enumerate(ordered)}
    return LabelSpec(kind="classes", classes=classes, values=table, ignore=ignore, coding=coding, snap=snap)


def _background(masks: Sequence[MaskSummary], codes: Sequence[int], coding: Coding) -> tuple[int, list[int]]:
    """The background (0 if it is there; else the smallest value, or the most frequent colour) and the
    rest."""
    if not codes:
        return 0, []
    if 0 in codes or coding == "gray":
        background = min(codes)
    else:
        totals = {code: sum(int(one.counts[one.values == code].sum()) for one in masks) for code in codes}
        background = max(codes, key=lambda code: totals[code])
    return background, [code for code in codes if code != background]


def _ground_of_objects(masks: Sequence[MaskSummary], coding: Coding) -> int:
    """The background of masks of objects: 0, unless another value surrounds the objects and 0 does not occur.

    Objects in colour may have black outlines, so white that surrounds them is the background even then.
    """
    around = _surrounding(masks)
    if around is None or (_holds_zero(masks) and (coding, around) != ("colour", _WHITE)):
        return 0
    return around


def _holds_zero(masks: Sequence[MaskSummary]) -> bool:
    return any((one.values == 0).any() for one in masks)


def _surrounding(masks: Sequence[MaskSummary]) -> int | None:
    """The value that in each mask has most pixels and much of the border, as no object has; None if there is none.

    Masks of a single value say nothing of it.
    """
    telling = [one for one in masks if len(one.values) > 1]
    most = {int(one.values[one.counts.argmax()]) for one in telling}
    least = _LEAST_BORDER if len(telling) > 1 else _LEAST_OF_ONE
    wide = all(one.border[one.counts.argmax()] >= least * one.border.sum() for one in telling)
    return most.pop() if len(most) == 1 and wide else None


def _ground_findings(masks: Sequence[MaskSummary], ground: int, coding: Coding) -> tuple[Finding, ...]:
    """A warning if what is taken for an object may be the background."""
    around = _surrounding(masks)
    several = [one for one in masks if len(one.values) > 1]
    if around == ground or not several or (around is None and _holds_zero(masks)):
        return ()
    first = several[0]
    value = int(first.values[first.counts.argmax()]) if around is None else around
    shown = show_value(value, coding)
    lacks = "no mask holds 0, so nothing is background" if around is None else "only 0 is taken for background"
    return (
        Finding(
            severity="warning",
            file=first.name,
            reason=f"{lacks}, and {shown}, the most frequent value of this mask, is taken for an object",
            remedy=f"if {shown} is the background, write values = {{ {shown} = 0 }} in dataset.toml",
        ),
    )


def _object_spec(ground: int, *, classes: tuple[str, ...] | None, ignore: frozenset[int], coding: Coding) -> LabelSpec:
    values = {ground: 0} if ground != 0 else {}
    named = classes or ("background", "object")
    return LabelSpec(kind="objects", classes=named, values=values, ignore=ignore, coding=coding)


def _objects_sentence(masks: Sequence[MaskSummary], ground: int, coding: Coding, why: str) -> str:
    if ground == 0:
        return f"The masks hold objects{why}."
    also = " and black are" if coding == "colour" and _holds_zero(masks) else " is"
    return f"The masks hold objects{why}; {show_value(ground, coding)}{also} the background."


def _codes_finding(masks: Sequence[MaskSummary], codes: Sequence[int], coding: Coding, reason: str) -> Finding:
    hit = [one for one in masks if not np.isin(one.values, codes).all()]
    pixels = sum(int(one.counts[~np.isin(one.values, codes)].sum()) for one in hit)
    first = hit[0].name if hit else masks[0].name
    shown = ", ".join(show_value(code, coding) for code in codes)
    return Finding(
        severity="warning",
        file=first,
        reason=f"{reason}: {pixels:,} pixels in {len(hit)} of {len(masks)} masks are none of {shown}",
        remedy="each such pixel is taken for the nearest of these values; export the masks as PNG or TIFF "
        "without smoothing to be rid of the doubt",
    )
