"""Outlines of objects that follow the edges of their pixels exactly, and GeoJSON that QuPath opens.

A vertex is a corner of pixels: pixel (y, x) covers x..x+1 and y..y+1, as in QuPath, so that no outline is
half a pixel off and filling it gives the object back. Outlines are lines in a plane: volumes are outlined slice by
slice.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import LabelError
from segue.io.files import whole_file
from segue.io.scratch import Block, Readable, View
from segue.objects.census import Body, take_census
from segue.objects.colours import COLOURS
from segue.objects.naming import OBJECT, class_names

Ring = list[tuple[int, int]]
"""Corners (x, y) of a closed line, the first again at the end; a turn at every one."""

Polygon = list[Ring]
"""One outer ring, then its holes.

Outer rings have a positive area by the shoelace formula in (x, y), holes a negative one (RFC 7946).
"""

RIGHT, DOWN, LEFT, UP = range(4)

PIXELS_AT_ONCE = 1 << 18
"""Objects are outlined together in pictures of up to so many pixels."""


def object_outlines(ids: NDArray[Any]) -> dict[int, list[Polygon]]:
    """The polygons of every object of `ids` (Y, X), 0 is background: one for each face-connected part.

    Objects are in ascending order, their parts in the order in which a scan meets them. Every polygon is
    valid in the sense of OGC simple features: where parts or holes touch in a corner only, they are rings of
    their own. Raises LabelError if `ids` is not two-dimensional.
    """
    if ids.ndim != 2:
        raise LabelError(f"outlines are lines in a plane, but these objects have {ids.ndim} axes; give one slice")
    return {outline.number: outline.polygons for outline in outlines_in(ids)}


@dataclass(frozen=True)
class Outline:
    """An object in a plane."""

    number: int
    """The id of the object."""
    slice: int | None
    """Of a volume, from 0; None if there is only one plane."""
    polygons: list[Polygon]
    """Its parts."""
    top: int
    """The first line that the object meets."""
    left: int
    """The first column that it meets."""
    body: NDArray[np.bool_]
    """Which pixels of its bounding box are the object's."""


def outlines_in(ids: Readable) -> Iterator[Outline]:
    """The objects of each plane of `ids` (Y, X) or (Z, Y, X), ascending by id; few of them are in memory at a time.

    Raises LabelError if `ids` has another number of axes.
    """
    if len(ids.shape) not in (2, 3):
        raise LabelError(
            f"planes and volumes of objects are outlined, but these have {len(ids.shape)} axes; give a slice"
        )
    for number, plane in _planes(ids):
        for batch in _batches(take_census(plane).bodies(plane)):
            for (value, (rows, columns), body), polygons in zip(batch, _polygons(batch), strict=True):
                yield Outline(value, number, polygons, rows.start, columns.start, body)


def geojson(
    ids: NDArray[Any],
    *,
    object_classes: Sequence[str] | None = None,
    classes: Sequence[str] = (OBJECT,),
    measurements: Mapping[int, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """A GeoJSON FeatureCollection of detections, in pixels of the image, origin at its top left.

    `ids` are (Y, X) or (Z, Y, X); in a volume an object has one feature in each slice that it meets, whose plane is
    named as in QuPath. The id of an object is the name of its features. `object_classes` are the names of the classes
    of the ids 1..n, out of `classes`; the first of `classes` is the class of all without them. `measurements` are
    names and numbers for each id.
    """
    found = features(ids, object_classes=object_classes, classes=classes, measurements=measurements)
    return {"type": "FeatureCollection", "features": list(found)}


def features(
    ids: Readable,
    *,
    object_classes: Sequence[str] | None = None,
    classes: Sequence[str] = (OBJECT,),
    measurements: Mapping[int, Mapping[str, float]] | None = None,
) -> Iterator[dict[str, Any]]:
    """The features of `geojson`, one after another; `ids` may be larger than memory."""
    for outline in outlines_in(ids):
        (name,) = class_names([outline.number], object_classes, default=classes[0])
        colour = COLOURS[classes.index(name) % len(COLOURS)]
        properties: dict[str, Any] = {
            "objectType": "detection",
            "name": str(outline.number),
            "classification": {"name": name, "color": colour.tolist()},
        }
        if measurements is not None and outline.number in measurements:
            properties["measurements"] = dict(measurements[outline.number])
        geometry = _geometry(outline.polygons)
        if outline.slice is not None:
            geometry["plane"] = {"c": -1, "z": outline.slice, "t": 0}
        yield {"type": "Feature", "geometry": geometry, "properties": properties}


def write_features(path: Path, found: Iterable[Mapping[str, Any]]) -> None:
    """Write features as a FeatureCollection, whole or not at all. Raises CannotCreateError or StorageError."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for number, feature in enumerate(found):
            file.write("," if number else "")
            file.write(json.dumps(feature, separators=(",", ":"), allow_nan=False))
        file.write("]}")


def _planes(ids: Readable) -> Iterator[tuple[int | None, Readable]]:
    """The planes to outline: (None, ids) of (Y, X), and each slice of (Z, Y, X) with its number, from 0."""
    if len(ids.shape) == 2:
        yield None, ids
        return
    for number in range(ids.shape[0]):
        yield number, View(ids.shape[1:], partial(_of_slice, ids, number))


def _of_slice(ids: Readable, number: int, block: Block) -> NDArray[Any]:
    values: NDArray[Any] = ids[(slice(number, number + 1), *block)][0]
    return values


def _batches(bodies: Iterable[Body]) -> Iterator[list[Body]]:
    """The bodies, as many together as fit one below the other: one look at many is quicker than a look at each."""
    batch: list[Body] = []
    height = width = 0
    for one in bodies:
        lines, columns = one[2].shape
        if batch and (height + lines + 1) * max(width, columns) > PIXELS_AT_ONCE:
            yield batch
            batch, height, width = [], 0, 0
        batch.append(one)
        height, width = height + lines + 1, max(width, columns)
    if batch:
        yield batch


def _polygons(batch: Sequence[Body]) -> list[list[Polygon]]:
    """The parts of each object, in the order in which a scan meets them."""
    from skimage.measure import label

    # All in one picture, one below the other, with an empty line between them.
    bodies = [body for _, _, body in batch]
    starts = np.cumsum([0] + [len(body) + 1 for body in bodies])
    together = np.zeros((starts[-1], max(body.shape[1] for body in bodies)), bool)
    for start, body in zip(starts, bodies, strict=False):
        together[start : start + len(body), : body.shape[1]] = body
    outer: dict[int, Polygon] = {}
    holes: list[tuple[int, Ring]] = []
    for part, ring in _rings(label(together, background=0, connectivity=1)):  # type: ignore[no-untyped-call]
        if _doubled_area(ring) > 0:
            outer[part] = [ring]
        else:
            holes.append((part, ring))
    for part, ring in holes:
        outer[part].append(ring)
    found: list[list[Polygon]] = [[] for _ in batch]
    for part in sorted(outer):
        place = int(np.searchsorted(starts, min(y for _, y in outer[part][0]), side="right")) - 1
        _, (rows, columns), _ = batch[place]
        down = rows.start - int(starts[place])
        found[place].append([[(x + columns.start, y + down) for x, y in ring] for ring in outer[part]])
    return found


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _rings(parts: NDArray[Any]) -> list[tuple[int, Ring]]:
    """Every simple closed line around the parts, with the number of the part on its right-hand side."""
    part, start, direction = _edges(parts)
    width = parts.shape[1] + 1
    following = _following(part, start, direction, width)
    next_edge = following.tolist()
    seen = bytearray(len(next_edge))
    corner = (direction[following] != direction).tolist()
    places = start.tolist()
    rings = []
    for first in range(len(next_edge)):
        if seen[first]:
            continue
        edge, vertices = first, []
        while not seen[edge]:
            seen[edge] = 1
            if corner[edge]:
                vertices.append(places[next_edge[edge]])
            edge = next_edge[edge]
        owner = int(part[first])
        for loop in _simple_loops(vertices):
            rings.append((owner, [(place % width, place // width) for place in (*loop, loop[0])]))
    return rings


def _edges(parts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Every edge of a pixel of a part towards something else: part, place of its start, direction.

    The part is on the right-hand side of the direction (x to the right, y down). A place is y * (X + 1) + x.
    """
    framed = np.pad(parts, 1)
    inner = framed[1:-1, 1:-1]
    width = parts.shape[1] + 1
    pieces = []
    # direction, the pixel beyond the edge, and where the edge starts relative to the pixel's top left corner
    for direction, beyond, dy, dx in (
        (RIGHT, framed[:-2, 1:-1], 0, 0),
        (DOWN, framed[1:-1, 2:], 0, 1),
        (LEFT, framed[2:, 1:-1], 1, 1),
        (UP, framed[1:-1, :-2], 1, 0),
    ):
        y, x = np.nonzero((inner > 0) & (inner != beyond))
        pieces.append((inner[y, x], (y + dy) * width + x + dx, np.full(len(y), direction)))
    part, start, way = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return part.astype(np.int64), start, way


def _following(part: NDArray[Any], start: NDArray[Any], direction: NDArray[Any], width: int) -> NDArray[np.intp]:
    """For each edge the edge of the same part that goes on at its end.

    Where two pixels of a part touch in a corner only, two edges go on; the one that turns right stays with
    the pixel.
    """
    step = np.array([1, width, -1, -width])
    places = int(start.max(initial=0)) + width + 2
    key = part * places + start
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    wanted = part * places + start + step[direction]
    first = np.searchsorted(sorted_key, wanted)
    second = np.minimum(first + 1, max(len(key) - 1, 0))
    right = (direction + 1) % 4
    use_second = (sorted_key[second] == wanted) & (direction[order[second]] == right)
    following: NDArray[np.intp] = order[np.where(use_second, second, first)]
    return following


def _simple_loops(vertices: Sequence[int]) -> list[list[int]]:
    """Cut a closed line at every vertex that it passes twice, so that each piece passes a vertex once."""
    loops: list[list[int]] = []
    line: list[int] = []
    place: dict[int, int] = {}
    for vertex in vertices:
        if vertex in place:
            cut = place[vertex]
            loop = line[cut:]
            loops.append(loop)
            for left in loop:
                del place[left]
            line = line[:cut]
        place[vertex] = len(line)
        line.append(vertex)
    return [*loops, line]


def _doubled_area(ring: Ring) -> int:
    return sum(x * below - right * y for (x, y), (right, below) in pairwise(ring))
