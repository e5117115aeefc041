"""What a U-Net may learn so that objects can be told apart, and how each is turned into objects again.

Every candidate is taught with the same patches, network, loss and weights, as class ids and maps in [0, 1] made of the
object ids of a patch, and every decoding is the one that belongs to it in the literature:

- weights: foreground parted by a line of background (Ronneberger et al. 2015); hills of the foreground.
- border: background, inside and border as three classes (Caicedo et al. 2019); hills of the inside.
- distance: the normalised distance to an object's border, as Segue's plan has it; hills of the distance.
- flows: unit vectors along heat that spreads from an object's middle (Stringer et al. 2021); pixels follow them.
- affinities: whether pixels 1, 3 and 9 apart are of one object (Lee et al. 2017); mutex watershed (Wolf et al. 2018).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Labels
from segue.objects.decode import DecodeConfig, find_objects
from segue.targets.boxes import object_boxes
from segue.targets.classes import class_map

Ids = NDArray[np.int32]
Map = NDArray[np.float32]
Setting = tuple[float, ...]
Decoding = Callable[[Setting], NDArray[Any]]

THRESHOLDS = (0.4, 0.5, 0.6)
DIPS = (0.05, 0.1, 0.2, 0.3)
NEAR = ((1, 0), (0, 1))
"""Offsets of neighbours: an affinity there pulls pixels together."""
FAR = ((3, 0), (0, 3), (9, 0), (0, 9))
"""Offsets where the lack of an affinity keeps pixels apart."""
ROUNDS = 100
"""Steps of at most a pixel along the flows: more than half of the largest nucleus."""
LEAST = np.float32(1e-3)
"""Lowest value of a map inside of an object: the loss takes 0 for outside."""


@dataclass(frozen=True)
class Candidate:
    """One way to teach objects and to find them again."""

    classes: int
    """Channels of the softmax."""
    maps: int
    """Channels of their own."""
    teach: Callable[[Ids, Map], tuple[NDArray[np.int64], tuple[Map, ...]]]
    """From the ids of a patch, (Y, X), and its distance and perhaps heat, (1 or 2, Y, X), to class ids and maps."""
    decode: Callable[[Map], Decoding]
    """From the answer (classes + maps, Y, X) to what turns a setting into ids."""
    settings: tuple[Setting, ...]
    """What is tried on the images to tune on: twelve for each candidate."""


def heat(ids: Ids) -> Map:
    """Heat that spreads within each object from the pixel nearest to its middle, as a share of its hottest pixel."""
    from scipy import ndimage

    spread = np.zeros(ids.shape, np.float32)
    for box in object_boxes(ids):
        mask = np.pad(ids[box.region] == box.number, 1)
        places = np.argwhere(mask)
        middle = tuple(places[((places - np.median(places, axis=0)) ** 2).sum(1).argmin()])
        warmth = np.zeros(mask.shape)
        for _ in range(2 * sum(box.shape)):
            warmth[middle] += 1
            warmth = ndimage.uniform_filter(warmth, size=3, mode="constant") * mask
        warmth = np.log1p(warmth)[1:-1, 1:-1]
        inside = mask[1:-1, 1:-1]
        spread[box.region][inside] = (warmth / warmth.max())[inside]
    return spread


def neighbours(array: NDArray[Any], offset: tuple[int, int]) -> NDArray[Any]:
    """What lies `offset` pixels further on; 0 beyond the edge."""
    moved = np.zeros_like(array)
    size = [max(length - abs(step), 0) for length, step in zip(array.shape, offset, strict=True)]
    to = tuple(slice(max(-step, 0), max(-step, 0) + part) for step, part in zip(offset, size, strict=True))
    away = tuple(slice(max(step, 0), max(step, 0) + part) for step, part in zip(offset, size, strict=True))
    moved[to] = array[away]
    return moved


def directions(ids: Ids, warmth: Map) -> Map:
    """(2, Y, X) unit vectors uphill in the heat of the own object; what is not of it is cold."""
    flow = np.stack(
        [
            sum(
                sign
                * np.where(neighbours(ids, (sign * y, sign * x)) == ids, neighbours(warmth, (sign * y, sign * x)), 0)
                for sign in (1, -1)
            )
            for y, x in NEAR
        ]
    )
    length = np.sqrt((flow**2).sum(axis=0))
    unit: Map = np.where((ids > 0) & (length > 0), flow / np.maximum(length, 1e-9), 0).astype(np.float32)
    return unit


def teach_weights(ids: Ids, _: Map) -> tuple[NDArray[np.int64], tuple[Map, ...]]:
    """Foreground, parted."""
    labels = Labels(ids=ids, kind="objects", classes=("background", "object"))
    return class_map(labels, separate=True).astype(np.int64), ()


def teach_border(ids: Ids, _: Map) -> tuple[NDArray[np.int64], tuple[Map, ...]]:
    """0 background, 1 inside, 2 pixels beside something else."""
    from scipy import ndimage

    other = ndimage.minimum_filter(ids, size=3, mode="nearest") != ndimage.maximum_filter(ids, size=3, mode="nearest")
    return np.where(ids > 0, 1 + other.astype(np.int64), 0), ()


def teach_distance(ids: Ids, maps: Map) -> tuple[NDArray[np.int64], tuple[Map, ...]]:
    """Foreground and distance."""
    return (ids > 0).astype(np.int64), (maps[0],)


def teach_flows(ids: Ids, maps: Map) -> tuple[NDArray[np.int64], tuple[Map, ...]]:
    """Foreground and directions."""
    inside = ids > 0
    flow = np.where(inside, np.maximum((directions(ids, maps[1]) + 1) / 2, LEAST), 0).astype(np.float32)
    return inside.astype(np.int64), tuple(flow)


def teach_affinities(ids: Ids, _: Map) -> tuple[NDArray[np.int64], tuple[Map, ...]]:
    """Foreground and affinities; within the foreground "apart" is no more than a small number."""
    inside = ids > 0
    together = [(neighbours(ids, offset) == ids).astype(np.float32) for offset in (*NEAR, *FAR)]
    return inside.astype(np.int64), tuple(np.where(inside, np.maximum(one, LEAST), 0) for one in together)


def hills_of(landscape: Callable[[Map], Map | None]) -> Callable[[Map], Decoding]:
    """The decoding of Segue on a landscape that is taken from the answer; None for the foreground itself."""

    def decode(answer: Map) -> Decoding:
        def with_setting(setting: Setting) -> NDArray[Any]:
            threshold, dip = setting
            config = DecodeConfig(foreground_threshold=threshold, smallest_dip=dip, smoothing=0.5)
            return find_objects(1 - answer[0], landscape(answer), config=config).ids

        return with_setting

    return decode


def decode_flows(answer: Map) -> Decoding:
    """Pixels walk along the flows; where more than `votes` meet is an object, with what ended beside it."""
    from scipy import ndimage

    foreground = 1 - answer[0]
    start = np.nonzero(foreground > min(THRESHOLDS))
    places = np.stack(start).astype(np.float32)
    ends = np.array(foreground.shape, np.float32)[:, None] - 1
    for _ in range(ROUNDS):
        steps = [2 * ndimage.map_coordinates(one, places, order=1, mode="nearest") - 1 for one in answer[2:4]]
        places = np.clip(places + np.stack(steps), 0, ends)
    landed = np.rint(places).astype(np.intp)

    def with_setting(setting: Setting) -> NDArray[Any]:
        threshold, votes = setting
        counts = foreground[start] > threshold
        meeting = np.zeros(foreground.shape, np.int64)
        np.add.at(meeting, tuple(landed[:, counts]), 1)
        tops = (meeting == ndimage.maximum_filter(meeting, size=5)) & (meeting > votes)
        grown, _ = ndimage.label(tops, structure=np.ones((3, 3)))
        for _ in range(5):
            wider = ndimage.maximum_filter(grown, size=3)
            grown = np.where((grown == 0) & (meeting > 2), wider, grown)
        ids = np.zeros(foreground.shape, np.int32)
        ids[start] = np.where(counts, grown[tuple(landed)], 0)
        return ids

    return with_setting


def decode_affinities(answer: Map) -> Decoding:
    """Mutex watershed: edges in the order of their strength join two pixels, or keep them apart for good."""

    def with_setting(setting: Setting) -> NDArray[Any]:
        threshold, strength = setting
        inside = (1 - answer[0]) > threshold
        number = np.cumsum(inside).reshape(inside.shape) * inside  # 1..n
        edges = []
        for affinity, offset in zip(answer[2:], (*NEAR, *FAR), strict=True):
            other = neighbours(number, offset)
            both = (number > 0) & (other > 0)
            near = offset in NEAR
            weight = affinity[both] if near else strength * (1 - affinity[both])
            edges.append((weight, number[both], other[both], np.full(weight.size, near)))
        weights, first, second, joins = (np.concatenate(parts) for parts in zip(*edges, strict=True))
        order = np.argsort(-weights, kind="stable")
        in_order = (part[order].tolist() for part in (first, second, joins))
        root = mutex_watershed(int(number.max(initial=0)), zip(*in_order, strict=True))
        ids: NDArray[np.int64] = root[number]
        return ids

    return with_setting


def mutex_watershed(count: int, edges: Iterator[tuple[int, int, bool]]) -> NDArray[np.int64]:
    """(count + 1,) the representative of each of the pixels 1..count, 0 for 0."""
    parent = list(range(count + 1))
    foes: list[set[int]] = [set() for _ in parent]

    def find(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for first, second, joins in edges:
        one, other = find(first), find(second)
        if one == other:
            continue
        if not joins:
            foes[one].add(other)
            foes[other].add(one)
        elif other not in foes[one]:
            if len(foes[one]) < len(foes[other]):
                one, other = other, one
            parent[other] = one
            for foe in foes[other]:
                foes[foe].discard(other)
                foes[foe].add(one)
            foes[one] |= foes[other]
            foes[other] = set()
    return np.array([find(one) for one in range(count + 1)])


CANDIDATES = {
    "weights": Candidate(2, 0, teach_weights, hills_of(lambda _: None), tuple(product(THRESHOLDS, DIPS))),
    "border": Candidate(3, 0, teach_border, hills_of(lambda answer: answer[1]), tuple(product(THRESHOLDS, DIPS))),
    "distance": Candidate(2, 1, teach_distance, hills_of(lambda answer: answer[2]), tuple(product(THRESHOLDS, DIPS))),
    "flows": Candidate(2, 2, teach_flows, decode_flows, tuple(product(THRESHOLDS, (3.0, 5.0, 10.0, 20.0)))),
    "affinities": Candidate(
        2, 6, teach_affinities, decode_affinities, tuple(product(THRESHOLDS, (0.5, 0.7, 1.0, 1.4)))
    ),
}
