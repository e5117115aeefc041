import numpy as np
import pytest

from segue.errors import LabelError
from segue.objects.overlay import GAP, draw_outlines, pick_slices, side_by_side


def black(*shape: int):
    return np.zeros((*shape, 3), np.uint8)


def test_the_border_pixels_of_objects_are_coloured_and_nothing_else():
    ids = np.zeros((7, 7), int)
    ids[1:6, 1:6] = 4
    picture = draw_outlines(black(7, 7), ids)
    expected = ids > 0
    expected[2:5, 2:5] = False
    assert (picture.any(axis=-1) == expected).all()
    assert picture.dtype == np.uint8


def test_the_picture_itself_is_not_changed():
    picture = black(3, 3)
    draw_outlines(picture, np.ones((3, 3), int))
    assert not picture.any()


def test_an_object_has_one_colour_in_all_slices_and_is_outlined_in_each():
    ids = np.zeros((3, 7, 20), int)
    ids[:, 1:6, 1:6] = 4
    ids[1, 2, 12] = 9
    drawn = draw_outlines(black(3, 7, 20), ids)
    assert (drawn[0, :, :8] == drawn[2, :, :8]).all()
    assert not drawn[1, 3, 3].any()  # inside in its plane, although it is the surface of the volume in none
    assert drawn[1, 2, 12].any()
    assert not drawn[0, 2, 12].any()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (4, 5), (2, 4, 5)])
def test_images_without_objects_or_full_of_one_work(shape):
    assert not draw_outlines(black(*shape), np.zeros(shape, int)).any()
    assert draw_outlines(black(*shape), np.full(shape, 3)).shape == (*shape, 3)


def test_other_shapes_are_refused():
    with pytest.raises(LabelError, match=r"objects of the shape \(5, 4\) cannot be drawn into a picture"):
        draw_outlines(black(4, 5), np.zeros((5, 4), int))


def test_slices_are_the_middles_of_equal_parts():
    assert pick_slices(1) == [0]
    assert pick_slices(3) == [0, 1, 2]
    assert pick_slices(9) == list(range(9))
    assert pick_slices(90) == [5, 15, 25, 35, 45, 55, 65, 75, 85]
    assert pick_slices(31)[4] == 15


def test_slices_stand_row_by_row_with_white_between_them():
    slices = np.stack([np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30, 40)])
    sheet = side_by_side(slices)
    assert sheet.shape == (2 * 2 + GAP, 3 * 3 + 2 * GAP, 3)
    assert sheet[0, [0, 3 + GAP, 6 + 2 * GAP], 0].tolist() == [10, 20, 30]
    assert (sheet[2 + GAP :, :3] == 40).all()
    assert (sheet[2 : 2 + GAP] == 255).all()
    assert (sheet == 255).all(axis=-1).sum() == sheet[..., 0].size - 4 * 6
