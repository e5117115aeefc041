import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.errors import UsageError
from segue.objects.decode import DecodeConfig, decode_objects, fill_holes


def cone(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> NDArray[np.float32]:
    """Distance to the border of a ball over its radius: 1 in the centre, 0 at the border and outside."""
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)))
    return (1 - distance / radius).clip(0, 1).astype(np.float32)


def scene(*balls: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    distance = np.maximum.reduce(balls)
    return (distance > 0).astype(np.float32), distance


@pytest.mark.parametrize(
    ("shape", "first", "second"), [((20, 36), (10, 11), (10, 24)), ((14, 14, 30), (7, 7, 8), (7, 7, 20))]
)
def test_two_touching_balls_are_two_objects_cut_half_way(shape, first, second):
    foreground, distance = scene(cone(shape, first, 7), cone(shape, second, 7))
    assert ndimage.label(foreground)[1] == 1
    objects = decode_objects(foreground, distance, config=DecodeConfig())
    assert objects.dtype == np.uint32
    assert objects.max() == 2
    assert ((objects > 0) == (foreground > 0)).all()
    middle = (first[-1] + second[-1]) / 2
    assert (np.nonzero(objects == 1)[-1] <= middle + 1).all()
    assert (np.nonzero(objects == 2)[-1] >= middle - 1).all()


def test_without_a_distance_the_valley_of_foreground_separates():
    foreground = np.array([[0.9, 0.9, 0.6, 0.9, 0.9, 0.1, 0.7]], np.float32)
    objects = decode_objects(foreground, config=DecodeConfig())
    # the last component has nothing that it could be a part of
    assert objects.tolist() in ([[1, 1, 1, 2, 2, 0, 3]], [[1, 1, 2, 2, 2, 0, 3]])


def test_a_component_of_whatever_height_is_an_object():
    foreground = np.array([[1, 1, 0, 1]], np.float32)
    distance = np.array([[0.3, 0.3, 0, 0.9]], np.float32)
    assert decode_objects(foreground, distance, config=DecodeConfig()).tolist() == [[1, 1, 0, 2]]


def test_hills_outside_of_the_foreground_are_nothing():
    foreground = np.array([[0.9, 0.9, 0.1]], np.float32)
    distance = np.array([[0.2, 0.2, 0.9]], np.float32)
    assert decode_objects(foreground, distance, config=DecodeConfig()).tolist() == [[1, 1, 0]]


def test_small_objects_are_removed():
    foreground = np.zeros((6, 12), np.float32)
    foreground[:, :9] = 1
    foreground[0, 11] = 1
    assert decode_objects(foreground, config=DecodeConfig()).max() == 2
    assert (decode_objects(foreground, config=DecodeConfig(smallest_object=2)) == (foreground > 0))[:, :11].all()
    assert decode_objects(foreground, config=DecodeConfig(smallest_object=2))[0, 11] == 0


def test_a_dip_is_measured_from_the_lower_of_two_tops():
    ones = np.ones((1, 5), np.float32)
    distance = np.array([[0.9, 0.5, 0.7, 0.6, 0.8]], np.float32)
    # 0.7 rises by 0.1 over its higher neighbour's saddle (0.6), 0.8 by 0.3 over the saddle at 0.5
    for dip, expected in ((0.05, 3), (0.15, 2), (0.25, 2), (0.35, 1)):
        assert decode_objects(ones, distance, config=DecodeConfig(smallest_dip=dip)).max() == expected


def test_a_low_hill_is_an_object_if_its_dip_is_deep_enough():
    ones = np.ones((1, 5), np.float32)
    distance = np.array([[0.9, 0.5, 0.05, 0.2, 0.3]], np.float32)
    assert decode_objects(ones, distance, config=DecodeConfig(smallest_dip=0.2)).max() == 2


def test_objects_of_which_the_network_is_not_sure_are_removed_with_their_holes():
    foreground = np.full((7, 14), 0.1, np.float32)
    foreground[1:6, 1:6], foreground[1:6, 8:13] = 0.6, 0.9
    foreground[3, 3] = foreground[3, 10] = 0.2
    for confidence, expected in ((0.0, 2), (0.59, 2), (0.62, 1), (0.89, 1), (0.91, 0)):
        objects = decode_objects(foreground, config=DecodeConfig(smallest_confidence=confidence))
        assert objects.max() == expected
    kept = decode_objects(foreground, config=DecodeConfig(smallest_confidence=0.7))
    assert (kept[1:6, 8:13] == 1).all()
    assert (kept > 0).sum() == 25


def test_smoothing_joins_the_pieces_of_a_noisy_core():
    rng = np.random.default_rng(0)
    foreground, distance = scene(cone((30, 30), (15, 15), 12))
    noisy = (distance + rng.normal(0, 0.15, distance.shape)).clip(0, 1).astype(np.float32)
    rough = decode_objects(foreground, noisy, config=DecodeConfig())
    smooth = decode_objects(foreground, noisy, config=DecodeConfig(smoothing=1.5))
    assert rough.max() > 1
    assert smooth.max() == 1


def test_the_same_input_gives_the_same_objects_and_stays_as_it_was():
    rng = np.random.default_rng(1)
    foreground, distance = rng.random((2, 40, 41)).astype(np.float32)
    before = foreground.copy(), distance.copy()
    config = DecodeConfig(smoothing=1, foreground_threshold=0.45)
    first = decode_objects(foreground, distance, config=config)
    assert (first == decode_objects(foreground, distance, config=config)).all()
    assert (foreground == before[0]).all()
    assert (distance == before[1]).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(30, 31), (9, 10, 11)])
def test_objects_are_connected_numbered_in_scan_order_and_cover_the_foreground(seed, shape):
    rng = np.random.default_rng(seed)
    noise = [0.5 + ndimage.gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2)]
    foreground, distance = (values.clip(0, 1).astype(np.float32) for values in noise)
    objects = decode_objects(foreground, distance, config=DecodeConfig(fill_holes=False))
    assert ((objects > 0) == (foreground > 0.5)).all()
    values, first = np.unique(objects, return_index=True)
    assert values[values > 0].tolist() == list(range(1, int(objects.max()) + 1))
    assert (np.diff(first[values > 0]) > 0).all()
    for value in values[values > 0]:
        assert ndimage.label(objects == value)[1] == 1


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 0, 4), (2, 2, 2)])
def test_images_without_foreground_have_no_objects(shape):
    objects = decode_objects(np.zeros(shape, np.float32), config=DecodeConfig())
    assert objects.shape == shape
    assert not objects.any()


def test_a_single_pixel_and_an_image_full_of_foreground_are_one_object():
    assert decode_objects(np.ones((1, 1), np.float32), config=DecodeConfig()).tolist() == [[1]]
    assert (decode_objects(np.ones((5, 4), np.float32), config=DecodeConfig()) == 1).all()


def test_only_holes_of_one_object_away_from_the_edge_are_filled():
    objects = np.array(
        [
            [1, 1, 1, 0, 2, 2, 0],
            [1, 0, 1, 2, 2, 0, 2],
            [1, 1, 1, 2, 2, 2, 2],
            [0, 0, 0, 3, 3, 3, 3],
            [4, 4, 4, 3, 5, 0, 3],
            [4, 0, 3, 3, 3, 3, 3],
            [4, 4, 4, 0, 0, 0, 0],
        ]
    )
    # (1, 1) is a hole of 1; (1, 5) touches the corner (0, 6) and so the edge; (4, 5) lies between 3 and 5;
    # (5, 1) lies between 4 and 3
    expected = objects.copy()
    expected[1, 1] = 1
    assert fill_holes(objects).tolist() == expected.tolist()


def test_a_bubble_in_a_volume_is_filled_and_a_tunnel_is_not():
    bubble = np.full((5, 5, 5), 7)
    bubble[2, 2, 2] = 0
    assert (fill_holes(bubble) == 7).all()
    tunnel = np.full((5, 5, 5), 7)
    tunnel[:, 2, 2] = 0
    assert (fill_holes(tunnel) == tunnel).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foreground_threshold": 1.0}, "foreground_threshold = 1.0 cannot work"),
        ({"smallest_dip": -0.1}, "smallest_dip = -0.1 cannot work"),
        ({"smallest_object": 0}, "smallest_object = 0 is not a size"),
        ({"smallest_confidence": 1.5}, "smallest_confidence = 1.5 cannot work"),
        ({"smoothing": float("nan")}, "smoothing = nan cannot work"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_name(options, message):
    with pytest.raises(UsageError, match=message):
        DecodeConfig(**options)


def test_maps_that_do_not_fit_or_hold_nan_are_refused():
    ones = np.ones((3, 3), np.float32)
    with pytest.raises(UsageError, match=r"the foreground has the shape \(3, 3\) and the distance \(3, 2\)"):
        decode_objects(ones, ones[:, :2], config=DecodeConfig())
    with pytest.raises(UsageError, match="the distance holds NaN"):
        decode_objects(ones, np.full((3, 3), np.nan, np.float32), config=DecodeConfig())
