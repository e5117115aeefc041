"""Rotation, scaling, shear, flips and shift, composed to one affine map from a patch to its image.

A map takes the offset of a patch pixel from the patch's centre to the offset of the image point it shows:
q = matrix p + shift. Nothing is sampled here; see `compose`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.augment.settings import check_chances, check_not_below

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GeometryConfig:
    """Ranges of the affine map. Chances are probabilities of a sample to be changed at all."""

    flips: bool = True
    """Mirror each axis in half of the samples."""
    oriented: tuple[bool, ...] = ()
    """Which axes, in the order of the array, are not mirrored all the same; empty for none."""
    quarter_turns: bool = True
    """Turn by 0, 90, 180 or 270 degrees in the Y-X plane (where Y and X have equal pixel sizes)."""
    rotation_chance: float = 0.5
    """Chance of a rotation by any angle."""
    rotation: float = 180.0
    """Greatest angle in the Y-X plane, in degrees."""
    tilt: float = 15.0
    """Greatest angle out of the Y-X plane, in degrees; 3D only."""
    scale_chance: float = 0.5
    """Chance of a scaling."""
    scale: float = 1.35
    """Objects grow by a factor from 1/scale to scale, log-uniform, the same along all axes."""
    stretch: float = 1.1
    """On top of it each axis of its own, from 1/stretch to stretch, log-uniform."""
    shear_chance: float = 0.2
    """Chance of a shear."""
    shear: float = 5.0
    """Greatest angle of a shear between two axes, in degrees."""
    shift: int = 8
    """Greatest shift, in whole pixels of the finest axis, uniform; along coarser axes it is as long in space."""

    def __post_init__(self) -> None:
        check_chances(self, "rotation_chance", "scale_chance", "shear_chance")
        check_not_below(self, 0, "rotation", "tilt", "shear", "shift")
        check_not_below(self, 1, "scale", "stretch")


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """One drawn affine map, in pixels of the image, axes in the order of the array (z y x)."""

    matrix: tuple[tuple[float, ...], ...]
    """From an offset in the patch to the offset in the image, both from the patch's centre."""
    shift: tuple[int, ...]
    """Added to the offset in the image."""


def identity(spatial_axes: int) -> Geometry:
    """The map that shows the image as it is."""
    return _geometry(np.eye(spatial_axes), [0] * spatial_axes)


def draw_geometry(
    rng: np.random.Generator,
    config: GeometryConfig,
    *,
    spatial_axes: int,
    spacing: Sequence[float] | None = None,
    strength: float = 1.0,
) -> Geometry:
    """Draw one affine map. `spacing` is the pixel size along each axis: rotations are those of space.

    `strength` multiplies angles, logarithms of factors and shifts, and (up to 1) the chances; at 0 nothing is
    left, not even flips.
    """
    steps = np.ones(spatial_axes) if spacing is None else np.asarray(spacing, np.float64)
    if strength <= 0:
        return identity(spatial_axes)
    likely = min(strength, 1.0)
    map_of_space = np.eye(spatial_axes)
    if rng.random() < likely * config.rotation_chance:
        map_of_space = map_of_space @ _rotation(rng, config, spatial_axes, strength)
    if rng.random() < likely * config.scale_chance:
        map_of_space = map_of_space @ _scaling(rng, config, spatial_axes, strength)
    if rng.random() < likely * config.shear_chance:
        map_of_space = map_of_space @ _shear(rng, config, spatial_axes, strength)
    # pixels -> space -> pixels; written so that an untouched map stays exactly the identity
    matrix = map_of_space * (steps[np.newaxis, :] / steps[:, np.newaxis])
    matrix = matrix @ _symmetry(rng, config, square=bool(steps[-1] == steps[-2]), spatial_axes=spatial_axes)
    reach = np.round(strength * config.shift * steps.min() / steps).astype(np.int64)
    return _geometry(matrix, rng.integers(-reach, reach, endpoint=True).tolist())


def _geometry(matrix: Matrix, shift: list[int]) -> Geometry:
    rows = tuple(tuple(float(value) + 0.0 for value in row) for row in matrix)  # + 0.0 turns -0.0 into 0.0
    return Geometry(matrix=rows, shift=tuple(shift))


def _rotation(rng: np.random.Generator, config: GeometryConfig, axes: int, strength: float) -> Matrix:
    limit = math.radians(min(strength * config.rotation, 180.0))
    turn = _plane_rotation(axes, axes - 2, axes - 1, rng.uniform(-limit, limit))
    if axes == 2:
        return turn
    lean = math.radians(strength * config.tilt)
    over_y = _plane_rotation(axes, 0, 1, rng.uniform(-lean, lean))
    over_x = _plane_rotation(axes, 0, 2, rng.uniform(-lean, lean))
    return over_y @ over_x @ turn


def _plane_rotation(axes: int, first: int, second: int, angle: float) -> Matrix:
    matrix = np.eye(axes)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix


def _scaling(rng: np.random.Generator, config: GeometryConfig, axes: int, strength: float) -> Matrix:
    common, own = strength * math.log(config.scale), strength * math.log(config.stretch)
    growth = rng.uniform(-common, common) + rng.uniform(-own, own, size=axes)
    return np.diag(np.exp(-growth))  # objects twice as large: the patch shows half of the image


def _shear(rng: np.random.Generator, config: GeometryConfig, axes: int, strength: float) -> Matrix:
    limit = math.radians(min(strength * config.shear, 45.0))
    matrix = np.eye(axes)
    first, second = rng.permutation(axes)[:2]
    matrix[first, second] = math.tan(rng.uniform(-limit, limit))
    return matrix


def _symmetry(rng: np.random.Generator, config: GeometryConfig, *, square: bool, spatial_axes: int) -> Matrix:
    """Flips and quarter turns: entries 0, 1 and -1 only, so that whole pixels stay whole pixels."""
    allowed = config.flips & ~np.array(config.oriented or (False,) * spatial_axes)
    signs = np.where(allowed & (rng.integers(0, 2, size=spatial_axes) == 0), -1, 1)
    matrix = np.diag(signs).astype(np.float64)
    turns = int(rng.integers(0, 4)) if config.quarter_turns and square else 0
    plane = np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns)
    turn = np.eye(spatial_axes)
    turn[-2:, -2:] = plane
    return matrix @ turn
