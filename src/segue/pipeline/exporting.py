"""What stands beside the objects of an image: tables, outlines for other programs, a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image
from segue.errors import ImageError, UsageError, did_you_mean
from segue.io.images import write_png
from segue.io.natural import OVERLAY_SUFFIX, stem_of
from segue.io.scratch import Block, Readable, View
from segue.objects.census import Census, take_census
from segue.objects.classes import classes_of_sums
from segue.objects.coco import Entry, coco_entries
from segue.objects.imagej import LONGEST_SIDE, check_imagej, write_imagej
from segue.objects.measure import FOREGROUND, IMAGE, table_of
from segue.objects.outlines import features, write_features
from segue.objects.overlay import draw_outlines, pick_slices, side_by_side
from segue.objects.tables import Table, TableFormat, check_parquet, write_csv, write_parquet
from segue.report.panels import show_image

OutlineFormat = Literal["geojson", "imagej", "coco"]

TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
OUTLINE_FORMATS: tuple[OutlineFormat, ...] = get_args(OutlineFormat)

_CLASSES = "classes"
"""Name of the sums that tell of which class an object is."""

COCO_NAME = "coco.json"
"""The file for the outlines of all images of a run."""


@dataclass(frozen=True, kw_only=True)
class Exports:
    """What is written beside the objects of each image, none of it unless it is asked for."""

    table: Sequence[TableFormat] = ()
    """Formats of the table of measurements."""
    outlines: Sequence[OutlineFormat] = ()
    """Formats of the outlines."""
    overlay: bool = False
    """Whether the image is written with the outlines drawn in."""

    def __post_init__(self) -> None:
        _check("table", self.table, TABLE_FORMATS)
        _check("outlines", self.outlines, OUTLINE_FORMATS)

    def __bool__(self) -> bool:
        return bool(self.table or self.outlines or self.overlay)


@dataclass(frozen=True, kw_only=True)
class ImageObjects:
    """The objects of an image, and what is to be told of them; all of it may be larger than memory."""

    ids: Readable
    """([Z,] Y, X), ids 1..n, 0 is background."""
    image: Image
    """Its pixels are only looked at for an overlay."""
    pixels: Readable
    """(C, [Z,] Y, X): those of the image."""
    probabilities: Readable
    """(K, [Z,] Y, X): of the classes."""


def check_exports(exports: Exports, image: Image | None = None) -> None:
    """Raise UsageError if a library is missing, ImageError if a format cannot hold the objects of `image`."""
    if "parquet" in exports.table:
        check_parquet()
    if "imagej" in exports.outlines:
        check_imagej()
        if image is not None and max(image.shape[-2:], default=0) > LONGEST_SIDE:
            raise ImageError(
                f"{image.name or 'the image'}: it has {' x '.join(map(str, image.shape))} pixels, but ImageJ's regions "
                f"end at {LONGEST_SIDE:,}; ask for the outlines as geojson instead"
            )


def write_exports(target: Path, found: ImageObjects, *, classes: Sequence[str], exports: Exports) -> list[Entry]:
    """Write what `exports` asks for beside `target`, the file of the objects.

    `classes` are the names of the classes, background first. Returns what a COCO data set will say of the image.
    Memory is taken for the numbers of each object and the box of one at a time, and for the picture of an overlay.
    Raises CannotCreateError or StorageError.
    """
    ids, image = found.ids, found.image
    stem = stem_of(target)
    if exports.overlay:
        write_png(target.with_name(f"{stem}{OVERLAY_SUFFIX}"), overlay(image, ids))
    if not (exports.table or exports.outlines):
        return []
    census = _census(found)
    told = classes_of_sums(census.sums[_CLASSES])
    named: dict[str, Any] = {"object_classes": told.names(tuple(classes)), "classes": classes[1:]}
    table: Table = {}
    if exports.table or "geojson" in exports.outlines:
        table = table_of(census, ids, space=image.space, object_classes=named["object_classes"])
        if len(classes) > 2:
            table["class_confidence"] = told.confidence.tolist()
    if "csv" in exports.table:
        write_csv(target.with_name(f"{stem}.csv"), table)
    if "parquet" in exports.table:
        write_parquet(target.with_name(f"{stem}.parquet"), table)
    if "geojson" in exports.outlines:
        write_features(target.with_name(f"{stem}.geojson"), features(ids, measurements=_numbers(table), **named))
    if "imagej" in exports.outlines:
        write_imagej(target.with_name(f"{stem}.rois.zip"), ids, **named)
    if "coco" in exports.outlines:
        scores = dict(zip(census.ids.tolist(), census.means(FOREGROUND)[:, 0].tolist(), strict=True))
        return coco_entries(ids, name=Path(image.name or target.name).name, scores=scores, **named)
    return []


def _census(found: ImageObjects) -> Census:
    """The objects, with the sums over their pixels of intensities, of foreground, and of all classes but background."""
    probabilities, shape = found.probabilities, tuple(found.ids.shape)
    known = probabilities.shape[0]

    def foreground(block: Block) -> NDArray[np.float32]:
        values: NDArray[np.float32] = np.float32(1) - probabilities[(slice(0, 1), *block[1:])]
        return values

    def classes(block: Block) -> NDArray[np.float32]:
        values: NDArray[np.float32] = probabilities[(slice(1, known), *block[1:])]
        return values

    maps = {
        IMAGE: found.pixels,
        FOREGROUND: View((1, *shape), foreground),
        _CLASSES: View((known - 1, *shape), classes),
    }
    return take_census(found.ids, maps)


def overlay(image: Image, objects: Readable) -> NDArray[np.uint8]:
    """The image with its objects outlined, (Y, X, 3) uint8: colours, tinted channels or grey, as `show_image` has them.

    Of a volume up to nine slices stand side by side, from the first to the last, row by row.
    """
    plane = tuple(slice(0, length) for length in objects.shape[-2:])
    if image.spatial_axes == 2:
        return draw_outlines(show_image(image), objects[plane])
    chosen = pick_slices(objects.shape[0])
    pictures = np.stack([show_image(replace(image, pixels=image.pixels[:, z])) for z in chosen])
    return side_by_side(draw_outlines(pictures, np.concatenate([objects[(slice(z, z + 1), *plane)] for z in chosen])))


def _numbers(table: Table) -> dict[int, dict[str, float]]:
    """What is a number in each row of a table, by id: what QuPath shows as measurements."""
    columns = {name: values for name, values in table.items() if name not in ("id", "class")}
    return {
        number: {name: float(values[row]) for name, values in columns.items() if values[row] is not None}
        for row, number in enumerate(table["id"])
    }


def _check(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for one in given:
        if one not in known:
            raise UsageError(f'"{one}" is not a format of the {what}; {did_you_mean(one, known)}')
