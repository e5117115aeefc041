import numpy as np
import pytest

from segue.arrays import Image
from segue.channels import with_channels
from segue.errors import ImageError


def image_of(*channels, rgb=False):
    pixels = np.stack([np.full((2, 3), value, np.float32) for value in channels])
    return Image(pixels=pixels, is_rgb=rgb, name="a.tif")


@pytest.mark.parametrize(
    ("image", "channels", "rgb"),
    [
        (image_of(7), 1, False),
        (image_of(1, 2), 2, False),
        (image_of(1, 2, 3), 3, False),
        (image_of(1, 2, 3, rgb=True), 3, True),
        (image_of(1, 2, 3, 4, 5), 5, False),
    ],
)
def test_an_image_that_fits_is_left_as_it_is(image, channels, rgb):
    assert with_channels(image, channels=channels, rgb=rgb) is image


def test_gray_becomes_colour_by_repeating_its_channel():
    found = with_channels(image_of(7), channels=3, rgb=True)
    assert found.pixels.tolist() == image_of(7, 7, 7).pixels.tolist()
    assert found.is_rgb


def test_gray_that_was_saved_as_colour_comes_back_exactly():
    values = np.random.default_rng(0).uniform(0, 255, (4, 5)).astype(np.float32)
    colour = Image(pixels=np.stack([values] * 3), is_rgb=True)
    found = with_channels(colour, channels=1, rgb=False)
    assert (found.pixels == values[None]).all()
    assert not found.is_rgb


def test_colour_becomes_gray_by_its_luminance():
    # 0.299 x 100 + 0.587 x 200 + 0.114 x 50 = 153
    found = with_channels(image_of(100, 200, 50, rgb=True), channels=1, rgb=False)
    assert found.pixels.shape == (1, 2, 3)
    assert found.pixels.dtype == np.float32
    np.testing.assert_allclose(found.pixels, 153, rtol=1e-6)


def test_three_channels_for_a_colour_network_are_taken_for_colour():
    found = with_channels(image_of(1, 2, 3), channels=3, rgb=True)
    assert found.is_rgb
    assert (found.pixels == image_of(1, 2, 3).pixels).all()


def test_colour_for_a_network_of_three_stains_is_taken_for_three_stains():
    found = with_channels(image_of(1, 2, 3, rgb=True), channels=3, rgb=False)
    assert not found.is_rgb  # else its channels would be normalised together, which they were not in training
    assert (found.pixels == image_of(1, 2, 3).pixels).all()


def test_volumes_are_treated_as_images_are():
    volume = Image(pixels=np.ones((1, 2, 3, 4), np.float32))
    assert with_channels(volume, channels=3, rgb=True).pixels.shape == (3, 2, 3, 4)


@pytest.mark.parametrize(
    ("image", "channels", "rgb"),
    [
        (image_of(1, 2), 1, False),
        (image_of(1, 2, 3), 1, False),  # three stains are no colours: their luminance means nothing
        (image_of(1), 2, False),
        (image_of(1), 3, False),
        (image_of(1, 2), 3, True),
        (image_of(1, 2, 3, 4), 3, True),
    ],
)
def test_nobody_guesses_which_channel_is_which(image, channels, rgb):
    expected = rf"a\.tif: {image.channels} channels, but the network was trained on {channels}; .*same order"
    with pytest.raises(ImageError, match=expected):
        with_channels(image, channels=channels, rgb=rgb)


def test_a_part_of_an_image_becomes_what_it_becomes_in_the_whole():
    values = np.random.default_rng(0).uniform(0, 255, (3, 8, 5)).astype(np.float32)
    values[:, :4] = values[:1, :4]  # the upper half is gray
    whole = with_channels(Image(pixels=values, is_rgb=True), channels=1, rgb=False)
    part = with_channels(Image(pixels=values[:, :4], is_rgb=True), channels=1, rgb=False)
    assert (part.pixels == whole.pixels[:, :4]).all()
    assert (part.pixels == values[:1, :4]).all()
