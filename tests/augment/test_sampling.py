import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.augment import sampling
from segue.augment.compose import AugmentConfig, Parameters, default_augmentation, draw, rng_for
from segue.augment.elastic import Elastic, grid_displacements, upsample
from segue.augment.geometry import Geometry, identity
from segue.augment.intensity import IntensityConfig
from segue.augment.sampling import Sources, sample_patch

GREY_VALUES_KEPT = IntensityConfig(
    blur_chance=0,
    low_resolution_chance=0,
    gamma_chance=0,
    contrast_chance=0,
    brightness_chance=0,
    noise_chance=0,
)


def sources_of(shape, *, channels=1, seed=0) -> Sources:
    rng = np.random.default_rng(seed)
    return Sources(
        image=rng.normal(size=(channels, *shape)).astype(np.float32),
        labels=rng.integers(-1, 2_000_000_000, shape, dtype=np.int32),
        linear=(rng.random(shape).astype(np.float32),),
        nearest=(rng.random(shape).astype(np.float32), rng.integers(0, 9, shape, dtype=np.uint8)),
    )


def maps_of(patch) -> list[NDArray[Any]]:
    return [patch.image, patch.labels, *patch.linear, *patch.nearest]


def strong_parameters(step, axes, elastic_spacing=20.0) -> Parameters:
    config = AugmentConfig(intensity=GREY_VALUES_KEPT)
    geometry = draw(
        rng_for(7, step=step, sample=0), config, spatial_axes=axes, channels=1, spacing=(1, 1.5, 1.2)[:axes]
    ).geometry
    elastic = Elastic(seed=step, spacing=(elastic_spacing,) * axes, std=(2.0,) * axes) if step % 2 else None
    return Parameters(geometry=geometry, elastic=elastic)


def slow_coordinates(corner, patch_shape, parameters) -> NDArray[np.float64]:
    """The definition: matrix (p + u(p)) + shift from the patch's centre, in double precision."""
    places = np.stack(np.meshgrid(*map(np.arange, patch_shape), indexing="ij")).astype(float)
    centre = ((np.array(patch_shape) - 1) / 2).reshape(-1, *(1,) * len(patch_shape))
    offset = places - centre
    if parameters.elastic is not None:
        grid = grid_displacements(parameters.elastic, patch_shape)
        offset += upsample(grid, patch_shape, parameters.elastic.spacing).numpy()
    looked_at = np.tensordot(np.array(parameters.geometry.matrix), offset, axes=1) + centre
    return looked_at + np.reshape(np.array(corner) + parameters.geometry.shift, centre.shape)


PLACES = [
    ((60, 70), (32, 24), (10, 20)),
    ((60, 70), (33, 40), (-15, 50)),
    ((20, 9), (40, 40), (-5, -20)),
    ((1, 50), (5, 16), (0, 10)),
    ((14, 30, 28), (9, 16, 12), (2, 3, 4)),
    ((6, 12, 10), (12, 12, 8), (-4, 5, 5)),
    ((5, 1, 12), (1, 1, 8), (3, 0, 1)),
]


@pytest.mark.parametrize(("shape", "patch_shape", "corner"), PLACES)
def test_without_parameters_a_patch_is_plain_slicing_of_the_mirrored_image_exactly(shape, patch_shape, corner):
    sources = sources_of(shape, channels=2)
    patch = sample_patch(sources, corner=corner, patch_shape=patch_shape)
    for given, result in zip(
        [sources.image, sources.labels, *sources.linear, *sources.nearest], maps_of(patch), strict=True
    ):
        wide = np.pad(given, [(0, 0)] * (given.ndim - len(shape)) + [(60, 60)] * len(shape), mode="reflect")
        window = tuple(
            slice(start + 60, start + 60 + length) for start, length in zip(corner, patch_shape, strict=True)
        )
        np.testing.assert_array_equal(result, wide[(slice(None),) * (given.ndim - len(shape)) + window])
        assert result.dtype == given.dtype
        assert result.flags.c_contiguous
        assert not np.shares_memory(result, given)


@pytest.mark.parametrize(("shape", "patch_shape", "corner"), PLACES)
def test_the_identity_gives_the_same_patch_as_no_parameters(shape, patch_shape, corner):
    sources = sources_of(shape)
    plain = sample_patch(sources, corner=corner, patch_shape=patch_shape)
    same = sample_patch(
        sources, corner=corner, patch_shape=patch_shape, parameters=Parameters(geometry=identity(len(shape)))
    )
    for one, other in zip(maps_of(plain), maps_of(same), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("shape", "patch_shape", "corner"), PLACES)
@pytest.mark.parametrize("step", range(6))
def test_a_patch_equals_scipys_map_coordinates_at_the_defined_places(shape, patch_shape, corner, step):
    sources = sources_of(shape, channels=2)
    parameters = strong_parameters(step, len(shape))
    patch = sample_patch(sources, corner=corner, patch_shape=patch_shape, parameters=parameters)
    coordinates = slow_coordinates(corner, patch_shape, parameters)
    for given, result in zip([*sources.image, *sources.linear], [*patch.image, *patch.linear], strict=True):
        expected = ndimage.map_coordinates(given.astype(float), coordinates, order=1, mode="mirror")
        np.testing.assert_allclose(result, expected, atol=2e-3)
    clear = np.ones(patch_shape, bool)
    index = []
    for coordinate, length in zip(coordinates, shape, strict=True):
        clear &= np.abs(coordinate - np.floor(coordinate) - 0.5) > 1e-3  # a tie may fall to either side
        period = max(2 * length - 2, 1)
        folded = np.floor(coordinate + 0.5).astype(int) % period
        index.append(np.minimum(folded, period - folded) if length > 1 else folded * 0)
    for given, result in zip([sources.labels, *sources.nearest], [patch.labels, *patch.nearest], strict=True):
        np.testing.assert_array_equal(result[clear], given[tuple(index)][clear])


@pytest.mark.parametrize("axes", [2, 3])
def test_replaying_the_parameters_gives_the_same_patch(axes):
    sources = sources_of((40, 50, 30)[:axes], channels=3)
    config = default_augmentation((32,) * axes, rgb=True)
    for step in range(10):
        parameters = draw(rng_for(1, step=step, sample=3), config, spatial_axes=axes, channels=3)
        once, again = (
            sample_patch(sources, corner=(4,) * axes, patch_shape=(16,) * axes, parameters=parameters) for _ in range(2)
        )
        for one, other in zip(maps_of(once), maps_of(again), strict=True):
            np.testing.assert_array_equal(one, other)


def symmetries(axes) -> Iterator[NDArray[np.float64]]:
    """All signed permutations: flips, quarter turns and their products."""
    for order in itertools.permutations(range(axes)):
        for signs in itertools.product((-1.0, 1.0), repeat=axes):
            matrix = np.zeros((axes, axes))
            matrix[range(axes), order] = signs
            yield matrix


@pytest.mark.parametrize("axes", [2, 3])
def test_every_flip_and_turn_is_undone_exactly_by_its_inverse(axes):
    shape = (7, 7, 7)[:axes]
    sources = sources_of(shape)
    for matrix in symmetries(axes):
        there = Geometry(matrix=tuple(map(tuple, matrix)), shift=(0,) * axes)
        back = Geometry(matrix=tuple(map(tuple, matrix.T)), shift=(0,) * axes)
        turned = sample_patch(sources, corner=(0,) * axes, patch_shape=shape, parameters=Parameters(geometry=there))
        again = Sources(image=turned.image, labels=turned.labels, linear=turned.linear, nearest=turned.nearest)
        restored = sample_patch(again, corner=(0,) * axes, patch_shape=shape, parameters=Parameters(geometry=back))
        for given, result in zip([sources.image, sources.labels], [restored.image, restored.labels], strict=True):
            np.testing.assert_array_equal(result, given)


def test_a_quarter_turn_is_numpys():
    sources = sources_of((6, 6))
    turn = Geometry(matrix=((0.0, 1.0), (-1.0, 0.0)), shift=(0, 0))
    patch = sample_patch(sources, corner=(0, 0), patch_shape=(6, 6), parameters=Parameters(geometry=turn))
    np.testing.assert_array_equal(patch.labels, np.rot90(sources.labels))
    np.testing.assert_array_equal(patch.image[0], np.rot90(sources.image[0]))


@pytest.mark.parametrize(("shape", "patch_shape", "corner"), PLACES)
def test_copying_pixels_equals_interpolating_at_whole_pixels(shape, patch_shape, corner, monkeypatch):
    """The short cut of flips and turns skips work whose result is known; it is no other algorithm."""
    sources = sources_of(shape)
    axes = len(shape)
    for matrix in symmetries(axes):
        parameters = Parameters(geometry=Geometry(matrix=tuple(map(tuple, matrix)), shift=(3, -2, 1)[:axes]))
        short = sample_patch(sources, corner=corner, patch_shape=patch_shape, parameters=parameters)
        with monkeypatch.context() as patched:
            patched.setattr(sampling, "_lattice_map", lambda *_: None)
            long = sample_patch(sources, corner=corner, patch_shape=patch_shape, parameters=parameters)
        np.testing.assert_array_equal(short.labels, long.labels)
        np.testing.assert_allclose(short.image, long.image, atol=1e-4)


@pytest.mark.parametrize("axes", [2, 3])
def test_image_and_labels_move_together(axes):
    shape = (60, 50, 40)[-axes:]
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    labels = ((places // 8).sum(0) % 2).astype(np.int16)  # a chessboard
    sources = Sources(image=labels[None].astype(np.float32), labels=labels)
    config = AugmentConfig(intensity=GREY_VALUES_KEPT)
    for step in range(10):
        parameters = draw(rng_for(0, step=step, sample=0), config, spatial_axes=axes, channels=1)
        patch = sample_patch(sources, corner=(5,) * axes, patch_shape=(24,) * axes, parameters=parameters)
        pure = np.abs(patch.image[0] - 0.5) > 0.4999  # all pixels around have one label
        assert pure.mean() > 0.2
        np.testing.assert_array_equal(patch.labels[pure], np.round(patch.image[0])[pure])


def test_a_constant_image_stays_constant_under_any_geometry():
    sources = Sources(image=np.full((2, 30, 20), 0.7, np.float32), labels=np.full((30, 20), 5, np.uint8))
    for step in range(8):
        patch = sample_patch(sources, corner=(-9, 4), patch_shape=(40, 24), parameters=strong_parameters(step, 2))
        np.testing.assert_allclose(patch.image, 0.7, atol=1e-5)
        assert (patch.labels == 5).all()


def test_a_ramp_shows_where_each_pixel_looks():
    rows, columns = np.meshgrid(np.arange(200.0), np.arange(220.0), indexing="ij")
    sources = Sources(image=np.stack([rows, columns]).astype(np.float32), labels=np.zeros((200, 220), np.int32))
    parameters = strong_parameters(3, 2)
    expected = slow_coordinates((80, 90), (31, 40), parameters)
    patch = sample_patch(sources, corner=(80, 90), patch_shape=(31, 40), parameters=parameters)
    np.testing.assert_allclose(patch.image, expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1)])
def test_an_image_of_one_pixel_fills_any_patch(shape):
    sources = Sources(image=np.full((1, *shape), 3.0, np.float32), labels=np.full(shape, 7, np.int32))
    for step in range(4):
        patch = sample_patch(
            sources,
            corner=(-3,) * len(shape),
            patch_shape=(8,) * len(shape),
            parameters=strong_parameters(step, len(shape)),
        )
        np.testing.assert_allclose(patch.image, 3, atol=1e-6)
        assert (patch.labels == 7).all()


def test_read_only_images_such_as_memory_maps_can_be_sampled(tmp_path):
    np.save(tmp_path / "image.npy", np.random.default_rng(0).normal(size=(1, 40, 40)).astype(np.float32))
    image = np.load(tmp_path / "image.npy", mmap_mode="r")
    labels = np.zeros((40, 40), np.int32)
    labels.flags.writeable = False
    for parameters in (None, strong_parameters(1, 2)):
        patch = sample_patch(
            Sources(image=image, labels=labels), corner=(2, 2), patch_shape=(8, 8), parameters=parameters
        )
        assert patch.image.flags.writeable
