"""The shape of one cell, from an ellipse to a body with branching arms, as a function of place. 2D and 3D."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.simulate.fields import Generator, random_rotation

REACH = 1.6
"""Shape functions are drawn up to this value; the threshold of an image lies below it."""

_SHARPNESS = np.float32(7)
"""How closely the smooth union of the pieces of a cell follows their least distance."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A tapering piece of a cell, relative to its centre, in pixels, in the cell's own axes."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    start_width: float
    stop_width: float
    stretch: NDArray[np.float64]
    """(axes, axes) matrix that turns and scales offsets before distances are measured."""


def draw_skeleton(
    radius: float, *, axes: int, branching: float, generator: Generator, elongation: float = 1.0
) -> list[Segment]:
    """The body, an ellipse or ellipsoid, and with `branching` its arms, each of two pieces with an elbow.

    The body is `elongation` times as long as wide, of the area or volume of a round one, and a little irregular.
    """
    stretch = np.exp(generator.normal(0, 0.18, size=axes))
    stretch[0] /= elongation
    stretch /= np.prod(stretch) ** (1 / axes)
    turn = random_rotation(axes, generator=generator)
    body = radius * (1 - 0.3 * branching)
    zero = np.zeros(axes)
    segments = [Segment(start=zero, stop=zero, start_width=body, stop_width=body, stretch=(turn * stretch) @ turn.T)]
    if branching <= 0.05:
        return segments
    straight = np.eye(axes)
    for direction in _spread_directions(axes, count=int(generator.integers(2, 5)), generator=generator):
        sideways = direction + generator.normal(0, 0.4, size=axes)
        sideways /= np.linalg.norm(sideways)
        length = radius * (0.5 + 0.8 * branching) * generator.uniform(0.7, 1.2)
        width = radius * (0.6 - 0.3 * branching) * generator.uniform(0.85, 1.15)
        elbow = direction * length
        thin = max(width * (1 - 0.35 * branching), 1.5)
        segments.append(Segment(start=zero, stop=elbow, start_width=width * 1.2, stop_width=thin, stretch=straight))
        if branching > 0.3:
            tip = elbow + sideways * radius * 1.3 * (branching - 0.3) * generator.uniform(0.5, 1.2)
            thinner = max(0.75 * thin, 1.3)
            segments.append(Segment(start=elbow, stop=tip, start_width=thin, stop_width=thinner, stretch=straight))
    return segments


def _spread_directions(axes: int, *, count: int, generator: Generator) -> list[NDArray[np.float64]]:
    """`count` unit vectors, each the best of eight random ones: as far as possible from those before it."""
    chosen: list[NDArray[np.float64]] = []
    for _ in range(count):
        candidates = generator.normal(size=(8, axes))
        candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
        closeness = np.max([candidates @ other for other in chosen], axis=0) if chosen else np.zeros(8)
        chosen.append(candidates[int(np.argmin(closeness))])
    return chosen


def shape_function(
    box: tuple[slice, ...],
    *,
    centre: NDArray[np.float64],
    bend: list[NDArray[np.float32]],
    segments: list[Segment],
) -> NDArray[np.float32]:
    """The smooth union of the pieces at every pixel of `box`: low at the heart, about 1 at the border."""
    grid = np.meshgrid(
        *(
            np.arange(part.start, part.stop, dtype=np.float32) - np.float32(c)
            for part, c in zip(box, centre, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    offsets = [g + b[box] for g, b in zip(grid, bend, strict=True)]
    nearness = np.zeros(offsets[0].shape, np.float32)
    for segment in segments:
        nearness += np.exp(-_SHARPNESS * np.minimum(_relative_distance(offsets, segment=segment), 3))
    return np.asarray(-np.log(np.maximum(nearness, 1e-12)) / _SHARPNESS, np.float32)


def _relative_distance(offsets: list[NDArray[np.float32]], *, segment: Segment) -> NDArray[np.float32]:
    """Distance to the nearest point of `segment` over the width there; `offsets` holds one array an axis."""
    axes = range(len(offsets))
    if not np.array_equal(segment.stretch, np.eye(len(offsets))):
        turn = segment.stretch.astype(np.float32)
        offsets = [sum((turn[a, b] * offsets[b] for b in axes[1:]), turn[a, 0] * offsets[0]) for a in axes]
    away = [offsets[a] - np.float32(segment.start[a]) for a in axes]
    axis = (segment.stop - segment.start).astype(np.float32)
    length = float(axis @ axis)
    if length == 0:
        return np.asarray(np.sqrt(sum((a * a for a in away[1:]), away[0] ** 2)) / np.float32(segment.start_width))
    along = sum((axis[a] * away[a] for a in axes[1:]), axis[0] * away[0]) / np.float32(length)
    along = np.clip(along, 0, 1)
    squared = np.zeros_like(along)
    for a in axes:
        squared += (away[a] - along * axis[a]) ** 2
    width = np.float32(segment.start_width) + along * np.float32(segment.stop_width - segment.start_width)
    return np.asarray(np.sqrt(squared) / width, np.float32)
