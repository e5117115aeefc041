import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segue.errors import LabelError
from segue.objects import outlines
from segue.objects.outlines import Polygon, Ring, features, geojson, object_outlines, write_features


def fill(polygons: list[Polygon] | list[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Even-odd rule: a pixel is inside if a ray to its left crosses an odd number of vertical edges."""
    crossings = np.zeros((shape[0], shape[1] + 1), int)
    for polygon in polygons:
        for ring in polygon:
            for (x, y), (_, below) in pairwise(ring):
                crossings[min(y, below) : max(y, below), x] += 1
    return (np.cumsum(crossings, axis=1)[:, : shape[1]] % 2).astype(bool)


def area(ring: Ring) -> float:
    return sum(x * below - right * y for (x, y), (right, below) in pairwise(ring)) / 2


def assert_valid(polygon: Polygon) -> None:
    for index, ring in enumerate(polygon):
        assert ring[0] == ring[-1]
        assert len(set(ring[:-1])) == len(ring) - 1  # no corner twice
        for (x, y), (right, below) in pairwise(ring):
            assert (x == right) != (y == below)
        turns = [b[0] == a[0] for a, b in pairwise(ring)]
        assert all(a != b for a, b in pairwise(turns))  # no corner in the middle of a line
        assert (area(ring) > 0) == (index == 0)


def round_trip(ids: NDArray[Any]) -> NDArray[Any]:
    back = np.zeros_like(ids)
    for value, polygons in object_outlines(ids).items():
        for polygon in polygons:
            assert_valid(polygon)
        back[fill(polygons, ids.shape)] = value
    return back


def test_a_pixel_is_a_square_along_its_edges():
    ids = np.zeros((4, 5), int)
    ids[1, 3] = 9
    assert object_outlines(ids) == {9: [[[(4, 1), (4, 2), (3, 2), (3, 1), (4, 1)]]]}


def test_a_ring_has_a_hole():
    ids = np.ones((3, 3), int)
    ids[1, 1] = 0
    ((outer, hole),) = object_outlines(ids)[1]
    assert area(outer) == 9
    assert area(hole) == -1


def test_pixels_that_touch_in_a_corner_are_polygons_of_their_own():
    assert [len(polygon) for polygon in object_outlines(np.eye(3, dtype=int))[1]] == [1, 1, 1]


def test_a_hole_that_touches_the_outside_in_a_corner_is_a_ring_of_its_own():
    ids = np.ones((4, 4), int)
    ids[1, 1] = ids[0, 0] = 0
    ((outer, hole),) = object_outlines(ids)[1]
    assert (area(outer), area(hole)) == (15, -1)
    assert (round_trip(ids) == ids).all()


@pytest.mark.parametrize("seed", range(12))
def test_filling_the_outlines_gives_back_the_identical_ids(seed):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 4, (17, 23))
    smooth = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(40, 41)), 1) > 0)[0]
    for ids in (noise, smooth, noise * (rng.random((17, 23)) > 0.5)):
        assert (round_trip(ids) == ids).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (4, 4)])
def test_an_object_that_fills_the_image_is_its_frame(shape):
    ids = np.full(shape, 2)
    ((ring,),) = object_outlines(ids)[2]
    assert set(ring) == {(0, 0), (0, shape[0]), (shape[1], 0), (shape[1], shape[0])}
    assert (round_trip(ids) == ids).all()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 4)])
def test_an_image_without_objects_has_no_outline(shape):
    assert object_outlines(np.zeros(shape, int)) == {}
    assert geojson(np.zeros(shape, int))["features"] == []


def test_geojson_read_back_gives_the_identical_ids(tmp_path):
    ids = np.random.default_rng(5).integers(0, 4, (12, 13)).astype(np.uint32)
    told = {2: {"area": 5.0}}
    write_features(tmp_path / "cells.geojson", features(ids, classes=("nucleus",), measurements=told))
    text = (tmp_path / "cells.geojson").read_text()
    collection = json.loads(text)
    assert text == json.dumps(geojson(ids, classes=("nucleus",), measurements=told), separators=(",", ":"))
    back = np.zeros_like(ids)
    for feature in collection["features"]:
        geometry = feature["geometry"]
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["classification"]["name"] == "nucleus"
        parts = geometry["coordinates"]
        polygons = parts if geometry["type"] == "MultiPolygon" else [parts]
        back[fill(polygons, ids.shape)] = int(feature["properties"]["name"])
    assert (back == ids).all()
    measured = [feature["properties"].get("measurements") for feature in collection["features"]]
    assert measured == [None, {"area": 5.0}, None]


def test_each_class_has_its_name_and_always_its_colour():
    classes = ("red", "white")
    both = geojson(np.array([[1, 0, 2]]), object_classes=["white", "red"], classes=classes)["features"]
    found = [feature["properties"]["classification"] for feature in both]
    assert [one["name"] for one in found] == ["white", "red"]
    alone = geojson(np.array([[1]]), object_classes=["red"], classes=classes)["features"]
    assert alone[0]["properties"]["classification"] == found[1]
    assert found[0]["color"] != found[1]["color"]


def test_an_object_of_a_volume_has_a_feature_in_each_slice_that_it_meets():
    ids = np.zeros((4, 3, 3), int)
    ids[1:3, 1, 1] = 8
    found = geojson(ids)["features"]
    assert [feature["properties"]["name"] for feature in found] == ["8", "8"]
    assert [feature["geometry"]["plane"]["z"] for feature in found] == [1, 2]


def test_volumes_are_refused_where_one_plane_is_meant_and_what_is_no_volume_everywhere():
    with pytest.raises(LabelError, match="these objects have 3 axes"):
        object_outlines(np.zeros((2, 2, 2), int))
    for shape in ((3,), (1, 2, 2, 2)):
        with pytest.raises(LabelError, match=f"but these have {len(shape)} axes"):
            geojson(np.zeros(shape, int))


def test_objects_are_outlined_the_same_however_many_at_once(monkeypatch):
    ids = np.random.default_rng(6).integers(0, 40, (30, 31))
    whole = object_outlines(ids)
    monkeypatch.setattr(outlines, "PIXELS_AT_ONCE", 1)
    assert object_outlines(ids) == whole
