import numpy as np
import pytest

from segue.arrays import Image
from segue.errors import LabelError
from segue.objects.overlay import COLOURS, colour_neighbours, overlay


def grey(shape: tuple[int, int]) -> Image:
    return Image(pixels=np.zeros((1, *shape), np.float32))


def test_the_border_pixels_of_objects_are_coloured_and_nothing_else():
    ids = np.zeros((7, 7), int)
    ids[1:6, 1:6] = 4
    picture = overlay(grey((7, 7)), ids)
    coloured = picture.any(axis=-1)
    expected = ids > 0
    expected[2:5, 2:5] = False
    assert (coloured == expected).all()
    assert picture.dtype == np.uint8


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


def test_an_rgb_image_keeps_its_colours_and_a_grey_one_is_stretched():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 6)).astype(np.float32)
    nothing = np.zeros((5, 6), int)
    assert (overlay(Image(pixels=pixels, is_rgb=True), nothing) == np.moveaxis(pixels, 0, -1)).all()
    dim = overlay(Image(pixels=pixels[:1] / np.float32(1000)), nothing)
    assert (dim.min(), dim.max()) == (0, 255)
    assert (dim[..., 0] == dim[..., 2]).all()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (4, 5)])
def test_images_without_objects_or_full_of_one_work(shape):
    assert overlay(grey(shape), np.zeros(shape, int)).shape == (*shape, 3)
    assert overlay(grey(shape), np.full(shape, 3)).shape == (*shape, 3)


def test_volumes_and_other_shapes_are_refused():
    with pytest.raises(LabelError, match="an overlay needs an image and objects of one plane"):
        overlay(grey((4, 5)), np.zeros((5, 4), int))
    with pytest.raises(LabelError, match="of one plane"):
        overlay(Image(pixels=np.zeros((1, 2, 2, 2), np.float32)), np.zeros((2, 2, 2), int))
