import heapq

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.errors import DataError
from segue.objects.flood import LEVELS, NEVER, flood_heights, flood_timed, heights, settle


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
    found = flood_heights(heights(landscape, inside), seeds)
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
    found = flood_heights(heights(landscape, inside), seeds)
    reached = found > 0
    assert (reached == (expected > 0)).all()
    assert (found == expected).mean() > 0.98


def test_a_plain_is_shared_at_equal_distance_from_the_seeds():
    seeds = np.zeros((1, 8), np.int32)
    seeds[0, 0], seeds[0, 7] = 5, 9
    found = flood_heights(np.full((1, 8), 128, np.uint8), seeds)
    assert found.tolist() == [[5, 5, 5, 5, 9, 9, 9, 9]]


def test_a_valley_stops_the_flood_until_both_sides_have_come_down():
    landscape = np.array([[0.9, 0.8, 0.7, 0.2, 0.8, 0.9]], np.float32)
    seeds = np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    found = flood_heights(heights(landscape, np.ones((1, 6), bool)), seeds)
    assert found.tolist() == [[1, 1, 1, 2, 2, 2]]


def test_seeds_outside_are_nothing_and_what_is_cut_off_stays_empty():
    inside = np.array([[True, True, False, True]])
    seeds = np.array([[3, 0, 4, 0]], np.int32)
    assert flood_heights(heights(np.ones((1, 4), np.float32), inside), seeds).tolist() == [[3, 3, 0, 0]]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (0, 3, 3)])
def test_images_without_a_pixel_or_a_seed_stay_empty(shape):
    found = flood_heights(np.ones(shape, np.uint8), np.zeros(shape, np.int32))
    assert found.shape == shape
    assert not found.any()


def random_terrain(seed):
    """Heights with plains, and seeds, 2D or 3D."""
    rng = np.random.default_rng(seed)
    shape = (17, 23) if seed % 2 else (7, 8, 9)
    landscape = ndimage.gaussian_filter(rng.random(shape), seed % 3)
    steps = (3, 20, 1000)[seed % 3]
    height = heights((np.floor(landscape * steps) / steps).astype(np.float32), rng.random(shape) > 0.15)
    seeds = np.where((rng.random(shape) > 0.97) & (height > 0), rng.integers(1, 99, shape), 0)
    return height, seeds


def framed(values, rim):
    return np.pad(values, 1, constant_values=rim)


@pytest.mark.parametrize("seed", range(12))
def test_the_time_is_the_solution_of_its_equation(seed):
    height, seeds = random_terrain(seed)
    ids, times = flood_timed(height, seeds)
    assert (ids == flood_heights(height, seeds)).all()
    assert ((times == 0) == (seeds > 0)).all()
    assert ((times == NEVER) == (ids == 0)).all()
    around = framed(times.astype(np.int64), int(NEVER))
    core = (slice(1, -1),) * height.ndim
    near = np.stack([np.roll(around, step, axis)[core] for axis in range(height.ndim) for step in (-1, 1)])
    reached = (times > 0) & (times < NEVER)
    entry = (LEVELS + 2 - height.astype(np.int64)) << 24
    assert (times == np.maximum(entry, near.min(axis=0) + 1))[reached].all()


@pytest.mark.parametrize("seed", range(12))
def test_settling_from_nothing_gives_the_flood(seed):
    height, seeds = random_terrain(seed)
    ids, times = flood_timed(height, seeds)
    core = (slice(1, -1),) * height.ndim
    found_ids, found_times = framed(seeds, 0), framed(np.where(seeds > 0, 0, NEVER), NEVER).astype(np.uint32)
    changed = settle(framed(height, 0), found_times, found_ids, start=np.ones(found_ids.shape, bool))
    assert (found_times[core] == times).all()
    assert (found_ids[core] == ids).all()
    assert (changed[core] == ((ids > 0) & (seeds == 0))).all()


def test_settling_changes_nothing_where_all_agree():
    height, seeds = random_terrain(1)
    ids, times = (framed(values, rim) for values, rim in zip(flood_timed(height, seeds), (0, NEVER), strict=True))
    before = ids.copy(), times.copy()
    assert not settle(framed(height, 0), times, ids, start=np.ones(ids.shape, bool)).any()
    assert (ids == before[0]).all()
    assert (times == before[1]).all()


def test_a_level_too_long_for_its_times_is_refused():
    height = np.full((3, 4), 100, np.uint8)
    height[[0, -1]] = 0
    times = np.full((3, 4), NEVER)
    times[1, 0] = ((LEVELS + 2 - 100) << 24) + 0xFFFFFE
    with pytest.raises(DataError, match="more than 16 million steps"):
        settle(height, times, np.ones((3, 4), np.uint32), start=np.ones((3, 4), bool))
