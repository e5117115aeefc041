import numpy as np
import pytest

from segue.objects.colours import COLOURS, colour_neighbours


@pytest.mark.parametrize("gap", [0, 1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_neighbours_have_different_colours(seed, gap):
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
    for dy, dx in ((0, 1), (1, 0)):
        a, b = present[: 60 - dy, : 60 - dx], present[dy:, dx:]
        if gap == 0:
            assert (colours[a][a != b] != colours[b][a != b]).all()


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
