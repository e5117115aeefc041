"""Read a whole data set once, in bounded memory, and say what it is and what is wrong with it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from segue.arrays import Image, Labels
from segue.errors import DataError, LabelError, MissingInputError, SegueError
from segue.fingerprint import rules
from segue.fingerprint.alignment import measure_alignment
from segue.fingerprint.doctor import Examined, judge_image, judge_pair, judge_set
from segue.fingerprint.duplicates import Group, similar_images
from segue.fingerprint.hounsfield import annotated_values
from segue.fingerprint.measures import measure_image, measure_labels
from segue.fingerprint.rules import Hit, as_hit, by_severity, to_findings
from segue.fingerprint.summary import Fingerprint, summarise_set
from segue.io.datasets import Pair, Pairs, read_pair, spec_from, telling_masks
from segue.io.findings import Finding
from segue.io.images import read_image
from segue.io.label_decision import Decision
from segue.io.label_evidence import MaskSummary, summarise
from segue.io.labels import LabelSpec, read_mask

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 2
"""Decoding and counting release the interpreter's lock for a good part; more threads only take memory."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What is known of a data set after reading it once."""

    fingerprint: Fingerprint | None
    """None if no pair could be read."""
    findings: tuple[Finding, ...]
    """Everything that was noticed, errors first."""
    spec: LabelSpec | None
    """What the masks mean; None if that could not be found out."""
    images: tuple[Examined, ...]
    """The pairs that could be read, in the order of the data set."""
    similar: tuple[Group, ...]
    """Groups of places in `images` that show the same or nearly the same."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that should stop a training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def examine(
    pairs: Pairs, spec: LabelSpec | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Examination:
    """Read all pairs and judge them. All problems are gathered, none stops at the first.

    Without `spec` the meaning of the masks is found out, as the data set's description says or from the masks
    themselves. `progress` is called with the number of pairs that are done and of all pairs.
    """
    findings = to_findings([as_hit(finding) for finding in pairs.findings], files=len(pairs))
    hits: list[Hit] = []
    if spec is None:
        decision = _decide(pairs, hits)
        if decision is None:
            return _give_up(findings, hits, files=len(pairs))
        spec = decision.spec
        findings += decision.findings
        findings.append(_explain(pairs, decision))
    measured: list[Examined] = []
    known = spec
    for done, outcome in enumerate(_ordered(lambda item: _examine_pair(item, known), list(enumerate(pairs))), 1):
        measured += [outcome] if isinstance(outcome, Examined) else []
        hits += judge_pair(outcome, coding=spec.coding) if isinstance(outcome, Examined) else outcome
        if progress is not None:
            progress(done, len(pairs))
    if not measured:
        return _give_up(findings, hits, files=len(pairs), spec=spec)
    similar = similar_images([one.image for one in measured])
    names = pairs.description.channels
    hits += judge_set(measured, classes=spec.classes, similar=similar, channel_names=names)
    fingerprint = summarise_set(
        [one.image for one in measured],
        [one.labels for one in measured],
        kind=spec.kind,
        classes=spec.classes,
        near_duplicates=[tuple(measured[place].index for place in group) for group in similar],
        annotated=[one.annotated for one in measured],
        channel_names=names,
    )
    return Examination(
        fingerprint=fingerprint,
        findings=tuple(by_severity([*findings, *to_findings(hits, files=len(pairs))])),
        spec=spec,
        images=tuple(measured),
        similar=tuple(similar),
    )


def _give_up(
    findings: Sequence[Finding], hits: Sequence[Hit], *, files: int, spec: LabelSpec | None = None
) -> Examination:
    found = by_severity([*findings, *to_findings(hits, files=files)])
    return Examination(fingerprint=None, findings=tuple(found), spec=spec, images=(), similar=())


def _decide(pairs: Pairs, hits: list[Hit]) -> Decision | None:
    """What the masks mean; None, with the reason in `hits`, if that cannot be found out."""
    summaries: list[MaskSummary] = []
    for outcome in _ordered(_summarise_mask, telling_masks(pairs)):
        if isinstance(outcome, MaskSummary):
            summaries.append(outcome)
        else:
            hits.append(outcome)
    if hits and not summaries:
        return None
    try:
        return spec_from(pairs, summaries)
    except LabelError as error:
        hits.append(Hit(rule=rules.UNDECIDED, file=str(pairs.root), detail=_without_name(error, file=str(pairs.root))))
        return None


def _summarise_mask(mask: Path) -> MaskSummary | Hit:
    try:
        return summarise(read_mask(mask))
    except (DataError, MissingInputError, MemoryError) as error:
        return _unusable(error, file=str(mask))


def _explain(pairs: Pairs, decision: Decision) -> Finding:
    """What the masks were found to mean, as a finding of its own: people should read it."""
    rule = rules.CODING_GUESSED if decision.confidence == "guess" else rules.CODING
    return Finding(severity=rule.severity, file=str(pairs.root), reason=decision.sentence, remedy=rule.remedy)


def _examine_pair(item: tuple[int, Pair], spec: LabelSpec) -> Examined | list[Hit]:
    """Measure one pair; or say why it cannot be used, together with what is wrong with its image."""
    index, pair = item
    try:
        image, labels = read_pair(pair, spec)
        return _examined(index, pair, image, labels)
    except LabelError as error:
        return [_unusable(error, file=str(pair.mask or pair.images[0])), *_judge_image(pair)]
    except (DataError, MissingInputError, MemoryError) as error:
        return [_unusable(error, file=str(pair.images[0]))]


def _examined(index: int, pair: Pair, image: Image, labels: Labels) -> Examined:
    return Examined(
        index=index,
        name=pair.name,
        group=pair.group,
        image_file=str(pair.images[0]),
        mask_file=str(pair.mask),
        image=measure_image(image),
        labels=measure_labels(labels),
        alignment=measure_alignment(image, labels),
        annotated=annotated_values(image, labels),
    )


def _judge_image(pair: Pair) -> list[Hit]:
    """What is wrong with the image files of a pair whose mask cannot be used."""
    hits: list[Hit] = []
    for path in pair.images:
        try:
            hits += judge_image(measure_image(read_image(path)), file=str(path))
        except (DataError, MissingInputError, MemoryError) as error:
            hits.append(_unusable(error, file=str(path)))
    return hits


def _unusable(error: SegueError | MemoryError, *, file: str) -> Hit:
    """The message of an error as a finding about `file`."""
    if isinstance(error, MemoryError):
        return Hit(rule=rules.UNUSABLE, file=file, detail="there is not enough memory to examine it")
    return Hit(rule=rules.UNUSABLE, file=file, detail=_without_name(error, file=file))


def _without_name(error: SegueError, *, file: str) -> str:
    """The message of an error about `file`, whose name need not be repeated."""
    return str(error).removeprefix(f"{file}: ")


def _ordered(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results in the order of the items, computed by threads that are never far ahead of the reader."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
