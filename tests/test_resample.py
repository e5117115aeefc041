from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue import resample
from segue.arrays import IGNORE, Image, Labels, Space
from segue.errors import ImageError
from segue.resample import (
    LARGEST_RATIO,
    are_alike,
    needed_shape,
    resample_in_blocks,
    resample_labels,
    resample_nearest,
    resample_values,
    shown,
    with_pixel_size,
)

SHAPES = [((6, 8), (3, 4)), ((5, 7), (8, 20)), ((9, 4), (4, 9)), ((4, 6, 5), (7, 3, 5)), ((3, 4, 4), (3, 8, 8))]
pairs_of_shapes = pytest.mark.parametrize(("shape", "new"), SHAPES)
lengths = st.integers(1, 12)


def micrometres(*sizes):
    return Space(pixel_size=sizes, unit="micrometer")


def image_of(shape, space, *, seed=0):
    pixels = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    return Image(pixels=pixels, space=space, name="a.tif")


def objects_of(ids):
    return Labels(ids=np.asarray(ids, np.int32), kind="objects")


def classes_of(ids):
    return Labels(ids=np.asarray(ids, np.int32), kind="classes", classes=("background", "a", "b"))


def matrix(old, new):
    """The definition: triangles as wide as two pixels of the coarser grid, centred on the new pixels, sum 1."""
    width = max(old / new, 1)
    centres = (np.arange(new) + 0.5) * old / new
    weights = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centres[:, None]) / width)
    return weights / weights.sum(axis=1, keepdims=True)


@pairs_of_shapes
def test_values_are_means_weighted_by_the_triangle_of_the_definition(shape, new):
    values = np.random.default_rng(0).normal(size=(2, *shape))
    expected = values
    for axis, (old, now) in enumerate(zip(shape, new, strict=True), start=1):
        expected = np.moveaxis(np.tensordot(matrix(old, now), expected, axes=(1, axis)), 0, axis)
    found = resample_values(values.astype(np.float32), new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_in_two_dimensions_it_is_the_antialiased_interpolation_of_torch():
    values = np.random.default_rng(0).normal(size=(1, 40, 60)).astype(np.float32)
    tensor = torch.from_numpy(values)[None]
    expected = torch.nn.functional.interpolate(tensor, size=(23, 71), mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(resample_values(values, (23, 71)), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (3, 4, 5)])
def test_equal_shapes_change_nothing(shape):
    values = np.zeros((1, *shape), np.float32)
    labels = classes_of(np.zeros(shape))
    assert resample_values(values, shape) is values
    assert resample_labels(labels, shape) is labels


@given(old=st.tuples(lengths, lengths), new=st.tuples(lengths, lengths), value=st.floats(-100, 100, width=32))
def test_a_constant_stays_constant(old, new, value):
    found = resample_values(np.full((1, *old), value, np.float32), new)
    np.testing.assert_allclose(found, value, rtol=1e-6)


@pairs_of_shapes
def test_probabilities_stay_probabilities(shape, new):
    values = np.random.default_rng(0).dirichlet((0.2,) * 4, size=prod(shape)).T.reshape(4, *shape).astype(np.float32)
    found = resample_values(values, new)
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(16, 8), (16, 32), (21, 13), (13, 21), (30, 10)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ramp_stays_a_ramp_with_pixel_areas_that_coincide(old, new, axis):
    shape = [4, 4, 4]
    shape[axis] = old
    places = (np.arange(old) + 0.5) / old  # centres of the pixels in an image of length 1
    along = [-1 if other == axis else 1 for other in range(3)]
    ramp = np.broadcast_to(places.reshape(along), shape).astype(np.float32)[None]
    shape[axis] = new
    found = np.moveaxis(resample_values(ramp, shape)[0], axis, 0)
    inner = slice(2, -2)  # at the edges there is nothing beyond to interpolate with
    expected = ((np.arange(new) + 0.5) / new)[inner, None, None]
    # Where an image is reduced by a broken factor, the triangle lies on the old pixels a little differently each time.
    broken = 0.1 / old if old > new and old % new else 1e-6
    np.testing.assert_allclose(found[inner], np.broadcast_to(expected, found[inner].shape), atol=broken)


def test_reducing_to_half_does_not_alias():
    stripes = np.tile(np.array([0, 1], np.float32), 16)[None, None].repeat(4, axis=1)  # as fine as stripes can be
    assert np.ptp(resample_values(stripes, (4, 16))[0, :, 2:-2]) < 1e-6


@given(old=st.tuples(lengths, lengths, lengths), factor=st.floats(0.1, 10))
def test_the_way_back_has_the_shape_of_the_image(old, factor):
    image = image_of(old, micrometres(0.2, 0.1, 0.1))
    wanted = micrometres(0.2 / factor, 0.1 / factor, 0.1 / factor)
    seen = with_pixel_size(image, wanted)
    assert resample_values(seen.pixels, image.shape).shape == image.pixels.shape
    assert min(seen.shape) >= 1


# Sizes


@pytest.mark.parametrize(
    ("shape", "space", "wanted", "new"),
    [
        ((100, 100), micrometres(0.2, 0.2), micrometres(0.1, 0.1), (200, 200)),
        ((100, 101), micrometres(0.1, 0.1), micrometres(0.2, 0.2), (50, 51)),
        ((100, 100), micrometres(0.1, 0.2), micrometres(0.1, 0.1), (100, 200)),
        ((100, 100), micrometres(0.109, 0.092), micrometres(0.1, 0.1), (100, 100)),
        ((20, 50, 50), micrometres(5, 1, 1), micrometres(2.5, 1, 1), (40, 50, 50)),
        ((3, 3), micrometres(0.1, 0.1), micrometres(1, 1), (1, 1)),
        ((9, 9), Space(), micrometres(1, 1), (9, 9)),
        ((9, 9), micrometres(1, 1), Space(), (9, 9)),
        ((9, 9), Space(pixel_size=(2.0, 2.0)), micrometres(1, 1), (9, 9)),
        ((9, 9), Space(pixel_size=(0.002, 0.002), unit="millimeter"), micrometres(1, 1), (18, 18)),
        ((9, 9), micrometres(1, 1), micrometres(2, 1, 1), (9, 9)),
    ],
)
def test_lengths_follow_from_pixel_sizes_that_are_known_and_differ(shape, space, wanted, new):
    assert needed_shape(shape, space, wanted) == new
    seen = with_pixel_size(image_of(shape, space), wanted)
    assert seen.shape == new


def test_an_image_that_has_the_wanted_pixels_is_itself():
    for space in (micrometres(0.1, 0.1), micrometres(0.105, 0.1), Space()):
        image = image_of((4, 4), space)
        assert with_pixel_size(image, micrometres(0.1, 0.1)) is image


def test_axes_that_were_resampled_have_the_wanted_size_and_the_others_their_own():
    image = image_of((10, 20, 20), Space(pixel_size=(0.005, 0.00105, 0.002), unit="millimeter"))
    seen = with_pixel_size(image, micrometres(3, 1, 1))
    assert seen.shape == (17, 20, 40)
    assert seen.space.unit == "micrometer"
    assert seen.space.pixel_size == pytest.approx((3, 1.05, 1))
    assert seen.name == image.name


def test_likeness_is_that_of_ratios():
    assert are_alike(1.1)
    assert are_alike(1 / 1.1)
    assert not are_alike(1.11)
    assert not are_alike(0.9)


def test_wild_sizes_and_too_many_pixels_are_refused_with_a_way_out():
    image = image_of((8, 8), micrometres(5, 5))
    with pytest.raises(ImageError, match=r"a\.tif: its pixels are 5 micrometer, but the network works at 0\.1 microm"):
        with_pixel_size(image, micrometres(0.1, 0.1))
    limit = 5 / LARGEST_RATIO
    assert with_pixel_size(image, micrometres(limit * 1.01, limit * 1.01)).shape == (95, 95)
    with pytest.raises(ImageError, match="16 x 16 pixels, more than 511 values; cut it into pieces"):
        with_pixel_size(image, micrometres(2.5, 2.5), max_pixels=511)
    assert with_pixel_size(image, micrometres(2.5, 2.5), max_pixels=512).shape == (16, 16)


def test_sizes_are_shown_once_where_axes_are_alike():
    assert shown(micrometres(0.1, 0.1)) == "0.1 micrometer"
    assert shown(micrometres(5, 0.25, 0.25)) == "5 x 0.25 x 0.25 micrometer"


# Labels


def test_the_nearest_pixel_is_the_one_that_holds_the_centre():
    ids = np.arange(6, dtype=np.int32)[None]
    assert resample_nearest(ids, (1, 2)).tolist() == [[1, 4]]
    assert resample_nearest(ids, (2, 12)).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]] * 2
    assert resample_nearest(ids, (1, 1)).tolist() == [[3]]


def test_classes_go_to_the_one_that_covers_most():
    ids = np.zeros((6, 6), np.int32)
    ids[:, 3:] = 2
    ids[0, 0] = IGNORE
    found = resample_labels(classes_of(ids), (2, 2), space=micrometres(3, 3))
    assert found.ids.tolist() == [[0, 2], [0, 2]]
    assert found.space == micrometres(3, 3)
    assert (found.kind, found.classes) == ("classes", ("background", "a", "b"))


@pytest.mark.parametrize("kind", [classes_of, objects_of])
@pytest.mark.parametrize(("shape", "factor"), [((9, 12), 2), ((9, 12), 3), ((4, 5, 6), 2)])
def test_labels_come_back_from_a_finer_grid_as_they_were(kind, shape, factor):
    rng = np.random.default_rng(0)
    # Blocks of at least two pixels: a single one may lose its corners on the finer grid.
    coarse = rng.integers(-1, 3, [-(-length // 2) for length in shape]).astype(np.int32)
    blocks = coarse.repeat(2, 0).repeat(2, 1)
    blocks = blocks.repeat(2, 2) if len(shape) == 3 else blocks
    labels = kind(blocks[tuple(slice(0, length) for length in shape)])
    fine = resample_labels(labels, [factor * length for length in shape])
    assert set(np.unique(fine.ids)) <= set(np.unique(labels.ids))
    back = resample_nearest(fine.ids, shape) if factor % 2 else resample_labels(fine, shape).ids
    assert (back == labels.ids).mean() > 0.9


@pytest.mark.parametrize("kind", [classes_of, objects_of])
def test_at_half_the_size_objects_neither_shrink_nor_grow_nor_move_on_average(kind):
    areas, middles = [], []
    for start in range(4, 8):  # rims at all places between and inside of the new pixels
        for length in range(8, 12):
            ids = np.zeros((32, 32), np.int32)
            ids[start : start + length, start : start + length] = 1
            found = resample_labels(kind(ids), (16, 16)).ids
            areas.append(4 * (found == 1).sum() / length**2)
            middles.append(2 * (np.argwhere(found == 1).mean(axis=0) + 0.5) - (start + length / 2))
    assert np.mean(areas) == pytest.approx(1, abs=0.02)
    assert np.abs(np.mean(middles, axis=0)).max() < 0.1


def test_touching_objects_keep_their_ids_and_no_id_is_invented():
    ids = np.zeros((12, 12), np.int32)
    ids[2:10, 2:6], ids[2:10, 6:10] = 7, 300
    for shape in ((6, 6), (8, 8), (24, 24), (17, 13)):
        found = resample_labels(objects_of(ids), shape).ids
        assert set(np.unique(found)) == {0, 7, 300}
        assert (np.argwhere(found == 7)[:, 1].max()) < np.argwhere(found == 300)[:, 1].min()


def test_unknown_pixels_stay_unknown_beside_objects():
    ids = np.full((8, 8), IGNORE, np.int32)
    ids[:, 4:] = 5
    found = resample_labels(objects_of(ids), (4, 4)).ids
    assert found.tolist() == [[IGNORE, IGNORE, 5, 5]] * 4


def test_empty_labels_single_pixels_and_objects_at_the_border_are_resampled():
    assert (resample_labels(objects_of(np.zeros((4, 4))), (7, 2)).ids == 0).all()
    assert (resample_labels(classes_of(np.full((1, 1), 2)), (3, 3)).ids == 2).all()
    assert (resample_labels(objects_of(np.full((1, 1), 9)), (3, 3)).ids == 9).all()
    border = np.zeros((6, 6), np.int32)
    border[:2] = 1
    assert resample_labels(objects_of(border), (3, 3)).ids.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("old", "new"),
    [((30, 20), (41, 7)), ((8, 5), (3, 42)), ((17, 9), (17, 20)), ((7, 4, 5), (7, 1, 10)), ((5, 6, 7), (9, 3, 7))],
)
def test_arrays_that_are_read_in_parts_become_exactly_what_they_become_in_memory(old, new, monkeypatch):
    values = np.random.default_rng(0).normal(size=(2, *old)).astype(np.float32)
    whole = resample_values(values, new)
    for lines in (1, 50, 300):
        monkeypatch.setattr(resample, "_LINES", lines)
        assert np.array_equal(np.asarray(resample_in_blocks(values, new, new_array=np.zeros)), whole)
