"""What is drawn is what the truth says, and the same seed draws the same."""

import numpy as np
import pytest
from scipy import ndimage

from segue.errors import UsageError
from segue.simulate import (
    CellsConfig,
    MembranesConfig,
    VesselsConfig,
    simulate_cells,
    simulate_membranes,
    simulate_vessels,
)
from segue.simulate.fields import camera, random_rotation, shading, smooth_field, to_grey_values

DRAWERS = [
    pytest.param(simulate_cells, (96, 80), id="cells"),
    pytest.param(simulate_cells, (16, 40, 48), id="cells 3D"),
    pytest.param(simulate_membranes, (96, 80), id="membranes"),
    pytest.param(simulate_vessels, (96, 80), id="vessels"),
]


@pytest.mark.parametrize(("draw", "shape"), DRAWERS)
def test_the_same_seed_draws_the_same_image_and_another_seed_another(draw, shape):
    image, labels = draw(shape, seed=7)
    again, labels_again = draw(shape, seed=7)
    other, _ = draw(shape, seed=8)
    np.testing.assert_array_equal(image.pixels, again.pixels)
    np.testing.assert_array_equal(labels.ids, labels_again.ids)
    assert (image.pixels != other.pixels).any()


@pytest.mark.parametrize(("draw", "shape"), DRAWERS)
def test_an_eight_bit_file_holds_the_image_without_loss(draw, shape):
    image, labels = draw(shape, seed=1)
    assert image.shape == labels.shape == shape
    np.testing.assert_array_equal(image.pixels.astype(np.uint8).astype(np.float32), image.pixels)
    assert image.pixels.std() > 3


@pytest.mark.parametrize("draw", [simulate_cells, simulate_membranes, simulate_vessels])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (5, 130)])
def test_tiny_and_thin_images_have_the_shape_asked_for(draw, shape):
    image, labels = draw(shape, seed=0)
    assert image.shape == labels.shape == shape
    assert np.isfinite(image.pixels).all()


@pytest.mark.parametrize("branching", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(128, 128), (20, 48, 48)])
def test_ids_are_consecutive_and_every_cell_is_one_piece(shape, branching):
    config = CellsConfig(diameter=14, density=0.6, branching=branching)
    ids = simulate_cells(shape, seed=2, config=config)[1].ids
    assert sorted(np.unique(ids)) == list(range(ids.max() + 1))
    assert ids.max() > 5
    for number in range(1, ids.max() + 1):
        assert ndimage.label(ids == number)[1] == 1


def test_touching_cells_lie_pixel_beside_pixel():
    ids = simulate_cells((128, 128), seed=3, config=CellsConfig(density=0.8))[1].ids
    left, right = ids[:, :-1], ids[:, 1:]
    assert ((left > 0) & (right > 0) & (left != right)).sum() > 100


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6, 0.9])
def test_cells_cover_the_part_of_the_image_that_was_asked_for(density):
    ids = simulate_cells((256, 256), seed=5, config=CellsConfig(density=density))[1].ids
    assert (ids > 0).mean() == pytest.approx(density, abs=0.05)


def test_a_density_of_zero_gives_an_image_without_cells():
    image, labels = simulate_cells((64, 64), seed=0, config=CellsConfig(density=0))
    assert labels.ids.max() == 0
    assert np.isfinite(image.pixels).all()


def test_cells_are_brighter_than_the_background_and_differ_in_brightness():
    image, labels = simulate_cells((256, 256), seed=4)
    numbers = np.arange(1, labels.ids.max() + 1)
    means = ndimage.mean(image.pixels[0], labels.ids, numbers)
    assert np.median(means) > 2 * image.pixels[0][labels.ids == 0].mean()
    assert means.std() > 0.15 * means.mean()


def test_branching_cells_are_less_convex_than_round_ones():
    from skimage.measure import regionprops

    solidity = []
    for branching in (0.0, 0.5, 1.0):
        config = CellsConfig(density=0.2, branching=branching, touching=0)
        ids = simulate_cells((256, 256), seed=6, config=config)[1].ids
        regions = regionprops(ids)
        solidity.append(np.median([region.solidity for region in regions]))
    assert solidity[0] > solidity[1] + 0.05 > solidity[2] + 0.1


def test_elongation_makes_cells_so_many_times_as_long_as_wide_and_no_larger():
    from skimage.measure import regionprops

    measured = {}
    for elongation in (1.0, 3.0):
        config = CellsConfig(density=0.15, branching=0.0, touching=0, elongation=elongation)
        ids = simulate_cells((384, 384), seed=6, config=config)[1].ids
        regions = [one for one in regionprops(ids) if min(one.bbox[:2]) > 0 and max(one.bbox[2:]) < 384]
        ratio = np.median([one.axis_major_length / one.axis_minor_length for one in regions])
        measured[elongation] = (ratio, np.median([one.area for one in regions]))
    assert 1 <= measured[1.0][0] < 1.5
    assert 2.3 < measured[3.0][0] < 3.7
    assert measured[3.0][1] == pytest.approx(measured[1.0][1], rel=0.15)


@pytest.mark.parametrize("wrong", [0.5, 0.0, 11.0, float("nan")])
def test_an_elongation_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match=f"elongation is {wrong}"):
        CellsConfig(elongation=wrong)


def test_membranes_are_dark_and_cells_are_closed_by_them():
    image, labels = simulate_membranes((256, 256), seed=0)
    assert labels.classes == ("membrane", "cell")
    assert image.pixels[0][labels.ids == 0].mean() < 0.7 * image.pixels[0][labels.ids == 1].mean()
    assert 0.1 < (labels.ids == 0).mean() < 0.35
    assert ndimage.label(labels.ids)[1] > 20


def test_thicker_membranes_take_more_of_the_image():
    thin, thick = (
        (simulate_membranes((128, 128), seed=1, config=MembranesConfig(thickness=t))[1].ids == 0).mean()
        for t in (2.5, 6.0)
    )
    assert thick > 1.5 * thin


def test_vessels_are_one_connected_tree_darker_than_their_surroundings():
    image, labels = simulate_vessels((256, 256), seed=0)
    assert image.is_rgb
    assert image.channels == 3
    pieces, _ = ndimage.label(labels.ids, np.ones((3, 3)))
    assert np.bincount(pieces.ravel())[1:].max() > 0.8 * labels.ids.sum()
    near = ndimage.binary_dilation(labels.ids, iterations=6) & (labels.ids == 0)
    assert image.pixels[1][labels.ids == 1].mean() < 0.9 * image.pixels[1][near].mean()


def test_grey_vessels_have_one_channel():
    image, _ = simulate_vessels((64, 64), seed=0, config=VesselsConfig(rgb=False))
    assert image.channels == 1
    assert not image.is_rgb


@pytest.mark.parametrize(
    ("draw", "shape", "message"),
    [
        (simulate_cells, (8,), r"shape \(8,\); give 2 or 3 lengths"),
        (simulate_cells, (8, 0), "at least 1 pixel"),
        (simulate_membranes, (8, 8, 8), "give 2 lengths"),
        (simulate_vessels, (8, 8, 8), "give 2 lengths"),
    ],
)
def test_impossible_shapes_are_refused(draw, shape, message):
    with pytest.raises(UsageError, match=message):
        draw(shape, seed=0)


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (CellsConfig, {"density": 1.5}, "density is 1.5; it must lie between 0 and 1"),
        (CellsConfig, {"diameter": 0}, "diameter is 0; it must be above 0"),
        (CellsConfig, {"blur": (2.0, 1.0)}, "least and the greatest sigma"),
        (MembranesConfig, {"thickness": -1}, "thickness is -1"),
        (VesselsConfig, {"contrast": 2}, "contrast is 2"),
    ],
)
def test_impossible_settings_are_refused(config, settings, message):
    with pytest.raises(UsageError, match=message):
        config(**settings)


def test_a_smooth_field_has_mean_zero_and_deviation_one_and_is_smooth():
    field = smooth_field((400, 400), scale=8, generator=np.random.default_rng(0))
    assert field.mean() == pytest.approx(0, abs=0.15)  # the mean of 2,500 values
    assert field.std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.diff(field, axis=0)).mean() < 0.2


def test_a_rotation_keeps_lengths():
    turn = random_rotation(3, generator=np.random.default_rng(0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_shading_reaches_from_one_down_by_its_strength():
    field = shading((50, 60), strength=0.4, generator=np.random.default_rng(0))
    assert field.max() == pytest.approx(1, abs=0.01)
    assert field.min() == pytest.approx(0.6)


def test_the_camera_counts_photons():
    signal = np.full((200, 200), 0.5, np.float32)
    seen = camera(signal, photons=100, read_noise=0.03, generator=np.random.default_rng(0))
    assert seen.mean() == pytest.approx(0.5, abs=0.002)
    assert seen.var() == pytest.approx(0.5 / 100 + 0.03**2, rel=0.05)


def test_grey_values_are_clipped_and_rounded():
    signal = np.array([-1.0, 0.0, 0.5, 1.0, 9.0], np.float32)
    np.testing.assert_array_equal(to_grey_values(signal), [0, 0, 128, 255, 255])


def test_cells_of_a_second_kind_are_larger_branching_and_brighter():
    config = CellsConfig(diameter=16, second_kind=0.4, shading=0, density=0.3, brightness_spread=0.1)
    image, labels = simulate_cells((320, 320), seed=1, config=config)
    assert labels.classes == ("background", "red", "white")
    assert labels.object_classes is not None
    assert sorted(labels.object_classes) == list(range(1, labels.ids.max() + 1))
    kinds = labels.classes_of(labels.ids)
    classes = np.array(list(labels.object_classes.values()))
    assert (classes == 2).mean() == pytest.approx(0.4, abs=0.15)
    red, white = (image.pixels[0][kinds == number].mean() for number in (1, 2))
    assert white > 1.5 * red
    areas = np.bincount(labels.ids.ravel())[1:]
    assert np.median(areas[classes == 2]) > 1.3 * np.median(areas[classes == 1])


def test_one_kind_of_cells_has_no_classes_and_all_of_the_second_kind_have_that():
    assert simulate_cells((40, 40), seed=0)[1].object_classes is None
    labels = simulate_cells((20, 48, 48), seed=0, config=CellsConfig(diameter=12, second_kind=1))[1]
    assert labels.object_classes is not None
    assert set(labels.object_classes.values()) == {2}


@pytest.mark.parametrize("wrong", [{"second_kind": 1.2}, {"second_branching": -1}, {"second_diameter": 0}])
def test_a_second_kind_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        CellsConfig(**wrong)
