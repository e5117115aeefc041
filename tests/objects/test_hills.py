"""Hills and dips, checked by hand and against the h-maxima of mathematical morphology."""

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction

from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.hills import hilltops, owners, peaks, plateaus, saddles, terraces


def test_plateaus_are_numbered_in_scan_order_and_know_whether_a_neighbour_is_higher():
    terrace = np.array([[0, 2, 2], [1, 1, 2], [0, 0, 3]], np.uint8)
    numbers, has_higher = plateaus(terrace)
    assert numbers.tolist() == [[0, 1, 1], [2, 2, 1], [0, 0, 3]]
    assert has_higher[1:].tolist() == [True, True, False]


def test_what_lies_around_the_inner_part_counts_as_neighbour_only():
    numbers, has_higher = plateaus(np.array([[2, 2, 3]], np.uint8), (slice(None), slice(0, 2)))
    assert numbers.tolist() == [[1, 1]]
    assert has_higher[1:].tolist() == [True]


def test_terraces_keep_outside_apart_and_take_steps_of_the_dip():
    assert terraces(np.array([0, 1, 3, 4, 255], np.uint8), dip=3).tolist() == [0, 1, 1, 2, 85]
    assert terraces(np.array([0, 7, 255], np.uint8), dip=0).tolist() == [0, 7, 255]


def test_saddles_are_the_highest_ways_between_neighbours():
    hills = np.array([[1, 1, 2], [1, 3, 2]])
    height = np.array([[9, 5, 6], [4, 3, 8]], np.uint8)
    pairs, ways = saddles(hills, height)
    assert pairs.T.tolist() == [[1, 2], [1, 3], [2, 3]]
    assert ways.tolist() == [5, 3, 3]
    assert peaks(hills, height, number=3).tolist() == [0, 9, 8, 3]


@pytest.mark.parametrize(("dip", "expected"), [(0, [0, 1, 2, 3]), (3, [0, 1, 2, 2]), (4, [0, 1, 1, 1])])
def test_a_hill_is_a_part_of_the_higher_one_if_it_rises_less_than_the_dip(dip, expected):
    pairs, ways = np.array([[1, 2], [2, 3]]), np.array([5, 6])
    found = owners(np.array([0, 9, 8, 8]), np.array([0, 10, 20, 30]), pairs, ways, dip=dip)
    assert found.tolist() == expected


def test_hills_that_touch_no_other_stay_as_they_are_and_take_eight_bytes_each():
    number = 10**5
    pairs, ways = np.array([[7, 500], [500, 99_000]]), np.array([5, 6])
    highest, first = np.full(number, 8), np.arange(number)[::-1]
    highest[7] = 9
    tracemalloc.start()
    try:
        found = owners(highest, first, pairs, ways, dip=4)
        assert tracemalloc.get_traced_memory()[1] < 9 * number
    finally:
        tracemalloc.stop()
    expected = np.arange(number)
    expected[[500, 99_000]] = 7
    assert (found == expected).all()


def test_without_any_that_touch_all_hills_stay():
    nothing = np.zeros((2, 0), np.int64), np.zeros(0, np.int64)
    assert owners(np.array([0, 3, 4]), np.array([0, 1, 2]), *nothing, dip=5).tolist() == [0, 1, 2]


def test_the_answer_does_not_depend_on_the_numbers_of_the_hills():
    rng = np.random.default_rng(0)
    for _ in range(30):
        number = 12
        tops, first = rng.integers(0, 8, number + 1), rng.permutation(100)[: number + 1]
        pairs = np.array([(a, b) for a in range(1, number) for b in range(a + 1, number + 1) if rng.random() < 0.3]).T
        ways = np.minimum(tops[pairs[0]], tops[pairs[1]]) - rng.integers(0, 4, pairs.shape[1])
        order = np.concatenate([[0], 1 + rng.permutation(number)])  # hill n becomes hill order[n]
        renamed, tops_renamed, first_renamed = order[pairs], np.empty_like(tops), np.empty_like(first)
        tops_renamed[order], first_renamed[order] = tops, first
        plain = owners(tops, first, pairs, ways, dip=2)
        other = owners(tops_renamed, first_renamed, renamed, ways, dip=2)
        assert (order[plain] == other[order]).all()


@pytest.mark.parametrize("shape", [(40, 50), (12, 14, 16)])
@pytest.mark.parametrize("dip", [0.05, 0.15, 0.3])
def test_there_are_as_many_objects_as_h_maxima(shape, dip):
    rng = np.random.default_rng(int(100 * dip))
    field = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    field = ((field - field.min()) / np.ptp(field)).astype(np.float32)
    steps = int(np.ceil(dip * 254))
    cross = ndimage.generate_binary_structure(len(shape), 1)
    heights = (field * 254).astype(np.uint8) + 1
    # A maximum of height h or less above its saddle vanishes in the reconstruction of the map from the map less h.
    lowered = reconstruction(heights - np.minimum(heights, steps - 1), heights, footprint=cross)
    expected = local_maxima(lowered, footprint=cross)
    number = ndimage.label(expected, cross)[1] if np.ptp(lowered) else 1
    everywhere = np.ones(shape, np.float32)
    found = decode_objects(everywhere, field, config=DecodeConfig(smallest_dip=dip, fill_holes=False))
    assert found.max() == number


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (0, 3, 2)])
def test_maps_without_pixels_or_with_one_have_as_many_hilltops(shape):
    tops, count = hilltops(np.ones(shape, np.uint8), dip=5)
    assert tops.shape == shape
    assert count == int(np.prod(shape))
