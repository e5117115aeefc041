"""Scores of a data set: means with bootstrap intervals over images, pooled scores, the worst images first.

Percentile bootstrap, Efron & Tibshirani (1993), chapter 13: images are drawn with replacement, the score of
every drawn set is computed, and the interval lies between the 2.5th and the 97.5th percentile.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from segue.evaluate.counts import Greatest, Least, Ratio

LEVEL = 0.95
"""Share of the bootstrap distribution that an interval covers."""

_COMBINED: dict[type[Ratio], Callable[..., Any]] = {Ratio: np.ma.mean, Greatest: np.ma.max, Least: np.ma.min}
"""How the quotients of the entries become one score."""


class ImageScores(TypedDict):
    """The scores of one image."""

    name: str
    """What people call the image, usually its file name."""
    metrics: dict[str, float]
    """Name to value; NaN where the score is not defined for this image."""
    ratios: NotRequired[dict[str, Ratio]]
    """Name to counts, for scores that pool all images; the key says "pooled/"."""


def summarise(per_image: Sequence[ImageScores], *, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Plain data for JSON: `{"images": n, "metrics": {name: {"mean", "low", "high"}}, "per_image": [...]}`.

    A mean leaves out the images whose score is NaN. For pooled scores "mean" is the score of all images
    together; a ratio of one entry stands for as many as those of the other images have. What is not defined is
    None: every NaN, and "low" and "high" when fewer than two images have the score.
    """
    names = _in_order(entry["metrics"] for entry in per_image)
    pooled = _in_order(entry.get("ratios", {}) for entry in per_image)
    metrics = {}
    for name in names:
        values = np.array([entry["metrics"].get(name, math.nan) for entry in per_image])
        metrics[name] = _interval(*_as_ratio(values), resamples=resamples, seed=seed)
    for name in pooled:
        ratios = [entry["ratios"][name] for entry in per_image if name in entry.get("ratios", {})]
        entries = max(len(ratio.numerators) for ratio in ratios)
        sides = (np.array([np.broadcast_to(ratio[side], entries) for ratio in ratios]) for side in (0, 1))
        metrics[name] = _interval(*sides, kind=type(ratios[0]), resamples=resamples, seed=seed)
    listed = [
        {"name": entry["name"], "metrics": {key: _plain(value) for key, value in entry["metrics"].items()}}
        for entry in per_image
    ]
    return {"images": len(per_image), "metrics": metrics, "per_image": listed}


def worst_first(per_image: Sequence[ImageScores], metric: str) -> list[ImageScores]:
    """The images from the worst to the best by one metric; images without the score come last.

    Errors, splits and merges are worse when larger, all other scores when smaller. Equal scores keep their
    order.
    """
    sign = -1 if larger_is_worse(metric) else 1

    def badness(entry: ImageScores) -> tuple[bool, float]:
        value = entry["metrics"].get(metric, math.nan)
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value

    return sorted(per_image, key=badness)


def larger_is_worse(metric: str) -> bool:
    """True for errors and for counts of mistakes."""
    return "error" in metric or metric in ("splits", "merges")


def _as_ratio(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A mean that leaves out NaN is a ratio: the sum of the values over their number."""
    present = ~np.isnan(values)
    return np.where(present, values, 0.0)[:, None], present.astype(np.float64)[:, None]


def _interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    *,
    kind: type[Ratio] = Ratio,
    resamples: int,
    seed: int,
) -> dict[str, float | None]:
    """The score of (images, entries) counts and its interval.

    Images are drawn as how often each is in a set: (resamples, images) times (images, entries) gives all the
    sums.
    """
    counts = numerators.any(axis=1) | denominators.any(axis=1)
    numerators, denominators = numerators[counts], denominators[counts]
    images = len(numerators)
    value = _plain(float(_pool(numerators.sum(axis=0), denominators.sum(axis=0), kind))) if images else None
    if images < 2 or value is None:
        return {"mean": value, "low": None, "high": None}
    random = np.random.default_rng(seed)
    times = random.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)
    drawn = _pool(times @ numerators, times @ denominators, kind)
    tail = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return {"mean": value, "low": _plain(float(low)), "high": _plain(float(high))}


def _pool(numerators: NDArray[np.float64], denominators: NDArray[np.float64], kind: type[Ratio]) -> NDArray[np.float64]:
    """The score over the last axis of numerator / denominator; entries of 0/0 are left out, NaN if all are."""
    present = denominators > 0
    quotients = np.ma.masked_array(numerators / np.where(present, denominators, 1), ~present)
    return np.asarray(np.ma.filled(_COMBINED[kind](quotients, axis=-1), math.nan))


def _in_order(mappings: Any) -> list[str]:
    """Every key once, in the order of first sight."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
