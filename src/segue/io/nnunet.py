"""The raw layout of nnU-Net: what dataset.json says, and which files are the channels of a case."""

import json
import math
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from segue.errors import DatasetError
from segue.io.description import Description, check_description

JSON_NAME = "dataset.json"
"""The name of the description beside imagesTr/ and labelsTr/."""
IMAGES_FOLDERS = ("imagesTr", "imagesTs")
"""Folders of images, annotated or not."""
_UNKNOWN_SPACING = (1.0, 1.0, 1.0)
"""What nnU-Net takes, and writes, where nobody has said a spacing."""


def read_content(path: Path) -> dict[str, Any]:
    """The contents of a dataset.json. Raises DatasetError."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: this is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: it must hold one JSON object {{...}}")
    return content


def channels_of(content: dict[str, Any], *, source: Path) -> dict[str, Any]:
    """Number of each channel -> its name. Raises DatasetError."""
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict) or not channels:
        raise DatasetError(f'{source}: "channel_names" is missing; it looks like {{"0": "T2"}}')
    return channels


def files_of_case(case: str, suffix: str, *, channels: int, present: Container[str]) -> list[str]:
    """The names of the files that the image `case` consists of: one a channel, or one with all of them.

    `present` are the names of all images in the folder; a channel that is not among them is missing.
    """
    names = [f"{case}_{number:04d}{suffix}" for number in range(channels)]
    if names[0] not in present and f"{case}{suffix}" in present:  # MSD: all channels in one 4D file
        return [f"{case}{suffix}"]
    there = [name in present for name in names]
    if ".nii" not in suffix.lower() and there == [True, False, False]:
        return names[:1]  # a natural image: red, green and blue in one file
    return names


def spacing_of(case: str, image: Path) -> tuple[float, ...] | None:
    """Micrometres along z y x that CASE.json says, beside the TIFF `image` of `case`; None if it says nothing.

    nnU-Net names no unit; its images in TIFF come from microscopes. Raises DatasetError if the file is wrong.
    """
    source = image.with_name(f"{case}.json")
    if image.suffix.lower() not in (".tif", ".tiff") or not source.is_file():
        return None
    spacing = read_content(source).get("spacing")
    numbers = spacing if isinstance(spacing, list) else []
    if len(numbers) != 3 or not all(type(one) in (int, float) and 0 < one < math.inf for one in numbers):
        raise DatasetError(
            f'{source}: "spacing" is {json.dumps(spacing)}; it must be three positive numbers, micrometres along z, y '
            'and x: {"spacing": [1.0, 0.2, 0.2]}'
        )
    found = tuple(float(one) for one in numbers)
    return None if found == _UNKNOWN_SPACING else found


def describe(content: dict[str, Any], *, source: Path) -> Description:
    """What the contents of a dataset.json say of the masks and the channels. Raises DatasetError."""
    channels = channels_of(content, source=source)
    labels = content.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise DatasetError(f'{source}: "labels" is missing; it looks like {{"background": 0, "tumour": 1}}')
    if all(re.fullmatch(r"[0-9]+", str(key)) for key in labels):  # MSD: {"0": "background"}
        labels = {str(name): int(number) for number, name in labels.items()}
    regions = [name for name, number in labels.items() if isinstance(number, list)]
    if regions:
        raise DatasetError(
            f"{source}: the label {regions[0]!r} is a region of several values, which overlap; "
            "give every pixel one class and list the classes one by one"
        )
    ignore = labels.get("ignore")
    ordered = sorted(
        ((name, number) for name, number in labels.items() if name != "ignore"), key=lambda item: str(item[1]).zfill(9)
    )
    if [number for _, number in ordered] != list(range(len(ordered))):
        raise DatasetError(
            f"{source}: the labels have the values {', '.join(str(number) for _, number in ordered)}; "
            f"nnU-Net wants 0 (background), 1, 2, ... without gaps"
        )
    return check_description(
        {
            "labels": "classes",
            "classes": tuple(name for name, _ in ordered),
            "values": {str(number): number for _, number in ordered},
            "ignore": ignore,
            "channels": tuple(str(channels[number]) for number in sorted(channels, key=lambda one: one.zfill(9))),
        },
        source=source,
    )
