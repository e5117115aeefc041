"""What predictions are compared with: a data set, a folder of masks or one mask, and what its values mean."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from segue.arrays import Labels
from segue.errors import DatasetError, MissingInputError
from segue.io.datasets import Pair, Pairs, find_pairs, read_pair, resolve_spec
from segue.io.description import FILE_NAME, explicit_spec
from segue.io.findings import Finding
from segue.io.images import list_images
from segue.io.label_decision import CODE_GAP, MAX_CLASSES, decide
from segue.io.label_evidence import summarise
from segue.io.labels import LabelSpec, apply_spec, read_mask
from segue.io.layouts import recognise
from segue.io.natural import composed, stem_of
from segue.io.nnunet import JSON_NAME


@dataclass(frozen=True)
class Truth:
    """One annotated image to compare with."""

    name: str
    read: Callable[[], Labels]
    """Reads the labels when they are needed."""


@dataclass(frozen=True)
class Truths:
    """Annotated images, and what the values of their masks mean."""

    read: tuple[tuple[str, Callable[[LabelSpec], Labels]], ...]
    """The name of each image, and what reads its labels."""
    spec: LabelSpec
    guessed: bool
    """Nobody says what the values mean: `spec` was found from these masks alone."""
    kind_told: bool
    """Somebody says whether the masks hold classes or objects."""
    findings: tuple[Finding, ...] = ()
    """What is doubtful about the masks: smoothed edges, binary masks of objects."""

    @property
    def truths(self) -> list[Truth]:
        """The images with their labels as `spec` says."""
        return [Truth(name, partial(read, self.spec)) for name, read in self.read]

    @property
    def doubtful(self) -> dict[int, int]:
        """Value -> class id, where the values could be class ids themselves: which occur in these images is chance."""
        values = sorted(self.spec.values)
        are_ids = self.spec.kind == "classes" and self.spec.coding == "gray" and not self.spec.snap
        if not (self.guessed and are_ids and values[0] >= 0 and len(values) <= values[-1] < MAX_CLASSES):
            return {}
        return dict(self.spec.values) if min(np.diff(values)) < CODE_GAP else {}

    def as_they_are(self) -> "Truths":
        """The same where each value stands for itself; those that do not occur are classes too."""
        known = range(max(self.spec.values) + 1)
        names = ("background", *(f"class {number}" for number in known[1:]))
        return replace(self, spec=replace(self.spec, classes=names, values=dict(zip(known, known, strict=True))))


def find_truths(path: Path) -> Truths:
    """The annotated images of a data set, of a folder of masks, or one mask.

    Raises MissingInputError, DatasetError or LabelError.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: there is no such file or folder")
    pairs = _as_data_set(path)
    if pairs is not None:
        told = pairs.description.classes or explicit_spec(pairs.description, source=pairs.root / FILE_NAME)
        read = tuple((composed(pair.name), partial(_labels_of, pair)) for pair in pairs)
        decision = resolve_spec(pairs)
        return Truths(
            read,
            decision.spec,
            guessed=not told,
            kind_told=bool(told or pairs.description.labels),
            findings=decision.findings,
        )
    masks = files_by_stem(list_images(path))
    decision = decide([summarise(read_mask(mask)) for mask in masks.values()])
    read = tuple((name, partial(_labels_in, mask)) for name, mask in masks.items())
    return Truths(read, decision.spec, guessed=True, kind_told=False, findings=decision.findings)


def files_by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """The files by the names of their images. Raises DatasetError if two are for one."""
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(composed(stem_of(path)), path)
        if other != path:
            raise DatasetError(f"{other} and {path} are both for one image; move one of them away")
    return found


def _labels_of(pair: Pair, spec: LabelSpec) -> Labels:
    return read_pair(pair, spec)[1]


def _labels_in(mask: Path, spec: LabelSpec) -> Labels:
    return apply_spec(read_mask(mask), spec)


def _as_data_set(path: Path) -> Pairs | None:
    """The data set that `path` is, or whose folder of masks it is; None if it is neither.

    Raises DatasetError if it is one, but its description is wrong: without that the values would have to be guessed.
    """
    if not path.is_dir():
        return None
    for root in (path, path.parent):
        described = (root / FILE_NAME).exists() or ((root / "imagesTr").exists() and (root / JSON_NAME).exists())
        try:
            layout = recognise(root)
        except DatasetError:  # half a data set, such as images/ beside a folder of masks by another name
            if described:
                raise
            continue
        if layout is None:
            continue
        masks = {pair.mask.parent.resolve() for pair in layout.pairs if pair.mask is not None}
        if path.resolve() in masks or (root == path and (layout.pairs or described)):
            return find_pairs(root)
    return None
