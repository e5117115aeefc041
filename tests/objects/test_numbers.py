import numpy as np
import pytest

from segue.objects.numbers import consecutive, renumber, runs


def test_renumbering_counts_objects_in_the_order_in_which_a_scan_meets_them():
    ids = np.array([[0, 9, 9, 0], [4, 0, 9, 2], [4, 4, 0, 2]])
    assert renumber(ids).tolist() == [[0, 1, 1, 0], [2, 0, 1, 3], [2, 2, 0, 3]]
    assert renumber(ids).dtype == np.uint32


def test_consecutive_numbers_keep_the_order_of_the_ids():
    values, numbers = consecutive(np.array([[7, 0, 300], [7, 2, 300]], np.uint16))
    assert values.tolist() == [2, 7, 300]
    assert numbers.tolist() == [[2, 0, 3], [2, 1, 3]]


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (2, 2, 2)])
def test_images_without_objects_and_full_of_one_object_work(shape):
    assert renumber(np.zeros(shape, int)).tolist() == np.zeros(shape).tolist()
    assert renumber(np.full(shape, 5)).tolist() == np.ones(shape).tolist()
    assert consecutive(np.zeros(shape, int))[0].size == 0
    assert consecutive(np.full(shape, 5))[1].tolist() == np.ones(shape).tolist()


def test_runs_tell_values_lengths_and_first_places():
    values, index, lengths, first = runs(np.array([[5, 5, 0], [0, 5, 2]]))
    assert values.tolist() == [0, 2, 5]
    assert values[index].tolist() == [5, 0, 5, 2]
    assert lengths.tolist() == [2, 2, 1, 1]
    assert first.tolist() == [2, 5, 0]
