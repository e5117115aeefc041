"""All augmentations of one patch: drawn together, applied with one sampling of the image and its labels.

    rng = rng_for(seed, step=step, sample=sample)
    parameters = draw(rng, config, spatial_axes=2, channels=1)
    patch = sample_patch(sources, corner=corner, patch_shape=(256, 256), parameters=parameters)

A patch depends on (seed, step, sample) alone, whatever process makes it and in whatever order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segue.augment.elastic import Elastic, ElasticConfig, draw_elastic
from segue.augment.geometry import Geometry, GeometryConfig, draw_geometry
from segue.augment.intensity import Intensity, IntensityConfig, draw_intensity
from segue.augment.settings import check_not_below

LEANING = 30.0
"""Degrees by which what lies the same way round in all images leans to one side or the other."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What may happen to a training patch."""

    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    """Rotation, scaling, shear, flips, shift."""
    elastic: ElasticConfig = field(default_factory=ElasticConfig)
    """Elastic deformation."""
    intensity: IntensityConfig = field(default_factory=IntensityConfig)
    """Grey values, blur, noise, colour."""
    strength: float = 1.0
    """Multiplies all ranges, and up to 1 the chances; 0 leaves every patch as it is, without flips even."""

    def __post_init__(self) -> None:
        check_not_below(self, 0, "strength")


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """All that was drawn for one patch: plain numbers, which applied again give the same patch."""

    geometry: Geometry
    """The affine map."""
    elastic: Elastic | None = None
    """The elastic deformation, if any; it comes before the affine map on the way from patch to image."""
    intensity: Intensity = field(default_factory=Intensity)
    """The grey value changes."""


def default_augmentation(
    patch_shape: tuple[int, ...],
    *,
    rgb: bool = False,
    strength: float = 1.0,
    spacing: Sequence[float] | None = None,
    oriented: Sequence[bool] = (),
) -> AugmentConfig:
    """A configuration for patches of this size, (Y, X) or (Z, Y, X).

    The elastic grid is at least as fine as half the patch (but 16 to 128 pixels), with displacements of
    10/128 of its spacing: a 256x256 patch gets the paper's 10 pixels. Shifts reach 1/32 of the patch. Colour
    changes are for `rgb` images. Volumes whose slices are more than three times as thick as their pixels
    (`spacing`) are not tilted. Along `oriented` axes images lie the same way round: they are not mirrored there,
    nor turned by more than LEANING in a plane with such an axis.
    """
    grid = min(max(max(patch_shape) / 2, 16.0), 128.0)
    tilted = spacing is None or max(spacing) <= 3 * min(spacing)
    turned = not any(oriented[-2:])
    return AugmentConfig(
        geometry=GeometryConfig(
            oriented=tuple(oriented) if any(oriented) else (),
            quarter_turns=turned,
            rotation=180.0 if turned else LEANING,
            tilt=15.0 if tilted else 0.0,
            shift=max(patch_shape) // 32,
        ),
        elastic=ElasticConfig(spacing=grid, std=grid * 10 / 128),
        intensity=IntensityConfig(colour_chance=0.5 if rgb else 0.0),
        strength=strength,
    )


def rng_for(seed: int, *, step: int, sample: int) -> np.random.Generator:
    """The random numbers of one sample of one training step, independent of those of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(step, sample))))


def draw(
    rng: np.random.Generator,
    config: AugmentConfig,
    *,
    spatial_axes: int,
    channels: int,
    spacing: Sequence[float] | None = None,
) -> Parameters:
    """Draw everything for one patch. `spacing` is the size of a pixel along each axis (thick slices)."""
    strength = config.strength
    return Parameters(
        geometry=draw_geometry(rng, config.geometry, spatial_axes=spatial_axes, spacing=spacing, strength=strength),
        elastic=draw_elastic(rng, config.elastic, spatial_axes=spatial_axes, spacing=spacing, strength=strength),
        intensity=draw_intensity(rng, config.intensity, channels=channels, strength=strength),
    )
