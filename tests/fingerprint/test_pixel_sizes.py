import numpy as np
import pytest

from segue.arrays import Image, Space
from segue.fingerprint.measures import measure_image
from segue.fingerprint.pixel_sizes import looks_wrong, pixel_sizes, working_shape


def measured(size=None, unit="micrometer", shape=(4, 4)):
    space = Space(pixel_size=size, unit=unit) if size else Space()
    return measure_image(Image(pixels=np.zeros((1, *shape), np.float32), space=space))


def sizes_of(images):
    found = pixel_sizes(images, axes=2)
    assert found is not None
    return found


def test_the_median_and_the_extremes_are_those_of_each_axis():
    found = sizes_of([measured((0.1, 3)), measured((0.4, 1)), measured((0.2, 2))])
    assert (found.low, found.middle, found.high) == ((0.1, 1), (0.2, 2), (0.4, 3))
    assert (found.unit, found.silent, found.differ) == ("micrometer", 0, True)
    assert found.space == Space(pixel_size=(0.2, 2), unit="micrometer")


def test_without_any_size_there_is_nothing_to_say():
    assert pixel_sizes([measured(), measured()], axes=2) is None


def test_equal_sizes_do_not_differ_and_images_without_one_are_counted():
    assert not sizes_of([measured((0.1, 0.1))] * 3).differ
    found = sizes_of([measured((0.1, 0.1)), measured(), measured()])
    assert (found.middle, found.silent, found.differ) == ((0.1, 0.1), 2, True)


def test_units_of_length_are_converted_to_that_of_most_images():
    images = [measured((2.0, 2.0)), measured((4.0, 4.0)), measured((0.003, 0.003), "millimeter")]
    found = sizes_of(images)
    assert found.unit == "micrometer"
    assert found.middle == pytest.approx((3.0, 3.0))
    assert found.silent == 0


def test_sizes_without_a_unit_count_only_if_there_are_no_others():
    assert sizes_of([measured((2.0, 2.0), "pixel")]).middle == (2.0, 2.0)
    found = sizes_of([measured((2.0, 2.0), "pixel"), measured((0.5, 0.5))])
    assert (found.middle, found.silent) == ((0.5, 0.5), 1)


def test_images_with_other_axes_do_not_count():
    found = sizes_of([measured((0.1, 0.1)), measured((5.0, 1.0, 1.0), shape=(2, 2, 2))])
    assert (found.middle, found.silent) == ((0.1, 0.1), 0)


def test_the_working_shape_is_the_median_at_the_median_size():
    images = [measured((0.05, 0.05), shape=(400, 200)), measured((0.1, 0.1), shape=(100, 100)), measured(None)]
    images.append(measured((0.2, 0.2), shape=(90, 90)))
    sizes = sizes_of(images)
    assert sizes.middle == (0.1, 0.1)
    assert working_shape(images, sizes) == (140, 100)  # of 200 x 100, 100 x 100, 4 x 4 and 180 x 180


def test_pixels_far_from_the_median_look_wrong():
    images = [measured((0.1, size)) for size in (0.1, 0.1, 1.3, 1.1, 0.1)] + [measured()]
    sizes = sizes_of(images)
    assert [looks_wrong(image, sizes) for image in images] == [False, False, True, False, False, False]
