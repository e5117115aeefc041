import heapq

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.objects.flood import LEVELS, flood


def slow_pass_heights(
    height: NDArray[np.int64], seeds: NDArray[np.int32], inside: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """For each pixel the largest lowest place over all paths from a seed, by Dijkstra; -1 where there is no
    path."""
    best = np.full(height.shape, -1)
    queue = [(-int(height[place]), place) for place in zip(*np.nonzero((seeds > 0) & inside), strict=True)]
    heapq.heapify(queue)
    while queue:
        lowest, place = heapq.heappop(queue)
        if best[place] >= 0:
            continue
        best[place] = -lowest
        for axis in range(height.ndim):
            for step in (-1, 1):
                near = (*place[:axis], place[axis] + step, *place[axis + 1 :])
                if 0 <= near[axis] < height.shape[axis] and inside[near] and best[near] < 0:
                    heapq.heappush(queue, (max(lowest, -int(height[near])), near))
    return best


@pytest.mark.parametrize("shape", [(24, 25), (8, 9, 10)])
@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_gets_a_seed_from_which_no_other_path_is_higher(seed, shape):
    rng = np.random.default_rng(seed)
    landscape = ndimage.gaussian_filter(rng.random(shape), 1.2).astype(np.float32)
    landscape = (landscape - landscape.min()) / np.ptp(landscape)
    inside = rng.random(shape) > 0.1
    seeds = np.zeros(shape, np.int32)
    for value in range(1, 8):
        seeds[tuple(int(rng.integers(0, length)) for length in shape)] = value
    found = flood(landscape, seeds, inside=inside)
    height = np.where(seeds > 0, LEVELS, (landscape * LEVELS).astype(np.int64))
    best = slow_pass_heights(height, seeds, inside)
    assert ((found > 0) == (best >= 0)).all()
    for value in np.unique(found[found > 0]):
        region = inside & (found == value)
        own = slow_pass_heights(height, np.where(seeds == value, seeds, 0), region)
        assert (own[region] == best[region]).all()  # reached within its own region, and best


def test_it_agrees_with_scikit_image_but_for_ties():
    from skimage.segmentation import watershed

    rng = np.random.default_rng(0)
    landscape = ndimage.gaussian_filter(rng.random((80, 80)), 3)
    landscape = ((landscape - landscape.min()) / np.ptp(landscape)).astype(np.float32)
    seeds, _ = ndimage.label(landscape > 0.7)
    inside = landscape > 0.3
    expected = watershed(-landscape, seeds, mask=inside)
    found = flood(landscape, seeds, inside=inside)
    reached = found > 0
    assert (reached == (expected > 0)).all()
    assert (found == expected).mean() > 0.98


def test_a_plain_is_shared_at_equal_distance_from_the_seeds():
    seeds = np.zeros((1, 8), np.int32)
    seeds[0, 0], seeds[0, 7] = 5, 9
    found = flood(np.full((1, 8), 0.5, np.float32), seeds, inside=np.ones((1, 8), bool))
    assert found.tolist() == [[5, 5, 5, 5, 9, 9, 9, 9]]


def test_a_valley_stops_the_flood_until_both_sides_have_come_down():
    landscape = np.array([[0.9, 0.8, 0.7, 0.2, 0.8, 0.9]], np.float32)
    seeds = np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    found = flood(landscape, seeds, inside=np.ones((1, 6), bool))
    assert found.tolist() == [[1, 1, 1, 2, 2, 2]]


def test_seeds_outside_are_nothing_and_what_is_cut_off_stays_empty():
    inside = np.array([[True, True, False, True]])
    seeds = np.array([[3, 0, 4, 0]], np.int32)
    assert flood(np.ones((1, 4), np.float32), seeds, inside=inside).tolist() == [[3, 3, 0, 0]]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (0, 3, 3)])
def test_images_without_a_pixel_or_a_seed_stay_empty(shape):
    found = flood(np.ones(shape, np.float32), np.zeros(shape, np.int32), inside=np.ones(shape, bool))
    assert found.shape == shape
    assert not found.any()
