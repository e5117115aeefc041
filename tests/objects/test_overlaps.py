import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segue.arrays import IGNORE
from segue.errors import LabelError
from segue.objects.overlaps import THRESHOLDS, count_overlaps


def random_pair(seed: int, shape: tuple[int, ...] = (14, 15), objects: int = 6) -> list[NDArray[np.int32]]:
    """Blocks of ids over each other, so that every kind of overlap occurs."""
    rng = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        ids = np.zeros(shape, np.int32)
        for value in rng.permutation(3 * objects)[:objects] + 1:
            corner = [int(rng.integers(0, length)) for length in shape]
            ids[tuple(slice(c, c + int(rng.integers(1, 8))) for c in corner)] = value
        pair.append(ids)
    pair[0][rng.random(shape) < 0.03] = IGNORE
    return pair


def slow_table(truth: NDArray[np.int32], predicted: NDArray[np.int32]) -> dict[tuple[int, int], tuple[int, float]]:
    counts = truth != IGNORE
    table = {}
    for a in set(truth[counts].tolist()) - {0}:
        for b in set(predicted[counts].tolist()) - {0}:
            first, second = (truth == a) & counts, (predicted == b) & counts
            if (first & second).any():
                table[a, b] = (
                    int((first & second).sum()),
                    float((first & second).sum() / (first | second).sum()),
                )
    return table


@pytest.mark.parametrize("shape", [(14, 15), (6, 7, 8)])
@pytest.mark.parametrize("seed", range(6))
def test_the_sparse_table_holds_every_overlap_once_with_its_pixels_and_iou(seed, shape):
    truth, predicted = random_pair(seed, shape)
    overlaps = count_overlaps(truth, predicted)
    found = {
        (int(overlaps.truth_ids[t]), int(overlaps.predicted_ids[p])): (int(n), float(iou))
        for t, p, n, iou in zip(
            overlaps.truth_index, overlaps.predicted_index, overlaps.shared, overlaps.iou, strict=True
        )
    }
    assert found == slow_table(truth, predicted)
    assert overlaps.truth_areas.tolist() == [(truth == value).sum() for value in overlaps.truth_ids]


def test_iou_equals_that_of_pycocotools():
    from pycocotools import mask

    truth, predicted = random_pair(3)
    truth[truth == IGNORE] = 0
    overlaps = count_overlaps(truth, predicted)
    encoded = [
        [mask.encode(np.asfortranarray((ids == value).astype(np.uint8))) for value in values]
        for ids, values in ((truth, overlaps.truth_ids), (predicted, overlaps.predicted_ids))
    ]
    expected = mask.iou(encoded[0], encoded[1], [False] * len(encoded[1]))
    found = np.zeros_like(expected)
    found[overlaps.truth_index, overlaps.predicted_index] = overlaps.iou
    assert np.allclose(found, expected, atol=1e-12)
    assert (found > 0).sum() >= 3


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3, 0.5, 0.55, 0.7])
@pytest.mark.parametrize("seed", range(8))
def test_the_matching_has_the_most_pairs_and_among_those_the_largest_iou(seed, threshold):
    """StarDist's definition, by trying every assignment."""
    truth, predicted = random_pair(seed, objects=5)
    overlaps = count_overlaps(truth, predicted)
    table = {pair: iou for pair, (_, iou) in slow_table(truth, predicted).items() if iou >= threshold}
    best = (0, 0.0)
    for size in range(1, len(table) + 1):
        for chosen in itertools.combinations(table, size):
            if len({a for a, _ in chosen}) == len({b for _, b in chosen}) == size:
                best = max(best, (size, sum(table[pair] for pair in chosen)))
    pairs = overlaps.matches(threshold)
    assert len(set(overlaps.truth_index[pairs])) == len(set(overlaps.predicted_index[pairs])) == len(pairs)
    assert (len(pairs), float(overlaps.iou[pairs].sum())) == pytest.approx(best)


def test_an_object_cut_into_two_exact_halves_matches_only_one_of_them_at_one_half():
    truth = np.ones((4, 4), np.int32)
    predicted = np.repeat([1, 1, 2, 2], 4).reshape(4, 4)
    overlaps = count_overlaps(truth, predicted)
    assert overlaps.iou.tolist() == [0.5, 0.5]
    assert len(overlaps.matches(0.5)) == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_renaming_the_ids_changes_no_score(seed):
    truth, predicted = random_pair(seed)
    renamed = np.where(truth > 0, 1000 - truth, truth)
    before, after = count_overlaps(truth, predicted), count_overlaps(renamed, predicted)
    for threshold in THRESHOLDS:
        assert len(before.matches(threshold)) == len(after.matches(threshold))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 4), (2, 3, 4)])
def test_without_objects_there_is_nothing_in_the_table(shape):
    nothing = np.zeros(shape, np.int32)
    overlaps = count_overlaps(nothing, nothing)
    assert overlaps.truth_ids.size == overlaps.predicted_ids.size == overlaps.shared.size == 0
    assert overlaps.matches(0.5).size == 0


def test_pixels_that_the_truth_ignores_are_in_no_area():
    truth = np.array([[1, 1, IGNORE, 0]], np.int32)
    predicted = np.array([[5, 5, 5, 7]], np.uint16)
    overlaps = count_overlaps(truth, predicted)
    assert overlaps.predicted_ids.tolist() == [5, 7]
    assert overlaps.predicted_areas.tolist() == [2, 1]
    assert overlaps.iou.tolist() == [1.0]


def test_ten_thousand_objects_need_a_table_of_as_many_rows():
    ids = np.kron(np.arange(1, 10_001).reshape(100, 100), np.ones((4, 4), np.int64))
    overlaps = count_overlaps(ids, np.roll(ids, 1, axis=1))
    assert len(overlaps.shared) == 20_000
    assert len(overlaps.matches(0.5)) == 10_000
    assert overlaps.iou[overlaps.matches(0.5)] == pytest.approx(12 / 20)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "2 x 3 pixels and the prediction 3 x 2"),
        (np.full((2, 2), -2), np.zeros((2, 2), int), "the truth holds the id -2"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "the prediction holds the id -1"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "the truth holds float64 values"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(truth, predicted, message):
    with pytest.raises(LabelError, match=message):
        count_overlaps(truth, predicted)
