"""What the scores of objects count in a table of overlaps: unions for the AJI, mistakes for SEG, DET, splits, merges.

Sources: Kumar et al. (2017), doi:10.1109/TMI.2017.2677499 (aggregated Jaccard index); Ulman et al. (2017),
doi:10.1038/nmeth.4473 (SEG); Matula et al. (2015), doi:10.1371/journal.pone.0144959 (DET).
"""

import numpy as np
from numpy.typing import NDArray

from segue.evaluate.counts import ratio
from segue.objects.overlaps import Overlaps

SPLIT_COST, MISSED_COST, SPURIOUS_COST = 5, 10, 1
"""What DET charges for splitting a vertex, adding a missed one, deleting a spurious one (Matula et al. 2015)."""


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


def area_error(overlaps: Overlaps, pairs: NDArray[np.intp]) -> float:
    """The mean of |predicted area - true area| / true area over `pairs` of the table; NaN without any."""
    true = overlaps.truth_areas[overlaps.truth_index[pairs]]
    predicted = overlaps.predicted_areas[overlaps.predicted_index[pairs]]
    return ratio(float((np.abs(predicted - true) / true).sum()), len(pairs))


def _first_of_each(values: NDArray[np.intp]) -> NDArray[np.bool_]:
    """True at the first of every stretch of equal values."""
    return np.concatenate([np.ones(min(values.size, 1), bool), values[1:] != values[:-1]])
