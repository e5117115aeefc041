"""Choose how to decode: the settings that match the most objects of a validation set.

A coordinate search on a fixed grid, one setting after the other, always from the best found so far. It is
deterministic, never worse than where it starts, and bounded by a number of evaluations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.overlaps import THRESHOLDS, count_overlaps

Example = tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[Any]]
"""Foreground, distance (or None) and true object ids of one image, all of one shape."""

SIZE_QUANTILES = (0.001, 0.01, 0.03)
"""Objects smaller than these shares of the true objects are candidates for removal."""


def tune_decoding(
    examples: Sequence[Example],
    *,
    start: DecodeConfig | None = None,
    evaluations: int = 60,
    should_stop: Callable[[], bool] = lambda: False,
) -> DecodeConfig:
    """The settings of largest `decoding_score` on `examples` that `evaluations` decodings of all find.

    Equal scores keep the earlier setting, so that nothing changes without a reason; without a true object in
    the examples `start` comes back. `should_stop` is asked before each evaluation: time may be short.
    """
    first = DecodeConfig() if start is None else start
    if not any((truth > 0).any() for _, _, truth in examples):
        return first
    search = _Search(examples, evaluations, should_stop, best=first)
    search.consider(first)
    grid = _grid(examples)
    before = None
    while before != search.best and search.left > 0 and not should_stop():
        before = search.best
        for name, values in grid.items():
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
    best: DecodeConfig
    best_score: float = -1.0
    tried: set[DecodeConfig] = field(default_factory=set)

    def consider(self, config: DecodeConfig) -> None:
        if config in self.tried or self.left < 1 or self.should_stop():
            return
        self.tried.add(config)
        self.left -= 1
        score = decoding_score(self.examples, config)
        if score > self.best_score:
            self.best, self.best_score = config, score


def _grid(examples: Sequence[Example]) -> dict[str, list[Any]]:
    """Values to try, the settings that matter most first."""
    nothing = [np.zeros_like(truth, np.uint8) for *_, truth in examples]
    areas = np.concatenate(
        [count_overlaps(truth, none).truth_areas for (*_, truth), none in zip(examples, nothing, strict=True)]
    )
    sizes = sorted({1, *(max(int(np.quantile(areas, share) / 2), 1) for share in SIZE_QUANTILES)})
    return {
        "smallest_dip": [0.05, 0.1, 0.15, 0.2, 0.3, 0.4],
        "foreground_threshold": [0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7],
        "smallest_confidence": [0.0, 0.6, 0.7, 0.75, 0.8, 0.85],
        "smallest_object": sizes,
        "smoothing": [0.0, 0.5, 1.0, 2.0],
    }
