"""Colours tell neighbours apart, and outlines lie inside of objects."""

import numpy as np
import pytest

from segue.arrays import IGNORE
from segue.report.colours import CLASS_COLOURS, DARK, UNKNOWN, class_colour, colour_objects, outlines


def test_touching_objects_never_have_the_same_colour():
    generator = np.random.default_rng(0)
    seeds = generator.uniform(0, 60, size=(40, 2))
    grid = np.moveaxis(np.indices((60, 60)), 0, -1)
    ids = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(axis=-1) + 1
    painted = colour_objects(ids).astype(int)
    for axis in (0, 1):
        differs = np.diff(ids, axis=axis) != 0
        assert np.abs(np.diff(painted, axis=axis)).sum(axis=-1)[differs].min() > 0


def test_objects_two_pixels_apart_differ_in_colour():
    ids = np.zeros((3, 12), int)
    ids[:, :4] = 1
    ids[:, 6:10] = 9  # 1 and 9 start from the same colour
    painted = colour_objects(ids)
    assert (painted[0, 0] != painted[0, 7]).any()


def test_background_is_dark_and_unknown_is_grey():
    painted = colour_objects(np.array([[0, IGNORE]]))
    assert tuple(painted[0, 0]) == DARK
    assert tuple(painted[0, 1]) == UNKNOWN


@pytest.mark.parametrize("ids", [np.zeros((0, 0), int), np.zeros((4, 4), int), np.ones((1, 1), int)])
def test_empty_blank_and_single_pixel_images_are_coloured(ids):
    assert colour_objects(ids).shape == (*ids.shape, 3)


def test_class_colours_go_on_for_ever_and_only_class_zero_is_dark():
    assert [class_colour(n) for n in range(9)] == list(CLASS_COLOURS)
    assert class_colour(9) == CLASS_COLOURS[1]
    assert all(class_colour(n) != DARK for n in range(1, 40))


def test_the_outline_of_a_square_is_its_rim():
    ids = np.zeros((7, 7), int)
    ids[1:6, 1:6] = 1
    expected = ids > 0
    expected[2:5, 2:5] = False
    np.testing.assert_array_equal(outlines(ids), expected)


def test_an_object_that_fills_the_image_has_no_outline():
    assert not outlines(np.ones((3, 3), int)).any()
