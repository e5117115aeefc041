"""The same image is found again, another one is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.arrays import Image
from segue.fingerprint import duplicates
from segue.fingerprint.duplicates import equal_images, similar_images, similar_pairs
from segue.fingerprint.measures import ImageMeasure, measure_image
from segue.simulate import CellsConfig, MembranesConfig, simulate_cells, simulate_membranes


def measures(arrays) -> list[ImageMeasure]:
    return [measure_image(Image(pixels=np.asarray(array, np.float32))) for array in arrays]


def cells(seed, shape=(96, 96)) -> NDArray[np.float32]:
    return simulate_cells(shape, seed=seed, config=CellsConfig(density=0.3))[0].pixels


def test_equal_images_are_grouped_in_order():
    one, other = cells(0), cells(1)
    assert equal_images(measures([one, other, one, other, one])) == [(0, 2, 4), (1, 3)]


def test_different_images_are_not_similar():
    assert similar_images(measures([cells(seed) for seed in range(12)])) == []


def test_a_common_field_of_view_does_not_make_images_similar():
    disc = np.hypot(*np.indices((96, 96)) - 48) < 44
    fields = [np.where(disc, 100 + cells(seed), 0) for seed in range(10)]
    assert similar_images(measures(fields)) == []


@pytest.mark.parametrize("field", [0, 100, 1000])
def test_nearly_empty_images_of_a_common_field_of_view_are_not_similar(field):
    disc = np.hypot(*np.indices((96, 96)) - 48) < 44
    sparse = [simulate_cells((96, 96), seed=seed, config=CellsConfig(density=0.03))[0].pixels for seed in range(30)]
    assert similar_images(measures([np.where(disc, field + pixels, 0) for pixels in sparse])) == []


def test_many_membranes_are_not_similar():
    config = MembranesConfig(diameter=12, shading=0.9)
    assert (
        similar_images(measures([simulate_membranes((96, 96), seed=s, config=config)[0].pixels for s in range(12)]))
        == []
    )


@pytest.mark.parametrize("step", [0.25, 0.5, 1, 2])
def test_the_frames_of_a_slow_sequence_are_similar(step):
    scene = cells(0, shape=(256, 320))[0]
    generator = np.random.default_rng(0)
    shifted = np.arange(256) + step * np.arange(30)[:, None]
    frames = [
        np.stack([np.interp(columns, np.arange(320), row) for row in scene]) + generator.normal(0, 5, (256, 256))
        for columns in shifted
    ]
    assert similar_images(measures([frame[None] for frame in frames])) == [tuple(range(30))]


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: pixels * 0.5 + 20,
        lambda pixels: np.rint(pixels + np.random.default_rng(0).normal(0, 5, pixels.shape)),
        lambda pixels: pixels[:, ::-1],
        lambda pixels: pixels[:, :, ::-1],
        lambda pixels: np.rot90(pixels, 1, axes=(1, 2)),
        lambda pixels: np.rot90(pixels, 3, axes=(1, 2))[:, ::-1],
        lambda pixels: np.roll(pixels, 1, axis=2),
    ],
    ids=["brighter", "noisier", "flipped", "mirrored", "turned", "turned and flipped", "shifted by a pixel"],
)
def test_a_changed_copy_is_similar(change):
    images = [cells(seed) for seed in range(4)]
    assert similar_images(measures([*images, change(images[2])])) == [(2, 4)]


def test_a_turned_copy_of_an_oblong_image_is_found():
    image = cells(0, shape=(64, 128))
    assert similar_images(measures([image, np.rot90(image, axes=(1, 2))])) == [(0, 1)]


def test_images_of_other_shapes_are_not_compared():
    assert similar_images(measures([np.tile([[1.0, 2]], (1, 8, 8)), np.tile([[1.0, 2]], (1, 8, 16))])) == []


def test_images_of_one_value_are_equal_if_their_value_is_but_like_none():
    flat = np.ones((1, 8, 8))
    measured = measures([flat, flat, 2 * flat])
    assert equal_images(measured) == [(0, 1)]
    assert similar_images(measured) == []


def test_similarity_joins_chains_into_one_group():
    image = cells(3)
    assert similar_images(measures([image, image + 1, image, cells(4), image * 2])) == [(0, 1, 2, 4)]


@pytest.mark.parametrize("count", [0, 1])
def test_no_or_one_image_has_no_twin(count):
    assert similar_images(measures([cells(0)] * count)) == []


def test_volumes_are_compared_by_their_middle_slice():
    volume = simulate_cells((8, 64, 64), seed=0, config=CellsConfig(diameter=16))[0].pixels
    assert similar_images(measures([volume, volume + 3])) == [(0, 1)]


def test_many_images_are_compared_some_at_a_time_with_the_same_answer(monkeypatch):
    frames = [cells(seed) for seed in range(8)]
    images = measures(
        [*frames, frames[2][:, ::-1], frames[5] + 3, *(frames[1] * (1 - t) + frames[3] * t for t in (0.3, 0.35))]
    )
    whole = sorted(similar_pairs(images))
    assert {(2, 8), (5, 9)} <= set(whole)
    monkeypatch.setattr(duplicates, "_ROWS", 3)
    assert sorted(similar_pairs(images)) == whole
