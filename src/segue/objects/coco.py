"""Objects as a COCO data set: one JSON file for all images of a run.

An object of one part without holes is a polygon along the edges of its pixels. Any other is a run-length code, because
polygons in COCO have no holes; it counts pixels column by column, background first. See "Data format" at
cocodataset.org.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.io.files import write_whole
from segue.io.scratch import Readable
from segue.objects.naming import OBJECT, class_names
from segue.objects.outlines import Outline, outlines_in

Entry = tuple[dict[str, Any], list[dict[str, Any]]]
"""An image, and the annotations in it: without the numbers that they get in a data set."""


def coco_entries(
    ids: Readable,
    *,
    name: str,
    object_classes: Sequence[str] | None = None,
    classes: Sequence[str] = (OBJECT,),
    scores: Mapping[int, float] | None = None,
) -> list[Entry]:
    """The objects of `ids` (Y, X), or of each slice of (Z, Y, X), as COCO has them.

    `name` is the name of the image file; a slice of a volume is an image with its number, from 0, under "slice".
    `object_classes` are the names of the classes of the ids 1..n, out of `classes`; the first of `classes` is the class
    of all without them. The id of an object is its "object_id"; `scores` are its confidences by id.
    """
    height, width = ids.shape[-2:]
    image = {"file_name": name, "width": width, "height": height}
    slices = [image] if len(ids.shape) == 2 else [image | {"slice": number} for number in range(ids.shape[0])]
    entries: list[Entry] = [(one, []) for one in slices]
    for outline in outlines_in(ids):
        (class_name,) = class_names([outline.number], object_classes, default=classes[0])
        annotation = _annotation(outline, (height, width))
        annotation["category_id"] = classes.index(class_name) + 1
        if scores is not None:
            annotation["score"] = round(scores[outline.number], 4)
        entries[outline.slice or 0][1].append(annotation)
    return entries


def coco(entries: Sequence[Entry], *, classes: Sequence[str] = (OBJECT,)) -> dict[str, Any]:
    """A COCO data set of the images and annotations of `entries`, numbered from 1 in their order."""
    numbers = count(1)
    return {
        "info": {"description": "Objects found by Segue"},
        "licenses": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        "images": [{"id": number, **image} for number, (image, _) in enumerate(entries, start=1)],
        "annotations": [
            {"id": next(numbers), "image_id": number, **annotation}
            for number, (_, annotations) in enumerate(entries, start=1)
            for annotation in annotations
        ],
    }


def write_coco(path: Path, data_set: Mapping[str, Any]) -> None:
    """Write a COCO data set, whole or not at all. Raises CannotCreateError or StorageError."""
    write_whole(path, json.dumps(data_set, separators=(",", ":"), allow_nan=False).encode())


def _annotation(outline: Outline, shape: tuple[int, int]) -> dict[str, Any]:
    height, width = outline.body.shape
    segmentation: Any
    if len(outline.polygons) == len(outline.polygons[0]) == 1:
        segmentation = [[place for corner in outline.polygons[0][0][:-1] for place in corner]]
    else:
        segmentation = run_lengths(outline.body, top=outline.top, left=outline.left, shape=shape)
    return {
        "object_id": outline.number,
        "segmentation": segmentation,
        "area": int(outline.body.sum()),
        "bbox": [outline.left, outline.top, width, height],
        "iscrowd": 0,
    }


def run_lengths(body: NDArray[np.bool_], *, top: int, left: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """The uncompressed run-length code of `body`, whose first pixel is at (`top`, `left`) of an image of `shape`."""
    x, y = np.nonzero(body.T)
    places = (x + left) * shape[0] + y + top
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts = places[np.append(0, breaks + 1)]
    ends = places[np.append(breaks, len(places) - 1)] + 1
    turns = np.column_stack([starts, ends]).reshape(-1)
    counts = np.diff(np.concatenate([[0], turns, [shape[0] * shape[1]]]))
    if counts[-1] == 0:
        counts = counts[:-1]
    return {"counts": counts.tolist(), "size": [shape[0], shape[1]]}
