"""Predicted files against the truth: find the partner of each, score it, sum up."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Labels
from segue.errors import DatasetError, LabelError, MissingInputError, UsageError
from segue.evaluate.classes import score_classes
from segue.evaluate.membranes import membrane_class, score_membranes
from segue.evaluate.objects import score_objects
from segue.evaluate.summary import ImageScores, summarise
from segue.io.datasets import Pair, Pairs, find_pairs, read_pair, resolve_spec
from segue.io.description import FILE_NAME, explicit_spec
from segue.io.images import list_images, read_image
from segue.io.label_decision import CODE_GAP, MAX_CLASSES, decide
from segue.io.label_evidence import summarise as summarise_mask
from segue.io.labels import LabelSpec, apply_spec, read_mask
from segue.io.natural import stem_of
from segue.io.object_classes import TABLE_SUFFIX, has_class_table, read_class_table

ScoreKind = Literal["classes", "objects", "membranes"]


@dataclass(frozen=True)
class Truth:
    """One annotated image to compare with."""

    name: str
    read: Callable[[], Labels]
    """Reads the labels when they are needed."""


def evaluate_files(
    truth: Path | str,
    predicted: Path | str,
    *,
    kind: ScoreKind | None = None,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Score the files in `predicted` against those in `truth`; the answer is plain data, as `summarise` describes it.

    `truth` is a data set, a folder of masks or one mask; `predicted` a folder or a file; partners have equal stems.
    `kind` None takes what the truth is. Every truth must have its prediction unless `predicted` holds only some of
    them on purpose: what is missing is named under "missing". Where the truth knows classes of objects, a table beside
    the prediction (as `segue predict --table` writes it) tells those of the predicted ones; images without such a
    table are named under "without_classes", their objects are scored as if all were of one class.

    Raises MissingInputError if nothing is there, DatasetError if no prediction has a partner or two are for one image,
    LabelError for shapes that differ and for a table that is not of its prediction.
    """
    if kind not in (None, "classes", "objects", "membranes"):
        raise UsageError(f'scores are of "classes", "objects" or "membranes", not "{kind}"')
    told = find_truths(Path(truth))
    files = _by_stem(list_images(Path(predicted)))
    numbered = told.doubtful if kind in (None, "classes") else {}
    if numbered and _highest(files.values()) > max(numbered.values()):
        told, numbered = told.as_they_are(), {}
    truths, kind = told.truths, kind or told.spec.kind
    both = [one for one in truths if one.name in files]
    if len(truths) == 1 and len(files) == 1:
        both, files = truths, {truths[0].name: next(iter(files.values()))}
    if not both:
        raise DatasetError(
            f"{predicted}: no file has the name of one in {truth} (for example {truths[0].name}); "
            "predictions are named like their images"
        )
    rows: list[ImageScores] = []
    without_classes: list[str] = []
    for one in both:
        labels = one.read()
        rows.append(_score(labels, files[one.name], kind, name=one.name))
        if kind == "objects" and labels.object_classes is not None and "class_accuracy" not in rows[-1]["metrics"]:
            without_classes.append(one.name)
        on_image(len(rows), len(both))
    summary = summarise(rows)
    summary["kind"] = kind
    summary["missing"] = [one.name for one in truths if one.name not in files]
    summary["without_classes"] = without_classes
    summary["numbered"] = {str(value): number for value, number in numbered.items()}
    return summary


@dataclass(frozen=True)
class Truths:
    """Annotated images, and what the values of their masks mean."""

    read: tuple[tuple[str, Callable[[LabelSpec], Labels]], ...]
    """The name of each image, and what reads its labels."""
    spec: LabelSpec
    guessed: bool
    """Nobody says what the values mean: `spec` was found from these masks alone."""

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
        read = tuple((pair.name, partial(_labels_of, pair)) for pair in pairs)
        return Truths(read, resolve_spec(pairs).spec, guessed=not told)
    masks = _by_stem(list_images(path))
    spec = decide([summarise_mask(read_mask(mask)) for mask in masks.values()]).spec
    return Truths(tuple((name, partial(_labels_in, mask)) for name, mask in masks.items()), spec, guessed=True)


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """The files by the names of their images. Raises DatasetError if two are for one."""
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(stem_of(path), path)
        if other != path:
            raise DatasetError(f"{other} and {path} are both for one image; move one of them away")
    return found


def _highest(predicted: Iterable[Path]) -> int:
    return max((int(read_mask(path).values.max(initial=0)) for path in predicted), default=0)


def _labels_of(pair: Pair, spec: LabelSpec) -> Labels:
    return read_pair(pair, spec)[1]


def _labels_in(mask: Path, spec: LabelSpec) -> Labels:
    return apply_spec(read_mask(mask), spec)


def _as_data_set(path: Path) -> Pairs | None:
    """The data set that `path` is, or whose folder of masks it is; None if it is neither."""
    if not path.is_dir():
        return None
    for root in (path, path.parent):
        try:
            pairs = find_pairs(root)
        except (DatasetError, MissingInputError):
            continue
        if root == path or any(
            pair.mask is not None and pair.mask.parent.resolve() == path.resolve() for pair in pairs
        ):
            return pairs
    return None


def _score(truth: Labels, predicted: Path, kind: ScoreKind, *, name: str) -> ImageScores:
    if kind == "membranes":
        membranes = score_membranes(truth, _cell_probability(predicted, truth))
        return {"name": name, "metrics": membranes.metrics(), "ratios": dict(membranes.ratios())}
    ids = read_mask(predicted).values
    if ids.shape != truth.shape:
        raise LabelError(f"{predicted}: its shape is {ids.shape}, but that of its truth {truth.name} is {truth.shape}")
    if kind == "classes":
        if ids.max(initial=0) >= len(truth.classes) or ids.min(initial=0) < 0:
            wrong = ids.max(initial=0) if ids.max(initial=0) >= len(truth.classes) else ids.min()
            raise LabelError(
                f"{predicted}: it holds class {wrong}, but the classes of the truth are 0 to {len(truth.classes) - 1} "
                f"({', '.join(truth.classes)}); score it as objects (--as objects), or map its values"
            )
        classes = score_classes(truth, ids, classes=truth.classes)
        return {"name": name, "metrics": classes.metrics(), "ratios": dict(classes.ratios())}
    objects = score_objects(truth, _with_table(predicted, ids, truth) if truth.object_classes is not None else ids)
    return {"name": name, "metrics": objects.metrics(), "ratios": dict(objects.ratios())}


def _with_table(predicted: Path, ids: NDArray[np.int64], truth: Labels) -> Labels | NDArray[np.int64]:
    """The predicted objects with their classes, if the table beside them tells the classes; else only the ids.

    Raises LabelError if the table is not of these objects, or an id is too large to have a class.
    """
    table = table_beside(predicted)
    if not has_class_table(table):
        return ids
    classes = read_class_table(table, classes=truth.classes)
    strange = classes.keys() ^ set(np.unique(ids[ids > 0]).tolist())
    if strange:
        raise LabelError(
            f"{table}: its ids are not those of the objects in {predicted} (only one of the two has {min(strange)}), "
            "so it may be of an earlier run; predict again with --table, or move the table away"
        )
    if ids.max(initial=0) > np.iinfo(np.int32).max:
        raise LabelError(f"{predicted}: the object id {ids.max()} is too large; number the objects from 1")
    return replace(truth, ids=ids.astype(np.int32), object_classes=classes, name=str(predicted))


def table_beside(predicted: Path) -> Path:
    """The table that `segue predict --table` writes beside a file of objects."""
    return predicted.with_name(stem_of(predicted) + TABLE_SUFFIX)


def _cell_probability(path: Path, truth: Labels) -> NDArray[np.float32] | NDArray[np.int64]:
    """Probability of the inside of a cell from a file of the probabilities of all classes, or of the cell alone.

    From a file of whole numbers the classes themselves.
    """
    image = read_image(path)
    if image.shape != truth.shape:
        raise LabelError(f"{path}: its shape is {image.shape}, but that of its truth {truth.name} is {truth.shape}")
    if image.channels == len(truth.classes) > 1:
        probability: NDArray[np.float32] = np.float32(1) - image.pixels[membrane_class(truth)]
        return probability
    if image.channels == 1 and (image.pixels % 1 != 0).any():
        alone: NDArray[np.float32] = image.pixels[0]
        return alone
    return read_mask(path).values


def table_of(summary: dict[str, Any], metrics: Sequence[str]) -> list[tuple[str, str, str]]:
    """Rows of (metric, mean, interval) as text, for a terminal."""
    rows = []
    for name in metrics:
        entry = summary["metrics"][name]
        mean = "-" if entry["mean"] is None else f"{entry['mean']:.4f}"
        interval = "-" if entry["low"] is None else f"{entry['low']:.4f} to {entry['high']:.4f}"
        rows.append((name, mean, interval))
    return rows
