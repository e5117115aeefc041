"""Scores of class maps: Dice, IoU and pixel error from one table of confusion counts.

n[t, p] is the number of pixels of true class t that were predicted as p. Pixels the truth ignores are in no
count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.counts import Ratio, as_ids, ratio
from segue.objects.overlaps import check_ids


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Every score of one class map. A class in neither truth nor prediction scores NaN and is in no mean."""

    classes: tuple[str, ...]
    """Names of the K classes; the first is the background."""
    confusion: NDArray[np.int64]
    """(K, K) counts n[true class, predicted class]."""

    def dice(self, index: int) -> float:
        """2 n[k, k] / (pixels of k in the truth + pixels of k in the prediction), Dice (1945)."""
        return ratio(2 * self.confusion[index, index], self._either(index))

    def iou(self, index: int) -> float:
        """n[k, k] / (pixels of k in the truth or in the prediction), Jaccard (1912)."""
        return ratio(self.confusion[index, index], self._either(index) - self.confusion[index, index])

    @property
    def mean_dice(self) -> float:
        """The mean of Dice over the foreground classes that are in the truth or in the prediction."""
        return _mean_of_present([self.dice(index) for index in range(1, len(self.classes))])

    @property
    def mean_iou(self) -> float:
        """The mean of IoU over the foreground classes that are in the truth or in the prediction."""
        return _mean_of_present([self.iou(index) for index in range(1, len(self.classes))])

    @property
    def pixel_error(self) -> float:
        """The share of pixels of the wrong class; NaN if no pixel counts."""
        total = self.confusion.sum()
        return ratio(total - np.trace(self.confusion), total)

    def metrics(self) -> dict[str, float]:
        """Name to value, as in the JSON of `segue evaluate --as classes`."""
        values = {"dice": self.mean_dice, "iou": self.mean_iou, "pixel_error": self.pixel_error}
        values |= {f"dice/{name}": self.dice(index) for index, name in enumerate(self.classes)}
        values |= {f"iou/{name}": self.iou(index) for index, name in enumerate(self.classes)}
        return values

    def ratios(self) -> Mapping[str, Ratio]:
        """Name to counts that a data set pools: Dice and IoU of all pixels together."""
        foreground = range(1, len(self.classes))
        shared = tuple(float(self.confusion[index, index]) for index in foreground)
        either = tuple(float(self._either(index)) for index in foreground)
        return {
            "pooled/dice": Ratio(tuple(2 * count for count in shared), either),
            "pooled/iou": Ratio(shared, tuple(a - b for a, b in zip(either, shared, strict=True))),
        }

    def _either(self, index: int) -> int:
        return int(self.confusion[index].sum() + self.confusion[:, index].sum())


def score_classes(
    truth: Labels | NDArray[Any],
    predicted: Labels | NDArray[Any],
    *,
    classes: Sequence[str] | None = None,
) -> ClassScores:
    """Compare two class maps of one shape and any number of axes.

    `classes` names the classes 0..K-1; without it the names come from `truth`, and for a bare array they are
    "background" and the numbers up to the highest id. Of `Labels` that hold objects, all objects are class 1.
    Raises LabelError if the two do not fit each other or hold a class that has no name.
    """
    true, found = _class_ids(truth), _class_ids(predicted)
    check_ids(true, found)
    counts = true != IGNORE
    true, found = true[counts], found[counts]
    names = _names(truth, classes, highest=int(max(true.max(initial=0), found.max(initial=0))))
    for what, ids in (("truth", true), ("prediction", found)):
        if ids.max(initial=0) >= len(names):
            raise LabelError(
                f"the {what} holds class {ids.max()}, but there are only the {len(names)} classes "
                f"{', '.join(names)} (0 to {len(names) - 1}); name all classes or map the values"
            )
    joint = true.astype(np.int64) * len(names) + found.astype(np.int64)
    table = np.bincount(joint, minlength=len(names) ** 2).reshape(len(names), len(names))
    return ClassScores(classes=names, confusion=table.astype(np.int64))


def _class_ids(labels: Labels | NDArray[Any]) -> NDArray[Any]:
    if isinstance(labels, Labels) and labels.kind == "objects":
        return labels.classes_of(labels.ids)
    return as_ids(labels)


def _names(truth: Labels | NDArray[Any], classes: Sequence[str] | None, *, highest: int) -> tuple[str, ...]:
    if classes is not None:
        return tuple(classes)
    if isinstance(truth, Labels):
        return truth.classes
    return ("background", *(str(index) for index in range(1, max(highest, 1) + 1)))


def _mean_of_present(values: list[float]) -> float:
    present = [value for value in values if not np.isnan(value)]
    return float(np.mean(present)) if present else float("nan")
