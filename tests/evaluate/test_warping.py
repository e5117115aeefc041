import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.evaluate.warping import RING, simple_points, warp, warping_error


def picture(*lines: str) -> NDArray[np.bool_]:
    """`#` is cell, everything else is membrane."""
    return np.array([[character == "#" for character in line] for line in lines])


def euler_parts(image: NDArray[np.bool_]) -> tuple[int, int]:
    """Number of 4-connected cells and of 8-connected backgrounds, with background all around."""
    framed = np.pad(image, 1)
    return ndimage.label(framed)[1], ndimage.label(~framed, structure=np.ones((3, 3)))[1]


def test_a_point_is_simple_exactly_if_flipping_it_keeps_the_parts_of_every_neighbourhood():
    """By Euler numbers: a second way to tell what changes the topology."""
    simple = simple_points()
    for code in range(256):
        patch = np.zeros((3, 3), bool)
        for bit, (y, x) in enumerate(RING):
            patch[1 + y, 1 + x] = code >> bit & 1
        with_centre = patch.copy()
        with_centre[1, 1] = True
        # Euler number of a 4-connected image: pixels - edges + squares. Adding the centre to one part keeps
        # it; joining parts, founding one, or filling a hole changes it.
        squares = with_centre[:-1, :-1] & with_centre[1:, :-1] & with_centre[:-1, 1:] & with_centre[1:, 1:]
        edges = sum(int(patch[place]) for place in ((0, 1), (2, 1), (1, 0), (1, 2)))
        change = 1 - edges + int(squares.sum())
        assert simple[code] == (change == 0), code


@pytest.mark.parametrize("seed", range(6))
def test_warping_keeps_the_number_of_cells_and_of_holes(seed):
    rng = np.random.default_rng(seed)
    source, target = (ndimage.gaussian_filter(rng.normal(size=(40, 41)), 2) > 0 for _ in range(2))
    warped = warp(source, target)
    assert euler_parts(warped) == euler_parts(source)
    assert (warped != target).sum() <= (source != target).sum()
    assert not ((warped != source) & (source == target)).any()


@pytest.mark.parametrize("seed", range(4))
def test_warping_ends_when_no_simple_point_differs(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.random((2, 15, 16)) > 0.4
    warped = np.pad(warp(source, target), 1)
    for y, x in np.argwhere(warped[1:-1, 1:-1] != target) + 1:
        code = sum(int(warped[y + dy, x + dx]) << bit for bit, (dy, dx) in enumerate(RING))
        assert not simple_points()[code]


def test_a_shifted_boundary_is_no_error():
    truth = np.zeros((20, 20), bool)
    truth[2:18, 2:9], truth[2:18, 11:18] = True, True
    predicted = np.zeros((20, 20), bool)
    predicted[4:17, 1:7], predicted[3:18, 12:19] = True, True
    assert (truth != predicted).sum() > 50
    assert warping_error(truth, predicted) == 0


def test_a_closed_gap_counts_the_one_membrane_pixel_that_cannot_go():
    truth = picture("#####", "#####", ".....", "#####", "#####")
    predicted = picture("#####", "#####", "##.##", "#####", "#####")
    # the membrane thins from neither side without merging the two cells: it stays five pixels long
    assert warping_error(truth, predicted) == 4 / 25


def test_a_missed_cell_and_a_spurious_one_leave_one_pixel_each():
    truth = np.zeros((12, 24), bool)
    truth[3:9, 3:9] = True
    predicted = np.zeros((12, 24), bool)
    predicted[4:8, 15:19] = True
    # the true cell shrinks to one pixel; the spurious one cannot be born: all its pixels differ
    assert warping_error(truth, predicted) == (1 + 16) / truth.size


def test_a_hole_in_the_prediction_is_an_error_of_its_size():
    truth = np.ones((9, 9), bool)
    predicted = truth.copy()
    predicted[3:5, 4:6] = False
    assert warping_error(truth, predicted) == 4 / 81


def test_pixels_farther_from_the_boundary_than_allowed_do_not_flip():
    truth = np.zeros((9, 20), bool)
    truth[:, :10] = True
    predicted = np.zeros((9, 20), bool)
    predicted[:, :14] = True
    assert warping_error(truth, predicted) == 0
    assert warping_error(truth, predicted, max_distance=3) == 9 / truth.size
    assert warping_error(truth, predicted, max_distance=0) == 36 / truth.size


def test_ignored_pixels_neither_flip_nor_count():
    truth = np.zeros((4, 6), bool)
    predicted = np.zeros((4, 6), bool)
    predicted[1:3, 1:3] = True
    ignore = np.zeros((4, 6), bool)
    ignore[:, :2] = True
    assert warping_error(truth, predicted, ignore=ignore) == 2 / 16
    assert math.isnan(warping_error(truth, predicted, ignore=np.ones((4, 6), bool)))


def test_a_volume_is_judged_slice_by_slice():
    rng = np.random.default_rng(1)
    truth, predicted = (ndimage.gaussian_filter(rng.normal(size=(3, 20, 20)), 1.5) > 0 for _ in range(2))
    slices = [warping_error(a, b) for a, b in zip(truth, predicted, strict=True)]
    assert warping_error(truth, predicted) == pytest.approx(np.mean(slices))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 3)])
def test_equal_images_have_no_error(shape):
    for value in (False, True):
        image = np.full(shape, value)
        assert warping_error(image, image) == 0


def test_an_image_without_pixels_has_no_score():
    assert math.isnan(warping_error(np.zeros((0, 0), bool), np.zeros((0, 0), bool)))
