"""Colours that people with any kind of colour vision tell apart, and ids coloured so that neighbours differ.

The palette is that of Okabe & Ito, "Color universal design" (2008).
"""

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

SKY: Colour = (86, 180, 233)
ORANGE: Colour = (230, 159, 0)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
VERMILION: Colour = (213, 94, 0)
PURPLE: Colour = (204, 121, 167)

DARK: Colour = (20, 22, 30)
"""Background of label panels, and class 0."""
LIGHT: Colour = (236, 234, 224)
"""Class 1."""
UNKNOWN: Colour = (110, 112, 120)
"""Pixels that nobody has annotated."""

CLASS_COLOURS: tuple[Colour, ...] = (DARK, LIGHT, GREEN, PURPLE, BLUE, ORANGE, SKY, YELLOW, VERMILION)
"""Classes 0, 1, 2, ..., last the colours of errors; then they repeat without the dark one."""

OBJECT_COLOURS: tuple[Colour, ...] = (SKY, ORANGE, GREEN, PURPLE, YELLOW, VERMILION, BLUE, LIGHT)


def class_colour(number: int) -> Colour:
    """The colour of class `number`, 0 or more."""
    if number < len(CLASS_COLOURS):
        return CLASS_COLOURS[number]
    return CLASS_COLOURS[1 + (number - 1) % (len(CLASS_COLOURS) - 1)]


def colour_objects(ids: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Paint a slice of object ids (Y, X) so that objects that touch, or nearly do, differ: (Y, X, 3) uint8.

    Greedy colouring in the order of the ids; 0 is dark, negative ids are grey.
    """
    numbers, inverse = np.unique(ids, return_inverse=True)
    places = inverse.reshape(ids.shape).astype(np.int64)
    table = np.empty((len(numbers), 3), np.uint8)
    chosen: dict[int, int] = {}
    neighbours = _neighbours(places, objects=numbers > 0)
    for place, number in enumerate(numbers):
        if number <= 0:
            table[place] = DARK if number == 0 else UNKNOWN
            continue
        taken = {chosen[other] for other in neighbours.get(place, ()) if other in chosen}
        first = int(number) % len(OBJECT_COLOURS)  # start elsewhere each time: all colours are used
        order = [(first + step) % len(OBJECT_COLOURS) for step in range(len(OBJECT_COLOURS))]
        chosen[place] = next((colour for colour in order if colour not in taken), first)
        table[place] = OBJECT_COLOURS[chosen[place]]
    return np.asarray(table[places], np.uint8)


def _neighbours(places: NDArray[np.int64], *, objects: NDArray[np.bool_]) -> dict[int, set[int]]:
    """Which objects (by their place in the list of ids) come within three pixels of each other."""
    count = len(objects)
    pairs: list[NDArray[np.int64]] = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 3), (3, 0), (2, 2), (2, -2)):
        rows, columns = places.shape
        if rows <= down or columns <= abs(right):
            continue
        here = places[: rows - down, max(-right, 0) : columns - max(right, 0)]
        there = places[down:, max(right, 0) : columns + min(right, 0)]
        meet = (here != there) & objects[here] & objects[there]
        pairs.append(np.unique(here[meet] * count + there[meet]))
    found: dict[int, set[int]] = {}
    for pair in np.unique(np.concatenate(pairs)).tolist() if pairs else []:
        one, other = divmod(pair, count)
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return found


def outlines(ids: NDArray[np.integer]) -> NDArray[np.bool_]:
    """The pixels (Y, X) of objects whose right, left, upper or lower neighbour has another id."""
    edge = np.zeros(ids.shape, bool)
    down, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (ids > 0)
