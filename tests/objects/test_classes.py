import numpy as np
import pytest

from segue.errors import UsageError
from segue.objects.classes import class_sums, classes_of_sums, classify_objects

IDS = np.array([[1, 1, 1, 0, 2, 2], [0, 0, 0, 0, 2, 3]], np.uint32)


def probabilities(red, white):
    red, white = np.asarray(red, np.float32), np.asarray(white, np.float32)
    return np.stack([1 - red - white, red, white])


SEEN = probabilities(
    [[0.5, 0.5, 0.0, 0.9, 0.2, 0.2], [0.9, 0.9, 0.9, 0.9, 0.2, 0.0]],
    [[0.4, 0.4, 0.9, 0.0, 0.6, 0.6], [0.0, 0.0, 0.0, 0.0, 0.0, 0.1]],
)


def test_an_object_is_of_the_class_with_the_largest_sum_not_of_most_pixels():
    found = classify_objects(IDS, SEEN)
    # 1: red 1.0 in two pixels, white 1.7; 2: red 0.6, white 1.2; 3: white 0.1 although it is mostly background
    assert found.ids.tolist() == [2, 2, 2]
    assert found.confidence == pytest.approx([1.7 / 2.7, 1.2 / 1.8, 1.0])
    assert found.names(("background", "red", "white")) == ["white"] * 3
    assert found.table() == {1: 2, 2: 2, 3: 2}


def test_what_lies_outside_of_an_object_has_no_say_in_it():
    changed = SEEN.copy()
    changed[:, IDS == 0] = np.array([0, 1, 0], np.float32)[:, None]
    assert classify_objects(IDS, changed).confidence.tolist() == classify_objects(IDS, SEEN).confidence.tolist()


def test_equal_sums_give_the_lower_class_and_nothing_at_all_gives_no_confidence():
    ids = np.array([[1, 2]], np.uint32)
    found = classify_objects(ids, probabilities([[0.5, 0.0]], [[0.5, 0.0]]))
    assert found.ids.tolist() == [1, 1]
    assert found.confidence.tolist() == [0.5, 0.5]


def test_with_one_class_every_object_is_of_it():
    found = classify_objects(IDS, probabilities(np.full(IDS.shape, 0.7), np.zeros(IDS.shape))[:2])
    assert found.ids.tolist() == [1, 1, 1]
    assert found.confidence.tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (2, 3, 4)])
def test_without_objects_there_are_no_classes(shape):
    found = classify_objects(np.zeros(shape, np.uint32), np.zeros((3, *shape), np.float32))
    assert found.ids.shape == found.confidence.shape == (0,)
    assert found.table() == {}


def test_sums_of_parts_add_up_to_those_of_the_whole_volume():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (4, 5, 6))
    ids[:2] = np.where(ids[:2] == 5, 0, ids[:2])  # the highest object is in one part alone
    seen = rng.dirichlet([1, 1, 1, 1], ids.shape).astype(np.float32).transpose(3, 0, 1, 2)
    whole = class_sums(ids, seen)
    first, second = class_sums(ids[:2], seen[:, :2]), class_sums(ids[2:], seen[:, 2:])
    second[: len(first)] += first
    assert second == pytest.approx(whole)
    assert whole.shape == (5, 3)
    assert whole[3] == pytest.approx([seen[number][ids == 4].sum() for number in (1, 2, 3)])
    assert classes_of_sums(second).ids.tolist() == classify_objects(ids, seen).ids.tolist()


@pytest.mark.parametrize("shape", [(3, 2, 5), (1, 2, 6)])
def test_maps_that_do_not_fit_are_refused(shape):
    with pytest.raises(UsageError, match=r"objects have the shape \(2, 6\) and the probabilities"):
        classify_objects(IDS, np.zeros(shape, np.float32))


def test_how_many_pixels_are_summed_at_a_time_changes_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 9, (13, 17)).astype(np.uint32)
    seen = rng.dirichlet([1, 1, 1], ids.shape).astype(np.float32).transpose(2, 0, 1)
    whole = class_sums(ids, seen)
    monkeypatch.setattr("segue.objects.blocks.SIDES", {2: 3, 3: 3})
    assert class_sums(ids, seen) == pytest.approx(whole)
