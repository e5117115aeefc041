"""Values and ranks are those of numpy's sort, whichever way they were found."""

import tracemalloc

import numpy as np
import pytest

from segue.ranks import ranked

TYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


def check_against_a_sort(array):
    values, ranks, counts = ranked(array)
    expected, places, numbers = np.unique(array, return_inverse=True, return_counts=True)
    assert values.dtype == array.dtype
    assert ranks.dtype == np.int32
    assert ranks.shape == array.shape
    assert np.array_equal(values, expected)
    assert np.array_equal(ranks.ravel(), places.ravel())
    assert np.array_equal(counts, numbers)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(40, 50), (3, 20, 30), (1, 1), (7,), (0,), (0, 5)])
@pytest.mark.parametrize("where", ["low", "high"])
def test_values_ranks_and_counts_are_those_of_a_sort_at_both_ends_of_every_type(dtype, shape, where):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    start = limits.min if where == "low" else limits.max - 60
    array = (rng.integers(0, 61, shape).astype(object) // 3 * 3 + start).astype(dtype)
    check_against_a_sort(array)


@pytest.mark.parametrize("dtype", TYPES)
def test_sparse_values_from_end_to_end_of_a_type_are_those_of_a_sort(dtype):
    limits = np.iinfo(dtype)
    check_against_a_sort(np.array([[limits.max, limits.min, limits.max], [5, limits.min, 5]], dtype))


def test_negative_values_and_views_of_other_arrays_are_ranked_too():
    array = np.random.default_rng(1).integers(-20, 20, (60, 70))
    check_against_a_sort(array)
    check_against_a_sort(array[::2, 5:].T)


def test_arrays_of_several_chunks_are_ranked_as_one():
    array = np.random.default_rng(2).integers(-3, 300, (1100, 1000)).astype(np.int16)
    array[-1, -1] = 1000
    check_against_a_sort(array)


def test_ranks_of_a_large_mask_take_little_more_memory_than_themselves():
    array = np.random.default_rng(3).integers(0, 300, (2000, 2000)).astype(np.uint16)
    tracemalloc.start()
    try:
        ranked(array)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * array.size
