import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError
from segue.evaluate.counts import ratio
from segue.evaluate.membranes import (
    adapted_rand_counts,
    information_counts,
    rand_counts,
    score_membranes,
    thin_borders,
)
from segue.evaluate.summary import ImageScores, summarise
from segue.objects.overlaps import count_overlaps

TWO_CELLS = np.ones((6, 9), np.int32)
TWO_CELLS[:, 4] = 0
ERRORS = ("adapted_rand_error", "warping_error", "pixel_error", "pixel_error_squared")


def slow_rand(truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> float:
    """V_rand from the definition: over all ordered pairs of pixels, a pixel paired with itself included."""
    t, s = truth.reshape(-1), predicted.reshape(-1)
    same_truth = t[:, None] == t
    same_predicted = (s[:, None] == s) & (s[:, None] > 0) | np.eye(len(s), dtype=bool)
    together = (same_truth & same_predicted).sum()
    return float(together / (0.5 * same_predicted.sum() + 0.5 * same_truth.sum()))


def slow_information(truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> float:
    """V_info with the mutual information summed over cells of the table, background pixels made segments
    first."""
    t = truth.reshape(-1)
    s = predicted.reshape(-1).astype(np.int64)
    s[s == 0] = -1 - np.flatnonzero(s == 0)
    table = np.array([[((t == a) & (s == b)).mean() for b in np.unique(s)] for a in np.unique(t)])
    rows, columns = table.sum(axis=1, keepdims=True), table.sum(axis=0, keepdims=True)
    present = table > 0
    shared = (table[present] * np.log(table[present] / (rows * columns)[present])).sum()
    entropies = [-(p * np.log(p)).sum() for p in (rows, columns)]
    return float(shared / (0.5 * sum(entropies)))


@pytest.mark.parametrize("seed", range(5))
def test_v_rand_and_v_info_equal_their_definitions_over_pairs_of_pixels(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 4, (7, 9)).astype(np.int32)
    predicted = rng.integers(0, 5, (7, 9)).astype(np.int32)
    overlaps = count_overlaps(truth, predicted)
    assert ratio(*rand_counts(overlaps)) == pytest.approx(slow_rand(truth, predicted))
    assert ratio(*information_counts(overlaps)) == pytest.approx(slow_information(truth, predicted))


@pytest.mark.parametrize("seed", range(5))
def test_the_adapted_rand_error_equals_that_of_scikit_image_if_no_true_cell_holds_predicted_membrane(seed):
    from skimage.metrics import adapted_rand_error as library

    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(1, 5, (8, 9)), rng.integers(1, 6, (8, 9))
    expected = library(truth, predicted)[0]
    assert ratio(*adapted_rand_counts(count_overlaps(truth, predicted))) == pytest.approx(expected)


def test_predicted_membrane_inside_of_a_true_cell_is_in_no_pair_but_one_more_segment_for_scikit_image():
    from skimage.metrics import adapted_rand_error as library

    truth, predicted = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 0, 0]])
    # Pairs in one segment of both, of the prediction, of the truth: 2, 2, 12; with the zeros as a segment 4, 4, 12.
    assert ratio(*adapted_rand_counts(count_overlaps(truth, predicted))) == pytest.approx(1 - 2 * 2 / (2 + 12))
    assert library(truth, predicted)[0] == pytest.approx(1 - 2 * 4 / (4 + 12))


def test_information_agrees_with_the_variation_of_information_of_scikit_image():
    from skimage.metrics import variation_of_information

    rng = np.random.default_rng(7)
    truth, predicted = rng.integers(1, 5, (20, 20)), rng.integers(1, 4, (20, 20))
    split, merge = variation_of_information(truth, predicted)
    overlaps = count_overlaps(truth, predicted)
    entropies = [-(p * np.log2(p)).sum() for p in (overlaps.truth_areas / 400, overlaps.predicted_areas / 400)]
    # VI = H(S) + H(T) - 2 I, hence V_info = 1 - VI / (H(S) + H(T))
    assert ratio(*information_counts(overlaps)) == pytest.approx(1 - (split + merge) / sum(entropies))


def test_a_merge_of_two_equal_cells_scores_as_on_paper():
    scores = score_membranes(TWO_CELLS, np.ones((6, 9), int))
    # p_ij = 1/2, 1/2 in one segment: sum p_ij^2 = 1/2, sum s^2 = 1, sum t^2 = 1/2
    assert scores.v_rand == pytest.approx(0.5 / (0.5 + 0.25))
    assert scores.v_info == 0
    n = 48
    assert scores.adapted_rand_error == pytest.approx(1 - 2 * 2 * 24 * 23 / (n * (n - 1) + 2 * 24 * 23))
    assert scores.pixel_error == pytest.approx(6 / 54)
    assert scores.warping_error == pytest.approx(6 / 54)


def test_the_width_of_a_predicted_membrane_does_not_matter():
    thick = TWO_CELLS.copy()
    thick[:, 2:7] = 0
    scores = score_membranes(TWO_CELLS, thick)
    assert scores.v_rand == scores.v_info == 1
    assert scores.warping_error == 0
    assert scores.adapted_rand_error > 0.1  # without thinning it does
    assert scores.pixel_error == pytest.approx(24 / 54)


def test_pixels_of_the_true_membrane_do_not_count_for_the_partition():
    wrong_there = np.where(TWO_CELLS == 1, 1, 0)
    wrong_there[0, 4] = 0
    closed = score_membranes(TWO_CELLS, wrong_there)
    assert closed.v_rand == 1


def test_the_best_threshold_is_taken():
    probability = np.full((6, 9), 0.95, np.float32)
    probability[:, 4] = 0.75  # a weak membrane: only thresholds from 0.8 on cut it
    scores = score_membranes(TWO_CELLS, probability)
    assert scores.v_rand == scores.v_info == 1
    assert [value == 1 for value in scores.v_rand_at] == [False] * 8 + [True] * 2 + [False]
    assert scores.pixel_error == pytest.approx(6 / 54)  # the pixel error is taken at one half
    assert scores.squared_error == pytest.approx((48 * 0.05**2 + 6 * 0.75**2) / 54)


@pytest.mark.parametrize("shape", [(12, 13), (5, 9, 10)])
def test_a_perfect_prediction_scores_one_and_has_no_error(shape):
    rng = np.random.default_rng(0)
    truth = (ndimage.gaussian_filter(rng.normal(size=shape), 1) > 0).astype(np.int32)
    for predicted in (truth, truth.astype(np.float32)):
        for name, value in score_membranes(truth, predicted).metrics().items():
            assert value == pytest.approx(0 if name in ERRORS else 1), name


def test_components_connect_through_edges_only():
    truth = np.array([[1, 0], [0, 1]])
    merged = score_membranes(truth, np.array([[1, 1], [0, 1]]))
    assert score_membranes(truth, truth).v_rand == 1
    assert merged.v_rand < 1


def test_a_prediction_of_membrane_alone_makes_every_pixel_its_own_segment():
    scores = score_membranes(TWO_CELLS, np.zeros((6, 9), int))
    assert scores.v_rand == pytest.approx((1 / 48) / (0.5 / 48 + 0.5 / 2))
    assert scores.v_info == pytest.approx(math.log(2) / (0.5 * math.log(48) + 0.5 * math.log(2)))


@pytest.mark.parametrize("truth", [np.zeros((3, 4), int), np.zeros((0, 0), int)])
def test_without_true_cells_the_partition_has_no_score(truth):
    metrics = score_membranes(truth, np.zeros(truth.shape)).metrics()
    assert math.isnan(metrics["v_rand"])
    assert math.isnan(metrics["v_info"])
    assert math.isnan(metrics["adapted_rand_error"])


def test_one_cell_that_fills_the_image_scores_one():
    for shape in ((1, 1), (4, 5)):
        scores = score_membranes(np.ones(shape, int), np.ones(shape, int))
        assert scores.v_rand == scores.v_info == 1


def test_the_membrane_is_the_class_of_that_name():
    ids = (1 - TWO_CELLS).astype(np.int32)
    truth = Labels(ids=ids, kind="classes", classes=("background", "membrane"))
    assert score_membranes(truth, ids).metrics() == score_membranes(TWO_CELLS, TWO_CELLS).metrics()
    assert score_membranes(truth, TWO_CELLS.astype(np.float32)).v_rand == 1


def test_true_objects_are_segments_even_where_they_touch():
    ids = np.repeat([[1, 1, 2, 2]], 4, axis=0).astype(np.int32)
    truth = Labels(ids=ids, kind="objects")
    predicted = np.ones((4, 4), int)
    assert score_membranes(truth, predicted).v_rand == pytest.approx(0.5 / 0.75)


def test_ignored_pixels_never_count():
    truth = TWO_CELLS.copy()
    truth[:, 7:] = IGNORE
    rng = np.random.default_rng(0)
    predicted = np.where(TWO_CELLS == 1, 0.9, 0.1)
    first = score_membranes(truth, predicted)
    predicted[:, 7:] = rng.random((6, 2)) * 0.4 + 0.55
    second = score_membranes(truth, predicted)
    assert first.pixel_error == second.pixel_error == 0
    assert first.squared_error == second.squared_error
    assert first.warping_error == second.warping_error == 0


PAIR = np.array([[1, 1, 0, 2, 2]])
"""Two cells of two pixels."""
STRONG = np.array([[0.9, 0.9, 0.5, 0.9, 0.9]], np.float32)
"""Cut at 0.25 the cells are one, at 0.75 they are those of `PAIR`."""
WEAK = np.array([[0.5, 0.5, 0.1, 0.5, 0.5]], np.float32)
"""Cut at 0.25 the cells are those of `PAIR`, at 0.75 there are none."""


def entry(predicted, *, truth=PAIR, **settings) -> ImageScores:
    scores = score_membranes(truth, predicted, **settings)
    return {"name": "", "metrics": scores.metrics(), "ratios": scores.ratios()}


def means(*entries: ImageScores) -> dict[str, float]:
    return {name: one["mean"] for name, one in summarise(entries)["metrics"].items()}


def test_a_stack_is_cut_at_one_threshold_and_the_best_one_is_taken_after_its_slices_were_added():
    found = means(*(entry(one, thresholds=(0.25, 0.75)) for one in (STRONG, WEAK)))
    assert found["v_rand"] == found["v_info"] == 1  # each image has a threshold that suits it
    assert found["adapted_rand_error"] == 0
    # V_rand: 8 / (16/2 + 8/2) and 8/8 at 0.25; 8/8 and 4 / (4/2 + 8/2) at 0.75, where all pixels are single.
    assert found["pooled/v_rand"] == pytest.approx(max((8 + 8) / (12 + 8), (8 + 4) / (8 + 6)))
    # V_info in bits: 0 / (0/2 + 1/2) and 1/1 at 0.25; 1/1 and 1 / (2/2 + 1/2) at 0.75; 4 pixels each.
    assert found["pooled/v_info"] == pytest.approx(max((0 + 1) / (0.5 + 1), (1 + 1) / (1 + 1.5)))
    # Pairs: 1 - 2 * 4 / (12 + 4) and none wrong of 8 at 0.25; none wrong of 8 and 1 - 0 / (0 + 4) at 0.75.
    assert found["pooled/adapted_rand_error"] == pytest.approx(min((8 + 0) / (16 + 8), (0 + 4) / (8 + 4)))


def test_the_information_of_an_image_weighs_by_its_pixels():
    wide = np.tile(PAIR, (3, 1))
    merged, split = np.ones((1, 5)), np.tile(WEAK, (3, 1))
    found = means(entry(merged, thresholds=(0.25,)), entry(split, truth=wide, thresholds=(0.25,)))
    assert found["pooled/v_info"] == pytest.approx((4 * 0 + 12 * 1) / (4 * 0.5 + 12 * 1))


@pytest.mark.parametrize("seed", range(4))
def test_of_one_image_the_pooled_scores_are_its_own(seed):
    rng = np.random.default_rng(seed)
    truth = (rng.random((7, 9)) < 0.6).astype(np.int32)
    for predicted in (rng.random((7, 9)), (rng.random((7, 9)) < 0.6).astype(np.int32), np.ones((7, 9))):
        for true in (truth, np.ones((7, 9), np.int32)):
            found = means(entry(predicted, truth=true))
            for name in ("v_rand", "v_info", "adapted_rand_error"):
                assert found[f"pooled/{name}"] == found[name]


def test_a_binary_map_among_others_is_the_same_at_every_threshold():
    binary = np.array([[1, 1, 1, 1, 1]])
    both = means(entry(binary), entry(STRONG))
    as_map = means(entry(binary * 0.95), entry(STRONG))
    assert both["pooled/v_rand"] == as_map["pooled/v_rand"] == pytest.approx((8 + 8) / (12 + 8))
    assert both["pooled/v_info"] == as_map["pooled/v_info"]


def test_images_without_true_cells_add_nothing_to_the_pooled_scores():
    nothing = entry(np.ones((1, 5)), truth=np.zeros((1, 5), int))
    assert means(nothing)["pooled/v_rand"] is None
    assert means(nothing, entry(STRONG))["pooled/v_rand"] == means(entry(STRONG))["pooled/v_rand"]


def test_thinning_gives_every_pixel_to_the_nearest_segment():
    segments = np.array([[3, 0, 0, 0, 0, 8]])
    assert thin_borders(segments).tolist() == [[3, 3, 3, 8, 8, 8]]
    assert thin_borders(np.zeros((2, 2), int)).tolist() == [[0, 0], [0, 0]]


def test_whole_numbers_that_are_no_classes_of_the_truth_are_refused():
    truth = Labels(ids=TWO_CELLS, kind="classes", classes=("membrane", "cell"))
    in_bytes = np.where(TWO_CELLS == 1, 243, 12).astype(np.uint8)
    message = r"holds the value 243, but the classes of the truth are 0 to 1 \(membrane, cell\); save probabilities as"
    with pytest.raises(LabelError, match=message):
        score_membranes(truth, in_bytes)
    assert score_membranes(TWO_CELLS, in_bytes).thresholds == (0.5,)  # a bare array does not know its classes
    objects = Labels(ids=TWO_CELLS * 7, kind="objects")
    assert score_membranes(truth, objects).v_rand == 1


def test_a_mask_of_0_and_255_is_a_mask_of_0_and_1_where_the_membrane_is_0():
    truth = Labels(ids=TWO_CELLS, kind="classes", classes=("membrane", "cell"))
    assert score_membranes(truth, TWO_CELLS * 255).metrics() == score_membranes(truth, TWO_CELLS).metrics()
    turned = Labels(ids=1 - TWO_CELLS, kind="classes", classes=("cell", "membrane"))
    with pytest.raises(LabelError, match=r"the value 255, but the classes of the truth are 0 to 1 \(cell, membrane\)"):
        score_membranes(turned, (1 - TWO_CELLS) * 255)


def test_what_is_no_probability_is_refused():
    with pytest.raises(LabelError, match=r"goes from 0\.0 to 255\.0, but probabilities"):
        score_membranes(TWO_CELLS, TWO_CELLS * 255.0)
    with pytest.raises(LabelError, match="probabilities of cell lie between 0 and 1"):
        score_membranes(TWO_CELLS, np.where(TWO_CELLS == 1, np.nan, 0.0))
    with pytest.raises(LabelError, match="6 x 9 pixels and the prediction 6 x 8"):
        score_membranes(TWO_CELLS, TWO_CELLS[:, :8] * 0.5)
