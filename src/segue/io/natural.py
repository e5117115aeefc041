"""Names as people count them (t2 before t10), and the stem that pairs an image with its mask."""

import re
import unicodedata
from pathlib import Path

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif"),
    *(".tif", ".tiff", ".btf", ".tf2", ".tf8"),
    *(".nii", ".nii.gz"),
)
"""Suffixes, in lower case, of the files that a folder of images is searched for."""

OVERLAY_SUFFIX = ".overlay.png"
"""How the pictures end that stand beside predicted objects."""

_DOUBLE_SUFFIXES = (".nii.gz", ".ome.tif", ".ome.tiff", ".ome.btf", ".ome.tf2", ".ome.tf8")


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which numbers inside of names count as numbers: t2 before t10."""
    parts = re.split(r"([0-9]+)", text)
    return tuple((1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts)


def has_image_suffix(path: Path) -> bool:
    """Whether the name says that `path` is an image to work on; files that begin with a dot are hidden and do not
    count, nor do pictures for people (`OVERLAY_SUFFIX`)."""
    lower = path.name.lower()
    return not lower.startswith(".") and lower.endswith(IMAGE_SUFFIXES) and not lower.endswith(OVERLAY_SUFFIX)


def stem_of(path: Path) -> str:
    """The name without its suffix, where `.nii.gz` and `.ome.tif` count as one suffix."""
    lower = path.name.lower()
    for suffix in _DOUBLE_SUFFIXES:
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def composed(name: str) -> str:
    """A name as it is compared with others: macOS writes "a" and two dots where other systems write one letter."""
    return unicodedata.normalize("NFC", name)


def image_files(folder: Path) -> list[Path]:
    """The visible image files directly in `folder`, in natural order."""
    found = [path for path in folder.iterdir() if has_image_suffix(path) and path.is_file()]
    return sorted(found, key=lambda path: natural_key(path.name))
