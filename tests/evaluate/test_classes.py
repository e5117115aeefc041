import math

import numpy as np
import pytest

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.classes import score_classes

TRUTH = np.array([[0, 0, 1, 1], [0, 2, 2, IGNORE]], np.int32)
PREDICTED = np.array([[0, 1, 1, 1], [0, 2, 0, 2]], np.uint8)


def test_every_score_is_the_one_counted_by_hand():
    metrics = score_classes(TRUTH, PREDICTED).metrics()
    assert metrics["dice/background"] == pytest.approx(2 * 2 / (3 + 3))
    assert metrics["dice/1"] == pytest.approx(2 * 2 / (2 + 3))
    assert metrics["dice/2"] == pytest.approx(2 * 1 / (2 + 1))
    assert metrics["iou/background"] == pytest.approx(2 / 4)
    assert metrics["iou/1"] == pytest.approx(2 / 3)
    assert metrics["iou/2"] == pytest.approx(1 / 2)
    assert metrics["dice"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert metrics["iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics["pixel_error"] == pytest.approx(2 / 7)


def test_confusion_counts_truth_in_rows_and_prediction_in_columns():
    assert score_classes(TRUTH, PREDICTED).confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_a_class_absent_on_both_sides_has_no_score_and_is_in_no_mean():
    scores = score_classes(TRUTH, PREDICTED, classes=("background", "a", "b", "never"))
    assert math.isnan(scores.metrics()["dice/never"])
    assert scores.mean_dice == score_classes(TRUTH, PREDICTED).mean_dice


def test_a_class_on_one_side_only_scores_zero():
    assert score_classes(np.zeros((2, 2), int), np.ones((2, 2), int)).metrics()["dice"] == 0


@pytest.mark.parametrize("ids", [np.zeros((0, 4), int), np.full((3, 3), IGNORE)])
def test_without_pixels_there_is_no_score(ids):
    metrics = score_classes(ids, np.zeros(ids.shape, int)).metrics()
    assert all(math.isnan(value) for value in metrics.values())


def test_background_alone_has_no_foreground_score_and_no_error():
    metrics = score_classes(np.zeros((3, 3), int), np.zeros((3, 3), int)).metrics()
    assert math.isnan(metrics["dice"])
    assert metrics["pixel_error"] == 0
    assert metrics["dice/background"] == 1


@pytest.mark.parametrize("shape", [(9, 11), (4, 5, 6)])
def test_scores_equal_sets_counted_slowly(shape):
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(-1, 3, shape), rng.integers(0, 3, shape)
    metrics = score_classes(truth, predicted).metrics()
    for index, name in enumerate(("background", "1", "2")):
        a, b = (truth == index), (predicted == index) & (truth != IGNORE)
        assert metrics[f"iou/{name}"] == pytest.approx((a & b).sum() / (a | b).sum())
        assert metrics[f"dice/{name}"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_objects_count_as_one_foreground_class():
    truth = Labels(ids=np.array([[0, 7, 9, IGNORE]], np.int32), kind="objects")
    scores = score_classes(truth, np.array([[0, 1, 0, 0]]))
    assert scores.classes == ("background", "foreground")
    assert scores.confusion.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int64])
def test_the_type_of_the_ids_does_not_matter(dtype):
    ids = np.array([[0, 1, 2, 2]])
    for truth, predicted in ((ids, ids.astype(dtype)), (ids.astype(dtype), ids)):
        assert score_classes(truth, predicted).confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 2]]


def test_names_come_from_the_labels():
    truth = Labels(ids=np.array([[0, 1, 2]], np.int32), kind="classes", classes=("none", "axon", "myelin"))
    assert "dice/myelin" in score_classes(truth, truth).metrics()


def test_a_class_without_a_name_is_refused():
    with pytest.raises(LabelError, match="the prediction holds class 5, but there are only the 2 classes"):
        score_classes(np.zeros((2, 2), int), np.full((2, 2), 5), classes=("a", "b"))
    with pytest.raises(LabelError, match="2 x 2 pixels and the prediction 2 x 3"):
        score_classes(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_pooled_dice_is_that_of_all_pixels_together():
    second = np.array([[2, 2, 2, 0]])
    pairs = ((TRUTH, PREDICTED), (second, second))
    parts = [score_classes(true, found, classes="bax").ratios()["pooled/dice"] for true, found in pairs]
    pooled = np.sum([part[0] for part in parts], axis=0) / np.sum([part[1] for part in parts], axis=0)
    both = score_classes(np.concatenate([TRUTH, second]), np.concatenate([PREDICTED, second]))
    assert pooled.mean() == pytest.approx(both.mean_dice)
