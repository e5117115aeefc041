"""Scores of objects: matching by IoU, aggregated overlap, Cell Tracking Challenge, splits and merges.

Notation: T true and P predicted objects; tp, fp, fn = matched pairs, predicted objects without and true
objects without a partner at an IoU threshold. A score that would be 0/0 is NaN and is left out of means.

Sources: Schmidt et al. (2018), StarDist, and the 2018 Data Science Bowl (average precision at an IoU);
Kirillov et al. (2019), arXiv 1801.00868 (panoptic quality); Kumar et al. (2017), doi:10.1109/TMI.2017.2677499
(aggregated Jaccard index); Ulman et al. (2017), doi:10.1038/nmeth.4473 (SEG); Matula et al. (2015),
doi:10.1371/journal.pone.0144959 (DET).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.counts import Greatest, Ratio, as_ids, ratio
from segue.evaluate.matching import Matching, match_at
from segue.evaluate.object_counts import (
    MISSED_COST,
    aggregated_jaccard_parts,
    area_error,
    challenge_counts,
    count_merges,
    count_splits,
)
from segue.objects.overlaps import THRESHOLDS, Overlaps, count_overlaps

CLASS_SCORES = ("average_precision", "average_precision_50_95", "f1", "pq", "count_error")
"""Scores that are also given for the objects of each class alone, as NAME/class."""
CLASS_MEANS = ("average_precision", "average_precision_50_95", "f1", "pq")
"""Those of them whose mean over the classes is given, as mean_class_NAME."""


@dataclass(frozen=True, kw_only=True)
class ObjectScores:
    """Every score of the objects of one image. Counts are kept, so that a data set can be pooled."""

    true_objects: int
    """T, the number of true objects."""
    predicted_objects: int
    """P, the number of predicted objects."""
    matchings: tuple[Matching, ...]
    """One for each IoU threshold, ascending; the first is at 0.5."""
    jaccard_parts: tuple[float, float]
    """Shared pixels and united pixels of the aggregated Jaccard index."""
    seg_sum: float
    """Sum over true objects of the IoU that SEG counts."""
    det_cost: int
    """Cost of the operations that turn the prediction into the truth, for DET."""
    splits: int
    """Predicted objects too many inside of true ones; see `count_splits`."""
    merges: int
    """True objects too many inside of predicted ones; see `count_merges`."""
    area_error: float
    """Mean over the pairs matched at 0.5 of |predicted area - true area| / true area; NaN without a match."""
    classes: "ObjectClassScores | None" = None
    """The scores of each class; None if truth or prediction do not know the classes of their objects."""

    @property
    def average_precision(self) -> float:
        """tp / (tp + fp + fn) at IoU 0.5."""
        return self.matchings[0].average_precision

    @property
    def average_precision_50_95(self) -> float:
        """The mean of tp / (tp + fp + fn) over the thresholds 0.5, 0.55, ..., 0.95."""
        return float(np.mean([matching.average_precision for matching in self.matchings]))

    @property
    def aggregated_jaccard(self) -> float:
        """Aggregated Jaccard index; NaN without any object. See `aggregated_jaccard_parts`."""
        return ratio(*self.jaccard_parts)

    @property
    def seg(self) -> float:
        """SEG: mean over true objects of the IoU with the object that covers more than half of it, else 0."""
        return ratio(self.seg_sum, self.true_objects)

    @property
    def det(self) -> float:
        """DET: 1 - min(cost, cost of adding every true object) / (cost of adding every true object)."""
        from_nothing = MISSED_COST * self.true_objects
        return 1 - ratio(min(self.det_cost, from_nothing), from_nothing)

    @property
    def count_error(self) -> float:
        """|P - T| / T; NaN without a true object."""
        return ratio(abs(self.predicted_objects - self.true_objects), self.true_objects)

    def metrics(self) -> dict[str, float]:
        """Name to value, as in the JSON of `segue evaluate --as objects`."""
        half = self.matchings[0]
        return {
            "average_precision": self.average_precision,
            "average_precision_50_95": self.average_precision_50_95,
            "f1": half.f1,
            "precision": half.precision,
            "recall": half.recall,
            "pq": half.pq,
            "sq": half.sq,
            "rq": half.rq,
            "mean_matched_iou": half.sq,
            "mean_true_iou": half.mean_true_iou,
            "aggregated_jaccard": self.aggregated_jaccard,
            "seg": self.seg,
            "det": self.det,
            "count_error": self.count_error,
            "splits": float(self.splits),
            "merges": float(self.merges),
            "area_error": self.area_error,
            **(self.classes.metrics() if self.classes is not None else {}),
        }

    def ratios(self) -> Mapping[str, Ratio]:
        """Name to numerators and denominators: a data set pools by adding them over its images.

        Pooled, every object counts the same; in a mean over images, every image does.
        `pooled/average_precision` is what StarDist reports for a data set.
        """
        half = self.matchings[0]
        true, predicted = float(self.true_objects), float(self.predicted_objects)
        matched = tuple(float(matching.tp) for matching in self.matchings)
        every = tuple(float(matching.tp + matching.fp + matching.fn) for matching in self.matchings)
        from_nothing = MISSED_COST * true
        return {
            "pooled/average_precision": Ratio(matched[:1], every[:1]),
            "pooled/average_precision_50_95": Ratio(matched, every),
            "pooled/f1": Ratio((2.0 * half.tp,), (true + predicted,)),
            "pooled/precision": Ratio((float(half.tp),), (predicted,)),
            "pooled/recall": Ratio((float(half.tp),), (true,)),
            "pooled/pq": Ratio((half.iou_sum,), ((true + predicted) / 2,)),
            "pooled/mean_matched_iou": Ratio((half.iou_sum,), (float(half.tp),)),
            "pooled/mean_true_iou": Ratio((half.iou_sum,), (true,)),
            "pooled/aggregated_jaccard": Ratio((self.jaccard_parts[0],), (self.jaccard_parts[1],)),
            "pooled/seg": Ratio((self.seg_sum,), (true,)),
            # Never below 0, and cut there only once all is added: false objects of an empty image cost as well.
            "pooled/det": Greatest((from_nothing - self.det_cost, 0.0), (from_nothing, from_nothing)),
            "pooled/count_error": Ratio((abs(predicted - true),), (true,)),
            **(self.classes.ratios() if self.classes is not None else {}),
        }


@dataclass(frozen=True, kw_only=True)
class ObjectClassScores:
    """How well objects of several classes are found, each class alone, and how well the classes are told."""

    by_class: Mapping[str, ObjectScores]
    """Name of each class but the background -> the scores of its objects alone."""
    same: int
    """Pairs that match at the first threshold, whatever their classes, and are of one class."""
    matched: int
    """Pairs that match there and whose true class is known."""

    def metrics(self) -> dict[str, float]:
        """Name to value: the accuracy of the classes, means over the classes, and the scores of each class."""
        values = {name: {one: scores.metrics()[one] for one in CLASS_SCORES} for name, scores in self.by_class.items()}
        means = {one: [value[one] for value in values.values() if value[one] == value[one]] for one in CLASS_MEANS}
        return {
            "class_accuracy": ratio(self.same, self.matched),
            **{f"mean_class_{one}": ratio(sum(known), len(known)) for one, known in means.items()},
            **{f"{one}/{name}": value[one] for name, value in values.items() for one in CLASS_SCORES},
        }

    def ratios(self) -> Mapping[str, Ratio]:
        """Name to counts, as `ObjectScores.ratios`; a class that no image holds is left out of the means."""
        parts = {name: scores.ratios() for name, scores in self.by_class.items()}
        return {
            "pooled/class_accuracy": Ratio((float(self.same),), (float(self.matched),)),
            **{f"pooled/mean_class_{one}": _side_by_side(parts.values(), f"pooled/{one}") for one in CLASS_MEANS},
            **{f"pooled/{one}/{name}": part[f"pooled/{one}"] for name, part in parts.items() for one in CLASS_SCORES},
        }


def score_objects(
    truth: Labels | NDArray[Any],
    predicted: Labels | NDArray[Any],
    *,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> ObjectScores:
    """Compare two sets of objects.

    `truth` and `predicted` hold object ids, 0 for background, of one shape and any number of axes; pixels
    where the truth is IGNORE do not count. `thresholds` are IoUs, ascending, and the single scores are taken
    at the first. If both are `Labels` with `object_classes`, every class is scored alone too, where true objects of
    unknown class do not count, nor predicted ones that match them or lie on them by more than half.
    Raises LabelError if the two do not fit each other.
    """
    overlaps = count_overlaps(as_ids(truth), as_ids(predicted))
    scores = _scores(overlaps, thresholds)
    if not (isinstance(truth, Labels) and isinstance(predicted, Labels)):
        return scores
    if truth.object_classes is None or predicted.object_classes is None:
        return scores
    return replace(scores, classes=_score_classes(truth, predicted, overlaps, thresholds))


def _scores(overlaps: Overlaps, thresholds: Sequence[float]) -> ObjectScores:
    matchings = tuple(match_at(overlaps, threshold) for threshold in thresholds)
    seg_sum, det_cost = challenge_counts(overlaps)
    return ObjectScores(
        true_objects=len(overlaps.truth_ids),
        predicted_objects=len(overlaps.predicted_ids),
        matchings=matchings,
        jaccard_parts=aggregated_jaccard_parts(overlaps),
        seg_sum=seg_sum,
        det_cost=det_cost,
        splits=count_splits(overlaps),
        merges=count_merges(overlaps),
        area_error=area_error(overlaps, overlaps.matches(thresholds[0])),
    )


def _score_classes(
    truth: Labels, predicted: Labels, overlaps: Overlaps, thresholds: Sequence[float]
) -> ObjectClassScores:
    if truth.classes != predicted.classes:
        raise LabelError(
            f"the classes of the truth are {', '.join(truth.classes)}, those of the prediction "
            f"{', '.join(predicted.classes)}; give both the same names in the same order"
        )
    true, found = truth.classes_of(overlaps.truth_ids), predicted.classes_of(overlaps.predicted_ids)
    pairs = overlaps.matches(thresholds[0])
    true_of_pair, found_of_pair = true[overlaps.truth_index[pairs]], found[overlaps.predicted_index[pairs]]
    unknown = true == IGNORE
    if unknown.any():
        aside = overlaps.predicted_ids[_on_unknown(overlaps, unknown, pairs)]
        ids = np.where(truth.classes_of(truth.ids) == IGNORE, IGNORE, truth.ids)
        overlaps = count_overlaps(ids, predicted.ids)
        true, found = truth.classes_of(overlaps.truth_ids), predicted.classes_of(overlaps.predicted_ids)
        found[np.isin(overlaps.predicted_ids, aside)] = IGNORE
    return ObjectClassScores(
        by_class={
            name: _scores(_only(overlaps, true == number, found == number), thresholds)
            for number, name in enumerate(truth.classes)
            if number > 0
        },
        same=int(((true_of_pair == found_of_pair) & (true_of_pair != IGNORE)).sum()),
        matched=int((true_of_pair != IGNORE).sum()),
    )


def _on_unknown(overlaps: Overlaps, unknown: NDArray[np.bool_], pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(P,) whether a predicted object matches one of the `unknown` true ones, (T,), in the matching `pairs`, or has
    more than half of its area on them."""
    rows = unknown[overlaps.truth_index]
    covered = np.bincount(
        overlaps.predicted_index[rows], weights=overlaps.shared[rows], minlength=len(overlaps.predicted_ids)
    )
    on_unknown: NDArray[np.bool_] = 2 * covered > overlaps.predicted_areas
    on_unknown[overlaps.predicted_index[pairs[rows[pairs]]]] = True
    return on_unknown


def _only(overlaps: Overlaps, true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Overlaps:
    """The table without the objects that the two masks, (T,) and (P,), leave out."""
    rows = true[overlaps.truth_index] & predicted[overlaps.predicted_index]
    return Overlaps(
        truth_ids=overlaps.truth_ids[true],
        truth_areas=overlaps.truth_areas[true],
        predicted_ids=overlaps.predicted_ids[predicted],
        predicted_areas=overlaps.predicted_areas[predicted],
        truth_index=(np.cumsum(true) - 1)[overlaps.truth_index[rows]],
        predicted_index=(np.cumsum(predicted) - 1)[overlaps.predicted_index[rows]],
        shared=overlaps.shared[rows],
    )


def _side_by_side(parts: Iterable[Mapping[str, Ratio]], name: str) -> Ratio:
    """The entries of one ratio of several classes as one: pooled, it is the mean over the classes."""
    chosen = [part[name] for part in parts]
    return Ratio(
        tuple(value for one in chosen for value in one.numerators),
        tuple(value for one in chosen for value in one.denominators),
    )
