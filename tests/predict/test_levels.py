from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import TileError
from segue.model.geometry import AxisGeometry
from segue.predict.levels import (
    BlockAxis,
    grown,
    held_rows,
    overlap,
    pieces,
    plan_axis,
    plan_bands,
    shifted,
    shrunk,
)

PAPER = AxisGeometry(factors=(2,) * 4, kernels=(3,) * 5, valid=True)
FACTORS_AND_KERNELS = st.sampled_from(
    [((), (3,)), ((2,), (3, 3)), ((2, 2), (3, 3, 3)), ((3, 2), (3, 1, 5)), ((1, 2), (1, 3, 3))]
)


def all_reached(block: BlockAxis, part: tuple[int, int]) -> set[int]:
    """The input pixels, and places of zeros beyond the ends, that `part` of the output depends on."""
    half = block.kernel // 2
    places = set(range(*part))
    offset = half if block.valid else 0
    for _ in range(2):
        places = {place + offset + step for place in places for step in range(-half, half + 1)}
    return places


@given(
    length=st.integers(20, 60),
    kernel=st.sampled_from([1, 3, 5]),
    valid=st.booleans(),
    low=st.integers(0, 50),
    data=st.data(),
)
def test_the_source_of_a_part_is_what_two_convolutions_see(length, kernel, valid, low, data):
    block = BlockAxis(length=length, kernel=kernel, valid=valid)
    low = min(low, block.output_length - 1)
    high = data.draw(st.integers(low + 1, block.output_length))
    reached_freely = all_reached(block, (low, high))
    seen = {place for place in reached_freely if 0 <= place < length}
    source = block.source((low, high))
    assert source == (min(seen), max(seen) + 1)
    assert block.meets_end((low, high)) == (not valid and (min(reached_freely) < 0 or max(reached_freely) >= length))
    around = block.seen(source)
    assert around[1] - around[0] == source[1] - source[0]
    assert around[0] <= low < high <= around[1]


@st.composite
def axes(draw: st.DrawFn) -> tuple[AxisGeometry, int, tuple[int, int]]:
    """A network along one axis, a length that it can take, and a part of its output."""
    geometry = AxisGeometry(*draw(FACTORS_AND_KERNELS), draw(st.booleans()))
    length = geometry.legal_size(2 * geometry.halo + 1 + draw(st.integers(0, 80)))
    end = geometry.output_size(length)
    low = draw(st.integers(0, end - 1))
    return geometry, length, (low, draw(st.integers(low + 1, end)))


@given(axis=axes())
def test_every_level_is_given_all_that_it_needs(axis):
    geometry, length, kept = axis
    levels = plan_axis(geometry, length=length, kept=kept)
    assert levels[0].decoded[0] <= kept[0]
    assert levels[0].decoded[1] >= kept[1]
    for level, below in pairwise(levels):
        joined = level.decoder.source(level.decoded)
        assert below.decoded[0] * level.factor <= joined[0]
        assert below.decoded[1] * level.factor >= joined[1]
        assert level.encoded[0] <= level.skip[0] < level.skip[1] <= level.encoded[1]
        assert level.skip == (joined[0] + level.shift, joined[1] + level.shift)
        pooled = below.encoder.source(below.encoded)
        assert level.encoded == (pooled[0] * level.factor, pooled[1] * level.factor)
        assert 0 <= level.encoded[0] < level.encoded[1] <= level.encoder.output_length


@given(shape=FACTORS_AND_KERNELS, tiles=st.integers(1, 5))
def test_of_a_padded_network_no_more_is_seen_than_the_halo(shape, tiles):
    factors, kernels = shape
    geometry = AxisGeometry(factors, kernels, valid=False)
    kept = (geometry.halo, geometry.halo + tiles * geometry.stride)
    level = plan_axis(geometry, length=kept[1] + geometry.halo, kept=kept)[0]
    seen = level.encoder.source(level.encoded)
    assert seen[0] >= 0
    assert kept[0] - seen[0] >= geometry.radius - (geometry.stride - 1)


@given(axis=axes(), strides=st.integers(1, 4))
def test_bands_compute_everything_once_and_find_what_they_need_among_the_rows_held(axis, strides):
    geometry, length, kept = axis
    whole = plan_axis(geometry, length=length, kept=kept)
    bands = plan_bands(geometry, length=length, kept=kept, rows=strides * geometry.stride)
    held = held_rows(bands)
    for depth, level in enumerate(whole):
        for part in ("encoded", "decoded"):
            computed = [getattr(band[depth], part) for band in bands]
            assert all(before[1] == after[0] for before, after in pairwise(computed))
            assert (computed[0][0], computed[-1][1]) == getattr(level, part)
        for band in bands:
            own, above = band[depth], band[depth - 1]
            if depth:
                assert (above.encoded[1] - above.encoded[0]) // above.factor <= held[depth].entering
                assert own.decoded[1] - own.decoded[0] <= held[depth].leaving
            if depth < len(whole) - 1:
                written = min(own.encoded[1], level.skip[1]) - max(own.encoded[0], level.skip[0])
                assert written <= held[depth].skip
            if depth and own.encoded[0] < own.encoded[1]:
                needed = own.encoder.source(own.encoded)
                known = above.encoded[1] // above.factor
                assert known - held[depth].entering <= needed[0] < needed[1] <= known
            if depth < len(whole) - 1 and own.decoded[0] < own.decoded[1]:
                assert own.encoded[1] - held[depth].skip <= own.skip[0] < own.skip[1] <= own.encoded[1]
            if depth and above.decoded[0] < above.decoded[1]:
                needed = above.decoder.source(above.decoded)
                first, last = needed[0] // above.factor, -(-needed[1] // above.factor)
                assert own.decoded[1] - held[depth].leaving <= first < last <= own.decoded[1]


def test_the_levels_of_the_paper():
    levels = plan_axis(PAPER, length=572, kept=(0, 388))
    assert [level.encoder.length for level in levels] == [572, 284, 140, 68, 32]
    assert [level.encoder.output_length for level in levels] == [568, 280, 136, 64, 28]
    assert [level.decoder.length for level in levels[:-1]] == [392, 200, 104, 56]
    assert [level.shift for level in levels[:-1]] == [88, 40, 16, 4]
    assert [level.decoded for level in levels] == [(0, 388), (0, 196), (0, 100), (0, 52), (0, 28)]


def test_a_length_that_the_network_cannot_take_is_refused():
    with pytest.raises(TileError, match="cannot take"):
        plan_axis(PAPER, length=573, kept=(0, 388))


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    side=st.integers(1, 20),
    multiple=st.integers(1, 3),
    start=st.integers(0, 5),
)
def test_pieces_partition_a_box_at_multiples(lengths, side, multiple, start):
    box = tuple((start * multiple, start * multiple + length) for length in lengths)
    times = np.zeros([high for _, high in box], int)
    found = pieces(box, sides=[side] * len(box), multiple=[multiple] * len(box))
    for piece in found:
        times[tuple(slice(*part) for part in piece)] += 1
        assert all(low % multiple == 0 and high - low <= 1.5 * side + multiple for low, high in piece)
    assert (times[tuple(slice(*part) for part in box)] == 1).all()
    assert times.sum() == np.prod(lengths)


def test_pieces_are_even():
    lengths = [high - low for ((low, high),) in pieces(((0, 104),), sides=[64], multiple=[2])]
    assert lengths == [52, 52]


def test_few_pieces_are_as_many_for_each_worker_and_one_stays_one():
    def number(length: int, workers: int) -> int:
        return len(pieces(((0, 64), (0, length)), sides=[64, 64], multiple=[1, 1], workers=workers))

    assert [number(length, workers=2) for length in (64, 128, 192, 320, 704)] == [1, 2, 4, 6, 11]
    assert number(192, workers=1) == 3


def test_of_an_empty_box_there_are_no_pieces():
    assert pieces(((5, 5), (0, 10)), sides=[4, 4], multiple=[1, 1]) == []


def test_boxes_by_hand():
    box = ((3, 8), (4, 6))
    assert shrunk(box, (2, 2)) == ((1, 4), (2, 3))
    assert grown(box, (2, 3)) == ((6, 16), (12, 18))
    assert shifted(box, (1, -1)) == ((4, 9), (3, 5))
    assert overlap(box, ((0, 5), (5, 9))) == ((3, 5), (5, 6))
    assert overlap(box, ((0, 5), (6, 9))) is None
    assert all(overlap(((a, b), (4, 6)), box) is None for a, b in product((0, 8), (3, 20)) if b <= 3 or a >= 8)
