"""Whether images have a right way up is read off where their classes lie."""

import numpy as np
import pytest

from segue.arrays import IGNORE
from segue.fingerprint.orientation import FEWEST_IMAGES, class_centres, oriented_axes

NAN = float("nan")


def test_a_centre_is_a_part_of_the_length_from_the_middle_of_the_image():
    ids = np.zeros((4, 8), np.int32)
    ids[0, :] = 1  # the first of four rows: 1.5 rows above the middle
    ids[3, 6:] = 2
    expected = [[-1.5 / 4, 0], [1.5 / 4, 3 / 8], [NAN, NAN]]
    assert class_centres(ids, classes=4) == pytest.approx(np.array(expected), nan_ok=True)


def test_the_mirror_image_has_the_centres_with_the_other_sign():
    ids = np.random.default_rng(0).integers(0, 3, (3, 5, 7)).astype(np.int32)
    there = class_centres(ids, classes=3)
    assert class_centres(ids[:, ::-1], classes=3) == pytest.approx(there * [1, -1, 1])


def test_a_place_is_counted_from_the_middle_of_what_is_annotated():
    ids = np.full((2, 9), IGNORE, np.int32)
    ids[:, :3] = 0
    ids[0, 0] = 1  # one pixel left of the middle of the three that are known, half a row above it
    assert class_centres(ids, classes=2) == pytest.approx(np.array([[-1 / 4, -1 / 9]]))


@pytest.mark.parametrize("ids", [np.zeros((0, 5)), np.zeros((5, 0)), np.full((2, 2), IGNORE)])
def test_where_nothing_is_annotated_nothing_has_a_place(ids):
    assert np.isnan(class_centres(ids.astype(np.int32), classes=3)).all()


def test_more_classes_than_names_are_left_to_those_who_complain_of_it():
    assert class_centres(np.array([[0, 1, 9]], np.int32), classes=2).shape == (1, 2)


def centres(rng, *, means, spread=0.02, images=FEWEST_IMAGES):
    return [np.array(means) + rng.normal(0, spread, np.shape(means)) for _ in range(images)]


def test_an_axis_along_which_a_class_lies_on_one_side_is_oriented():
    rng = np.random.default_rng(0)
    assert oriented_axes(centres(rng, means=[[0.2, 0.0, 0.0]])) == (True, False, False)


def test_two_classes_that_lie_the_same_way_round_orient_an_axis_wherever_they_lie_together():
    rng = np.random.default_rng(0)
    together = [place + rng.uniform(-0.2, 0.2, 2) for place in centres(rng, means=[[0.0, -0.1], [0.0, 0.1]])]
    assert oriented_axes(together) == (False, True)


@pytest.mark.parametrize(
    ("means", "spread", "images"),
    [
        ([[0.2, 0.2]], 0.2, FEWEST_IMAGES),  # here and there
        ([[0.02, 0.02]], 0.001, FEWEST_IMAGES),  # always nearly in the middle
        ([[0.2, 0.2]], 0.02, FEWEST_IMAGES - 1),  # too few images to know
    ],
)
def test_without_a_side_or_without_enough_images_there_is_no_orientation(means, spread, images):
    rng = np.random.default_rng(0)
    assert oriented_axes(centres(rng, means=means, spread=spread, images=images)) == (False, False)


def test_images_without_a_class_say_nothing_of_it():
    rng = np.random.default_rng(0)
    known = centres(rng, means=[[0.2, 0.0]])
    nothing = np.full((1, 2), NAN)
    assert oriented_axes([*known, nothing, nothing]) == (True, False)
    assert oriented_axes([*known[:-1], nothing]) == (False, False)
    assert oriented_axes([nothing]) == (False, False)


def test_without_a_class_there_is_no_orientation():
    assert oriented_axes([np.zeros((0, 2))] * FEWEST_IMAGES) == (False, False)
