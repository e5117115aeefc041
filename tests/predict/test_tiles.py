import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import TileError
from segue.model.geometry import AxisGeometry
from segue.predict.tiles import mirrored, plan_spans, plan_tiles

SAME = AxisGeometry(factors=(2, 2), kernels=(3, 3, 3), valid=False)
VALID = AxisGeometry(factors=(2, 2), kernels=(3, 3, 3), valid=True)
GEOMETRIES = st.builds(
    AxisGeometry,
    factors=st.sampled_from([(), (2,), (2, 2), (3, 2)]),
    kernels=st.just((3, 3, 3)),
    valid=st.booleans(),
).map(lambda g: AxisGeometry(g.factors, g.kernels[: len(g.factors) + 1], g.valid))


@given(geometry=GEOMETRIES, length=st.integers(1, 300), extra=st.integers(0, 200), context=st.integers(0, 50))
def test_every_pixel_is_written_exactly_once_and_every_window_is_one_the_network_takes(
    geometry, length, extra, context
):
    tile = geometry.legal_size(2 * geometry.halo + geometry.stride) + extra
    spans = plan_spans(length, geometry=geometry, tile=tile, context=context)
    written = np.zeros(length, int)
    for span in spans:
        written[slice(*span.write)] += 1
        size = span.read[1] - span.read[0]
        assert size <= max(tile, tile // geometry.stride * geometry.stride)
        assert span.output_start == span.read[0] + geometry.margin
        assert 0 <= span.kept.start < span.kept.stop <= geometry.output_size(size)
    assert (written == 1).all()


@given(geometry=GEOMETRIES, length=st.integers(1, 300), extra=st.integers(0, 200), context=st.integers(0, 50))
def test_all_windows_lie_on_the_stride_grid_of_the_whole_frame(geometry, length, extra, context):
    tile = geometry.legal_size(2 * geometry.halo + geometry.stride) + extra
    whole = plan_spans(length, geometry=geometry, tile=None, context=context)
    for span in plan_spans(length, geometry=geometry, tile=tile, context=context):
        assert (span.read[0] - whole[0].read[0]) % geometry.stride == 0


@given(length=st.integers(1, 300), extra=st.integers(0, 200), context=st.integers(0, 50))
def test_a_same_tile_keeps_only_what_is_a_radius_away_from_a_cut(length, extra, context):
    tile = 2 * SAME.halo + SAME.stride + extra
    (whole,) = plan_spans(length, geometry=SAME, tile=None, context=context)
    for span in plan_spans(length, geometry=SAME, tile=tile, context=context):
        assert span.read[0] == whole.read[0] or span.write[0] - span.read[0] >= SAME.radius
        assert span.read[1] == whole.read[1] or span.read[1] - span.write[1] >= SAME.radius


def test_a_tile_that_keeps_nothing_is_refused_with_the_smallest_that_works():
    for geometry, smallest in ((SAME, 2 * SAME.halo + SAME.stride), (VALID, 44)):
        with pytest.raises(TileError, match=f"use a tile of at least {smallest} px"):
            plan_spans(500, geometry=geometry, tile=smallest - 1, context=0)
        assert len(plan_spans(500, geometry=geometry, tile=smallest, context=0)) > 1


def test_tiles_are_the_product_of_the_spans_of_the_axes():
    tiles = plan_tiles((100, 50), geometries=(SAME, SAME), tile=(64, 64), context=(0, 0))
    rows = plan_spans(100, geometry=SAME, tile=64, context=0)
    columns = plan_spans(50, geometry=SAME, tile=64, context=0)
    assert tiles == [(row, column) for row in rows for column in columns]


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_mirroring_agrees_with_numpy_however_far_it_goes(length):
    axis = np.arange(length)
    expected = np.pad(axis, 20, mode="reflect")
    assert mirrored(-20, length + 20, length=length) == expected.tolist()
