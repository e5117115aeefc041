import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops_table

from segue.arrays import Image, Space
from segue.errors import LabelError
from segue.objects.measure import measure_objects

MICROSCOPE = Space(pixel_size=(0.5, 0.5), unit="micrometer")


def two_objects() -> NDArray[np.uint32]:
    ids = np.zeros((8, 10), np.uint32)
    ids[1:4, 1:7] = 3
    ids[6, 9] = 7
    return ids


def test_a_rectangle_and_a_pixel_measure_as_on_paper():
    table = measure_objects(two_objects())
    assert table["id"] == [3, 7]
    assert table["class"] == ["object", "object"]
    assert table["area_px"] == [18, 1]
    assert table["centroid_y_px"] == [2, 6]
    assert table["centroid_x_px"] == [3.5, 9]
    assert table["solidity"] == [1, 1]
    # variance of n equidistant pixels is (n^2 - 1) / 12; an axis is 4 standard deviations
    assert table["major_axis_px"] == pytest.approx([4 * math.sqrt(35 / 12), 0])
    assert table["minor_axis_px"] == pytest.approx([4 * math.sqrt(8 / 12), 0])
    assert table["orientation"] == [90, None]
    assert table["touches_border"] == [False, True]


def test_lengths_areas_and_centroids_follow_in_the_unit_of_the_image():
    table = measure_objects(two_objects(), space=MICROSCOPE)
    assert table["area_um2"] == [18 / 4, 1 / 4]
    for name in ("centroid_y", "centroid_x", "major_axis", "minor_axis", "perimeter"):
        assert table[f"{name}_um"] == pytest.approx([value / 2 for value in table[f"{name}_px"]])


def test_without_a_known_pixel_size_there_are_only_pixels():
    assert not any(name.endswith(("um", "um2", "mm", "mm2")) for name in measure_objects(two_objects()))


def test_moments_equal_those_of_scikit_image():
    rng = np.random.default_rng(0)
    for shape in ((60, 61), (20, 21, 22)):
        ids, _ = ndimage.label(ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.03)
        pixel_size = (0.7, 0.4, 0.3)[-len(shape) :]
        table = measure_objects(ids, space=Space(pixel_size=pixel_size, unit="millimeter"))
        names = ("area", "centroid", "axis_major_length", "axis_minor_length")
        expected = regionprops_table(ids, properties=names, spacing=pixel_size)
        content = "area_mm2" if len(shape) == 2 else "volume_mm3"
        assert table[content] == pytest.approx(expected["area"])
        assert table["centroid_y_mm"] == pytest.approx(expected[f"centroid-{len(shape) - 2}"])
        assert table["major_axis_mm"] == pytest.approx(expected["axis_major_length"], abs=1e-6)
        assert table["minor_axis_mm"] == pytest.approx(expected["axis_minor_length"], abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, -60, 75])
def test_orientation_is_the_angle_from_the_y_axis_towards_x(degrees):
    y, x = np.mgrid[-40:41, -40:41]
    angle = math.radians(degrees)
    along, across = y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)
    ids = ((along / 35) ** 2 + (across / 10) ** 2 < 1).astype(int)
    table = measure_objects(ids)
    assert table["orientation"] == pytest.approx([degrees], abs=0.5)
    assert table["major_axis_px"] == pytest.approx([70], rel=0.01)
    assert table["minor_axis_px"] == pytest.approx([20], rel=0.02)


def test_the_perimeter_of_a_disc_and_the_surface_of_a_ball_are_near_those_of_geometry():
    y, x = np.mgrid[-30:31, -30:31]
    disc = measure_objects((np.hypot(y, x) < 25).astype(int))
    assert disc["perimeter_px"] == pytest.approx([2 * math.pi * 25], rel=0.02)
    z, y, x = np.mgrid[-15:16, -15:16, -15:16]
    ball = (z**2 + y**2 + x**2 < 12**2).astype(int)
    table = measure_objects(ball, space=Space(pixel_size=(2.0, 2.0, 2.0), unit="micrometer"))
    assert table["surface_px"] == pytest.approx([4 * math.pi * 12**2], rel=0.1)
    assert table["surface_um2"] == pytest.approx([4 * value for value in table["surface_px"]])
    assert table["volume_um3"] == [8 * ball.sum()]
    assert "orientation" not in table


def test_pixels_that_are_not_square_have_no_physical_perimeter():
    table = measure_objects(two_objects(), space=Space(pixel_size=(1.0, 0.5), unit="micrometer"))
    assert table["perimeter_um"] == [None, None]
    assert table["perimeter_px"][0] > 0


def test_solidity_is_the_share_of_the_hull():
    corner = np.zeros((6, 6), int)
    corner[1:5, 1:3], corner[3:5, 1:5] = 1, 1
    # 12 pixels; the hull is the 4 x 4 square less a triangle with legs of 2
    assert measure_objects(corner)["solidity"] == pytest.approx([12 / 14])
    flat = np.zeros((3, 4, 5), int)
    flat[1, 1:3, 1:4] = 1
    assert measure_objects(flat)["solidity"] == [1]


def test_intensities_are_measured_in_every_channel():
    ids = two_objects()
    pixels = np.stack([np.arange(80).reshape(8, 10), np.ones((8, 10))]).astype(np.float32)
    table = measure_objects(ids, Image(pixels=pixels, space=MICROSCOPE), foreground=pixels[1] / 2)
    assert table["mean_0"] == [pixels[0][ids == 3].mean(), 69]
    assert table["sum_0"] == [pixels[0][ids == 3].sum(), 69]
    assert table["sum_1"] == [18, 1]
    assert table["confidence"] == [0.5, 0.5]
    assert "area_um2" in table  # the space of the image


def test_the_classes_of_objects_are_those_of_the_ids_from_1_on():
    classes = ["a", "b", "white", "d", "e", "f", "red"]
    assert measure_objects(two_objects(), object_classes=classes)["class"] == ["white", "red"]
    with pytest.raises(LabelError, match="the classes of 3 objects are known, but there is an object 7"):
        measure_objects(two_objects(), object_classes=classes[:3])


def test_an_ellipsoid_has_three_axes_and_a_direction():
    z, y, x = np.mgrid[-10:11, -20:21, -30:31]
    along = (x + y) / math.sqrt(2)
    across = (x - y) / math.sqrt(2)
    ids = ((along / 18) ** 2 + (across / 9) ** 2 + (z / 6) ** 2 < 1).astype(int)
    table = measure_objects(ids)
    axes = [table[f"{name}_axis_px"][0] for name in ("major", "middle", "minor")]
    assert axes == pytest.approx([36, 18, 12], rel=0.02)
    direction = [table[f"direction_{axis}"][0] for axis in "zyx"]
    assert direction == pytest.approx([0, math.sqrt(0.5), math.sqrt(0.5)], abs=0.01)


def test_a_direction_is_that_in_space_and_a_ball_has_none():
    line = np.zeros((7, 7, 7), int)
    line[range(5), range(5), 3] = 1  # as many slices as rows, but slices are three times as thick
    table = measure_objects(line, space=Space(pixel_size=(3.0, 1.0, 1.0), unit="micrometer"))
    direction = [table[f"direction_{axis}"][0] for axis in "zyx"]
    assert direction == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10), 0])
    z, y, x = np.mgrid[-4:5, -4:5, -4:5]
    assert measure_objects((z**2 + y**2 + x**2 < 10).astype(int))["direction_z"] == [None]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 4), (2, 3, 4)])
def test_images_without_objects_give_a_table_without_rows(shape):
    space = Space(pixel_size=(1.0,) * len(shape), unit="micrometer")
    table = measure_objects(np.zeros(shape, int), space=space)
    assert all(column == [] for column in table.values())
    assert {"id", "class", "solidity", "touches_border"} <= set(table)


@pytest.mark.parametrize("ids", [two_objects(), two_objects().reshape(2, 4, 10)], ids=["plane", "volume"])
def test_every_value_is_plain(ids):
    space = Space(pixel_size=(0.5,) * ids.ndim, unit="micrometer")
    table = measure_objects(ids, space=space)
    plain = (int, float, str, bool, type(None))
    assert all(type(value) in plain for column in table.values() for value in column)
    assert len({len(column) for column in table.values()}) == 1


def test_shapes_that_do_not_fit_are_refused():
    image = Image(pixels=np.zeros((1, 8, 9), np.float32))
    with pytest.raises(LabelError, match=r"the objects have the shape \(8, 10\) and the image \(8, 9\)"):
        measure_objects(two_objects(), image)
    with pytest.raises(LabelError, match=r"and the foreground \(1, 1\)"):
        measure_objects(two_objects(), foreground=np.zeros((1, 1), np.float32))
