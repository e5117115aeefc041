import numpy as np
import pytest

from segue.augment.elastic import (
    Elastic,
    ElasticConfig,
    cubic_weights,
    draw_elastic,
    grid_displacements,
    upsample,
)
from segue.errors import UsageError


def deformation(seed, *, axes=2, spacing=64.0, std=10.0) -> Elastic:
    return Elastic(seed=seed, spacing=(spacing,) * axes, std=(std,) * axes)


def test_grid_displacements_are_gaussian_with_10_pixels_standard_deviation():
    drawn = np.concatenate([grid_displacements(deformation(seed), (512, 512)).ravel() for seed in range(40)])
    assert drawn.size > 9000
    assert abs(drawn.std() - 10) < 0.3
    assert abs(drawn.mean()) < 0.4
    assert abs((np.abs(drawn) < 10).mean() - 0.683) < 0.02


def test_the_papers_grid_has_three_points_across_its_patch():
    # a point more at either end lies outside of the patch
    assert grid_displacements(deformation(0, spacing=256.0), (513, 513)).shape == (2, 3 + 2, 3 + 2)


@pytest.mark.parametrize(
    ("length", "spacing"), [(1, 8.0), (2, 8.0), (40, 8.0), (41, 8.0), (256, 128.0), (100, 33.3), (7, 500.0)]
)
def test_cubic_weights_reproduce_constants_lines_and_parabolas(length, spacing):
    weights = cubic_weights(length, spacing).astype(np.float64)
    points = (np.arange(weights.shape[1]) - (weights.shape[1] - 1) / 2) * spacing + (length - 1) / 2
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights @ points, np.arange(length), atol=1e-3)
    np.testing.assert_allclose(weights @ (points / spacing) ** 2, (np.arange(length) / spacing) ** 2, atol=1e-4)


def test_between_the_points_the_field_passes_through_the_drawn_vectors():
    elastic = deformation(3, spacing=20.0)
    grid = grid_displacements(elastic, (41, 61))
    field = upsample(grid, (41, 61), elastic.spacing).numpy()
    assert field.shape == (2, 41, 61)
    np.testing.assert_allclose(field[:, ::20, ::20], grid[:, 1:-1, 1:-1], atol=1e-5)


def test_upsampling_in_3d_is_the_product_of_the_axes():
    grid = np.random.default_rng(0).normal(size=(3, 5, 4, 6)).astype(np.float32)
    shape, spacing = (9, 6, 20), (4.0, 9.0, 6.5)
    weights = [cubic_weights(length, step) for length, step in zip(shape, spacing, strict=True)]
    expected = np.einsum("azyx,iz,jy,kx->aijk", grid, *weights)
    np.testing.assert_allclose(upsample(grid, shape, spacing).numpy(), expected, atol=1e-5)


def test_thick_slices_are_displaced_by_the_same_length_in_space():
    drawn = draw_elastic(
        np.random.default_rng(0),
        ElasticConfig(chance=1, spacing=30, std=6),
        spatial_axes=3,
        spacing=(3.0, 1.0, 1.0),
    )
    assert drawn is not None
    assert drawn.spacing == pytest.approx((10, 30, 30))
    assert drawn.std == pytest.approx((2, 6, 6))


@pytest.mark.parametrize(("chance", "strength", "std"), [(0, 1, 10), (1, 0, 10), (1, 1, 0)])
def test_no_chance_no_strength_or_no_displacement_is_no_deformation(chance, strength, std):
    config = ElasticConfig(chance=chance, std=std)
    assert draw_elastic(np.random.default_rng(0), config, spatial_axes=2, strength=strength) is None


def test_the_chance_is_that_of_samples_deformed():
    rng = np.random.default_rng(0)
    drawn = [draw_elastic(rng, ElasticConfig(chance=0.25), spatial_axes=2) is not None for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.25) < 0.03


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"spacing": 0}, "spacing = 0"), ({"std": -1}, "std = -1"), ({"chance": -0.1}, "no probability")],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        ElasticConfig(**settings)
