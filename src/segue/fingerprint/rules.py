"""What the label doctor knows: each rule with severity, words and remedy; and how hits become findings."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from segue.io.findings import Finding, Severity
from segue.resample import LARGEST_RATIO

_SHOWN_ALONE = 3
"""Up to this many files of one rule are shown one by one; more become one finding with a count."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that can be wrong."""

    severity: Severity
    what: str
    """What was found, without the file; empty if the detail of a hit says it all."""
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One file that a rule applies to."""

    rule: Rule
    file: str
    detail: str = ""
    """Numbers that belong to this file."""


def to_findings(hits: Sequence[Hit], *, files: int) -> list[Finding]:
    """One finding a hit; a rule that hits many of the `files` becomes one finding with a count and examples.

    Errors first, then warnings, then notes; otherwise in the order of the hits.
    """
    alike: dict[tuple[Rule, str], list[Hit]] = defaultdict(list)
    for hit in hits:
        alike[hit.rule, "" if hit.rule.what else _pattern(hit.detail)].append(hit)
    findings = []
    for (rule, _), same in alike.items():
        if len(same) <= _SHOWN_ALONE:
            findings += [_finding(rule, hit.file, _reason(rule, hit.detail)) for hit in same]
        else:
            findings.append(_finding(rule, str(PurePath(same[0].file).parent), _merged(rule, same, files=files)))
    return by_severity(findings)


def as_hit(finding: Finding) -> Hit:
    """What was noticed elsewhere as a hit, so that it is said once for many files too."""
    rule = Rule(severity=finding.severity, what="", remedy=finding.remedy)
    return Hit(rule=rule, file=finding.file, detail=finding.reason)


def _merged(rule: Rule, hits: Sequence[Hit], *, files: int) -> str:
    """One sentence for many hits of one rule."""
    if not rule.what:
        count = f"{len(hits)} of {files} files cannot be used" if rule == UNUSABLE else f"{len(hits)} files are alike"
        return f"{count}, the first is {hits[0].file}: {hits[0].detail}"
    examples = ", ".join(
        PurePath(hit.file).name + (f" ({hit.detail})" if hit.detail else "") for hit in hits[:_SHOWN_ALONE]
    )
    return f"{rule.what}: {len(hits)} of {files} files, such as {examples}"


def _reason(rule: Rule, detail: str) -> str:
    if rule.what and detail:
        return f"{rule.what} ({detail})"
    return rule.what or detail


def _pattern(message: str) -> str:
    """A message without its numbers, paths and quoted names, so that messages of one kind are equal."""
    return re.sub(r"\S*[\d/\\]\S*", "#", re.sub(r"'[^']*'", "#", message))


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; otherwise as they come."""
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])


def _finding(rule: Rule, file: str, reason: str) -> Finding:
    return Finding(severity=rule.severity, file=file, reason=reason, remedy=rule.remedy)


UNUSABLE = Rule(
    severity="error",
    what="",
    remedy="mend the file, or move image and mask away",
)
UNDECIDED = Rule(
    severity="error",
    what="",
    remedy="mend the masks, or say in dataset.toml what their values mean",
)
NOT_FINITE = Rule(
    severity="error",
    what="some values are NaN or infinite",
    remedy="replace them by measured values, or move image and mask away",
)
MIXED_AXES = Rule(
    severity="error",
    what="2D images and volumes are mixed",
    remedy="make two data sets, one of images and one of volumes",
)
MIXED_CHANNELS = Rule(
    severity="error",
    what="the number of channels is another one than in most images",
    remedy="export all images with the same channels in the same order",
)
CHANNELS_NAMED = Rule(
    severity="error",
    what="the number of channels is another one than dataset.json or dataset.toml names",
    remedy="add the missing channels, or name those that are there",
)
NOTHING_ANNOTATED = Rule(
    severity="error",
    what="no mask of the data set shows anything but one class",
    remedy="check that the masks are the right files, and what their values mean (values in dataset.toml)",
)
CONSTANT = Rule(
    severity="warning",
    what="all pixels of the image have the same value",
    remedy="check the export; such an image teaches nothing",
)
COLOUR_MIXED = Rule(
    severity="warning",
    what="images in colour and gray ones are mixed",
    remedy=(
        "look whether they belong together: gray images are used as colour images with equal channels; where the two "
        "kinds are different experiments, one model for each may be better"
    ),
)
EMPTY = Rule(
    severity="warning",
    what="the mask holds one class only, or no object",
    remedy="leave it if there is really nothing in the image; otherwise annotate it or move the pair away",
)
ONE_PIXEL = Rule(
    severity="warning",
    what="objects of a single pixel",
    remedy="usually slips of the brush: remove them, or fill them into the object beside",
)
IN_PIECES = Rule(
    severity="warning",
    what="ids that lie in several pieces",
    remedy=("give each piece an id of its own if they are several objects; one object that something hides may stay"),
)
NOT_CONSECUTIVE = Rule(
    severity="note",
    what="object ids are not consecutive",
    remedy="nothing has to be done: Segue numbers objects anew",
)
ALL_IGNORED = Rule(
    severity="warning",
    what="no pixel of the mask is annotated",
    remedy="annotate a part of it, or move image and mask away",
)
SAME_TWICE = Rule(
    severity="warning",
    what="images that are there more than once, equal in every pixel",
    remedy="keep one of them; until then they stay on the same side of the split",
)
SAME_BUT_ANNOTATED_DIFFERENTLY = Rule(
    severity="warning",
    what="images that are there more than once, equal in every pixel, with different masks",
    remedy="decide which mask is right and remove the other pair",
)
NEARLY_SAME = Rule(
    severity="note",
    what="images that show nearly the same",
    remedy=(
        "nothing has to be done: they stay on the same side of the split; if they are one case, give them "
        "one group in dataset.toml"
    ),
)
SAME_MASK = Rule(
    severity="warning",
    what="different images with masks that are equal in every pixel",
    remedy="check which image the mask belongs to; one of them was probably copied by mistake",
)
INVERTED = Rule(
    severity="warning",
    what="masks look inverted: what they call background looks like objects",
    remedy=("look at one of them; if it is so, say it in dataset.toml, for example values = { 255 = 0, 0 = 1 }"),
)
ONE_INVERTED = Rule(
    severity="warning",
    what="the mask looks inverted compared with the others",
    remedy="look at it; if it is so, invert the file",
)
SHIFTED = Rule(
    severity="warning",
    what="masks look shifted against their images",
    remedy=(
        "look at one of them with its outlines over the image; if it is so, shift the masks back in the "
        "program they came from"
    ),
)
ONE_SHIFTED = Rule(
    severity="warning",
    what="the mask looks shifted against its image",
    remedy="look at its outlines over the image; if it is so, shift the mask back",
)
RARE_CLASS = Rule(
    severity="warning",
    what="a class that no mask shows",
    remedy="remove it from the classes in dataset.toml, or annotate it somewhere",
)
CONTRAST_DIFFERS = Rule(
    severity="note",
    what="the scale of the intensities differs widely between images",
    remedy="nothing has to be done: Segue normalises each image by itself",
)
PIXEL_SIZE_DIFFERS = Rule(
    severity="note",
    what="pixel sizes differ between images, or some images do not say theirs",
    remedy=(
        "nothing has to be done if the sizes are right: the network works at the median, and each answer lies on its "
        "image; images that say none are taken as they are; pixel_size and pixel_sizes in dataset.toml say it for them"
    ),
)
PIXEL_SIZE_WILD = Rule(
    severity="error",
    what=f"the pixels are more than {LARGEST_RATIO:g} times larger or smaller than in most images",
    remedy="write the right size into dataset.toml (pixel_size, pixel_sizes), or move image and mask away",
)
CODING = Rule(
    severity="note",
    what="what the masks mean",
    remedy="nothing has to be done if this is right",
)
CODING_GUESSED = Rule(
    severity="warning",
    what="what the masks mean is a guess",
    remedy='write labels = "classes" or labels = "objects" into dataset.toml to be sure',
)
