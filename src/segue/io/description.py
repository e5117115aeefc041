"""`dataset.toml`: what its owner says of a data set, checked word by word."""

import difflib
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, ValidationError

from segue.arrays import IGNORE
from segue.errors import DatasetError
from segue.io.labels import Coding, LabelSpec, show_value
from segue.io.natural import composed

FILE_NAME = "dataset.toml"
"""The name of the description beside images/ and masks/."""

RawValue = StrictInt | StrictStr
"""A raw value of a mask: a number, or a colour "#rrggbb"."""
PositiveSize = Annotated[StrictFloat | StrictInt, Field(gt=0, lt=1e9)]
"""A length in micrometres."""
PixelSize = Annotated[tuple[PositiveSize, ...], Field(min_length=2, max_length=3)]
"""A length in micrometres along each axis, (z) y x."""


class Description(BaseModel):
    """The contents of `dataset.toml`. Every key is optional; what is missing is decided from the files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Literal["classes", "objects"] | None = None
    """What the masks hold."""
    classes: tuple[StrictStr, ...] | None = Field(default=None, min_length=2, max_length=255)
    """Names of the classes, class 0 first."""
    values: dict[str, StrictInt] | None = None
    """Raw value (a number, or "#rrggbb") -> class id."""
    ignore: RawValue | tuple[RawValue, ...] | None = None
    """Raw value or values of pixels that nobody has annotated."""
    channels: tuple[StrictStr, ...] | None = Field(default=None, min_length=1)
    """Names of the channels, in order; "CT" says that a channel holds Hounsfield units."""
    pixel_size: PixelSize | None = None
    """Micrometres along (z) y x; overrides what the files say."""
    pixel_sizes: dict[str, PixelSize] | None = None
    """Pattern of names ("rat1_*") -> micrometres along (z) y x, for images that differ; the first that fits counts."""
    group: StrictStr | None = None
    """Regular expression on a pair's name; its first group names the group that is never split."""
    region: StrictStr | None = None
    """A folder of masks beside images/: pixels outside of them are ignored."""
    object_classes: StrictStr | None = None
    """A folder beside images/ that says the class of each object: a mask of classes, or a CSV table, for each image."""
    object_values: dict[str, StrictInt | Literal["ignore"]] | None = None
    """Raw value in the masks of `object_classes` -> class id, or "ignore" for objects whose class is not known."""


def read_description(path: Path) -> Description:
    """Read and check a `dataset.toml`. Raises DatasetError with the line or the key that is wrong."""
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(f"{path}: this is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: the file is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path}: the file cannot be read ({error.strerror})") from error
    return check_description(content, source=path)


def check_description(content: dict[str, Any], *, source: Path) -> Description:
    """Turn parsed TOML or JSON into a `Description`. Raises DatasetError."""
    try:
        description = Description.model_validate(content)
    except ValidationError as error:
        raise DatasetError(f"{source}: {_explain(error)}") from error
    _check_classes(description, source)
    _check_group(description, source)
    check_object_classes(description, source=source)
    explicit_spec(description, source=source)
    return description


def check_object_classes(description: Description, *, source: Path) -> None:
    """Raise DatasetError if what is said of the classes of objects contradicts itself or is not enough."""
    names, folder = description.classes, description.object_classes
    if folder is None:
        if description.object_values is not None:
            raise DatasetError(
                f"{source}: object_values says what values in the masks of object_classes mean, but object_classes "
                "is missing; name the folder of these masks in it"
            )
        if description.labels == "objects" and names is not None and len(names) > 2:
            raise DatasetError(
                f'{source}: labels = "objects" with {len(names) - 1} classes of objects ({", ".join(names[1:])}), but '
                'nothing says which object is which; write object_classes = "types" and put a mask of classes or a '
                "table for each image into the folder types/"
            )
        return
    if description.labels == "classes":
        raise DatasetError(f'{source}: object_classes is about objects, but labels = "classes"; remove one of the two')
    if names is None:
        raise DatasetError(
            f"{source}: object_classes needs the names of the classes, background first, "
            'such as classes = ["background", "white", "red"]'
        )
    if description.object_values is not None:
        meanings = list(description.object_values.values())
        wrong = [one for one in meanings if one != "ignore" and not 0 <= one < len(names)]
        if wrong:
            raise DatasetError(
                f"{source}: object_values maps to class {wrong[0]}, but the classes are 0 to {len(names) - 1} "
                f"({', '.join(names)})"
            )
    object_values(description, source=source)


def object_values(description: Description, *, source: Path) -> tuple[tuple[tuple[int, int], ...], Coding]:
    """Pairs of raw value (or packed colour) and class id, `IGNORE` for "ignore", and how the values are coded.

    Empty if the values in the masks of `object_classes` are class ids themselves. Raises DatasetError.
    """
    told = description.object_values or {}
    raw, coding = _raw_values(list(told), "object_values", source)
    meanings = [IGNORE if one == "ignore" else one for one in told.values()]
    return tuple(zip(raw, meanings, strict=True)), coding


def pixel_size_of(name: str, description: Description) -> tuple[float, ...] | None:
    """What a description says of the pixels of the image `name` (without its suffix), micrometres along (z) y x."""
    for pattern, size in (description.pixel_sizes or {}).items():
        if fits(name, pattern):
            return size
    return description.pixel_size


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern of `pixel_sizes` fits the name of an image."""
    return fnmatchcase(composed(name), composed(pattern))


def explicit_spec(description: Description, *, source: Path) -> LabelSpec | None:
    """The LabelSpec that a description states in full; None if the masks have to be looked at.

    Raises DatasetError if values, classes and ignore contradict each other.
    """
    ignore, ignore_coding = _raw_values(_as_list(description.ignore), "ignore", source)
    table, coding = _raw_values(list(description.values or {}), "values", source)
    if table and ignore and coding != ignore_coding:
        raise DatasetError(f"{source}: values and ignore must both be numbers or both be colours")
    both = sorted(set(table) & set(ignore))
    if both:
        shown = show_value(both[0], coding)
        raise DatasetError(f"{source}: {shown} stands in values and in ignore; keep one of them")
    if description.values is None:
        return None
    values = dict(zip(table, description.values.values(), strict=True))
    if description.labels == "objects":
        if set(values.values()) - {0}:
            raise DatasetError(
                f'{source}: with labels = "objects", values can only say which value is background (= 0); '
                "every other value is an object"
            )
        return LabelSpec(
            kind="objects",
            classes=description.classes or ("background", "object"),
            values=values,
            ignore=frozenset(ignore),
            coding=coding,
        )
    return LabelSpec(
        kind="classes",
        classes=_class_names(description.classes, set(values.values()), source),
        values=values,
        ignore=frozenset(ignore),
        coding=coding,
    )


def ignored_values(description: Description, *, source: Path) -> tuple[frozenset[int], Coding]:
    """The raw values (or packed colours) that mean "not annotated", and which of the two they are."""
    values, coding = _raw_values(_as_list(description.ignore), "ignore", source)
    return frozenset(values), coding


def _class_names(names: tuple[str, ...] | None, ids: set[int], source: Path) -> tuple[str, ...]:
    if names is None:
        count = max(max(ids, default=1) + 1, 2)
        several = tuple(f"class {number}" for number in range(1, count))
        names = ("background", *(several if count > 2 else ("foreground",)))
    if any(not 0 <= one < len(names) for one in ids):
        wrong = next(one for one in sorted(ids) if not 0 <= one < len(names))
        raise DatasetError(
            f"{source}: values maps to class {wrong}, but the classes are 0 to {len(names) - 1} ({', '.join(names)})"
        )
    missing = [name for number, name in enumerate(names) if number not in ids]
    if missing:
        raise DatasetError(
            f"{source}: no value maps to {', '.join(missing)}; class ids must be 0, 1, 2, ... without gaps, "
            "so add its value or remove the class"
        )
    return names


def _as_list(value: RawValue | tuple[RawValue, ...] | None) -> list[RawValue]:
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else [value]


def _raw_values(entries: list[Any], key: str, source: Path) -> tuple[list[int], Coding]:
    """Numbers as they are, "#rrggbb" packed; which of the two they are."""
    numbers: list[int] = []
    colours = 0
    for entry in entries:
        text = str(entry).strip()
        if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            numbers.append(int(text[1:], 16))
            colours += 1
        elif re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            numbers.append(int(text))
        else:
            raise DatasetError(
                f"{source}: {key} holds {text!r}; a value of a mask is a whole number such as 255, "
                'or a colour such as "#ff0000"'
            )
    if 0 < colours < len(entries):
        raise DatasetError(f"{source}: {key} mixes numbers and colours; use one of the two")
    repeated = sorted({one for one in numbers if numbers.count(one) > 1})
    if repeated:
        raise DatasetError(f"{source}: {key} names {show_value(repeated[0], 'colour' if colours else 'gray')} twice")
    return numbers, "colour" if colours else "gray"


def _check_classes(description: Description, source: Path) -> None:
    names = description.classes
    if names is None:
        return
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DatasetError(f"{source}: classes names {repeated[0]!r} twice; each class needs a name of its own")
    if any(not name.strip() for name in names):
        raise DatasetError(f"{source}: classes holds an empty name")
    if "background" in names[1:]:
        raise DatasetError(
            f"{source}: background stands at position {names.index('background')} of classes; it must be "
            f"class 0, so write it first and map its value to 0"
        )
    if "ignore" in names:
        raise DatasetError(f'{source}: "ignore" is not a class; write its value as ignore = ...')


def _check_group(description: Description, source: Path) -> None:
    if description.group is None:
        return
    try:
        pattern = re.compile(description.group)
    except re.error as error:
        raise DatasetError(f"{source}: group = {description.group!r} is no regular expression: {error}") from error
    if pattern.groups < 1:
        raise DatasetError(
            f"{source}: group = {description.group!r} has no parentheses; put them around the part of the "
            f"name "
            r'that images of one group share, as in "(.+)_t\\d+"'
        )


_LISTS = {
    "classes": 'names, such as ["background", "cell"]',
    "channels": 'names, such as ["CT"]',
    "pixel_size": "2 or 3 numbers, (z) y x, such as [0.5, 0.5]",
    "pixel_sizes": "2 or 3 numbers, (z) y x, for each name, such as [0.5, 0.5]",
}
"""What the keys that are lists hold."""


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][:1])
    if first["type"] == "extra_forbidden":
        known = list(Description.model_fields)
        near = difflib.get_close_matches(where, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    value = first["input"]
    if where == "labels":
        near = difflib.get_close_matches(str(value), ["classes", "objects"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f'labels = {value!r}, but it must be "classes" or "objects"{hint}'
    if where == "object_values":
        return f'object_values is wrong at {value!r}: each value is a class id (0, 1, ...) or "ignore"'
    if first["type"] == "tuple_type" and where in _LISTS:
        return f"{where} is wrong at {value!r}: it is a list of {_LISTS[where]}"
    if first["type"] in ("too_short", "too_long"):
        limits = {"classes": "2 to 255 names, background first"}
        wanted = limits.get(where, "2 or 3 numbers, (z) y x")
        return f"{where} is wrong at {value!r}: it must have {wanted}, not {len(value)}"
    return f"{where} is wrong at {value!r}: {first['msg']}"
