import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.evaluate.objects import score_objects

TRUTH = np.array(
    [
        [1, 1, 1, 1, 0, 2, 2, 0],
        [1, 1, 1, 1, 0, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [3, 3, 4, 4, 0, 5, 5, 5],
    ],
    np.int32,
)
PREDICTED = np.array(
    [
        [1, 1, 1, 0, 0, 2, 0, 0],
        [1, 1, 1, 0, 0, 3, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [4, 4, 4, 4, 0, 0, 0, 6],
    ],
    np.int32,
)
# IoU: 1-1: 6/8; 2-2 and 2-3: 1/4 each; 3-4 and 4-4: 2/4 each (a tie, one of them counts); 5-6: 1/3.


def test_counts_and_scores_at_one_half_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    half = scores.matchings[0]
    assert (half.tp, half.fp, half.fn) == (2, 3, 3)
    assert half.precision == half.recall == half.f1 == pytest.approx(2 / 5)
    assert scores.average_precision == pytest.approx(2 / 8)
    assert half.sq == pytest.approx((0.75 + 0.5) / 2)
    assert half.pq == pytest.approx(1.25 / (2 + 1.5 + 1.5))
    assert half.pq == pytest.approx(half.sq * half.rq)
    assert half.mean_true_iou == pytest.approx(1.25 / 5)


def test_average_precision_over_thresholds_is_the_mean_of_ten():
    # 0.5: 2 of 8; 0.55 to 0.75: 1 of 9 (five thresholds); 0.8 to 0.95: 0
    assert score_objects(TRUTH, PREDICTED).average_precision_50_95 == pytest.approx((2 / 8 + 5 / 9) / 10)


def test_aggregated_jaccard_follows_the_algorithm_of_kumar():
    # 1 takes 1 (6 of 8), 2 takes 2 (1 of 4), 3 and 4 both take 4 (2 of 4 each), 5 takes 6 (1 of 3); 3 is left
    # over.
    assert score_objects(TRUTH, PREDICTED).aggregated_jaccard == pytest.approx(
        (6 + 1 + 2 + 2 + 1) / (8 + 4 + 4 + 4 + 3 + 1)
    )


def test_seg_and_det_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    # 1, 3 and 4 are covered more than half (IoU 3/4, 1/2, 1/2); 2 is covered by exactly half at most, 5 by a
    # third.
    assert scores.seg == pytest.approx((0.75 + 0.5 + 0.5) / 5)
    # one split (4 finds two), two missed, and 2, 3 and 6 find nothing
    assert scores.det == pytest.approx(1 - (5 * 1 + 10 * 2 + 1 * 3) / (10 * 5))


def test_splits_merges_counts_and_areas_are_those_counted_by_hand():
    scores = score_objects(TRUTH, PREDICTED)
    assert scores.splits == 1  # 2 and 3 lie in 2
    assert scores.merges == 1  # 4 covers 3 and 4
    assert scores.count_error == 0
    assert scores.area_error == pytest.approx((2 / 8 + 2 / 2) / 2)
    assert score_objects(TRUTH, np.where(PREDICTED == 6, 0, PREDICTED)).count_error == pytest.approx(1 / 5)


def challenge(truth: NDArray[Any], predicted: NDArray[Any], folder: Path) -> tuple[float, float]:
    """SEG and DET of the reference package."""
    import tifffile
    from ctc_metrics.metrics import det, seg
    from ctc_metrics.utils.representations import count_acyclic_graph_correction_operations, match

    tifffile.imwrite(folder / "truth.tif", truth.astype(np.int32))
    tifffile.imwrite(folder / "found.tif", predicted.astype(np.int32))
    true, found, mapped_true, mapped_found, ious = match(str(folder / "truth.tif"), str(folder / "found.tif"))
    operations = count_acyclic_graph_correction_operations(None, None, [true], [found], [mapped_true], [mapped_found])
    return seg([true], [ious]), det(**operations)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(8))
def test_seg_and_det_equal_those_of_py_ctcmetrics(seed, tmp_path):
    rng = np.random.default_rng(seed)
    truth, predicted = np.zeros((2, 20, 20), np.int32)
    for value in range(1, 8):
        y, x, high, wide = *rng.integers(0, 18, 2), *rng.integers(2, 8, 2)
        truth[y : y + high, x : x + wide] = value
        y, x = np.clip(np.array([y, x]) + rng.integers(-2, 3, 2), 0, 19)
        predicted[y : y + high + rng.integers(-1, 4), x : x + wide] = value + 10
    predicted[0, 0] = 1
    scores = score_objects(truth, predicted)
    assert (scores.seg, scores.det) == pytest.approx(challenge(truth, predicted, tmp_path))


def test_a_perfect_prediction_scores_one_and_has_no_error():
    volume = np.zeros((3, 6, 6), np.int32)
    volume[0, :2, :2], volume[1:, 3:, 3:] = 4, 9
    for truth in (TRUTH, volume):
        metrics = score_objects(truth, truth * 2).metrics()
        for name, value in metrics.items():
            assert value == (0 if name in ("count_error", "splits", "merges", "area_error") else 1), name


def test_nothing_to_find_and_nothing_found_has_no_score():
    metrics = score_objects(np.zeros((5, 5), int), np.zeros((5, 5), int)).metrics()
    assert {name for name, value in metrics.items() if not math.isnan(value)} == {"splits", "merges"}
    assert metrics["splits"] == metrics["merges"] == 0


def test_spurious_objects_alone_score_zero_where_a_score_exists():
    metrics = score_objects(np.zeros((5, 5), int), np.eye(5, dtype=int)).metrics()
    assert metrics["average_precision"] == metrics["f1"] == metrics["precision"] == metrics["pq"] == 0
    assert metrics["aggregated_jaccard"] == 0
    assert math.isnan(metrics["recall"])
    assert math.isnan(metrics["count_error"])


def test_missed_objects_alone_score_zero_where_a_score_exists():
    metrics = score_objects(np.eye(5, dtype=int), np.zeros((5, 5), int)).metrics()
    for name in ("average_precision", "f1", "recall", "pq", "seg", "det", "aggregated_jaccard"):
        assert metrics[name] == 0, name
    assert metrics["count_error"] == 1
    assert math.isnan(metrics["precision"])


def test_a_single_pixel_and_an_object_at_the_border_are_objects():
    truth = np.zeros((4, 4), int)
    truth[0, 0], truth[3, 1:] = 1, 2
    assert score_objects(truth, truth).matchings[-1].tp == 2


def test_ignored_pixels_never_count():
    truth = TRUTH.copy()
    truth[:, 5:] = IGNORE
    cropped = score_objects(TRUTH[:, :5], PREDICTED[:, :5])
    assert score_objects(truth, PREDICTED).metrics() == pytest.approx(cropped.metrics(), nan_ok=True)


def test_labels_and_arrays_score_the_same():
    labels = Labels(ids=TRUTH, kind="objects")
    assert score_objects(labels, PREDICTED) == score_objects(TRUTH, PREDICTED.astype(np.uint32))
    assert labels.ids is TRUTH


def test_pooled_counts_are_those_of_both_images_side_by_side():
    first, second = score_objects(TRUTH, PREDICTED), score_objects(TRUTH, TRUTH)
    both = score_objects(
        np.concatenate([TRUTH, np.where(TRUTH > 0, TRUTH + 10, 0)]),
        np.concatenate([PREDICTED, np.where(TRUTH > 0, TRUTH + 10, 0)]),
    ).metrics()
    for name in ("average_precision", "average_precision_50_95", "f1", "pq", "seg", "aggregated_jaccard"):
        parts = [scores.ratios()[f"pooled/{name}"] for scores in (first, second)]
        numerators, denominators = (np.sum([part[i] for part in parts], axis=0) for i in (0, 1))
        assert (numerators / denominators).mean() == pytest.approx(both[name]), name
