from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage

from segue.objects.colours import COLOURS, colour_neighbours


@pytest.mark.parametrize(("gap", "within"), [(0, 1), (1, 3), (2, 3), (4, 5)])
@pytest.mark.parametrize("seed", range(5))
def test_neighbours_have_different_colours(seed, gap, within):
    """Cells parted by a line about `gap` wide: all pairs that come `within` so many pixels of each other."""
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, 60, (25, 2))
    y, x = np.mgrid[:60, :60]
    distance = np.hypot(y[..., None] - seeds[:, 0], x[..., None] - seeds[:, 1])
    numbers = distance.argmin(axis=-1) + 1
    near = np.sort(distance, axis=-1)
    present = np.unique(numbers, return_inverse=True)[1].reshape(60, 60) + 1
    apart = np.where(near[..., 1] - near[..., 0] >= gap, present, 0)
    colours = colour_neighbours(apart)
    assert colours.max() < len(COLOURS)
    places = {number: apart == number for number in np.unique(apart[apart > 0])}
    away = {number: ndimage.distance_transform_edt(~place) for number, place in places.items()}
    pairs = [(a, b) for a, b in combinations(places, 2) if away[a][places[b]].min() <= within]
    assert len(pairs) > 10
    assert all(colours[a] != colours[b] for a, b in pairs)


def test_objects_a_few_pixels_apart_count_as_neighbours():
    numbers = np.array([[1, 0, 0, 2]])
    first, second = colour_neighbours(numbers)[1:]
    assert first != second


def test_objects_that_touch_in_any_slice_of_a_volume_are_neighbours():
    numbers = np.zeros((3, 1, 40), int)
    numbers[0, 0, [0, 20]] = 1, 8  # 1 and 8 would have one colour by their numbers
    numbers[2, 0, [30, 31]] = 1, 8
    colours = colour_neighbours(numbers)
    assert colours[1] != colours[8]


def test_many_objects_far_apart_use_every_colour():
    numbers = np.zeros((1, 400), int)
    numbers[0, ::20] = np.arange(1, 21)
    assert set(colour_neighbours(numbers)[1:].tolist()) == set(range(len(COLOURS)))


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (4, 5), (2, 3, 4)])
def test_images_without_objects_or_full_of_one_work(shape):
    assert len(colour_neighbours(np.zeros(shape, int))) == 1
    if 0 not in shape:
        assert len(colour_neighbours(np.ones(shape, int))) == 2
