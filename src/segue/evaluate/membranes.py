"""Scores of membranes as the ISBI 2012 challenge gives them: are the cells between them told apart?

I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics",
Frontiers in Neuroanatomy 9:142 (2015), doi:10.3389/fnana.2015.00142. Let p_ij be the share of pixels in
predicted segment i and true segment j, s_i and t_j its sums over j and over i. Then, with alpha = 1/2,

    V_rand = sum p_ij^2 / (alpha sum s_i^2 + (1 - alpha) sum t_j^2)
    V_info = I(S; T) / (alpha H(S) + (1 - alpha) H(T))

Foreground-restricted: only pixels inside of true cells count. After border thinning: predicted membrane
pixels are first given to the nearest predicted cell, so that the width of a membrane does not matter. Segments
are face-connected components of cells (4 in 2D, 6 in 3D).

Both scores are the largest over the thresholds of the predicted map. The challenge cuts a whole stack at one threshold,
adds up its slices, and takes the best threshold only then: that is the pooled score. The mean over images of their own
scores is another, and kinder: there every image has the threshold that suits it best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.counts import Greatest, Least, Ratio, as_ids, ratio
from segue.evaluate.warping import warping_error
from segue.objects.overlaps import Overlaps, check_ids, check_shapes, count_overlaps

MEMBRANE_THRESHOLDS: tuple[float, ...] = tuple(index / 10 for index in range(11))
"""A pixel is cell where its probability of cell is above the threshold: 0 to 1 in tenths."""

_NEXT_TO_NOTHING = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True)
class MembraneScores:
    """Every score of the membranes of one image."""

    thresholds: tuple[float, ...]
    """Thresholds of the predicted map; just 0.5 for a map that was binary already."""
    rand: Greatest
    """V_rand at each threshold, after border thinning, as `rand_counts`; 0/0 if no pixel is inside of a true cell."""
    information: Greatest
    """V_info in the same way, as `information_counts`."""
    rand_error: Least
    """Adapted Rand error at each threshold, without thinning, as `adapted_rand_counts`."""
    warping_error: float
    """Warping error at the threshold 0.5; see `warping_error` in `segue.evaluate.warping`."""
    pixel_error: float
    """Share of pixels on the wrong side of 0.5; NaN if no pixel counts."""
    squared_error: float
    """Mean of (probability of cell - truth)^2, the challenge's pixel error of a map of probabilities."""

    @property
    def v_rand_at(self) -> tuple[float, ...]:
        """V_rand at each threshold; NaN if no pixel is inside of a true cell."""
        return tuple(map(ratio, *self.rand))

    @property
    def v_info_at(self) -> tuple[float, ...]:
        """V_info at each threshold; NaN if no pixel is inside of a true cell."""
        return tuple(map(ratio, *self.information))

    @property
    def rand_error_at(self) -> tuple[float, ...]:
        """Adapted Rand error at each threshold; NaN if neither side has a pair of pixels."""
        return tuple(map(ratio, *self.rand_error))

    @property
    def v_rand(self) -> float:
        """The largest V_rand over the thresholds."""
        return max(self.v_rand_at)

    @property
    def v_info(self) -> float:
        """The largest V_info over the thresholds."""
        return max(self.v_info_at)

    @property
    def adapted_rand_error(self) -> float:
        """The smallest adapted Rand error over the thresholds."""
        return min(self.rand_error_at)

    def metrics(self) -> dict[str, float]:
        """Name to value, as in the JSON of `segue evaluate --as membranes`."""
        return {
            "v_rand": self.v_rand,
            "v_info": self.v_info,
            "adapted_rand_error": self.adapted_rand_error,
            "warping_error": self.warping_error,
            "pixel_error": self.pixel_error,
            "pixel_error_squared": self.squared_error,
        }

    def ratios(self) -> dict[str, Ratio]:
        """Name to counts at each threshold: a data set adds them over its images and takes the best afterwards."""
        return {
            "pooled/v_rand": self.rand,
            "pooled/v_info": self.information,
            "pooled/adapted_rand_error": self.rand_error,
        }


def score_membranes(
    truth: Labels | NDArray[Any],
    predicted: Labels | NDArray[Any],
    *,
    membrane: int | None = None,
    thresholds: Sequence[float] = MEMBRANE_THRESHOLDS,
    warp_distance: float | None = None,
) -> MembraneScores:
    """Compare predicted membranes with true ones, in 2D or 3D.

    `truth` holds class ids, of which `membrane` is the membrane and all others are cell (without it: the
    class named "membrane", else 0), or object ids (then the objects are the true segments). `predicted` is a
    floating map of the probability of cell in [0, 1], or class ids with the meaning of `truth`. Pixels where
    the truth is IGNORE do not count. `warp_distance` limits the warping, in pixels from the true boundary.
    Raises LabelError if the two do not fit each other, a probability is outside of [0, 1], or whole numbers are no
    classes of a truth that knows its own (masks of 0 and 255 aside).
    """
    true = as_ids(truth)
    wall = membrane_class(truth) if membrane is None else membrane
    true_cell = (true != wall) & (true != IGNORE)
    is_objects = isinstance(truth, Labels) and truth.kind == "objects"
    true_segments = true if is_objects else _components(true_cell)
    found = as_ids(predicted)
    probability, levels = _as_probability(true, found, wall, tuple(thresholds))
    is_partition = is_objects or (isinstance(predicted, Labels) and predicted.kind == "objects")
    if isinstance(truth, Labels) and not is_partition and found.dtype.kind != "f":
        _check_classes(truth.classes, found, wall)

    rand, information, rand_error = [], [], []
    for level in levels:
        segments = _components(probability > level)
        thinned = count_overlaps(true_segments[true_cell], thin_borders(segments)[true_cell])
        rand.append(rand_counts(thinned))
        information.append(information_counts(thinned))
        rand_error.append(adapted_rand_counts(count_overlaps(true_segments[true_cell], segments[true_cell])))
    counts = true != IGNORE
    found_cell = probability > 0.5
    return MembraneScores(
        thresholds=levels,
        rand=Greatest(*zip(*rand, strict=True)),
        information=Greatest(*zip(*information, strict=True)),
        rand_error=Least(*zip(*rand_error, strict=True)),
        warping_error=warping_error(true_cell, found_cell, max_distance=warp_distance, ignore=~counts),
        pixel_error=_mean((true_cell != found_cell)[counts]),
        squared_error=_mean((true_cell[counts] - probability[counts].astype(np.float64)) ** 2),
    )


def membrane_class(truth: Labels | NDArray[Any]) -> int:
    """The id of the class that separates cells: the one named "membrane" if there is one, else 0."""
    if isinstance(truth, Labels) and truth.kind == "classes" and "membrane" in truth.classes:
        return truth.classes.index("membrane")
    return 0


def thin_borders(segments: NDArray[Any]) -> NDArray[Any]:
    """Give every pixel of background (0) the id of the nearest segment, so that no border is left.

    Of several nearest segments the distance transform chooses one, always the same. Without any segment
    nothing changes.
    """
    from scipy import ndimage

    if segments.all() or not segments.any():
        return segments
    nearest = ndimage.distance_transform_edt(segments == 0, return_distances=False, return_indices=True)
    return np.asarray(segments[tuple(nearest)])


def rand_counts(overlaps: Overlaps) -> tuple[float, float]:
    """Numerator and denominator of V_rand over the pixels of `overlaps`, which must all lie in true segments.

    They are squares of pixels: sum n_ij^2 over 1/2 sum s_i^2 + 1/2 sum t_j^2. A pixel in no predicted segment is a
    segment of its own, as in the challenge.
    """
    _, single = _pixels(overlaps)
    together, predicted, true = (
        float((sizes.astype(np.float64) ** 2).sum())
        for sizes in (overlaps.shared, overlaps.predicted_areas, overlaps.truth_areas)
    )
    return together + single, 0.5 * (predicted + single) + 0.5 * true


def information_counts(overlaps: Overlaps) -> tuple[float, float]:
    """Numerator and denominator of V_info over the pixels of `overlaps`, which must all lie in true segments.

    Both times the number of pixels, so that images add up by their sizes. A pixel in no predicted segment is a
    segment of its own.
    """
    pixels, single = _pixels(overlaps)
    if pixels == 0:
        return 0.0, 0.0
    alone = single / pixels * np.log(pixels)
    predicted = _entropy(overlaps.predicted_areas, pixels) + alone
    true = _entropy(overlaps.truth_areas, pixels)
    joint = _entropy(overlaps.shared, pixels) + alone
    if predicted + true == 0:  # both are one segment, and so equal: 1 by itself, and nothing in a sum
        return _NEXT_TO_NOTHING, _NEXT_TO_NOTHING
    return float(pixels * (predicted + true - joint)), float(pixels * (0.5 * predicted + 0.5 * true))


def adapted_rand_counts(overlaps: Overlaps) -> tuple[float, float]:
    """Numerator and denominator of 1 - F-score over pairs of pixels, the challenge's first measure.

    Precision is the share of pairs in one predicted segment that are in one true segment, recall the other
    way round, so F = 2 sum n_ij (n_ij - 1) / (sum s_i (s_i - 1) + sum t_j (t_j - 1)). A pixel in no predicted
    segment is in no pair of it, whereas scikit-image takes all such pixels inside of true cells for one more
    segment: the two are equal only where there are none.
    """
    together, predicted, true = (
        float((sizes.astype(np.float64) * (sizes - 1)).sum())
        for sizes in (overlaps.shared, overlaps.predicted_areas, overlaps.truth_areas)
    )
    return predicted + true - 2 * together, predicted + true


def _as_probability(
    true: NDArray[Any], predicted: NDArray[Any], wall: int, thresholds: tuple[float, ...]
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """The probability of cell and the thresholds to try; of ids there is only one way to cut them."""
    if predicted.dtype.kind != "f":
        check_ids(true, predicted)
        return (predicted != wall).astype(np.float32), (0.5,)
    check_shapes(true, predicted)
    if predicted.size and not (predicted.min() >= 0 and predicted.max() <= 1):
        raise LabelError(
            f"the predicted map goes from {predicted.min()} to {predicted.max()}, "
            "but probabilities of cell lie between 0 and 1; scale it, or give class ids as whole numbers"
        )
    return predicted, thresholds


def _check_classes(classes: Sequence[str], predicted: NDArray[Any], wall: int) -> None:
    """Raise LabelError if whole numbers are no ids of `classes`, such as probabilities in bytes.

    Masks of 0 and one other value, such as 255, may stand for membrane and cell if the membrane is 0.
    """
    highest = int(predicted.max(initial=0))
    is_mask = wall == 0 and bool(((predicted == 0) | (predicted == highest)).all())
    if highest >= len(classes) and not is_mask:
        raise LabelError(
            f"the prediction holds the value {highest}, but the classes of the truth are 0 to {len(classes) - 1} "
            f"({', '.join(classes)}); save probabilities as float in [0, 1]"
        )


def _components(cell: NDArray[np.bool_]) -> NDArray[Any]:
    from scipy import ndimage

    labels, _ = ndimage.label(cell)
    return np.asarray(labels)


def _pixels(overlaps: Overlaps) -> tuple[int, int]:
    """How many pixels there are, and how many of them are in no predicted segment."""
    pixels = int(overlaps.truth_areas.sum())
    return pixels, pixels - int(overlaps.shared.sum())


def _entropy(sizes: NDArray[np.int64], pixels: int) -> float:
    share = sizes / pixels
    return float(-(share * np.log(share)).sum())


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
