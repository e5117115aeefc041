"""Choose how to decode: the settings that match the most objects of a validation set.

A coordinate search on a fixed grid, one setting after the other, always from the best found so far. It is
deterministic, never worse than where it starts, and bounded by a number of evaluations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.objects.decode import DecodeConfig, Found, decode_objects, find_objects
from segue.objects.overlaps import THRESHOLDS, count_overlaps

Example = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[Any]]
"""Foreground, distance (or None) and true object ids of one image, all of one shape."""

GRID: dict[str, list[Any]] = {
    "smallest_dip": [0.05, 0.1, 0.15, 0.2, 0.3, 0.4],
    "foreground_threshold": [0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7],
    "smoothing": [0.0, 0.5, 1.0, 2.0],
    "fill_holes": [True, False],
}
"""Values to try, the settings that matter most first."""
EVALUATIONS = 40
"""Decodings that are tried, at most, unless the caller says otherwise."""
USUAL_EVALUATIONS = 22
"""Decodings that mostly suffice until none is better: 21 on each of three sets of nuclei, in 2D and 3D."""
CONFIDENCES = (0.0, 0.6, 0.7, 0.75, 0.8, 0.85)
"""Values to try for `smallest_confidence`."""
SIZE_QUANTILES = (0.001, 0.01, 0.03, 0.06)
"""Objects of half the size that these shares of the true objects lie below are candidates for removal."""


def tune_decoding(
    examples: Sequence[Example],
    *,
    start: DecodeConfig | None = None,
    evaluations: int = EVALUATIONS,
    should_stop: Callable[[], bool] = lambda: False,
) -> DecodeConfig:
    """The settings of largest `decoding_score` on `examples` that `evaluations` decodings of all find.

    Equal scores keep the earlier setting, so that nothing changes without a reason; without a true object in
    the examples `start` comes back. `should_stop` is asked before each evaluation: time may be short.
    """
    first = DecodeConfig() if start is None else start
    if not any((truth > 0).any() for _, _, truth in examples):
        return first
    search = _Search(examples, evaluations, should_stop, sizes=_sizes(examples), best=first)
    search.consider(first)
    before = None
    while before != search.best and search.left > 0 and not should_stop():
        before = search.best
        for name, values in GRID.items():
            for value in values:
                search.consider(replace(search.best, **{name: value}))
    return search.best


def decoding_score(examples: Sequence[Example], config: DecodeConfig) -> float:
    """The mean over IoU 0.5, 0.55, ..., 0.95 of tp / (tp + fp + fn), counted over all examples together.

    NaN if neither truth nor decoding holds an object.
    """
    matched = np.zeros(len(THRESHOLDS))
    every = np.zeros(len(THRESHOLDS))
    for foreground, distance, truth in examples:
        overlaps = count_overlaps(truth, decode_objects(foreground, distance, config=config))
        pairs = np.array([len(overlaps.matches(threshold)) for threshold in THRESHOLDS])
        matched += pairs
        every += len(overlaps.truth_ids) + len(overlaps.predicted_ids) - pairs
    return float((matched / every).mean()) if every.all() else float("nan")


@dataclass
class _Search:
    """The best settings so far, and what was tried."""

    examples: Sequence[Example]
    left: int
    should_stop: Callable[[], bool]
    sizes: list[int]
    """Values to try for `smallest_object`."""
    best: DecodeConfig
    best_score: float = -1.0
    tried: set[DecodeConfig] = field(default_factory=set)

    def consider(self, config: DecodeConfig) -> None:
        """Decode once, and try every way to remove objects afterwards: that costs next to nothing."""
        plain = replace(config, smallest_object=1, smallest_confidence=0.0)
        if plain in self.tried or self.left < 1 or self.should_stop():
            return
        self.tried.add(plain)
        self.left -= 1
        matched = [_matched(*example, config=config) for example in self.examples]
        for size, confidence in [
            (config.smallest_object, config.smallest_confidence),
            *product(self.sizes, CONFIDENCES),
        ]:
            candidate = replace(config, smallest_object=size, smallest_confidence=confidence)
            score = _score_of_kept(matched, candidate)
            if score > self.best_score:
                self.best, self.best_score = candidate, score


def _matched(
    foreground: NDArray[np.float32],
    distance: NDArray[np.float32] | None,
    truth: NDArray[Any],
    *,
    config: DecodeConfig,
) -> tuple[Found, NDArray[np.bool_], NDArray[np.bool_], int]:
    """What is found; for each id whether it counts, and whether it is matched at each threshold; true objects."""
    found = find_objects(foreground, distance, config=config)
    overlaps = count_overlaps(truth, found.ids)
    counts = np.zeros(len(found.sizes), bool)  # not what lies on ignored pixels only
    counts[overlaps.predicted_ids] = True
    hits = np.zeros((len(found.sizes), len(THRESHOLDS)), bool)
    for place, threshold in enumerate(THRESHOLDS):
        pairs = overlaps.matches(threshold)
        hits[overlaps.predicted_ids[overlaps.predicted_index[pairs]], place] = True
    return found, counts, hits, len(overlaps.truth_ids)


def _score_of_kept(
    matched: Sequence[tuple[Found, NDArray[np.bool_], NDArray[np.bool_], int]], config: DecodeConfig
) -> float:
    """`decoding_score` from what was matched before anything was removed (above an IoU of 0.5 there are no rivals)."""
    pairs = np.zeros(len(THRESHOLDS))
    every = np.zeros(len(THRESHOLDS))
    for found, counts, hits, true in matched:
        kept = found.kept(config)
        mine = hits[kept].sum(axis=0)
        pairs += mine
        every += true + (counts & kept).sum() - mine
    return float((pairs / every).mean())


def _sizes(examples: Sequence[Example]) -> list[int]:
    """Values for `smallest_object`: half of what only a small share of the true objects is smaller than."""
    nothing = [np.zeros_like(truth, np.uint8) for *_, truth in examples]
    areas = np.concatenate(
        [count_overlaps(truth, none).truth_areas for (*_, truth), none in zip(examples, nothing, strict=True)]
    )
    return sorted({1, *(max(int(np.quantile(areas, share) / 2), 1) for share in SIZE_QUANTILES)})
