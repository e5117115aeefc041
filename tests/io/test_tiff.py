import struct

import numpy as np
import pytest
import tifffile

from segue.arrays import Image, Probabilities, Space
from segue.errors import ImageError
from segue.io.images import read_image, write_image, write_labels, write_probabilities
from segue.io.tiff import encode_tiff, encode_tiff_in_blocks
from segue.io.tiff_guard import MAX_PAGES

PLANE = (np.arange(35 * 40).reshape(35, 40) % 251).astype(np.uint8)
STACK = np.stack([PLANE, PLANE[::-1], 250 - PLANE])
COLOUR = np.stack([PLANE, PLANE[::-1], 250 - PLANE], axis=-1)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits", "lzma", "png", "jpeg2000"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}], ids=["whole", "tile", "row"])
def test_every_lossless_compression_gives_the_same_values(tmp_path, compression, layout):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, compression=compression, **layout)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, PLANE[np.newaxis])


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4", ">i4"]
)
def test_every_number_type_gives_the_same_values(tmp_path, dtype):
    values = (np.arange(12).reshape(3, 4) - (0 if "u" in dtype else 5)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=">" if dtype.startswith(">") else "<")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, values.astype(np.float32)[np.newaxis])


@pytest.mark.parametrize("predictor", [2, 3])
def test_predictors_are_undone(tmp_path, predictor):
    values = PLANE.astype(np.uint16 if predictor == 2 else np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, compression="zlib", predictor=predictor)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels[0], values)


def test_bilevel_is_0_and_1(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE > 100, photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels[0], (PLANE > 100).astype(np.float32))


def test_bigtiff_reads_like_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, bigtiff=True, photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, STACK[np.newaxis])


def test_pages_without_a_meaning_are_the_planes_of_a_volume(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in STACK:
            writer.write(plane, metadata=None, contiguous=False)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, STACK[np.newaxis])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_channels_first_in_both_planar_configurations(tmp_path, planar):
    values = COLOUR if planar == "contig" else np.moveaxis(COLOUR, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig=planar)
    image = read_image(tmp_path / "a.tif")
    assert image.is_rgb
    assert np.array_equal(image.pixels, np.moveaxis(COLOUR, -1, 0))


def test_alpha_is_dropped_and_other_extra_samples_are_kept(tmp_path):
    four = np.concatenate([COLOUR, PLANE[..., np.newaxis]], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "b.tif", four, photometric="rgb", extrasamples=["unspecified"])
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, np.moveaxis(COLOUR, -1, 0))
    assert np.array_equal(read_image(tmp_path / "b.tif").pixels, np.moveaxis(four, -1, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_four_samples_in_planes_are_four_channels_though_tifffile_calls_the_fourth_alpha(tmp_path, dtype):
    channels = np.stack([*np.moveaxis(COLOUR, -1, 0), PLANE // 2]).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, channels, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])
    image = read_image(tmp_path / "a.tif")
    assert not image.is_rgb
    assert np.array_equal(image.pixels, channels)


def test_a_colour_volume_is_channels_first(tmp_path):
    volume = np.stack([COLOUR, 250 - COLOUR])
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="rgb", metadata={"axes": "ZYXS"})
    image = read_image(tmp_path / "a.tif")
    assert image.is_rgb
    assert np.array_equal(image.pixels, np.moveaxis(volume, -1, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_the_smallest_value_is_white_the_values_are_inverted(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", PLANE.astype(dtype), photometric="miniswhite")
    expected = np.iinfo(dtype).max - PLANE.astype(np.float32)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels[0], expected)


def test_an_inverting_table_of_imagej_does_not_change_the_values(tmp_path):
    values = np.array([[0, 1], [7, 255]], np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="miniswhite", description="ImageJ=1.53t\nmin=0.0\n", metadata=None
    )
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, values[np.newaxis])


def test_a_palette_becomes_its_colours(tmp_path):
    table = np.zeros((3, 256), np.uint16)
    table[:, 5] = 256 * 200, 256 * 100, 256 * 50
    indices = np.array([[0, 5], [5, 0]], np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=table)
    image = read_image(tmp_path / "a.tif")
    assert image.is_rgb
    assert np.array_equal(image.pixels[:, 0, 1], [200, 100, 50])


def test_cmyk_becomes_red_green_blue(tmp_path):
    ink = np.zeros((4, 5, 4), np.uint8)
    ink[0, 0] = 255, 0, 0, 0  # cyan alone leaves green and blue
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels[:, 0, 0], [0, 255, 255])
    assert np.array_equal(image.pixels[:, 1, 1], [255, 255, 255])


def test_jpeg_in_tiff_is_close_to_what_was_written(tmp_path):
    slope = np.add.outer(np.arange(32), np.arange(32)) * 3
    smooth = np.stack([slope] * 3, axis=-1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg")
    image = read_image(tmp_path / "a.tif")
    assert image.is_rgb
    assert np.abs(image.pixels - np.moveaxis(smooth, -1, 0)).max() <= 8


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("YX", (4, 5), (1, 4, 5)),
        ("CYX", (2, 4, 5), (2, 4, 5)),
        ("ZYX", (3, 4, 5), (1, 3, 4, 5)),
        ("ZCYX", (3, 2, 4, 5), (2, 3, 4, 5)),
        ("CZYX", (2, 3, 4, 5), (2, 3, 4, 5)),
        ("TCZYX", (1, 2, 3, 4, 5), (2, 3, 4, 5)),
        ("TZCYX", (1, 1, 7, 4, 5), (7, 4, 5)),
        ("CYXS", (2, 4, 5, 3), (6, 4, 5)),
    ],
)
def test_ome_axes_become_channels_z_y_x(tmp_path, axes, shape, expected):
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        values,
        metadata={"axes": axes},
        photometric="rgb" if "S" in axes else "minisblack",
    )
    image = read_image(tmp_path / "a.ome.tif")
    assert image.pixels.shape == expected
    order = [axes.index(axis) for axis in "TCSZYX" if axis in axes]
    assert np.array_equal(image.pixels.ravel(), np.transpose(values, order).ravel())


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        ("ZYX", (3, 4, 5), (1, 3, 4, 5)),
        ("CYX", (2, 4, 5), (2, 4, 5)),
        ("TZCYX", (1, 3, 2, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_imagej_hyperstacks_become_channels_z_y_x(tmp_path, axes, shape, expected):
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": axes})
    image = read_image(tmp_path / "a.tif")
    order = [axes.index(axis) for axis in "TCZYX" if axis in axes]
    assert image.pixels.shape == expected
    assert np.array_equal(image.pixels.ravel(), np.transpose(values, order).ravel())


def test_a_time_series_is_refused_with_the_way_out(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK.astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(ImageError, match=r"time series of 3 frames.*split it"):
        read_image(tmp_path / "a.tif")


def test_an_axis_that_means_nothing_to_us_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "AYX"}, photometric="minisblack")
    with pytest.raises(ImageError, match="split it along A"):
        read_image(tmp_path / "a.ome.tif")


def test_a_pyramid_gives_its_full_resolution(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(PLANE, subifds=2, metadata={"axes": "YX"})
        writer.write(PLANE[::2, ::2], subfiletype=1)
        writer.write(PLANE[::4, ::4], subfiletype=1)
    assert np.array_equal(read_image(tmp_path / "a.ome.tif").pixels, PLANE[np.newaxis])


def test_of_several_series_the_largest_is_read_and_the_first_among_equals(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(PLANE[:5, :5], metadata={"axes": "YX"})
        writer.write(PLANE, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25})
        writer.write(250 - PLANE, metadata={"axes": "YX"})
    image = read_image(tmp_path / "a.ome.tif")
    assert np.array_equal(image.pixels, PLANE[np.newaxis])
    assert image.space == Space(pixel_size=(0.25, 0.5), unit="micrometer")


@pytest.mark.parametrize(
    ("unit", "factor"), [("µm", 1), ("nm", 1e-3), ("mm", 1e3), ("pixel", None), ("reference frame", None)]
)
def test_the_pixel_size_of_ome_is_given_in_micrometres(tmp_path, unit, factor):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 2, "PhysicalSizeY": 3, "PhysicalSizeZ": 4}
    metadata |= {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata, photometric="minisblack")
    expected = None if factor is None else pytest.approx((4 * factor, 3 * factor, 2 * factor))
    assert read_image(tmp_path / "a.ome.tif").space.pixel_size == expected


@pytest.mark.parametrize("values", [PLANE, COLOUR], ids=["gray", "colour"])
def test_damaged_ome_xml_costs_the_pixel_size_and_not_the_pixels_of_one_page(tmp_path, values):
    put_damaged_ome(tmp_path / "a.ome.tif", values, "YXS"[: values.ndim])
    image = read_image(tmp_path / "a.ome.tif")
    assert np.array_equal(image.pixels, np.moveaxis(np.atleast_3d(values), -1, 0))
    assert image.space == Space()


@pytest.mark.parametrize("axes", ["ZYX", "CYX"])
def test_pages_of_which_damaged_ome_xml_does_not_say_what_they_are_are_refused(tmp_path, axes):
    put_damaged_ome(tmp_path / "a.ome.tif", STACK, axes)
    with pytest.raises(ImageError, match=r"OME-XML is damaged.* 3 pages are slices, channels or times; .*save it"):
        read_image(tmp_path / "a.ome.tif")


def put_damaged_ome(path, values, axes):
    metadata = {"axes": axes, "Name": "A and B", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(path, values, metadata=metadata, photometric="rgb" if "S" in axes else "minisblack")
    path.write_bytes(path.read_bytes().replace(b"A and B", b"A  &  B"))


@pytest.mark.parametrize("unit", ["um", "micron", "microns", "micrometers", "micrometres", "\\u00B5m"])
def test_the_pixel_size_of_imagej_is_given_in_micrometres(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "a.tif",
        STACK.astype(np.uint16),
        imagej=True,
        resolution=(4.0, 2.0),  # pixels per unit along x, y
        metadata={"axes": "ZYX", "unit": unit, "spacing": 1.5},
    )
    assert read_image(tmp_path / "a.tif").space.pixel_size == pytest.approx((1.5, 0.5, 0.25))


def put_imagej(path, values, *lines, axes="slices"):
    """A file of ten pixels a unit with the description that ImageJ writes."""
    stack = [f"images={len(values)}", f"{axes}={len(values)}"] if values.ndim == 3 else []
    text = "\n".join(["ImageJ=1.54f", *stack, *lines, "loop=false", ""])
    tifffile.imwrite(
        path, values, description=text, metadata=None, resolution=(10, 10), resolutionunit=1, photometric="minisblack"
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["unit=micron"], (1.0, 0.1, 0.1)),
        (["unit=mm"], (1000, 100, 100)),
        (["unit=micron", "spacing=-0.3"], (0.3, 0.1, 0.1)),
        (["unit=micron", "zunit=nm", "spacing=300.0"], (0.3, 0.1, 0.1)),
        (["unit=micron", "zunit=nm"], (0.001, 0.1, 0.1)),
        (["unit=nm", "yunit=micron", "zunit=mm", "spacing=2.0"], (2000, 0.1, 0.0001)),
        (["unit=micron", "zunit=pixel"], None),
        (["unit=cm", "spacing=2.0"], None),
        ([], None),
    ],
)
def test_a_stack_of_imagej_has_a_depth_of_1_where_it_says_none_and_a_unit_for_each_axis(tmp_path, lines, expected):
    put_imagej(tmp_path / "a.tif", STACK, *lines)
    size = read_image(tmp_path / "a.tif").space.pixel_size
    assert size == (None if expected is None else pytest.approx(expected))


def test_the_unsaid_depth_of_imagej_is_no_depth_beside_the_resolution_of_a_printer(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, resolution=(40_000, 40_000), metadata={"axes": "ZYX", "unit": "cm"}
    )
    assert read_image(tmp_path / "a.tif").space.pixel_size is None


def test_pages_of_imagej_that_are_no_slices_have_no_unsaid_depth(tmp_path):
    put_imagej(tmp_path / "flat.tif", PLANE, "unit=micron")
    put_imagej(tmp_path / "channels.tif", STACK, "unit=micron", axes="channels")
    put_imagej(tmp_path / "pages.tif", STACK, "unit=micron", axes="pages")
    assert read_image(tmp_path / "flat.tif").space.pixel_size == pytest.approx((0.1, 0.1))
    assert read_image(tmp_path / "channels.tif").space.pixel_size == pytest.approx((0.1, 0.1))
    assert read_image(tmp_path / "pages.tif").space.pixel_size is None


@pytest.mark.parametrize(
    ("dots", "unit", "expected"),
    [
        (96, "inch", None),
        (300, "in", None),
        (118.11, "cm", None),
        (28.346, "centimeter", None),
        (50_800, "inch", (0.5, 0.5)),
        (40_000, "cm", (0.25, 0.25)),
        (0.1, "mm", (10_000, 10_000)),
        (0.1, "um", (10, 10)),
    ],
)
def test_inches_and_centimetres_of_imagej_are_believed_only_below_5_micrometres_a_pixel(tmp_path, dots, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, imagej=True, resolution=(dots, dots), metadata={"unit": unit})
    size = read_image(tmp_path / "a.tif").space.pixel_size
    assert size == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("dots", "unit", "expected"),
    [
        (72, "inch", None),
        (300, "inch", None),
        (4800, "inch", None),
        (50_800, "inch", (0.5, 0.5)),
        (28.346, "centimeter", None),
        (40_000, "centimeter", (0.25, 0.25)),
        (1, "none", None),
    ],
)
def test_plain_resolutions_are_believed_only_below_5_micrometres_a_pixel(tmp_path, dots, unit, expected):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, resolution=(dots, dots), resolutionunit=unit, metadata=None)
    size = read_image(tmp_path / "a.tif").space.pixel_size
    assert size == (None if expected is None else pytest.approx(expected))


def test_an_imagej_colour_table_does_not_change_the_values(tmp_path):
    green = np.zeros((3, 256), np.uint8)
    green[1] = np.arange(256)
    tifffile.imwrite(tmp_path / "a.tif", PLANE, imagej=True, colormap=green.astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, PLANE[np.newaxis])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_no_cut_of_a_file_reads_as_zeros(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in STACK:
            writer.write(plane + 1, compression=compression, contiguous=False, rowsperstrip=8)
    whole = (tmp_path / "a.tif").read_bytes()
    for length in range(1, len(whole), 97):
        (tmp_path / "b.tif").write_bytes(whole[:length])
        try:
            image = read_image(tmp_path / "b.tif")
        except ImageError:
            continue
        assert np.array_equal(image.pixels[0], STACK + 1)


def test_a_missing_tile_is_an_error_and_not_background(tmp_path):
    def tiles():
        yield np.full((16, 16), 7, np.uint8)
        yield None
        yield np.full((16, 16), 7, np.uint8)
        yield np.full((16, 16), 7, np.uint8)

    tifffile.imwrite(tmp_path / "a.tif", tiles(), shape=(32, 32), dtype=np.uint8, tile=(16, 16), compression="zlib")
    with pytest.raises(ImageError, match="pieces without data"):
        read_image(tmp_path / "a.tif")


def directory(entries, following):
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + body + struct.pack("<I", following)


def test_a_circle_of_directories_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + directory([(256, 3, 1, 4)], 8))
    with pytest.raises(ImageError, match="run in a circle"):
        read_image(tmp_path / "a.tif")


def test_a_chain_of_a_hundred_thousand_pages_is_refused(tmp_path):
    size = len(directory([(256, 3, 1, 4)], 0))
    pages = [directory([(256, 3, 1, 4)], 8 + (number + 1) * size) for number in range(MAX_PAGES + 1)]
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(pages))
    with pytest.raises(ImageError, match="more than 65,536 pages"):
        read_image(tmp_path / "a.tif")


def claim(width, height, samples=1):
    """A TIFF whose header claims a size and whose one strip holds four bytes."""
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, 1, 0), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, 4)),
    ]
    place = 8 + len(directory(entries, 0))
    entries[5] = (273, 4, 1, place)
    return b"II*\0" + struct.pack("<I", 8) + directory(entries, 0) + b"\1\2\3\4"


def test_the_hand_made_tiff_is_valid_when_its_claim_is_true(tmp_path):
    (tmp_path / "a.tif").write_bytes(claim(2, 2))
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, [[[1, 2], [3, 4]]])


@pytest.mark.parametrize(
    ("width", "height", "samples", "message"),
    [
        (200_000, 200_000, 1, "200,000 x 200,000 pixels"),
        (2, 2, 65_535, "65,535 channels, more than the 1,024 allowed"),
        (2_000, 2_000, 1, "cut off"),
        (0, 2, 1, "."),
    ],
)
def test_a_tiff_that_claims_more_than_it_has_is_refused(tmp_path, width, height, samples, message):
    (tmp_path / "a.tif").write_bytes(claim(width, height, samples))
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (1, 9), (3, 5, 7), (1300, 30)])
@pytest.mark.parametrize(("kind", "top"), [("classes", 3), ("classes", 300), ("objects", 9), ("objects", 70_000)])
def test_labels_read_back_bit_for_bit_in_the_smallest_promised_type(tmp_path, shape, kind, top):
    ids = np.random.default_rng(0).integers(0, top + 1, shape)
    ids.flat[0] = top
    space = Space(pixel_size=(0.5,) * len(shape), unit="micrometer")
    write_labels(tmp_path / "a.tif", ids, space=space, kind=kind)
    stored = tifffile.imread(tmp_path / "a.tif")
    promised = {3: np.uint8, 300: np.uint16, 9: np.uint16, 70_000: np.uint32}[top]
    assert stored.dtype == promised
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels[0], ids)
    assert image.space == space


def test_equal_labels_are_equal_files(tmp_path):
    for name in ("a.tif", "b.tif"):
        write_labels(tmp_path / name, PLANE, space=Space())
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 5, 7), (2, 3, 5, 7)])
def test_probabilities_read_back_bit_for_bit_channels_first(tmp_path, shape):
    values = np.random.default_rng(0).random(shape, np.float32)
    names = tuple("abc"[: shape[0]])
    space = Space(pixel_size=(0.5,) * (len(shape) - 1), unit="micrometer")
    write_probabilities(tmp_path / "a.tif", Probabilities(values=values, classes=names, space=space))
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels, values)
    assert image.space == space
    assert not image.is_rgb


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 5, 7), (1, 3, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("suffix", ["tif", "nii.gz"])
def test_an_image_reads_back_bit_for_bit(tmp_path, shape, suffix):
    pixels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    write_image(tmp_path / f"a.{suffix}", Image(pixels=pixels))
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}").pixels, pixels)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_colour_image_reads_back_as_a_colour_image(tmp_path, suffix):
    pixels = np.moveaxis(COLOUR, -1, 0).astype(np.float32)
    write_image(tmp_path / f"a.{suffix}", Image(pixels=pixels, is_rgb=True))
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.is_rgb
    assert np.array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((1030, 300), ()), ((3, 1030, 300), ("a", "b", "c")), ((2, 3, 1100, 40), ("a", "b")), ((2, 1025, 256), ())],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_file_written_in_blocks_is_the_file_written_at_once(tmp_path, shape, channels, dtype):
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    space = Space(pixel_size=(3.0, 0.5, 0.25)[-(len(shape) - bool(channels)) :], unit="micrometer")
    encode_tiff(tmp_path / "once.tif", values, space=space, channels=channels)
    encode_tiff_in_blocks(tmp_path / "blocks.tif", values, dtype=values.dtype, space=space, channels=channels)
    assert (tmp_path / "blocks.tif").read_bytes() == (tmp_path / "once.tif").read_bytes()


def test_a_small_image_is_written_in_tiles_as_well(tmp_path):
    values = np.arange(35, dtype=np.uint8).reshape(5, 7)
    encode_tiff_in_blocks(tmp_path / "a.tif", values, dtype=values.dtype, space=Space())
    assert (tifffile.imread(tmp_path / "a.tif") == values).all()
