"""The random ingredients of a simulated image: smooth fields, texture, shading, rotations, the camera."""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError

Generator = np.random.Generator


def check_shape(shape: tuple[int, ...], *, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Check that `shape` has one of the numbers of `axes` and no length below 1. Raises UsageError."""
    if len(shape) not in axes or any(length < 1 for length in shape):
        allowed = " or ".join(str(number) for number in axes)
        raise UsageError(
            f"cannot simulate an image of shape {tuple(shape)}; give {allowed} lengths of at least 1 pixel each"
        )
    return tuple(int(length) for length in shape)


def check_fractions(**settings: float) -> None:
    """Check that every one of `settings` lies in 0..1. Raises UsageError with the name and the value."""
    for name, value in settings.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{name} is {value}; it must lie between 0 and 1")


def check_positive(**settings: float) -> None:
    """Check that every one of `settings` is above 0. Raises UsageError with the name and the value."""
    for name, value in settings.items():
        if not value > 0:
            raise UsageError(f"{name} is {value}; it must be above 0")


def smooth_field(shape: tuple[int, ...], *, scale: float, generator: Generator) -> NDArray[np.float32]:
    """A smooth random field of mean about 0 and standard deviation about 1, float32, of `shape`.

    Normal values on a grid of `scale` pixels, cubic B-splines in between: features are about `scale` pixels
    wide.
    """
    scale = max(float(scale), 1.0)
    field = generator.normal(size=[ceil(length / scale) + 4 for length in shape]).astype(np.float32)
    for axis, length in enumerate(shape):
        place = np.arange(length) / scale + generator.uniform(0, 1)
        first = place.astype(np.int64)
        t = (place - first).astype(np.float32)
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        along = [-1 if other == axis else 1 for other in range(len(shape))]
        field = sum(
            (w.reshape(along) * np.take(field, first + k, axis=axis) for k, w in enumerate(weights[1:], start=1)),
            weights[0].reshape(along) * np.take(field, first, axis=axis),
        )
    deviation = 6 * (151 / 315) ** 0.5  # of the weighted sum of four normal values, mean over t
    return np.asarray(field / np.float32(deviation ** len(shape)), np.float32)


def texture(shape: tuple[int, ...], *, coarsest: float, generator: Generator) -> NDArray[np.float32]:
    """A cloud-like texture of deviation about 1: each octave of half the scale has 0.7 of the strength."""
    total = np.zeros(shape, np.float32)
    strength, power, scale = 1.0, 0.0, float(coarsest)
    while scale >= 1.5:
        total += np.float32(strength) * smooth_field(shape, scale=scale, generator=generator)
        power += strength**2
        strength, scale = strength * 0.7, scale / 2
    return total / np.float32(max(power, 1e-6) ** 0.5)


def shading(shape: tuple[int, ...], *, strength: float, generator: Generator) -> NDArray[np.float32]:
    """Uneven illumination: a factor per pixel from 1 - `strength` to 1, smooth over the whole image."""
    centre = generator.uniform(0.25, 0.75, size=len(shape))
    reach = generator.uniform(0.7, 1.1, size=len(shape))
    squared = np.zeros(shape, np.float32)
    for axis, length in enumerate(shape):
        place = (np.arange(length, dtype=np.float32) / max(length, 2) - centre[axis]) / reach[axis]
        squared += np.expand_dims(place**2, [other for other in range(len(shape)) if other != axis])
    dark = squared / max(float(squared.max()), 1e-6)
    return np.asarray(1 - np.float32(strength) * dark, np.float32)


def random_rotation(axes: int, *, generator: Generator) -> NDArray[np.float64]:
    """A uniformly random orthogonal matrix (axes, axes): QR of a normal matrix (Stewart 1980)."""
    q, r = np.linalg.qr(generator.normal(size=(axes, axes)))
    return np.asarray(q * np.sign(np.diag(r)), np.float64)


def camera(
    signal: NDArray[np.float32], *, photons: float, read_noise: float, generator: Generator
) -> NDArray[np.float32]:
    """What a camera records of `signal` (1.0 = `photons` photons): Poisson noise, then Gaussian noise.

    `read_noise` is in the units of `signal`. The result is in the units of `signal` and may lie a little
    below 0.
    """
    counted = generator.poisson(np.maximum(signal, 0) * photons).astype(np.float32) / np.float32(photons)
    return counted + generator.normal(0, read_noise, size=signal.shape).astype(np.float32)


def to_grey_values(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip to 0..1 and give whole numbers 0..255 as float32."""
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.float32)
