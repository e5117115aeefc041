"""Which objects of two label images share pixels, and which of them match.

The table is sparse: one row for each pair that shares at least one pixel, found by one sort of the runs of
equal pixels. Time grows with the number of pixels, memory with the number of runs, never with objects x
objects.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE
from segue.errors import LabelError

THRESHOLDS: tuple[float, ...] = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""The IoU thresholds of the 2018 Data Science Bowl and of COCO."""


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """The objects of a truth and of a prediction, and the pixels that each pair shares.

    Pixels that the truth ignores are in no count.
    """

    truth_ids: NDArray[np.int64]
    """(T,) ids of the true objects, ascending, without 0."""
    truth_areas: NDArray[np.int64]
    """(T,) pixels of each true object."""
    predicted_ids: NDArray[np.int64]
    """(P,) ids of the predicted objects, ascending, without 0."""
    predicted_areas: NDArray[np.int64]
    """(P,) pixels of each predicted object."""
    truth_index: NDArray[np.intp]
    """(N,) for each overlapping pair, the place of its true object in `truth_ids`."""
    predicted_index: NDArray[np.intp]
    """(N,) for each overlapping pair, the place of its predicted object in `predicted_ids`."""
    shared: NDArray[np.int64]
    """(N,) pixels that the two objects of the pair share, at least 1."""

    @property
    def iou(self) -> NDArray[np.float64]:
        """(N,) intersection over union of each pair: shared / (true area + predicted area - shared)."""
        union = self.truth_areas[self.truth_index] + self.predicted_areas[self.predicted_index] - self.shared
        return self.shared / union

    def matches(self, threshold: float) -> NDArray[np.intp]:
        """The pairs (as indices into the table) of the best one-to-one matching with IoU >= `threshold`.

        As StarDist defines it: as many pairs as possible, and among those matchings the one with the largest
        sum of IoU. Above 0.5 no object can belong to two such pairs, so there is nothing to choose; at 0.5
        and below the Hungarian method decides inside each group of objects that compete.
        """
        allowed = np.flatnonzero(self.iou >= threshold)
        rivals = _competes(self.truth_index[allowed]) | _competes(self.predicted_index[allowed])
        if not rivals.any():
            return allowed
        settled = [self._settle(group) for group in self._groups(allowed[rivals])]
        return np.sort(np.concatenate([allowed[~rivals], *settled]))

    def _groups(self, pairs: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """The pairs, split so that pairs of different groups have no object in common."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        objects = len(self.truth_ids) + len(self.predicted_ids)
        ends = (self.truth_index[pairs], len(self.truth_ids) + self.predicted_index[pairs])
        graph = coo_array((np.ones(len(pairs), np.int8), ends), shape=(objects, objects))
        group = connected_components(graph, directed=False)[1][ends[0]]
        order = np.argsort(group, kind="stable")
        return np.split(pairs[order], np.flatnonzero(np.diff(group[order])) + 1)

    def _settle(self, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
        from scipy.optimize import linear_sum_assignment

        rows, row = np.unique(self.truth_index[pairs], return_inverse=True)
        columns, column = np.unique(self.predicted_index[pairs], return_inverse=True)
        place = np.full((len(rows), len(columns)), -1, np.intp)
        place[row, column] = pairs
        value = np.zeros(place.shape)
        # A pair is worth 1, and its IoU only breaks ties: all the IoUs together stay below one pair.
        value[row, column] = 1 + self.iou[pairs] / (2 * min(place.shape))
        chosen = place[linear_sum_assignment(value, maximize=True)]
        return chosen[chosen >= 0]


def count_overlaps(truth: NDArray[Any], predicted: NDArray[Any]) -> Overlaps:
    """Count the pixels of every object and of every overlap.

    `truth` and `predicted` are integer arrays of one shape and any number of axes, 0 is background; pixels
    where `truth` is IGNORE are left out. Raises LabelError if the shapes differ or an id is negative.
    """
    check_ids(truth, predicted)
    truth_run, predicted_run, length = _runs(truth.reshape(-1), predicted.reshape(-1))
    counts = truth_run != IGNORE
    truth_run, predicted_run, length = truth_run[counts], predicted_run[counts], length[counts]
    truth_ids, truth_index, truth_areas = _count(truth_run, length)
    predicted_ids, predicted_index, predicted_areas = _count(predicted_run, length)

    both = (truth_index >= 0) & (predicted_index >= 0)
    joint = truth_index[both] * max(len(predicted_ids), 1) + predicted_index[both]
    pairs, pair_index = np.unique(joint, return_inverse=True)
    shared = np.bincount(pair_index, weights=length[both], minlength=len(pairs)).astype(np.int64)
    return Overlaps(
        truth_ids=truth_ids,
        truth_areas=truth_areas,
        predicted_ids=predicted_ids,
        predicted_areas=predicted_areas,
        truth_index=pairs // max(len(predicted_ids), 1),
        predicted_index=pairs % max(len(predicted_ids), 1),
        shared=shared,
    )


def check_ids(truth: NDArray[Any], predicted: NDArray[Any]) -> None:
    """Raise LabelError unless both arrays hold ids, of one shape, not negative (but IGNORE in the truth)."""
    check_shapes(truth, predicted)
    for name, ids, lowest in (("truth", truth, IGNORE), ("prediction", predicted, 0)):
        if ids.dtype.kind not in "iub":
            raise LabelError(f"the {name} holds {ids.dtype} values, but ids are whole numbers; convert it first")
        if ids.size and ids.dtype.kind == "i" and ids.min() < lowest:
            raise LabelError(f"the {name} holds the id {ids.min()}; ids start at 0, the background")


def check_shapes(truth: NDArray[Any], predicted: NDArray[Any]) -> None:
    """Raise LabelError unless both arrays have one shape."""
    if truth.shape != predicted.shape:
        raise LabelError(
            f"the truth has {_size(truth.shape)} pixels and the prediction {_size(predicted.shape)}; "
            "they can only be compared when they are of one size"
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in shape)


def _runs(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Stretches, in scan order, over which neither array changes: both values, and the length in pixels."""
    changes = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    starts = np.flatnonzero(np.concatenate([np.ones(min(first.size, 1), bool), changes]))
    lengths = np.diff(np.append(starts, first.size))
    return first[starts].astype(np.int64), second[starts].astype(np.int64), lengths


def _count(
    run: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Ids without 0; for each run the place of its id (-1 for background); pixels of each id."""
    ids, index = np.unique(run, return_inverse=True)
    areas = np.bincount(index, weights=length, minlength=len(ids)).astype(np.int64)
    background = int(ids.size > 0 and ids[0] == 0)
    return ids[background:], index - background, areas[background:]


def _competes(index: NDArray[np.intp]) -> NDArray[np.bool_]:
    if index.size == 0:
        return np.zeros(0, bool)
    return np.bincount(index)[index] > 1
