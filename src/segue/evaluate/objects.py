"""Scores of objects: matching by IoU, aggregated overlap, Cell Tracking Challenge, splits and merges.

Notation: T true and P predicted objects; tp, fp, fn = matched pairs, predicted objects without and true
objects without a partner at an IoU threshold. A score that would be 0/0 is NaN and is left out of means.

Sources: Schmidt et al. (2018), StarDist, and the 2018 Data Science Bowl (average precision at an IoU);
Kirillov et al. (2019), arXiv 1801.00868 (panoptic quality); Kumar et al. (2017), doi:10.1109/TMI.2017.2677499
(aggregated Jaccard index); Ulman et al. (2017), doi:10.1038/nmeth.4473 (SEG); Matula et al. (2015),
doi:10.1371/journal.pone.0144959 (DET).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Labels
from segue.evaluate.counts import Ratio, as_ids, ratio
from segue.objects.overlaps import THRESHOLDS, Overlaps, count_overlaps

SPLIT_COST, MISSED_COST, SPURIOUS_COST = 5, 10, 1
"""What DET charges for splitting a vertex, adding a missed one, deleting a spurious one (Matula et al.
2015)."""


@dataclass(frozen=True, kw_only=True)
class Matching:
    """How the objects match at one IoU threshold. Every score is NaN without any object."""

    threshold: float
    """Smallest IoU of a match."""
    tp: int
    """Matched pairs."""
    fp: int
    """Predicted objects without a partner."""
    fn: int
    """True objects without a partner."""
    iou_sum: float
    """Sum of the IoU over the matched pairs."""

    @property
    def average_precision(self) -> float:
        """tp / (tp + fp + fn), as StarDist and the Data Science Bowl use the word (not the area under a
        curve)."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """tp / (tp + fp); NaN without a predicted object."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """tp / (tp + fn); NaN without a true object."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs; NaN without a match."""
        return ratio(self.iou_sum, self.tp)

    @property
    def rq(self) -> float:
        """Recognition quality: tp / (tp + fp/2 + fn/2), the same number as F1."""
        return self.f1

    @property
    def pq(self) -> float:
        """Panoptic quality: sum of matched IoU / (tp + fp/2 + fn/2) = SQ x RQ."""
        return ratio(self.iou_sum, self.tp + 0.5 * self.fp + 0.5 * self.fn)

    @property
    def mean_true_iou(self) -> float:
        """Sum of matched IoU / T, StarDist's mean_true_score: an unmatched true object counts as 0."""
        return ratio(self.iou_sum, self.tp + self.fn)


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
            "pooled/count_error": Ratio((abs(predicted - true),), (true,)),
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
    at the first. Raises LabelError if the two do not fit each other.
    """
    overlaps = count_overlaps(as_ids(truth), as_ids(predicted))
    matchings = tuple(_match(overlaps, threshold) for threshold in thresholds)
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
        area_error=_area_error(overlaps, thresholds[0]),
    )


def aggregated_jaccard_parts(overlaps: Overlaps) -> tuple[float, float]:
    """Numerator and denominator of the aggregated Jaccard index, in pixels (Kumar et al. 2017, algorithm 1).

    Every true object G takes the predicted object S of largest IoU (the lower id if two are equal); the
    numerator adds |G and S|, the denominator |G or S|. A true object without overlap adds its area to the
    denominator, and so does every predicted object that no true object took. A predicted object may be taken
    more than once.
    """
    order = np.lexsort((overlaps.predicted_index, -overlaps.iou, overlaps.truth_index))
    best = order[_first_of_each(overlaps.truth_index[order])]
    taken = overlaps.predicted_index[best]
    shared = overlaps.shared[best]
    union = overlaps.truth_areas.sum() + (overlaps.predicted_areas[taken] - shared).sum()
    spare = np.ones(len(overlaps.predicted_ids), bool)
    spare[taken] = False
    return float(shared.sum()), float(union + overlaps.predicted_areas[spare].sum())


def challenge_counts(overlaps: Overlaps) -> tuple[float, int]:
    """The sum of IoU for SEG and the cost for DET, as the Cell Tracking Challenge defines them.

    A true object is found by the predicted object that covers more than half of its area. A predicted object
    that finds k true objects needs k - 1 splits, one that finds none is spurious.
    """
    found = overlaps.shared * 2 > overlaps.truth_areas[overlaps.truth_index]
    finds = np.bincount(overlaps.predicted_index[found], minlength=len(overlaps.predicted_ids))
    cost = (
        SPLIT_COST * int((finds - 1).clip(min=0).sum())
        + MISSED_COST * (len(overlaps.truth_ids) - int(found.sum()))
        + SPURIOUS_COST * int((finds == 0).sum())
    )
    return float(overlaps.iou[found].sum()), cost


def count_merges(overlaps: Overlaps) -> int:
    """True objects that share a predicted object: the sum of k - 1 over predicted objects.

    k is the number of true objects of which a predicted one covers more than half.
    """
    inside = overlaps.shared * 2 > overlaps.truth_areas[overlaps.truth_index]
    return int((np.bincount(overlaps.predicted_index[inside]) - 1).clip(min=0).sum())


def count_splits(overlaps: Overlaps) -> int:
    """Predicted objects that share a true object: the sum of k - 1 over true objects.

    k is the number of predicted objects that have more than half of their own area in the true one.
    """
    inside = overlaps.shared * 2 > overlaps.predicted_areas[overlaps.predicted_index]
    return int((np.bincount(overlaps.truth_index[inside]) - 1).clip(min=0).sum())


def _match(overlaps: Overlaps, threshold: float) -> Matching:
    pairs = overlaps.matches(threshold)
    return Matching(
        threshold=threshold,
        tp=len(pairs),
        fp=len(overlaps.predicted_ids) - len(pairs),
        fn=len(overlaps.truth_ids) - len(pairs),
        iou_sum=float(overlaps.iou[pairs].sum()),
    )


def _area_error(overlaps: Overlaps, threshold: float) -> float:
    pairs = overlaps.matches(threshold)
    true = overlaps.truth_areas[overlaps.truth_index[pairs]]
    predicted = overlaps.predicted_areas[overlaps.predicted_index[pairs]]
    return ratio(float((np.abs(predicted - true) / true).sum()), len(pairs))


def _first_of_each(values: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True at the first of every stretch of equal values."""
    return np.concatenate([np.ones(min(values.size, 1), bool), values[1:] != values[:-1]])
