"""A fingerprint is counted by hand and survives JSON."""

import json

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels, Space
from segue.fingerprint.measures import measure_image, measure_labels
from segue.fingerprint.summary import Fingerprint, equivalent_diameter, summarise_set


def summary(arrays, ids, *, kind="classes", is_rgb=False, sizes=None) -> Fingerprint:
    spaces = [Space(pixel_size=size, unit="micrometer") if size else Space() for size in sizes or [None] * 9]
    images = [
        measure_image(Image(pixels=np.asarray(array, np.float32), space=space, is_rgb=is_rgb))
        for array, space in zip(arrays, spaces, strict=False)
    ]
    labels = [measure_labels(Labels(ids=np.asarray(one, np.int32), kind=kind)) for one in ids]
    return summarise_set(images, labels, kind=kind, classes=("background", "cell"))


def test_shapes_intensities_and_frequencies_are_those_of_the_set():
    arrays = [np.zeros((1, 4, 6)), np.full((1, 2, 10), 100), np.full((1, 6, 8), 50)]
    ids = [np.zeros((4, 6)), np.ones((2, 10)), np.full((6, 8), IGNORE)]
    found = summary(arrays, ids)
    assert (found.images, found.spatial_axes, found.channels, found.colour) == (3, 2, 1, "gray")
    assert (found.smallest_shape, found.median_shape, found.largest_shape) == ((2, 6), (4, 8), (6, 10))
    assert found.shapes == 3
    assert found.bits == 8
    (channel,) = found.intensities
    assert (channel.lowest, channel.median, channel.highest, channel.mean) == (0, 50, 100, 50)
    assert channel.spread_of_means == pytest.approx(np.std([0, 50, 100]))
    assert found.class_frequencies == pytest.approx((24 / 44, 20 / 44))
    assert found.ignored == pytest.approx(48 / 92)


def test_objects_are_summed_up():
    first, second = np.zeros((10, 10), int), np.zeros((10, 10), int)
    first[2:4, 2:4], first[2:4, 4:6], first[9, 9] = 1, 2, 3
    second[5, 5] = 1
    found = summary([np.zeros((1, 10, 10))] * 2, [first, second], kind="objects").objects
    assert found is not None
    assert found.total == 4
    assert found.per_image == (1, 2, 3)
    assert found.touching == 0.5
    assert found.at_border == 0.25
    assert found.diameter[0] == pytest.approx(2 / np.sqrt(np.pi))
    assert found.diameter[4] == pytest.approx(4 / np.sqrt(np.pi))


def test_a_set_without_objects_has_diameters_of_zero():
    found = summary([np.zeros((1, 3, 3))], [np.zeros((3, 3))], kind="objects").objects
    assert found is not None
    assert (found.total, found.diameter, found.touching) == (0, (0, 0, 0, 0, 0), 0)


@pytest.mark.parametrize(
    ("value", "bits"), [(255, 8), (256, 12), (4095, 12), (65535, 16), (70000, 32), (0.5, None), (-1, None)]
)
def test_bits_are_the_fewest_that_hold_all_values(value, bits):
    assert summary([np.full((1, 2, 2), value)], [np.zeros((2, 2))]).bits == bits


def test_pixel_sizes_that_differ_are_noticed():
    arrays, ids = [np.zeros((1, 2, 2))] * 3, [np.zeros((2, 2))] * 3
    same = summary(arrays, ids, sizes=[(1.0, 0.5)] * 3)
    assert (same.pixel_size, same.unit, same.pixel_size_differs) == ((1.0, 0.5), "micrometer", False)
    assert summary(arrays, ids, sizes=[(1.0, 0.5), (1.0, 0.5), (1.0, 0.6)]).pixel_size_differs
    assert summary(arrays, ids, sizes=[(1.0, 0.5), (1.0, 0.5), None]).pixel_size_differs
    assert summary(arrays, ids).pixel_size is None


def test_rgb_with_equal_channels_counts_as_gray():
    gray = np.repeat(np.arange(4.0).reshape(1, 2, 2), 3, axis=0)
    assert summary([gray], [np.zeros((2, 2))], is_rgb=True).colour == "gray"
    assert summary([gray], [np.zeros((2, 2))], is_rgb=True).channels == 1
    coloured = gray + np.arange(3).reshape(3, 1, 1)
    found = summary([gray, coloured], [np.zeros((2, 2))] * 2, is_rgb=True)
    assert (found.colour, found.channels, len(found.intensities)) == ("mixed", 3, 3)


@pytest.mark.parametrize("kind", ["classes", "objects"])
def test_a_fingerprint_survives_json(kind):
    found = summary([np.arange(24).reshape(1, 4, 6)], [np.ones((4, 6))], kind=kind, sizes=[(1.0, 2.0)])
    assert Fingerprint.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_disc_and_a_ball_have_the_diameter_of_their_size():
    assert equivalent_diameter(np.pi * 25, axes=2) == pytest.approx(10)
    assert equivalent_diameter(np.pi / 6 * 1000, axes=3) == pytest.approx(10)


def scan(rng, *, kind="classes", unit="millimeter"):
    """One with class 1 above the middle, here or there to the left and right."""
    ids = np.zeros((20, 20), np.int32)
    column = rng.integers(0, 16)
    ids[2:6, column : column + 4] = 1
    labels = measure_labels(Labels(ids=ids, kind=kind))
    size = (1.0, 1.0) if unit else None
    return measure_image(
        Image(pixels=np.zeros((1, 20, 20), np.float32), space=Space(pixel_size=size, unit=unit))
    ), labels


@pytest.mark.parametrize(
    ("kind", "unit", "oriented"),
    [("classes", "millimeter", (True, False)), ("classes", "micrometer", ()), ("objects", "millimeter", ())],
)
def test_scans_with_a_class_on_one_side_are_oriented_and_what_a_microscope_shows_is_not(kind, unit, oriented):
    rng = np.random.default_rng(0)
    images, labels = zip(*(scan(rng, kind=kind, unit=unit) for _ in range(12)), strict=True)
    found = summarise_set(images, labels, kind=kind, classes=("background", "cell"))
    assert found.oriented == oriented
    assert Fingerprint.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    before = {name: value for name, value in found.to_dict().items() if name != "oriented"}
    assert Fingerprint.from_dict(before).oriented == ()  # models that were made before
