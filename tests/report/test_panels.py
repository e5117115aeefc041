"""Panels show what they say: every error in its colour, every verdict on the right object."""

import numpy as np
import pytest

from segue.arrays import IGNORE, Image
from segue.report.colours import DARK, LIGHT, SKY, UNKNOWN, VERMILION, YELLOW
from segue.report.panels import (
    class_error_entries,
    judge_objects,
    show_class_errors,
    show_classes,
    show_image,
    show_objects,
)


def image_of(pixels, **more) -> Image:
    return Image(pixels=np.asarray(pixels, np.float32), **more)


def test_a_gray_image_is_shown_from_black_to_white():
    ramp = np.linspace(-500, 2000, 400).reshape(1, 20, 20)
    shown = show_image(image_of(ramp))
    assert shown.min() == 0
    assert shown.max() == 255
    assert (np.diff(shown[..., 0].ravel().astype(int)) >= 0).all()
    assert (shown[..., 0] == shown[..., 1]).all()


def test_a_colour_image_keeps_the_order_of_its_channels():
    pixels = np.zeros((3, 10, 10))
    pixels[0] = 200
    pixels[1] = 100
    red, green, blue = show_image(image_of(pixels, is_rgb=True))[0, 0].tolist()
    assert red > green > blue


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_number_of_channels_are_shown(channels):
    pixels = np.random.default_rng(0).normal(size=(channels, 8, 9))
    assert show_image(image_of(pixels)).shape == (8, 9, 3)


@pytest.mark.parametrize("value", [0, 7, -3, np.nan, np.inf])
def test_constant_and_not_finite_images_are_shown_without_a_warning(value):
    shown = show_image(image_of(np.full((1, 4, 4), value)))
    assert len(np.unique(shown)) == 1


def test_of_a_volume_the_middle_slice_is_shown():
    volume = np.random.default_rng(0).normal(size=(1, 5, 8, 9))
    np.testing.assert_array_equal(show_image(image_of(volume)), show_image(image_of(volume[:, 2])))


def test_classes_are_flat_colours():
    shown = show_classes(np.array([[0, 1, IGNORE]]))
    assert [tuple(pixel) for pixel in shown[0].tolist()] == [DARK, LIGHT, UNKNOWN]


def test_touching_objects_never_have_the_same_colour():
    generator = np.random.default_rng(0)
    seeds = generator.uniform(0, 60, size=(40, 2))
    grid = np.moveaxis(np.indices((60, 60)), 0, -1)
    ids = np.linalg.norm(grid[:, :, None] - seeds, axis=-1).argmin(axis=-1) + 1
    shown = show_objects(ids).astype(int)
    for axis in (0, 1):
        differs = np.diff(ids, axis=axis) != 0
        assert np.abs(np.diff(shown, axis=axis)).sum(axis=-1)[differs].min() > 0


def test_beside_objects_the_background_is_dark_and_what_is_unknown_is_grey():
    shown = show_objects(np.array([[0, IGNORE, 7]]))
    assert [tuple(pixel) for pixel in shown[0, :2].tolist()] == [DARK, UNKNOWN]
    assert tuple(shown[0, 2].tolist()) not in (DARK, UNKNOWN)


def test_the_rim_of_an_object_is_darker_than_its_inside():
    shown = show_objects(np.full((3, 3), 5)).astype(int)
    inner = np.zeros((3, 3), bool)
    inner[1, 1] = True
    assert (shown[~inner].sum(axis=-1) < shown[1, 1].sum()).all()


@pytest.mark.parametrize("ids", [np.zeros((0, 0), int), np.zeros((4, 4), int), np.ones((1, 1), int)])
def test_empty_blank_and_single_pixel_images_of_objects_are_shown(ids):
    assert show_objects(ids).shape == (*ids.shape, 3)


def test_every_kind_of_class_error_has_its_colour():
    backdrop = np.zeros((1, 5, 3), np.uint8)
    truth = np.array([[0, 1, 2, 1, IGNORE]])
    predicted = np.array([[1, 0, 1, 1, 0]])
    shown = [tuple(pixel) for pixel in show_class_errors(backdrop, truth, predicted)[0].tolist()]
    assert shown[:3] == [VERMILION, SKY, YELLOW]
    assert shown[3] == (DARK[0],) * 3  # right: the backdrop alone
    assert shown[4] not in (VERMILION, SKY, YELLOW)


def test_errors_of_two_classes_are_called_by_their_names():
    texts = [entry.text for entry in class_error_entries(("membrane", "cell"))]
    assert texts == ["false cell (truth: membrane)", "false membrane (truth: cell)"]


def test_each_object_gets_the_verdict_that_a_person_would_give():
    truth = np.zeros((8, 40), int)
    truth[1:5, 1:5] = 1  # matched
    truth[1:5, 8:12] = 2  # missed
    truth[1:5, 16:20] = 3  # merged with 4
    truth[1:5, 20:24] = 4
    truth[1:7, 28:36] = 5  # split
    predicted = np.zeros_like(truth)
    predicted[1:5, 1:5] = 11
    predicted[1:5, 16:24] = 12
    predicted[1:7, 28:32] = 13
    predicted[1:7, 32:36] = 14
    predicted[6:8, 1:3] = 15  # spurious
    verdicts = judge_objects(truth, predicted)
    assert verdicts.matched.tolist() == [11]
    assert verdicts.missed.tolist() == [2]
    assert verdicts.merged.tolist() == [12]
    assert verdicts.split.tolist() == [13, 14]
    assert verdicts.spurious.tolist() == [15]


@pytest.mark.parametrize("seed", range(5))
def test_every_predicted_object_has_exactly_one_verdict(seed):
    generator = np.random.default_rng(seed)
    truth, predicted = (np.kron(generator.integers(0, 9, (6, 6)), np.ones((5, 5), int)) for _ in range(2))
    predicted = np.roll(predicted, 2, axis=0)
    verdicts = judge_objects(truth, predicted)
    groups = (verdicts.matched, verdicts.spurious, verdicts.merged, verdicts.split)
    assert sorted(np.concatenate(groups)) == sorted(set(np.unique(predicted)) - {0})


def test_nothing_to_judge_gives_no_verdicts():
    empty = np.zeros((4, 4), int)
    assert all(len(ids) == 0 for ids in vars(judge_objects(empty, empty)).values())
