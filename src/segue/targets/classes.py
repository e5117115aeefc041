"""Annotations as class maps: objects separated by background, and the cells that border weights are about."""

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Labels
from segue.errors import LabelError


def class_map(labels: Labels, *, separate: bool = True) -> NDArray[np.int16]:
    """The class of every pixel, (Y, X) or (Z, Y, X), int16: 0..K-1, and IGNORE (-1) where nobody knows.

    Class labels are taken as they are. Objects become their classes, class 1 where there is but one; with
    `separate`, where two objects touch, a line of background parts them (see `separate_objects`). The pixels of an
    object whose class nobody has said are IGNORE.

    Raises LabelError if a class id has no name in `labels.classes`, or an id is below IGNORE.
    """
    _check(labels)
    if labels.kind == "classes":
        return labels.ids.astype(np.int16)
    ids = separate_objects(labels.ids) if separate else labels.ids
    return labels.classes_of(ids).astype(np.int16)


def separate_objects(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every object pixel that touches a pixel of another object to the background: a new id image.

    Two pixels touch if they share a side, an edge or a corner (8 neighbours in 2D, 26 in 3D). Both sides give
    way: the gap is two pixels wide and lies symmetrically on the true border. Were one side alone to give
    way, the order of the ids would decide which, and no network can learn that. An object that would lose all
    its pixels keeps them all, so none vanishes; two such objects that touch stay in touch. Objects beside
    IGNORE or the image's border lose nothing there.
    """
    from scipy import ndimage

    if ids.size == 0:
        return ids.copy()
    objects = ids > 0
    highest = ndimage.maximum_filter(ids, size=3, mode="nearest")
    beyond = np.iinfo(ids.dtype).max
    lowest = ndimage.minimum_filter(np.where(objects, ids, beyond), size=3, mode="nearest")
    border = objects & (highest != lowest)
    if not border.any():
        return ids.copy()
    kept = np.unique(ids[objects & ~border])
    border[border] = np.isin(ids[border], kept)
    return np.where(border, 0, ids)


def cell_ids(labels: Labels, *, background: int = 0) -> NDArray[np.int32]:
    """The id image of the cells that the border weights measure distances to; 0 where no cell is. Int32.

    Objects are the cells themselves, after `separate_objects`. Of class labels, each connected piece of each
    class but `background` is a cell; pieces hang together through sides (4 neighbours in 2D, 6 in 3D), so
    that a membrane one pixel thick parts them even where it runs diagonally. Where the membrane is a class of
    its own and the inside of the cells another, the membrane is the `background`.

    Raises LabelError as `class_map` does.
    """
    from scipy import ndimage

    _check(labels)
    if labels.kind == "objects":
        return np.maximum(separate_objects(labels.ids), 0)
    cells = np.zeros(labels.shape, np.int32)
    found = 0
    for number in range(len(labels.classes)):
        mask = labels.ids == number
        if number != background and mask.any():
            pieces, count = ndimage.label(mask)
            cells[mask] = pieces[mask] + found
            found += count
    return cells


def _check(labels: Labels) -> None:
    name = labels.name or "the labels"
    lowest = int(labels.ids.min(initial=0))
    if lowest < IGNORE:
        raise LabelError(f"{name}: id {lowest} means nothing; ids are 0 or more, and {IGNORE} where unknown")
    if labels.kind == "classes":
        highest = int(labels.ids.max(initial=0))
    else:
        highest = max((labels.object_classes or {}).values(), default=0)
    if highest >= len(labels.classes):
        raise LabelError(
            f"{name}: class {highest} has no name, the {len(labels.classes)} classes are "
            f"{', '.join(labels.classes)} (0 to {len(labels.classes) - 1}); "
            "name it in `classes` or map its value"
        )
