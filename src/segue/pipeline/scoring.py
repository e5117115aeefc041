"""Predicted files against the truth: find the partner of each, score it, sum up."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels, Space
from segue.errors import DatasetError, LabelError, UsageError
from segue.evaluate.classes import score_classes
from segue.evaluate.membranes import membrane_class, score_membranes
from segue.evaluate.objects import score_objects
from segue.evaluate.summary import ImageScores, summarise
from segue.io.images import list_images, read_image
from segue.io.label_evidence import summarise as summarise_mask
from segue.io.label_evidence import without
from segue.io.labels import RawMask, read_mask
from segue.io.natural import stem_of
from segue.io.object_classes import TABLE_SUFFIX, has_class_table, read_class_table
from segue.io.same_space import how_apart
from segue.pipeline.truths import files_by_stem, find_truths

ScoreKind = Literal["classes", "objects", "membranes"]


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

    Raises MissingInputError if nothing is there, DatasetError if no prediction has a partner, two are for one image or
    a description is wrong, LabelError for shapes and places that differ, for a table that is not of its prediction,
    and for a truth of classes that is to be scored as objects.
    """
    if kind not in (None, "classes", "objects", "membranes"):
        raise UsageError(f'scores are of "classes", "objects" or "membranes", not "{kind}"')
    told = find_truths(Path(truth))
    if kind == "objects" and told.spec.kind == "classes" and told.kind_told:
        raise LabelError(
            f"{truth}: its masks hold classes ({', '.join(told.spec.classes)}), as its description says, so each class "
            'of an image would count as one object; give masks with a number for each object and labels = "objects" in '
            "dataset.toml"
        )
    files = files_by_stem(list_images(Path(predicted)))
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
    summary["findings"] = [f"{one.file}: {one.reason}; {one.remedy}" for one in told.findings]
    return summary


def _highest(predicted: Iterable[Path]) -> int:
    return max((int(read_mask(path).values.max(initial=0)) for path in predicted), default=0)


def _score(truth: Labels, predicted: Path, kind: ScoreKind, *, name: str) -> ImageScores:
    if kind == "membranes":
        membranes = score_membranes(truth, _cell_probability(predicted, truth))
        return {"name": name, "metrics": membranes.metrics(), "ratios": dict(membranes.ratios())}
    mask = read_mask(predicted)
    ids = mask.values
    _check_place(predicted, ids.shape, mask.space, truth)
    if kind == "classes":
        if ids.max(initial=0) >= len(truth.classes) or ids.min(initial=0) < 0:
            wrong = ids.max(initial=0) if ids.max(initial=0) >= len(truth.classes) else ids.min()
            raise LabelError(
                f"{predicted}: it holds class {wrong}, but the classes of the truth are 0 to {len(truth.classes) - 1} "
                f"({', '.join(truth.classes)}); score it as objects (--as objects), or map its values"
            )
        classes = score_classes(truth, ids, classes=truth.classes)
        return {"name": name, "metrics": classes.metrics(), "ratios": dict(classes.ratios())}
    if truth.kind == "classes":
        _check_pieces(truth)
    objects = score_objects(truth, _with_table(predicted, ids, truth) if truth.object_classes is not None else ids)
    return {"name": name, "metrics": objects.metrics(), "ratios": dict(objects.ratios())}


def _check_place(predicted: Path, shape: tuple[int, ...], space: Space, truth: Labels) -> None:
    """Raise LabelError if a prediction has another shape than its truth, or says that it lies elsewhere."""
    if shape != truth.shape:
        raise LabelError(f"{predicted}: its shape is {shape}, but that of its truth {truth.name} is {truth.shape}")
    if apart := how_apart(space, truth.space, shape):
        raise LabelError(f"{predicted}: prediction and truth ({truth.name}) {apart}")


def _check_pieces(truth: Labels) -> None:
    """Raise LabelError if a truth of which nobody says what it holds is binary, with one value for several pieces.

    Several values may be objects, of which some are in pieces. Of masks that are said to hold objects the doctor says
    the same as a warning.
    """
    found = without(summarise_mask(RawMask(values=truth.ids.astype(np.int64))), frozenset({0, IGNORE}))
    if len(found.values) == 1 and found.pieces[0] > 1:
        raise LabelError(
            f"{truth.name}: {truth.classes[found.values[0]]} is in {found.pieces[0]} pieces, so the mask seems to hold "
            "classes, and all pieces would count as one object; give each object a number of its own, or, if they are "
            'one object, a data set (images/, masks/) whose dataset.toml says labels = "objects"'
        )


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
    _check_place(path, image.shape, image.space, truth)
    if image.channels == len(truth.classes) > 1:
        probability: NDArray[np.float32] = np.float32(1) - image.pixels[membrane_class(truth)]
        return probability
    if image.channels == 1 and (image.pixels % 1 != 0).any():
        alone: NDArray[np.float32] = image.pixels[0]
        return alone
    return read_mask(path).values
