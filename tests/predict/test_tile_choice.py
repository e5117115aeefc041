import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.model.geometry import AxisGeometry, axis_geometries
from segue.model.unet import isotropic_config
from segue.predict.levels import held_rows, plan_bands, plan_levels
from segue.predict.tile_choice import choose_rows, choose_tile
from segue.predict.tiles import Tile, even_tiles, plan_spans, plan_tiles

SAME = AxisGeometry(factors=(2, 2), kernels=(3, 3, 3), valid=False)
VALID = AxisGeometry(factors=(2, 2), kernels=(3, 3, 3), valid=True)
NETWORK = isotropic_config(spatial_axes=2, depth=4, width=64, padding="same", normalization="batch")


@pytest.mark.parametrize("geometry", [SAME, VALID])
@given(length=st.integers(1, 400), context=st.integers(0, 20))
def test_even_tiles_cover_the_axis_in_the_number_they_say(geometry, length, context):
    found = even_tiles(length, geometry=geometry, context=context)
    assert found[0][1] == 1
    lengths = [tile for tile, _ in found]
    assert lengths == sorted(set(lengths), reverse=True)
    for tile, number in found:
        spans = plan_spans(length, geometry=geometry, tile=tile, context=context)
        assert len(spans) <= number
        assert all(span.read[1] - span.read[0] <= tile for span in spans)


def chosen(shape: tuple[int, ...], memory: int, config=NETWORK, *, transposed: bool = False) -> list[int]:
    context = [16] * len(shape)
    return choose_tile(shape, config=config, context=context, memory=memory, itemsize=2, transposed=transposed)


def test_an_image_that_fits_the_memory_is_one_tile():
    assert chosen((1000, 500), 1 << 30) == [1040, 544]


def held_bytes(tile: Tile, memory: int) -> int:
    """What the features of one tile take when it is computed in the bands that are chosen for it."""
    lengths = tuple(span.read[1] - span.read[0] for span in tile)
    kept = tuple((span.kept.start, span.kept.stop) for span in tile)
    rows = choose_rows(lengths, kept, config=NETWORK, memory=memory, itemsize=2)
    geometries = axis_geometries(NETWORK)
    levels = plan_levels(geometries, lengths=lengths, kept=kept)
    held = held_rows(plan_bands(geometries[0], length=lengths[0], kept=kept[0], rows=rows))
    numbers = 3 * lengths[0] * lengths[1] + 2 * 4 * length_of(kept[0]) * length_of(kept[1])
    for depth, width in enumerate(NETWORK.widths):
        numbers += held[depth].leaving * width * length_of(levels[depth].decoded[1])
        numbers += held[depth].skip * width * length_of(levels[depth].skip[1])
        if depth:
            numbers += held[depth].entering * width // 2 * length_of(levels[depth - 1].encoded[1]) // 2
    return numbers * 2


def length_of(part: tuple[int, int]) -> int:
    return part[1] - part[0]


@pytest.mark.parametrize("memory", [1 << 28, 1 << 29])
@pytest.mark.parametrize("shape", [(2048, 2048), (8192, 8192), (1000, 9000), (9000, 1000), (32768, 32768)])
def test_memory_is_flat_what_a_tile_holds_fits_into_it_for_any_image(shape, memory):
    context = (16, 16)
    tile = chosen(shape, memory)
    tiles = plan_tiles(shape, geometries=axis_geometries(NETWORK), tile=tile, context=context)
    for one in {tiles[0], tiles[len(tiles) // 2], tiles[-1]}:
        assert held_bytes(one, memory) <= 1.03 * memory


@pytest.mark.parametrize("shape", [(2048, 2048), (9000, 1000), (1000, 9000), (40_000, 200)])
def test_tiles_for_mirror_images_fit_into_the_memory_both_ways_round(shape):
    memory = 1 << 28
    tile = chosen(shape, memory, transposed=True)
    tiles = plan_tiles(shape, geometries=axis_geometries(NETWORK), tile=tile, context=(16, 16))
    for one in {tiles[0], tiles[len(tiles) // 2], tiles[-1]}:
        assert held_bytes(one, memory) <= 1.03 * memory
        assert held_bytes(one[::-1], memory) <= 1.03 * memory


def test_less_memory_means_smaller_tiles():
    areas = [np.prod(chosen((3000, 3000), memory)) for memory in (1 << 30, 1 << 29, 1 << 28)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


def test_the_smallest_memory_still_gives_tiles_that_keep_something():
    tile = chosen((3000, 3000), 10**6)
    halo = axis_geometries(NETWORK)[0].halo
    assert min(tile) >= 2 * halo + 16
    geometries = axis_geometries(NETWORK)
    assert len(plan_tiles((3000, 3000), geometries=geometries, tile=tile, context=(16, 16))) > 100


def test_a_volume_is_cut_where_it_costs_least():
    config = isotropic_config(spatial_axes=3, depth=3, width=32, padding="same", normalization="batch")
    # Cutting the long axis doubles the smallest part of the work.
    tile = chosen((64, 64, 1000), 1 << 28, config)
    assert tile[:2] == [96, 96]
    assert tile[2] < 500


def test_a_single_pixel_is_one_tile():
    assert chosen((1, 1), 1 << 30) == [48, 48]
