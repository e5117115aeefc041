"""Elastic deformation: random displacements on a coarse grid, smooth in between.

Ronneberger, Fischer & Brox (2015), section 3.1: "random displacement vectors on a coarse 3 by 3 grid",
Gaussian with 10 pixels standard deviation, per-pixel displacements by bicubic interpolation. Here the grid is
given by its spacing, so that a patch of any size is deformed alike; the cubic is that of Catmull and Rom,
which passes through the drawn vectors and is computed axis by axis.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segue.augment.settings import check_chances, check_not_below
from segue.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ElasticConfig:
    """How strongly a patch is deformed."""

    chance: float = 0.5
    """Probability of a sample to be deformed."""
    spacing: float = 128.0
    """Distance between the points of the coarse grid, in pixels (about 256 in the paper: 3 across 512)."""
    std: float = 10.0
    """Standard deviation of each component of a displacement, in pixels (10 in the paper). Much more than a
    quarter of `spacing` folds the image over itself."""

    def __post_init__(self) -> None:
        check_chances(self, "chance")
        check_not_below(self, 0, "std")
        if not (math.isfinite(self.spacing) and self.spacing > 0):
            raise UsageError(f"spacing = {self.spacing} cannot be used; give a distance in pixels, such as 128")


@dataclass(frozen=True, kw_only=True)
class Elastic:
    """One drawn deformation. The displacements follow from the seed, for a patch of any size."""

    seed: int
    """Seed of the displacements."""
    spacing: tuple[float, ...]
    """Distance of grid points along each axis, in pixels."""
    std: tuple[float, ...]
    """Standard deviation of the displacement along each axis, in pixels."""


def draw_elastic(
    rng: np.random.Generator,
    config: ElasticConfig,
    *,
    spatial_axes: int,
    spacing: Sequence[float] | None = None,
    strength: float = 1.0,
) -> Elastic | None:
    """Draw one deformation, or none. `spacing` is the size of a pixel along each axis: with thick slices the
    grid's pixels are those of the last axis, and along the others grid and displacements are as long in
    space.

    `strength` multiplies the displacements and (up to 1) the chance.
    """
    steps = np.ones(spatial_axes) if spacing is None else np.asarray(spacing, np.float64)
    if not rng.random() < min(strength, 1.0) * config.chance or strength * config.std <= 0:
        return None
    ratios = steps[-1] / steps
    return Elastic(
        seed=int(rng.integers(0, 1 << 62)),
        spacing=tuple(float(config.spacing * ratio) for ratio in ratios),
        std=tuple(float(strength * config.std * ratio) for ratio in ratios),
    )


def grid_displacements(elastic: Elastic, patch_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The displacement vectors on the coarse grid: (axes, *grid), float32, in pixels."""
    grid = tuple(
        cubic_weights(length, spacing).shape[1] for length, spacing in zip(patch_shape, elastic.spacing, strict=True)
    )
    rng = np.random.Generator(np.random.PCG64(elastic.seed))
    std = np.asarray(elastic.std, np.float32).reshape(-1, *(1,) * len(grid))
    return std * rng.standard_normal((len(grid), *grid), dtype=np.float32)


def upsample(grid: NDArray[np.float32], patch_shape: tuple[int, ...], spacing: tuple[float, ...]) -> "Tensor":
    """Vectors between the points of a coarse grid: (axes, *grid) to (axes, *patch_shape), float32, cubic."""
    import torch

    field = torch.from_numpy(grid)
    for axis in reversed(range(len(patch_shape))):
        weights = torch.from_numpy(cubic_weights(patch_shape[axis], spacing[axis]))
        before, after = field.shape[: axis + 1], field.shape[axis + 2 :]
        folded = field.reshape(math.prod(before), field.shape[axis + 1], math.prod(after))
        field = torch.matmul(weights, folded).reshape(*before, patch_shape[axis], *after)
    return field


@lru_cache(maxsize=64)
def cubic_weights(length: int, spacing: float) -> NDArray[np.float32]:
    """What each grid point contributes to each pixel along one axis: (length, points); rows sum to 1.

    The grid is centred on the patch and has one point more at either end than lie around the pixels.
    """
    intervals = max(1, math.ceil((length - 1) / spacing))
    first = (length - 1 - intervals * spacing) / 2
    position = (np.arange(length) - first) / spacing
    left = np.clip(np.floor(position).astype(int), 0, intervals - 1)
    t = position - left
    weights = np.zeros((length, intervals + 3), np.float32)
    parts = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (-(t**2) + t**3) / 2,
    )
    for place, part in enumerate(parts):
        weights[np.arange(length), left + place] = part
    return weights
