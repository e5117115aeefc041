"""The class of each object, where a data set has objects of several classes: a mask of classes, or a table.

The masks of objects stay what they are, ids and nothing else. Beside them stands, for each image, a mask whose values
are classes, or a CSV table with the columns id and class.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.arrays import IGNORE, Space
from segue.errors import LabelError, MissingInputError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.labels import Coding, as_coding, read_mask, show_value
from segue.io.same_space import how_apart
from segue.ranks import ranked

TABLE_SUFFIX = ".csv"
"""How the name of a table of classes ends."""
ID_COLUMNS = ("id", "label", "object")
"""Names of the column of ids, in any case; the first that is there counts."""
CLASS_COLUMNS = ("class", "type", "class_name")
"""Names of the column of classes, in the same way."""
_MOST_LISTED = 8
"""Objects that a message names before it says how many more there are."""


@dataclass(frozen=True, kw_only=True)
class ClassSource:
    """What says the classes of the objects of one image."""

    file: Path
    """A mask of classes, or a CSV table with the columns id and class."""
    values: tuple[tuple[int, int], ...] = ()
    """Raw value in a mask -> class id, or `IGNORE` for "not known"; empty if the values are class ids."""
    coding: Coding = "gray"
    """Whether these raw values are numbers or packed colours."""


def read_object_classes(
    source: ClassSource,
    ids: NDArray[np.int32],
    *,
    classes: Sequence[str],
    space: Space,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> dict[int, int]:
    """The class 1..K-1 of every object of `ids` ([Z,] Y, X), `IGNORE` where the source says that it is not known.

    `space` is where the objects lie.

    In a mask an object has the class of most of its pixels (the lower id if two are equal), in a table that of its
    row; rows of objects that are not in `ids` are passed over. Raises LabelError, naming the file, for an object
    without a class, a class that does not exist, a mask of another shape or that lies elsewhere, or a table that
    cannot be read; MissingInputError if there is no such file.
    """
    present = np.unique(ids[ids > 0]).tolist()
    if source.file.suffix.lower() == TABLE_SUFFIX:
        told = read_class_table(source.file, classes=classes)
        found = {one: told[one] for one in present if one in told}
        remedy = "add a row for each; leave its class empty if it is not known"
    else:
        found = _by_majority(ids, _class_mask(source, ids.shape, classes, space=space, max_pixels=max_pixels))
        remedy = "most of their pixels are background there; paint them in their class"
    without = [one for one in present if found.get(one, 0) == 0]
    if without:
        shown = ", ".join(str(one) for one in without[:_MOST_LISTED])
        more = f" and {len(without) - _MOST_LISTED:,} more" if len(without) > _MOST_LISTED else ""
        plural = "the objects" if len(without) > 1 else "the object"
        raise LabelError(
            f"{source.file}: {plural} {shown}{more} of {len(present):,} {'have' if len(without) > 1 else 'has'} no "
            f"class; {remedy}"
        )
    return found


def read_class_table(path: Path, *, classes: Sequence[str]) -> dict[int, int]:
    """Object id -> class id of a CSV table; a class is written as its name or its number, empty if not known.

    The table has one row an object and a first row with the names of its columns, of which id (or label, object) and
    class (or type, class_name) are used; it is separated by commas, semicolons or tabs. Raises LabelError, naming
    the line, and MissingInputError.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    table: dict[int, int] = {}
    for line, identity, name in _rows(path):
        one = _whole(identity)
        if one is None:
            raise LabelError(f"{path}: line {line} has the id {identity!r}; an id is a whole number")
        number = IGNORE if not name else numbers.get(name, _whole(name))
        if number is None or number >= len(classes) or (name and number <= 0):
            raise LabelError(
                f"{path}: line {line} has the class {name!r}; an object is {_choice(classes)}, "
                "or its cell is empty if nobody knows"
            )
        if table.get(one, number) != number:
            raise LabelError(f"{path}: line {line} gives the object {one} a second class, {name!r}; keep one row")
        table[one] = number
    return table


def _whole(text: str) -> int | None:
    """The whole number that `text` is; 3.0 is one, because pandas writes a column with an empty cell so."""
    found = re.fullmatch(r"([+-]?[0-9]+)(\.0*)?", text)
    return int(found[1]) if found else None


def has_class_table(path: Path) -> bool:
    """Whether `path` is a readable table with a column of ids and one of classes."""
    try:
        next(iter(_rows(path)), None)
    except (LabelError, MissingInputError):
        return False
    return True


def _rows(path: Path) -> Iterable[tuple[int, str, str]]:
    """Line number, id and class of each row, as text without spaces around it."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: the table is not UTF-8 text; save it as CSV in UTF-8") from error
    except OSError as error:
        raise LabelError(f"{path}: the table cannot be read ({error.strerror})") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LabelError(f"{path}: line {reader.line_num} cannot be read as CSV: {error}") from error
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    identity, name = (next((header.index(one) for one in known if one in header), None) for known in _COLUMNS)
    if identity is None or name is None:
        raise LabelError(
            f"{path}: its first row names the columns {', '.join(header) or '(none)'}; a table of classes has "
            "the columns id and class"
        )
    short = next((line for line, row in rows if len(row) <= max(identity, name)), None)
    if short is not None:
        raise LabelError(f"{path}: line {short} is too short; it has no id or no class")
    return [(line, row[identity].strip(), row[name].strip()) for line, row in rows[1:]]


_COLUMNS = (ID_COLUMNS, CLASS_COLUMNS)


def _class_mask(
    source: ClassSource, shape: tuple[int, ...], classes: Sequence[str], *, space: Space, max_pixels: int
) -> NDArray[np.int64]:
    """Class ids, `IGNORE` where not known, of a mask."""
    raw = read_mask(source.file, max_pixels=max_pixels)
    if raw.values.shape != shape:
        mine, theirs = (" x ".join(str(length) for length in one) for one in (raw.values.shape, shape))
        raise LabelError(
            f"{source.file}: this mask of classes has the shape {mine}, but the mask of objects {theirs}; "
            "export both at the size of the image"
        )
    if apart := how_apart(raw.space, space, shape):
        raise LabelError(f"{source.file}: this mask of classes and its image {apart}")
    if raw.coding == "colour" and source.coding == "gray":
        raise LabelError(
            f"{source.file}: this mask of classes is coloured; say in dataset.toml what each colour means, for example "
            'object_values = { "#000000" = 0, "#ff0000" = 1 }'
        )
    table = dict(source.values) or {number: number for number in range(len(classes))}
    values = as_coding(raw, source.coding)
    present, ranks, _ = ranked(values)
    unknown = [int(one) for one in present if int(one) not in table]
    if unknown:
        raise LabelError(_unknown_value(source, unknown[0], table, values, classes))
    meanings = np.array([table[int(one)] for one in present], np.int64)
    of_pixels: NDArray[np.int64] = meanings[ranks]
    return of_pixels


def _unknown_value(
    source: ClassSource, value: int, table: Mapping[int, int], values: NDArray[np.int64], classes: Sequence[str]
) -> str:
    shown = show_value(value, source.coding)
    allowed = ", ".join(
        f"{show_value(raw, source.coding)} = {'ignore' if one == IGNORE else classes[one]}"
        for raw, one in sorted(table.items())
    )
    return (
        f"{source.file}: this mask of classes holds the value {shown} ({int((values == value).sum()):,} px); allowed "
        f"are {allowed}. Mend the mask, or write in dataset.toml what each value means, for example "
        f"object_values = {{ 0 = 0, {shown} = 1 }}"
    )


def _by_majority(ids: NDArray[np.int32], classes: NDArray[np.int64]) -> dict[int, int]:
    """The class, from `IGNORE`, of most pixels of each object; the lower if two are equal."""
    inside = ids > 0
    present, owner = np.unique(ids[inside], return_inverse=True)
    kinds = int(classes.max(initial=0)) + 1 - IGNORE
    votes = np.bincount(owner * kinds + (classes[inside] - IGNORE), minlength=len(present) * kinds)
    winners = votes.reshape(len(present), kinds).argmax(axis=1) + IGNORE
    return dict(zip(present.tolist(), winners.tolist(), strict=True))


def _choice(classes: Sequence[str]) -> str:
    names = [f"{name} ({number})" for number, name in enumerate(classes) if number > 0]
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
