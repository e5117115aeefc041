"""A staged image is the image that is read, whatever the kind of file."""

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from segue.errors import ImageError, MissingInputError
from segue.io import staging
from segue.io.images import read_image
from segue.io.scratch import Scratch, ScratchArray
from segue.io.staging import bands, claimed_shape, stage_image

LIMIT = 10**6
RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 60000, (53, 41)).astype(np.uint16)
RGB = RNG.integers(0, 255, (53, 41, 3)).astype(np.uint8)
VOLUME = RNG.integers(0, 60000, (5, 33, 20)).astype(np.uint16)


def tif(name, values, **options):
    return pytest.param(lambda path: tifffile.imwrite(path / "a.tif", values, **options), id=name)


def raster(name, picture, suffix="png"):
    return pytest.param(lambda path: picture.save(path / f"a.{suffix}"), id=name)


PALETTE = Pillow.fromarray(RGB).quantize(7)
GRAY_PALETTE = Pillow.fromarray((GRAY >> 9).astype(np.uint8), "L").convert("P")
KINDS = [
    tif("one piece", GRAY),
    tif("big-endian", GRAY, byteorder=">"),
    tif("strips", GRAY, rowsperstrip=7, compression="zlib"),
    tif("predictor", GRAY, rowsperstrip=7, compression="lzw", predictor=True),
    tif("tiles", GRAY, tile=(16, 32), compression="zlib"),
    tif("bare tiles", GRAY, tile=(16, 32)),
    tif("white is 0", GRAY, photometric="miniswhite"),
    tif("float", GRAY.astype(np.float64) / 7, rowsperstrip=5, compression="zlib"),
    tif("one bit", GRAY > 9, photometric="minisblack"),
    tif("colour", RGB, photometric="rgb", compression="zlib", rowsperstrip=9),
    tif("colour in tiles", RGB, photometric="rgb", compression="zlib", tile=(16, 16)),
    tif("colour in planes", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate", compression="zlib"),
    tif("alpha", np.dstack([RGB, RGB[..., 0]]), photometric="rgb", extrasamples=["unassalpha"], compression="zlib"),
    tif("CMYK", np.dstack([RGB, RGB[..., 0]]), photometric="separated", compression="zlib"),
    tif("volume", VOLUME, photometric="minisblack", metadata={"axes": "ZYX"}),
    tif("packed volume", VOLUME, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"}),
    tif("ImageJ channels", np.stack([VOLUME, VOLUME[::-1]], 1), imagej=True, metadata={"axes": "ZCYX"}),
    tif("OME channels", np.stack([VOLUME, VOLUME[::-1]]), ome=True, metadata={"axes": "CZYX"}, compression="zlib"),
    raster("PNG", Pillow.fromarray(GRAY)),
    raster("colour PNG", Pillow.fromarray(RGB)),
    raster("palette", PALETTE),
    raster("gray palette", GRAY_PALETTE),
    raster("JPEG", Pillow.fromarray(RGB), "jpg"),
]


@pytest.mark.parametrize("write", KINDS)
def test_a_staged_image_is_the_image_that_is_read(write, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_BAND", 200)
    write(tmp_path)
    (path,) = tmp_path.iterdir()
    expected = read_image(path)
    assert claimed_shape(path, max_pixels=LIMIT) in (expected.pixels.shape, (4, *expected.shape), (3, *expected.shape))
    with Scratch(tmp_path) as scratch:
        found = stage_image(path, scratch=scratch, max_pixels=LIMIT).image()
        assert (found.pixels == expected.pixels).all()
        assert found.pixels.shape == expected.pixels.shape
        assert (found.space, found.name, found.is_rgb) == (expected.space, expected.name, expected.is_rgb)


def test_the_unpacked_values_of_a_tiff_give_their_room_back_once_they_are_converted(tmp_path, monkeypatch):
    made = []

    def noted(*details):
        made.append(ScratchArray(*details))
        return made[-1]

    monkeypatch.setattr("segue.io.scratch.ScratchArray", noted)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, rowsperstrip=7, compression="zlib")
    with Scratch(tmp_path) as scratch:
        staged = stage_image(tmp_path / "a.tif", scratch=scratch, max_pixels=LIMIT)
        unpacked, pixels = made
        assert pixels is staged.pixels
        assert (pixels[0:1, 0:53, 0:41] == GRAY).all()
        with pytest.raises(ValueError, match="closed file"):
            unpacked[0:1, 0:1, 0:1, 0:53, 0:41, 0:1]


def test_pixel_sizes_are_kept(tmp_path):
    sizes = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", GRAY, metadata={"axes": "YX"} | sizes)
    with Scratch(tmp_path) as scratch:
        staged = stage_image(tmp_path / "a.ome.tif", scratch=scratch, max_pixels=LIMIT)
        assert staged.space.pixel_size == (0.5, 0.25)


def _written(path, values):
    tifffile.imwrite(path, values)
    return path


def test_what_cannot_be_staged_claims_nothing(tmp_path):
    (tmp_path / "text.tif").write_text("not an image")
    tifffile.imwrite(
        tmp_path / "palette.tif", GRAY.astype(np.uint8), photometric="palette", colormap=np.zeros((3, 256), np.uint16)
    )
    tifffile.imwrite(tmp_path / "large.tif", GRAY)
    assert claimed_shape(tmp_path / "text.tif", max_pixels=LIMIT) is None
    assert claimed_shape(tmp_path / "palette.tif", max_pixels=LIMIT) is None
    assert claimed_shape(tmp_path / "nothing.tif", max_pixels=LIMIT) is None
    assert claimed_shape(tmp_path / "large.tif", max_pixels=GRAY.size - 1) is None
    assert claimed_shape(tmp_path / "large.tif", max_pixels=GRAY.size) == (1, 53, 41)


def test_a_damaged_file_is_an_image_error_that_names_it(tmp_path):
    path = _written(tmp_path / "a.tif", GRAY)
    path.write_bytes(path.read_bytes()[:2000])
    with Scratch(tmp_path) as scratch:
        with pytest.raises(ImageError, match=r"a\.tif: it is cut off"):
            stage_image(path, scratch=scratch, max_pixels=LIMIT)
        with pytest.raises(MissingInputError, match=r"b\.tif"):
            stage_image(tmp_path / "b.tif", scratch=scratch, max_pixels=LIMIT)


@pytest.mark.parametrize("shape", [(1, 1), (50, 30), (3, 50, 30), (2, 1, 7)])
def test_bands_cover_every_pixel_once(shape, monkeypatch):
    monkeypatch.setattr(staging, "_BAND", 100)
    times = np.zeros(shape, int)
    for band in bands(shape):
        times[band] += 1
        assert times[band].size <= 100
    assert (times == 1).all()
