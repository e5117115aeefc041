"""How many objects match at an IoU threshold, and every score that follows from these counts.

Sources: Schmidt et al. (2018), StarDist, and the 2018 Data Science Bowl (average precision at an IoU); Kirillov et al.
(2019), arXiv 1801.00868 (panoptic quality).
"""

from dataclasses import dataclass

from segue.evaluate.counts import ratio
from segue.objects.overlaps import Overlaps


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


def match_at(overlaps: Overlaps, threshold: float) -> Matching:
    """The matching of a table of overlaps at an IoU threshold."""
    pairs = overlaps.matches(threshold)
    return Matching(
        threshold=threshold,
        tp=len(pairs),
        fp=len(overlaps.predicted_ids) - len(pairs),
        fn=len(overlaps.truth_ids) - len(pairs),
        iou_sum=float(overlaps.iou[pairs].sum()),
    )
