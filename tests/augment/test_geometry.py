import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segue.augment.geometry import Geometry, GeometryConfig, draw_geometry, identity
from segue.errors import UsageError

STILL: dict[str, Any] = {
    "rotation_chance": 0,
    "scale_chance": 0,
    "shear_chance": 0,
    "shift": 0,
    "flips": False,
    "quarter_turns": False,
}


def matrices(count, *, axes=2, spacing=None, strength=1.0, **settings) -> NDArray[np.float64]:
    config = GeometryConfig(**(STILL | settings))
    rng = np.random.default_rng(0)
    drawn = [draw_geometry(rng, config, spatial_axes=axes, spacing=spacing, strength=strength) for _ in range(count)]
    return np.array([geometry.matrix for geometry in drawn])


@pytest.mark.parametrize("axes", [2, 3])
def test_nothing_switched_on_is_exactly_the_identity(axes):
    config = GeometryConfig(**STILL)
    assert draw_geometry(
        np.random.default_rng(0), config, spatial_axes=axes, spacing=(0.3, 0.7, 0.1)[:axes]
    ) == identity(axes)


@pytest.mark.parametrize("axes", [2, 3])
def test_strength_0_leaves_everything_as_it_is(axes):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert draw_geometry(rng, GeometryConfig(), spatial_axes=axes, strength=0) == identity(axes)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_rotation_keeps_lengths_and_handedness(axes):
    for matrix in matrices(50, axes=axes, rotation_chance=1):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(axes), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_a_rotation_of_thick_slices_keeps_lengths_in_space():
    steps = np.diag((5.0, 1.0, 1.0))
    for matrix in matrices(50, axes=3, spacing=(5.0, 1.0, 1.0), rotation_chance=1, tilt=40):
        in_space = steps @ matrix @ np.linalg.inv(steps)
        np.testing.assert_allclose(in_space @ in_space.T, np.eye(3), atol=1e-12)


def test_without_tilt_slices_stay_slices():
    for matrix in matrices(20, axes=3, rotation_chance=1, tilt=0):
        assert matrix[0].tolist() == [1, 0, 0]
        assert matrix[:, 0].tolist() == [1, 0, 0]


def test_angles_cover_their_whole_range_and_no_more():
    angles = np.array(
        [math.degrees(math.atan2(m[1, 0], m[0, 0])) for m in matrices(500, rotation_chance=1, rotation=30)]
    )
    assert -30 <= angles.min() < -28
    assert 28 < angles.max() <= 30
    halved = matrices(500, rotation_chance=1, rotation=30, strength=0.5)
    assert max(math.degrees(abs(math.atan2(m[1, 0], m[0, 0]))) for m in halved) <= 15


def test_objects_grow_as_often_as_they_shrink_by_at_most_the_factors():
    areas = np.array([1 / np.linalg.det(m) for m in matrices(1000, scale_chance=1, scale=1.5, stretch=1.1)])
    assert 1.5**2 * 1.1**2 >= areas.max() > 2
    assert areas.min() >= 1 / (1.5**2 * 1.1**2)
    assert 0.45 < (areas > 1).mean() < 0.55


def test_a_shear_keeps_the_area():
    for matrix in matrices(20, shear_chance=1):
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_only_the_axes_that_may_be_are_mirrored():
    drawn = matrices(60, axes=3, flips=True, oriented=(False, True, False))
    assert {tuple(np.diag(matrix)) for matrix in drawn} == {(a, 1, b) for a in (-1, 1) for b in (-1, 1)}


@pytest.mark.parametrize("axes", [2, 3])
def test_flips_and_quarter_turns_are_whole_numbers_and_all_occur(axes):
    drawn = matrices(400, axes=axes, flips=True, quarter_turns=True)
    assert np.isin(drawn, (-1, 0, 1)).all()
    assert len({matrix.tobytes() for matrix in drawn}) == {2: 8, 3: 16}[axes]


def test_there_are_no_quarter_turns_between_unequal_pixel_sizes():
    for matrix in matrices(50, flips=True, quarter_turns=True, spacing=(1.0, 2.0)):
        assert not matrix[0, 1]


def test_shifts_are_whole_pixels_up_to_the_limit():
    config = GeometryConfig(**(STILL | {"shift": 3}))
    rng = np.random.default_rng(0)
    shifts = {draw_geometry(rng, config, spatial_axes=2).shift[0] for _ in range(200)}
    assert shifts == {-3, -2, -1, 0, 1, 2, 3}


def test_a_shift_is_as_long_in_space_along_every_axis():
    config = GeometryConfig(**(STILL | {"shift": 10}))
    rng = np.random.default_rng(0)
    shifts = [draw_geometry(rng, config, spatial_axes=3, spacing=(5.0, 1.0, 2.0)).shift for _ in range(300)]
    assert np.abs(shifts).max(axis=0).tolist() == [2, 10, 5]


def test_equal_seeds_draw_equal_maps():
    one, two = (draw_geometry(np.random.default_rng(5), GeometryConfig(), spatial_axes=3) for _ in range(2))
    assert isinstance(one, Geometry)
    assert one == two


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 0.9}, "scale = 0.9 cannot be used; give 1 or more"),
        ({"rotation_chance": 2}, "no probability"),
        ({"shift": -1}, "shift"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        GeometryConfig(**settings)
