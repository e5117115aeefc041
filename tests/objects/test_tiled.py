"""Decoding block by block is decoding the whole: the same ids, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from segue.errors import UsageError
from segue.io.scratch import Scratch
from segue.objects import tiled
from segue.objects.decode import DecodeConfig, decode_objects
from segue.objects.tiled import decode_in_blocks


def in_blocks(foreground, distance=None, *, side, halo=None, new_array=np.zeros, **settings) -> NDArray[np.uint32]:
    """Decode in blocks and check the number that comes back."""
    out = np.zeros(foreground.shape, np.uint32)
    with pytest.MonkeyPatch.context() as patch:
        if halo is not None:
            patch.setattr(tiled, "HALOS", {2: halo, 3: halo})
        config = DecodeConfig(**settings)
        number = decode_in_blocks(foreground, distance, config=config, out=out, side=side, new_array=new_array)
    assert number == out.max(initial=0)
    return out


def noise(rng, shape, *, smooth, steps):
    """Values in [0, 1] in few or many steps; few make plains, where the order of the flood decides."""
    values = ndimage.gaussian_filter(rng.normal(size=shape), smooth)
    values = 0.5 + 0.25 * values / max(values.std(), 1e-9)
    return (np.round(values * steps) / steps).clip(0, 1).astype(np.float32)


@st.composite
def scenes(draw):
    axes = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 28 if axes == 2 else 11)] * axes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    smooth, steps = draw(st.sampled_from([0, 0.7, 1.5, 3])), draw(st.sampled_from([3, 10, 1000]))
    maps = [noise(rng, shape, smooth=smooth, steps=steps) for _ in range(2)]
    if draw(st.booleans()):
        maps[1] = None
    settings = {
        "foreground_threshold": draw(st.sampled_from([0.2, 0.35, 0.5, 0.65])),
        "smallest_dip": draw(st.sampled_from([0.0, 0.02, 0.1, 0.3])),
        "smallest_object": draw(st.sampled_from([1, 4])),
        "smallest_confidence": draw(st.sampled_from([0.0, 0.5, 0.6, 0.7])),
        "smoothing": draw(st.sampled_from([0.0, 0.5, 1.7])),
        "fill_holes": draw(st.booleans()),
    }
    return maps, settings


@given(scene=scenes(), side=st.integers(3, 17), halo=st.integers(0, 4))
def test_blocks_of_any_size_give_exactly_the_objects_of_the_whole(scene, side, halo):
    (foreground, distance), settings = scene
    whole = decode_objects(foreground, distance, config=DecodeConfig(**settings))
    assert (in_blocks(foreground, distance, side=side, halo=halo, **settings) == whole).all()


@pytest.mark.parametrize(("shape", "diameter"), [((150, 140), 12), ((30, 32, 34), 9)])
def test_touching_cells_are_the_same_in_blocks(shape, diameter):
    rng = np.random.default_rng(0)
    centres = np.ones(shape, bool)
    centres[tuple(rng.integers(0, length, np.prod(shape) // diameter ** len(shape)) for length in shape)] = False
    distance = (1 - ndimage.distance_transform_edt(centres) / (0.75 * diameter)).clip(0, 1).astype(np.float32)
    foreground = (distance > 0).astype(np.float32)
    whole = decode_objects(foreground, distance, config=DecodeConfig())
    assert whole.max() > 15
    for side in (20, 33):
        assert (in_blocks(foreground, distance, side=side) == whole).all()


def snake(length: int, width: int) -> NDArray[np.float32]:
    """A plain one pixel wide that winds through the whole image, with a seed at each end."""
    path = np.zeros((length, width), np.float32)
    path[::2] = 0.6
    path[1::4, -1] = path[3::4, 0] = 0.6
    path[0, 0] = path[-1, -1 if length % 4 == 1 else 0] = 0.9
    return path


def test_water_that_winds_through_all_blocks_comes_as_in_the_whole():
    landscape = snake(29, 24)
    whole = decode_objects(landscape, config=DecodeConfig())
    sizes = np.bincount(whole.ravel())
    assert whole.max() == 2
    assert abs(int(sizes[1]) - int(sizes[2])) <= 1  # both ends come equally far
    for side in (3, 8):
        assert (in_blocks(landscape, side=side, halo=1) == whole).all()


def test_a_seed_in_one_block_wins_the_plain_of_all_others():
    foreground = np.ones((30, 30), np.float32)
    distance = np.full((30, 30), 0.2, np.float32)
    distance[2, 2], distance[2, 27] = 0.9, 0.9
    whole = decode_objects(foreground, distance, config=DecodeConfig())
    assert whole.max() == 2
    assert (in_blocks(foreground, distance, side=5, halo=0) == whole).all()


def test_a_hole_across_blocks_is_filled_and_one_that_reaches_the_edge_is_not():
    ring = np.zeros((20, 40), np.float32)
    ring[2:18, 2:18] = ring[2:18, 22:40] = 1
    ring[5:15, 5:15] = 0
    ring[5:15, 25:40] = 0
    found = in_blocks(ring, side=6)
    assert (found[2:18, 2:18] == 1).all()
    assert (found[5:15, 25:40] == 0).all()
    assert (found == decode_objects(ring, config=DecodeConfig())).all()


def test_a_hole_that_passes_from_block_to_block_through_a_corner_is_one():
    # Background connects through corners: both squares are one hole, open at the upper left.
    image = np.ones((8, 8), np.float32)
    image[0:4, 0:4] = image[4:7, 4:7] = 0
    assert (in_blocks(image, side=4) == image).all()


def test_small_objects_count_all_their_pixels_in_all_blocks():
    image = np.zeros((9, 9), np.float32)
    image[4, 1:8] = 1  # 7 pixels in 3 blocks
    image[0, 0:6] = 1
    assert in_blocks(image, side=3, smallest_object=7).tolist() == (image * (np.arange(9)[:, None] == 4)).tolist()


def test_a_dip_counts_from_the_tops_in_whatever_blocks_they_are():
    foreground = np.ones((6, 12), np.float32)
    distance = np.full((6, 12), 0.1, np.float32)
    distance[1, 2:5], distance[4, 9] = 0.9, 0.4
    for dip, objects in ((0.0, 2), (0.2, 2), (0.35, 1)):
        found = in_blocks(foreground, distance, side=3, smallest_dip=dip)
        assert found.max() == objects
        assert (found == decode_objects(foreground, distance, config=DecodeConfig(smallest_dip=dip))).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (1, 30), (3, 0, 4), (1, 1, 1)])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_single_pixel_images_and_images_of_one_value_work(shape, value):
    foreground = np.full(shape, value, np.float32)
    assert (in_blocks(foreground, side=4) == value).all()


def test_maps_are_read_in_blocks_and_files_serve_as_well_as_memory(tmp_path):
    rng = np.random.default_rng(3)
    foreground, distance = (noise(rng, (50, 60), smooth=2, steps=1000) for _ in range(2))
    whole = decode_objects(foreground, distance, config=DecodeConfig(smoothing=1))
    mapped = np.memmap(tmp_path / "map", np.float32, "w+", shape=foreground.shape)
    mapped[...] = foreground
    largest = [0]

    class Watched:
        shape = distance.shape

        def __getitem__(self, block):
            part = distance[block]
            largest[0] = max(largest[0], part.size)
            return part

    with Scratch(tmp_path) as scratch:
        out = scratch.array(foreground.shape, np.uint32)
        config = DecodeConfig(smoothing=1)
        decode_in_blocks(mapped, Watched(), config=config, out=out, side=16, new_array=scratch.array)
        assert (out[:, :] == whole).all()
    assert largest[0] <= (16 + 2 * (4 + 1)) ** 2  # a block, a neighbour, and the reach of the smoothing


def test_maps_that_do_not_fit_or_hold_nan_are_refused():
    ones = np.ones((3, 3), np.float32)
    with pytest.raises(UsageError, match=r"the foreground has the shape \(3, 3\) and the distance \(3, 2\)"):
        in_blocks(ones, ones[:, :2], side=2)
    holed = ones.copy()
    holed[2, 2] = np.nan
    with pytest.raises(UsageError, match="the distance holds NaN"):
        in_blocks(ones, holed, side=2)
