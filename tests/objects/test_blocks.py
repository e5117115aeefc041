import numpy as np
import pytest
from scipy import ndimage

from segue.objects.blocks import Grid, distinct, facing, joined


@pytest.mark.parametrize(("shape", "side"), [((7, 5), 3), ((4, 4), 4), ((1, 9), 2), ((3, 4, 5), 2), ((0, 4), 2)])
def test_blocks_cover_every_pixel_once_in_the_order_of_a_scan(shape, side):
    grid = Grid(shape, side)
    times = np.zeros(shape, int)
    for block in grid.blocks:
        times[block] += 1
    assert (times == 1).all()
    assert grid.blocks == sorted(grid.blocks, key=lambda block: [part.start for part in block])


def test_a_margin_ends_at_the_end_of_the_image():
    wide, inner = Grid((10, 10), 4).around((slice(0, 4), slice(4, 8)), 3)
    assert wide == (slice(0, 7), slice(1, 10))
    assert inner == (slice(0, 4), slice(3, 7))


def test_neighbours_are_blocks_that_share_a_face():
    grid = Grid((7, 10), 4)  # 2 x 3 blocks
    assert [grid.neighbour(4, axis, step) for axis in (0, 1) for step in (-1, 1)] == [1, None, 3, 5]


@pytest.mark.parametrize("shape", [(7, 9), (4, 5, 6)])
@pytest.mark.parametrize("corners", [False, True])
def test_blocks_joined_across_their_seams_are_the_components_of_the_whole(shape, corners):
    structure = ndimage.generate_binary_structure(len(shape), len(shape) if corners else 1)
    for seed in range(20):
        inside = np.random.default_rng(seed).random(shape) < 0.5
        grid = Grid(shape, 3)
        labels, known = np.zeros(shape, int), 0
        for block in grid.blocks:
            own, count = ndimage.label(inside[block], structure=structure)
            labels[block] = np.where(own > 0, own + known, 0)
            known += count
        pairs = []
        for axis, seam in grid.seams():
            for low, high in facing(labels[seam], axis, corners=corners):
                both = (low > 0) & (high > 0)
                pairs.append(distinct(low[both], high[both]))
        groups = (joined(known + 1, pairs) + 1)[labels] * inside
        whole, number = ndimage.label(inside, structure=structure)
        assert len(np.unique(groups[inside])) == number
        assert len(np.unique(np.stack([groups, whole])[:, inside], axis=1).T) == number


def test_pairs_are_told_once():
    first, second = np.array([3, 3, 1, 3, 1]), np.array([4, 4, 2, 4, 2])
    assert distinct(first, second).tolist() == [[1, 3], [2, 4]]
    assert distinct(first[:0], second[:0]).shape == (2, 0)


def test_without_pairs_everybody_is_alone():
    assert joined(3, []).tolist() == [0, 1, 2]
    assert joined(0, []).size == 0
