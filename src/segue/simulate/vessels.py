"""Branching vessels of tapering width on an uneven background, as in a photograph of the eye's fundus. 2D.

Where a vessel forks the widths keep r0^3 = r1^3 + r2^3 (Murray, PNAS 12, 207, 1926).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image, Labels
from segue.simulate.fields import (
    Generator,
    camera,
    check_fractions,
    check_positive,
    check_shape,
    shading,
    smooth_field,
    texture,
    to_grey_values,
)


@dataclass(frozen=True, kw_only=True)
class VesselsConfig:
    """What the vessels and the camera are like."""

    width: float = 9.0
    """Width of the widest vessels in pixels."""
    narrowest: float = 1.6
    """Vessels end where they would be narrower than this, in pixels."""
    roots: int = 5
    """Number of vessels that enter the image."""
    winding: float = 0.06
    """How much the direction changes from pixel to pixel, in radians times the square root of a pixel."""
    rgb: bool = True
    """Three channels in the colours of a fundus photograph; otherwise one grey channel."""
    contrast: float = 0.5
    """How much darker the middle of the widest vessel is, 0..1."""
    shading: float = 0.45
    """How much less light the darkest corner gets, 0..1."""
    photons: float = 700.0
    """Photons at full brightness: fewer are noisier."""

    def __post_init__(self) -> None:
        check_fractions(contrast=self.contrast, shading=self.shading)
        check_positive(width=self.width, narrowest=self.narrowest, photons=self.photons, roots=self.roots)


def simulate_vessels(shape: tuple[int, ...], *, seed: int, config: VesselsConfig | None = None) -> tuple[Image, Labels]:
    """Draw an image of vessels and its truth.

    `shape` is (Y, X). The image has three channels (red, green, blue) or one, whole numbers 0..255; the
    labels are classes, 0 background and 1 vessel. Raises UsageError for a shape that is not 2D.
    """
    shape = check_shape(shape, axes=(2,))
    config = config or VesselsConfig()
    generator = np.random.default_rng(seed)
    origin = np.asarray(shape) * generator.uniform((0.3, 0.1), (0.7, 0.3))
    profile, inside = _draw(shape, _grow(shape, origin=origin, config=config, generator=generator), config=config)
    pixels = _expose(profile, origin=origin, config=config, generator=generator)
    name = f"vessels, seed {seed}"
    return (
        Image(pixels=pixels, name=name, is_rgb=config.rgb),
        Labels(ids=inside.astype(np.int32), kind="classes", classes=("background", "vessel"), name=name),
    )


def _grow(
    shape: tuple[int, ...], *, origin: NDArray[np.float64], config: VesselsConfig, generator: Generator
) -> list[tuple[float, float, float]]:
    """Points (y, x, radius) along all vessels, a pixel apart: random walks in the angle, with forks."""
    angles = 2 * np.pi * (np.arange(config.roots) + generator.uniform(-0.25, 0.25, config.roots)) / config.roots
    angles += generator.uniform(0, 2 * np.pi)
    start = 0.5 * config.width
    waiting = [(*origin, float(a), start * float(generator.uniform(0.6, 1.0))) for a in angles]
    points: list[tuple[float, float, float]] = []
    while waiting:
        y, x, angle, radius = waiting.pop()
        curl = 0.0
        length = int(generator.exponential(9 * config.width)) + int(8 * radius)
        noise = generator.normal(0, 0.1 * config.winding, size=length)
        for step in range(length):
            curl = 0.93 * curl + float(noise[step])
            outward = float(np.arctan2(y - origin[0], x - origin[1]))
            angle += curl + config.winding * 0.12 * float(np.sin(outward - angle))
            y += float(np.sin(angle))
            x += float(np.cos(angle))
            radius *= 1 - 0.06 / (9 * config.width)
            if not (-radius <= y <= shape[0] + radius and -radius <= x <= shape[1] + radius):
                break
            points.append((y, x, radius))
        else:
            share = float(generator.uniform(0.2, 0.75))
            side = 1.0 if generator.random() < 0.5 else -1.0
            for part, turn in ((share, 0.85), (1 - share, -0.3)):
                narrower = radius * part ** (1 / 3)
                if 2 * narrower >= config.narrowest:
                    waiting.append((y, x, angle + side * turn * (1.2 - part), narrower))
    return points


def _draw(
    shape: tuple[int, ...], points: list[tuple[float, float, float]], *, config: VesselsConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Darkness across the vessels, 0..1, and the pixels whose centre lies in one."""
    profile = np.zeros(shape, np.float32)
    inside = np.zeros(shape, bool)
    for y, x, radius in points:
        rows = slice(max(int(y - radius - 1), 0), max(int(y + radius + 2), 0))
        columns = slice(max(int(x - radius - 1), 0), max(int(x + radius + 2), 0))
        down = np.arange(*rows.indices(shape[0]), dtype=np.float32) - np.float32(y)
        right = np.arange(*columns.indices(shape[1]), dtype=np.float32) - np.float32(x)
        squared = down[:, None] ** 2 + right[None] ** 2
        inside[rows, columns] |= squared <= radius**2
        strength = min((2 * radius / config.width) ** 0.4, 1.0)
        depth = np.float32(strength) * np.sqrt(np.clip(1 - squared / (radius + 0.4) ** 2, 0, 1))
        np.maximum(profile[rows, columns], depth, out=profile[rows, columns])
    return profile, inside


def _expose(
    profile: NDArray[np.float32], *, origin: NDArray[np.float64], config: VesselsConfig, generator: Generator
) -> NDArray[np.float32]:
    """Light from the background through the vessels onto the camera: (C, Y, X), whole numbers 0..255."""
    from scipy import ndimage

    shape = profile.shape
    absorbed = np.float32(config.contrast) * ndimage.gaussian_filter(profile, 0.8)
    clouds = 1 + np.float32(0.045) * texture(shape, coarsest=max(max(shape) / 4, 2), generator=generator)
    stripes = 1 + np.float32(0.012) * smooth_field(shape, scale=6, generator=generator)
    light = clouds * stripes * shading(shape, strength=config.shading, generator=generator)
    disc = _optic_disc(shape, origin=origin, radius=2.6 * config.width)
    if not config.rgb:
        seen = (0.62 + 0.25 * disc) * light * (1 - absorbed)
        return to_grey_values(camera(seen, photons=config.photons, read_noise=0.008, generator=generator))[None]
    colours = ((0.86, 0.12, 0.35), (0.46, 0.38, 1.0), (0.24, 0.30, 0.6))  # ground, disc, absorption by blood
    channels = []
    for ground, bright, absorbs in colours:
        seen = (ground + bright * disc) * light ** (0.7 if ground > 0.8 else 1.1) * (1 - absorbs * absorbed)
        noisy = camera(seen, photons=config.photons, read_noise=0.008, generator=generator)
        channels.append(to_grey_values(ndimage.gaussian_filter(noisy, 0.5)))
    return np.stack(channels)


def _optic_disc(shape: tuple[int, ...], *, origin: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """The bright disc where the vessels enter: 1 in the middle, 0 outside, with a soft rim of some pixels."""
    from scipy import special

    down = np.arange(shape[0], dtype=np.float32) - np.float32(origin[0])
    right = np.arange(shape[1], dtype=np.float32) - np.float32(origin[1])
    distance = np.sqrt(down[:, None] ** 2 + (1.15 * right[None]) ** 2)
    return np.asarray(special.expit((radius - distance) / (0.1 * radius)), np.float32)
