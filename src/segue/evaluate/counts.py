"""What all scores share: ids out of labels, and ratios of counts that can be pooled over images."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Labels


class Ratio(NamedTuple):
    """A score as counts: the mean over its entries of numerator / denominator.

    Over a data set the numerators and the denominators are added first; entries whose denominator stays 0 are
    left out, and if all do, the pooled score is NaN.
    """

    numerators: tuple[float, ...]
    """One for each entry; most scores have one, a mean over IoU thresholds has one a threshold."""
    denominators: tuple[float, ...]
    """As many."""


class Greatest(Ratio):
    """The same, but the score is the greatest of the quotients: the best of several thresholds, or a floor."""


class Least(Ratio):
    """The same, but the score is the least of the quotients."""


def ratio(numerator: float, denominator: float) -> float:
    """The quotient, and NaN for 0/0: a score that has nothing to count."""
    return float(numerator) / float(denominator) if denominator else float("nan")


def as_ids(labels: Labels | NDArray[Any]) -> NDArray[Any]:
    """The ids of `labels`, which may be an array already."""
    return labels.ids if isinstance(labels, Labels) else np.asarray(labels)
