import numpy as np
import pytest
from numpy.typing import NDArray

from segue.targets.distance import normalized_distance


def slowly(ids, spacing) -> NDArray[np.float64]:
    """The definition: for each pixel the least distance to a pixel that is not of its object."""
    places = np.stack(np.meshgrid(*map(np.arange, ids.shape), indexing="ij"), -1).reshape(-1, ids.ndim) * spacing
    flat = ids.reshape(-1)
    depth = np.zeros(flat.shape)
    for number in set(flat[flat > 0].tolist()):
        inside = np.flatnonzero(flat == number)
        outside = places[flat != number]
        gaps = places[inside][:, None] - outside[None]
        least = np.sqrt((gaps**2).sum(-1)).min(1)
        depth[inside] = least / least.max()
    return depth.reshape(ids.shape)


@pytest.mark.parametrize(("shape", "spacing"), [((18, 22), (1, 1)), ((12, 15), (2.0, 0.5)), ((6, 9, 8), (3, 1, 1.5))])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_it_equals_its_definition_pixel_by_pixel_with_touching_objects_and_any_pixel_size(shape, spacing, count):
    rng = np.random.default_rng(count)
    ids = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        corner = [rng.integers(0, length - 1) for length in shape]
        ids[tuple(slice(start, start + 5) for start in corner)] = number
    np.testing.assert_allclose(normalized_distance(ids, spacing=spacing), slowly(ids, spacing), atol=1e-6)


def test_a_square_of_five_pixels_is_a_pyramid():
    ids = np.zeros((7, 7), np.int32)
    ids[1:6, 1:6] = 3
    third = 1 / 3
    row = [0, third, 2 * third, 1, 2 * third, third, 0]
    np.testing.assert_allclose(normalized_distance(ids)[3], row, atol=1e-6)


def test_an_object_cut_by_the_images_edge_is_deepest_at_the_edge():
    ids = np.zeros((9, 9), np.int32)
    ids[0:3, 2:7] = 1
    depth = normalized_distance(ids)
    assert depth[0, 4] == 1
    assert depth[2, 4] == pytest.approx(1 / 3)


def test_a_single_pixel_is_1_and_nothing_else():
    ids = np.zeros((5, 5), np.int32)
    ids[0, 4] = 9
    depth = normalized_distance(ids)
    assert depth.dtype == np.float32
    assert depth[0, 4] == 1
    assert depth.sum() == 1


def test_an_object_that_fills_the_image_is_1_everywhere():
    assert (normalized_distance(np.ones((4, 6), np.int32)) == 1).all()
    assert (normalized_distance(np.ones((1, 1), np.int32)) == 1).all()


def test_background_ignored_pixels_and_empty_images_are_0():
    assert not normalized_distance(np.array([[0, -1], [-1, 0]], np.int32)).any()
    assert normalized_distance(np.zeros((0, 3), np.int32)).shape == (0, 3)
