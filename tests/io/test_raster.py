import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from segue.errors import ImageError
from segue.io.images import read_image, write_png
from segue.io.raster import raster_shape

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RED_GREEN_BLUE = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)


def save(path, values, mode=None, **options):
    picture = Pillow.fromarray(values)
    if mode is not None:
        picture = picture.convert(mode)
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif"])
def test_a_gray_image_comes_back_as_one_channel_with_its_values(tmp_path, suffix):
    image = read_image(save(tmp_path / f"a.{suffix}", GRAY))
    assert image.pixels.dtype == np.float32
    assert np.array_equal(image.pixels, GRAY[np.newaxis])
    assert not image.is_rgb


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_colour_image_comes_back_as_red_green_blue(tmp_path, suffix):
    image = read_image(save(tmp_path / f"a.{suffix}", RED_GREEN_BLUE))
    assert np.array_equal(image.pixels, np.moveaxis(RED_GREEN_BLUE, -1, 0))
    assert image.is_rgb


def test_alpha_is_dropped_from_colour_and_from_gray(tmp_path):
    half = np.full((3, 4, 1), 128, np.uint8)
    colour = read_image(save(tmp_path / "c.png", np.concatenate([RED_GREEN_BLUE, half], axis=-1)))
    gray = read_image(save(tmp_path / "g.png", np.concatenate([GRAY[..., np.newaxis], half], axis=-1)))
    assert np.array_equal(colour.pixels, np.moveaxis(RED_GREEN_BLUE, -1, 0))
    assert np.array_equal(gray.pixels, GRAY[np.newaxis])


def test_an_rgb_image_of_equal_channels_stays_rgb(tmp_path):
    image = read_image(save(tmp_path / "a.png", np.stack([GRAY] * 3, axis=-1)))
    assert image.channels == 3
    assert image.is_rgb


def test_a_16_bit_gray_png_keeps_all_its_bits(tmp_path):
    values = np.array([[0, 1, 257], [4096, 65534, 65535]], np.uint16)
    assert np.array_equal(read_image(save(tmp_path / "a.png", values)).pixels, values[np.newaxis])


@pytest.mark.parametrize("channels", [3, 4])
def test_a_16_bit_colour_png_keeps_all_its_bits(tmp_path, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    values = (np.arange(3 * 4 * channels).reshape(3, 4, channels) * 1357).astype(np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(values))
    image = read_image(path)
    assert np.array_equal(image.pixels, np.moveaxis(values[..., :3], -1, 0))
    assert image.is_rgb


def test_alpha_is_dropped_from_a_16_bit_gray_png(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    values = (np.arange(3 * 4 * 2).reshape(3, 4, 2) * 2357).astype(np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(values))
    image = read_image(path)
    assert np.array_equal(image.pixels, values[np.newaxis, ..., 0])
    assert not image.is_rgb
    assert raster_shape(path, kind="PNG") == (1, 3, 4)


def test_a_bilevel_image_is_0_and_1(tmp_path):
    bits = np.array([[True, False, True], [False, False, True]])
    assert np.array_equal(read_image(save(tmp_path / "a.png", bits)).pixels[0], bits.astype(np.float32))


def palette_png(path, colours):
    picture = Pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode=None).convert("P")
    picture.putdata([0, 1, 2, 1])
    picture.putpalette([part for colour in colours for part in colour])
    picture.save(path)
    return path


def test_a_palette_becomes_its_colours(tmp_path):
    image = read_image(palette_png(tmp_path / "a.png", [(10, 20, 30), (255, 0, 0), (0, 0, 9)]))
    assert image.is_rgb
    assert np.array_equal(image.pixels[:, 0, 0], [10, 20, 30])
    assert np.array_equal(image.pixels[:, 1, 0], [0, 0, 9])


def test_a_gif_is_gray_only_if_all_its_used_colours_are(tmp_path):
    colours = np.array([[[255, 0, 0], [9, 9, 9]]], np.uint8)
    assert np.array_equal(read_image(save(tmp_path / "c.gif", colours)).pixels, np.moveaxis(colours, -1, 0))
    picture = Pillow.fromarray(np.array([[0, 2]], np.uint8)).convert("P")
    picture.putdata([0, 2])
    picture.putpalette([9, 9, 9, 255, 0, 0, 200, 200, 200])
    picture.save(tmp_path / "g.gif", optimize=False)
    assert read_image(tmp_path / "g.gif").pixels.tolist() == [[[9, 200]]]


def test_a_palette_of_grays_becomes_gray(tmp_path):
    image = read_image(palette_png(tmp_path / "a.png", [(7, 7, 7), (100, 100, 100), (50, 50, 50)]))
    assert not image.is_rgb
    assert np.array_equal(image.pixels, [[[7, 100], [50, 100]]])


def test_a_jpeg_is_close_to_what_was_written(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
    gray = read_image(save(tmp_path / "g.jpg", smooth, quality=95))
    colour = read_image(save(tmp_path / "c.jpg", np.stack([smooth] * 3, axis=-1), quality=95))
    assert gray.pixels.shape == (1, 32, 40)
    assert colour.pixels.shape == (3, 32, 40)
    assert np.abs(gray.pixels[0] - smooth).max() <= 4
    assert colour.is_rgb


def test_a_cmyk_jpeg_becomes_red_green_blue(tmp_path):
    white = np.full((16, 16, 3), 255, np.uint8)
    image = read_image(save(tmp_path / "a.jpg", white, mode="CMYK"))
    assert image.pixels.shape == (3, 16, 16)
    assert image.pixels.min() > 250


def test_the_content_counts_and_not_the_suffix(tmp_path):
    path = save(tmp_path / "a.png", GRAY)
    path.rename(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, GRAY[np.newaxis])


def test_an_animation_is_refused(tmp_path):
    frames = [Pillow.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="animation of 3 frames"):
        read_image(tmp_path / "a.gif")


def bomb(width, height):
    """A PNG of `width` x `height` black pixels: a thousand times smaller than what it unpacks to."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(min(height, 100))) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_bomb_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(14_000, 14_000))
    with pytest.raises(ImageError, match=r"14,000 x 14,000 pixels.*--max-pixels 196000000"):
        read_image(path)


def test_the_limit_can_be_raised_and_lowered_to_the_pixel(tmp_path):
    path = save(tmp_path / "a.png", GRAY)
    assert read_image(path, max_pixels=12).shape == (3, 4)
    with pytest.raises(ImageError, match="12 values, more than the limit of 11"):
        read_image(path, max_pixels=11)


@pytest.mark.parametrize("values", [GRAY, RED_GREEN_BLUE], ids=["gray", "rgb"])
def test_a_written_png_reads_back_bit_for_bit(tmp_path, values):
    write_png(tmp_path / "a.png", values)
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO((tmp_path / "a.png").read_bytes()))), values)
