"""Measures are counted by hand."""

import numpy as np
import pytest

from segue.arrays import IGNORE, Image, Labels, Space
from segue.fingerprint.measures import THUMBNAIL, measure_image, measure_labels, neighbour_views
from segue.fingerprint.planes import busiest_plane, middle_plane


def image_of(pixels, **more) -> Image:
    return Image(pixels=np.asarray(pixels, np.float32), **more)


def objects_of(ids) -> Labels:
    return Labels(ids=np.asarray(ids, np.int32), kind="objects")


def test_intensities_are_those_of_each_channel():
    pixels = np.stack([np.arange(100).reshape(10, 10), np.full((10, 10), 7)])
    measure = measure_image(image_of(pixels))
    ramp, flat = measure.channels
    assert (ramp.lowest, ramp.median, ramp.highest, ramp.mean) == (0, 49.5, 99, 49.5)
    assert ramp.std == pytest.approx(np.arange(100).std())
    assert (flat.lowest, flat.low, flat.high, flat.std) == (7, 7, 7, 0)
    assert measure.shape == (10, 10)
    assert not measure.is_constant
    assert measure.whole_numbers


def test_values_that_are_not_finite_are_counted_and_left_out():
    pixels = np.full((1, 4, 4), 2.0)
    pixels[0, 0, :3] = np.nan, np.inf, -np.inf
    measure = measure_image(image_of(pixels))
    assert measure.not_finite == 3
    assert measure.channels[0].mean == 2
    assert measure.is_constant


def test_an_image_without_a_finite_value_is_measured_without_a_warning():
    measure = measure_image(image_of(np.full((1, 3, 3), np.nan)))
    assert measure.not_finite == 9
    assert measure.is_constant


def test_a_gray_image_saved_as_rgb_is_not_colourful():
    gray = np.repeat(np.arange(9.0).reshape(1, 3, 3), 3, axis=0)
    assert not measure_image(image_of(gray, is_rgb=True)).is_colourful
    gray[0, 0, 0] = 5
    assert measure_image(image_of(gray, is_rgb=True)).is_colourful


def test_fractions_are_noticed():
    assert not measure_image(image_of([[[0.5, 1]]])).whole_numbers


def test_pixel_size_is_kept():
    space = Space(pixel_size=(0.5, 0.25), unit="micrometer")
    measure = measure_image(image_of(np.zeros((1, 2, 2)), space=space))
    assert (measure.pixel_size, measure.unit) == ((0.5, 0.25), "micrometer")


def test_equal_pixels_have_equal_digests_and_another_shape_has_another():
    one, same, other = (measure_image(image_of(np.zeros(shape))).digest for shape in ((1, 2, 6), (1, 2, 6), (1, 3, 4)))
    assert one == same != other


def test_a_thumbnail_holds_the_means_of_blocks():
    pixels = np.kron(np.arange(THUMBNAIL**2).reshape(THUMBNAIL, THUMBNAIL), np.ones((3, 2)))
    thumbnail = measure_image(image_of(pixels[None])).thumbnail
    np.testing.assert_allclose(thumbnail, np.arange(THUMBNAIL**2).reshape(THUMBNAIL, THUMBNAIL))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 200), (2, 4, 4)])
def test_thumbnails_of_all_shapes_have_one_size_and_keep_a_constant(shape):
    thumbnail = measure_image(image_of(np.full((1, *shape), 3))).thumbnail
    assert thumbnail.shape == (THUMBNAIL, THUMBNAIL)
    np.testing.assert_allclose(thumbnail, 3)


def test_classes_are_counted_and_ignored_pixels_are_not():
    labels = Labels(
        ids=np.array([[0, 1, 1, IGNORE], [2, 0, 0, IGNORE]], np.int32),
        kind="classes",
        classes=("a", "b", "c", "d"),
    )
    measure = measure_labels(labels)
    assert measure.counts == (3, 2, 1, 0)
    assert measure.ignored == 2
    assert measure.objects is None
    assert not measure.is_empty


def test_objects_are_counted_by_hand():
    ids = np.array(
        [
            [9, 9, 0, 0, 0, 0],
            [9, 4, 0, 0, 7, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 2, 0, 0, 2, 0],
            [0, 0, 0, 0, 0, 0],
        ]
    )
    measure = measure_labels(objects_of(ids))
    objects = measure.objects
    assert objects is not None
    assert objects.count == 4
    assert objects.sizes.tolist() == [2, 1, 1, 3]  # ids 2, 4, 7, 9
    assert objects.of_one_pixel == 2
    assert objects.touching == 2  # 4 and 9
    assert objects.at_border == 1  # 9
    assert objects.in_pieces == (2,)
    assert objects.highest_id == 9
    assert measure.counts == (23, 7)


def test_pixels_that_meet_at_a_corner_are_one_piece_and_touch():
    measure = measure_labels(objects_of([[1, 0, 0], [0, 1, 2], [0, 0, 0]])).objects
    assert measure is not None
    assert measure.in_pieces == ()
    assert measure.touching == 2
    diagonal = measure_labels(objects_of([[1, 0], [0, 2]])).objects
    assert diagonal is not None
    assert diagonal.touching == 2


def test_objects_of_a_volume_are_counted():
    ids = np.zeros((3, 4, 4), int)
    ids[0, 0, 0] = ids[2, 3, 3] = 5
    ids[1, 1, 1] = 6
    objects = measure_labels(objects_of(ids)).objects
    assert objects is not None
    assert objects.in_pieces == (5,)
    assert objects.touching == 2  # (0, 0, 0) and (1, 1, 1) meet at a corner
    assert objects.at_border == 1


def test_very_high_ids_are_counted_like_low_ones():
    low, high = ([[1, 1, 0], [0, 0, 2]], [[1, 1, 0], [0, 0, 2_000_000_000]])
    one, other = (measure_labels(objects_of(ids)).objects for ids in (low, high))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.sizes, other.sizes)
    assert other.highest_id == 2_000_000_000


def test_ids_that_are_colours_take_no_memory_for_the_colours_between(monkeypatch):
    lengths = []
    bincount = np.bincount

    def counted(values, minlength=0):
        lengths.append(minlength)
        return bincount(values, minlength=minlength)

    monkeypatch.setattr(np, "bincount", counted)
    objects = measure_labels(objects_of([[0xFF8000, 0], [0, 0x00FF00]])).objects
    assert objects is not None
    assert objects.sizes.tolist() == [1, 1]
    assert max(lengths) <= 4


@pytest.mark.parametrize("ids", [np.zeros((3, 3)), np.full((3, 3), IGNORE), np.zeros((0, 0))])
def test_masks_without_objects_are_empty(ids):
    measure = measure_labels(objects_of(ids))
    assert measure.is_empty
    assert measure.objects is not None
    assert measure.objects.count == 0


def test_an_object_that_fills_the_image_is_no_empty_mask():
    assert not measure_labels(objects_of(np.ones((3, 3)))).is_empty


@pytest.mark.parametrize(("axes", "pairs"), [(1, 1), (2, 4), (3, 13)])
def test_each_pair_of_neighbours_meets_once(axes, pairs):
    array = np.arange(3**axes, dtype=np.int32).reshape((3,) * axes)
    views = neighbour_views(array)
    assert len(views) == pairs
    met = [frozenset(pair) for here, there in views for pair in zip(here.flat, there.flat, strict=True)]
    assert len(met) == len(set(met))
    middle = 3**axes // 2
    assert sum(middle in pair for pair in met) == 3**axes - 1


def test_the_middle_and_the_busiest_plane_are_found():
    ids = np.zeros((5, 4, 4), np.int32)
    ids[3, ::2] = 1
    assert busiest_plane(ids) == 3
    assert busiest_plane(ids[0]) is None
    pixels = np.arange(5)[None, :, None, None] * np.ones((2, 5, 3, 3))
    assert (middle_plane(pixels) == 2).all()


def test_objects_of_several_classes_are_counted_class_by_class():
    ids = np.array([[1, 1, 0, 2, IGNORE], [1, 0, 8, 8, 8]], np.int32)
    names = ("background", "red", "white")
    first, second, third = (
        measure_labels(Labels(ids=ids, kind="objects", classes=names, object_classes=table))
        for table in ({1: 2, 2: 1, 8: IGNORE}, {1: 2, 2: 1, 8: IGNORE, 77: 1}, {1: 2, 2: 2, 8: IGNORE})
    )
    assert first.counts == (2, 1, 3)
    assert first.ignored == 4  # one pixel, and the object of unknown class
    assert first.objects is not None
    assert first.objects.of_class == (0, 1, 1)
    assert (first.objects.count, first.objects.sizes.tolist()) == (3, [3, 1, 3])
    assert first.digest == second.digest != third.digest
    assert first.digest != measure_labels(objects_of(ids)).digest
    without = measure_labels(objects_of(ids)).objects
    assert without is not None
    assert without.of_class == ()


def test_without_objects_there_is_none_of_any_class():
    nothing = np.zeros((2, 3), np.int32)
    told = Labels(ids=nothing, kind="objects", classes=("background", "a", "b"), object_classes={})
    measured = measure_labels(told)
    assert measured.counts == (6, 0, 0)
    assert measured.objects is not None
    assert measured.objects.of_class == (0, 0, 0)
    assert measured.is_empty
