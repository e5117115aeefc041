"""Changes of the grey values of a patch: optics, illumination, colour, noise. The labels stay as they are.

All act on normalised intensities (mean about 0, size about 1), in the order in which an image comes about:
blur and coarse pixels (optics), colour, gamma, contrast, brightness (illumination and camera), noise.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segue.augment.mirror import mirrored
from segue.augment.settings import check_chances, check_not_below

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class IntensityConfig:
    """Ranges of the grey value changes. Chances are probabilities of a sample to be changed at all."""

    blur_chance: float = 0.2
    """Chance of a Gaussian blur."""
    blur: float = 1.2
    """Greatest standard deviation of the blur, in pixels."""
    low_resolution_chance: float = 0.1
    """Chance of being sampled coarsely and enlarged again."""
    low_resolution: float = 2.0
    """Greatest factor between coarse and fine pixels."""
    gamma_chance: float = 0.3
    """Chance of a gamma curve between the least and the greatest value of the patch, which stay."""
    gamma: float = 1.5
    """Exponent from 1/gamma to gamma, log-uniform; half of the curves are applied to the negative."""
    contrast_chance: float = 0.4
    """Chance of a contrast change: a factor on all values."""
    contrast: float = 1.35
    """Factor from 1/contrast to contrast, log-uniform, each channel its own."""
    brightness_chance: float = 0.4
    """Chance of a brightness change."""
    brightness: float = 0.3
    """Greatest number added, each channel its own."""
    noise_chance: float = 0.2
    """Chance of Gaussian noise."""
    noise: float = 0.2
    """Greatest standard deviation of the noise."""
    colour_chance: float = 0.0
    """Chance of a colour change (several channels only): for stained tissue and other colour images."""
    colour: float = 0.08
    """Standard deviation of the entries in which the mixing matrix differs from the identity."""

    def __post_init__(self) -> None:
        check_chances(
            self,
            "blur_chance",
            "low_resolution_chance",
            "gamma_chance",
            "contrast_chance",
            "brightness_chance",
            "noise_chance",
            "colour_chance",
        )
        check_not_below(self, 0, "blur", "brightness", "noise", "colour")
        check_not_below(self, 1, "low_resolution", "gamma", "contrast")


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Drawn grey value changes. The defaults change nothing."""

    blur: float = 0.0
    """Standard deviation in pixels."""
    low_resolution: float = 1.0
    """Factor between coarse and fine pixels."""
    colour: tuple[tuple[float, ...], ...] = ()
    """(C, C) matrix that mixes the channels; empty for none."""
    gamma: float = 1.0
    """Exponent."""
    negative: bool = False
    """Whether the exponent works on the negative."""
    contrast: tuple[float, ...] = ()
    """A factor for each channel; empty for none."""
    brightness: tuple[float, ...] = ()
    """A summand for each channel; empty for none."""
    noise: float = 0.0
    """Standard deviation."""
    noise_seed: int = 0
    """Seed of the noise."""


def draw_intensity(
    rng: np.random.Generator, config: IntensityConfig, *, channels: int, strength: float = 1.0
) -> Intensity:
    """Draw changes for a patch of `channels` channels.

    `strength` multiplies ranges (of factors: their logarithms) and (up to 1) the chances.
    """
    likely = min(strength, 1.0)

    def happens(chance: float) -> bool:
        return bool(rng.random() < likely * chance)

    def log_factor(greatest: float, count: int) -> NDArray[np.float64]:
        limit = strength * math.log(greatest)
        return np.exp(rng.uniform(-limit, limit, size=count))

    drawn: dict[str, object] = {}
    if happens(config.blur_chance):
        drawn["blur"] = float(rng.uniform(0, strength * config.blur))
    if happens(config.low_resolution_chance):
        drawn["low_resolution"] = float(np.exp(rng.uniform(0, strength * math.log(config.low_resolution))))
    if happens(config.colour_chance) and channels > 1:
        mix = np.eye(channels) + rng.normal(0, strength * config.colour, size=(channels, channels))
        drawn["colour"] = tuple(tuple(float(value) for value in row) for row in mix)
    if happens(config.gamma_chance):
        drawn["gamma"] = float(log_factor(config.gamma, 1)[0])
        drawn["negative"] = bool(rng.random() < 0.5)
    if happens(config.contrast_chance):
        drawn["contrast"] = tuple(log_factor(config.contrast, channels).tolist())
    if happens(config.brightness_chance):
        limit = strength * config.brightness
        drawn["brightness"] = tuple(rng.uniform(-limit, limit, size=channels).tolist())
    if happens(config.noise_chance):
        drawn["noise"] = float(rng.uniform(0, strength * config.noise))
        drawn["noise_seed"] = int(rng.integers(0, 1 << 62))
    return Intensity(**drawn)  # type: ignore[arg-type]


def apply_intensity(patch: "Tensor", intensity: Intensity) -> "Tensor":
    """The patch (C, *spatial), float32, with the changes applied; the one given is left as it is."""
    if intensity.blur > 0:
        patch = _blur(patch, intensity.blur)
    if intensity.low_resolution > 1:
        patch = _coarsen(patch, intensity.low_resolution)
    if intensity.colour:
        mix = patch.new_tensor(intensity.colour)
        patch = (mix @ patch.reshape(len(patch), -1)).reshape(patch.shape)
    if intensity.gamma != 1:
        patch = _gamma(patch, intensity.gamma, negative=intensity.negative)
    if intensity.contrast:
        patch = patch * _per_channel(patch, intensity.contrast)
    if intensity.brightness:
        patch = patch + _per_channel(patch, intensity.brightness)
    if intensity.noise > 0:
        patch = patch + intensity.noise * _normal_numbers(patch, intensity.noise_seed)
    return patch


def _per_channel(patch: "Tensor", values: tuple[float, ...]) -> "Tensor":
    return patch.new_tensor(values).reshape(-1, *(1,) * (patch.ndim - 1))


def _normal_numbers(patch: "Tensor", seed: int) -> "Tensor":
    import torch

    return torch.randn(patch.shape, generator=torch.Generator().manual_seed(seed))


def _gamma(patch: "Tensor", exponent: float, *, negative: bool) -> "Tensor":
    """The curve t -> t**exponent between the least and the greatest value of each channel."""
    axes = tuple(range(1, patch.ndim))
    least, greatest = patch.amin(axes, keepdim=True), patch.amax(axes, keepdim=True)
    span = (greatest - least).clamp_min(1e-12)  # a constant patch has no range and stays as it is
    if negative:
        return greatest - ((greatest - patch) / span).clamp_(0, 1).pow_(exponent) * span
    return least + ((patch - least) / span).clamp_(0, 1).pow_(exponent) * span


def _blur(patch: "Tensor", sigma: float) -> "Tensor":
    """Gaussian of `sigma` pixels along each axis, mirrored at the borders; axes of one pixel are left out."""
    import torch

    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    kernel /= kernel[0] + 2 * kernel[1:].sum()
    for axis in range(1, patch.ndim):
        length = patch.shape[axis]
        if length == 1:
            continue
        padded = patch.index_select(axis, torch.from_numpy(mirrored(np.arange(-reach, length + reach), length)))
        patch = float(kernel[0]) * padded.narrow(axis, reach, length)
        for offset in range(1, reach + 1):
            patch.add_(padded.narrow(axis, reach - offset, length), alpha=float(kernel[offset]))
            patch.add_(padded.narrow(axis, reach + offset, length), alpha=float(kernel[offset]))
    return patch


def _coarsen(patch: "Tensor", factor: float) -> "Tensor":
    """Sampled on pixels `factor` times as large (nearest), and back (linear)."""
    from torch.nn import functional as F

    shape = list(patch.shape[1:])
    coarse = F.interpolate(patch[None], size=[max(1, round(side / factor)) for side in shape], mode="nearest-exact")
    return F.interpolate(coarse, size=shape, mode="trilinear" if len(shape) == 3 else "bilinear")[0]
