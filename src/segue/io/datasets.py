"""From a folder to pairs of image and mask, and from a pair to arrays."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import overload

import numpy as np

from segue.arrays import IGNORE, Image, Labels
from segue.errors import DatasetError, ImageError, LabelError, MissingInputError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.description import (
    FILE_NAME,
    Description,
    check_object_classes,
    explicit_spec,
    ignored_values,
    object_values,
    pixel_size_of,
    read_description,
)
from segue.io.findings import Finding
from segue.io.images import read_image
from segue.io.label_decision import Decision, MaskSummary, decide, summarise
from segue.io.labels import LabelSpec, apply_spec, read_mask
from segue.io.layouts import find_layout
from segue.io.natural import image_files, stem_of
from segue.io.object_classes import TABLE_SUFFIX, ClassSource, read_object_classes
from segue.io.pairs import Pair

__all__ = [
    "Pair",
    "Pairs",
    "described_pixel_size",
    "find_pairs",
    "read_labels",
    "read_pair",
    "resolve_spec",
    "spec_from",
]


_CODING_SAMPLE = 4
"""About so many masks are read to tell whether masks of objects are coloured."""


@dataclass(frozen=True, kw_only=True)
class Pairs(Sequence[Pair]):
    """The pairs of one data set, in natural order of their names, and what is known of the whole."""

    pairs: tuple[Pair, ...]
    """At least one."""
    root: Path
    """The folder they were found in."""
    layout: str
    """Which layout it has: "folders", "nnU-Net", "Cell Tracking Challenge", "DSB 2018" or "endings"."""
    description: Description
    """What dataset.toml or dataset.json says."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with the files' names and places; those of severity "error" should stop a training."""

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "Pair | Pairs":
        """One pair; or, for a slice, the same data set with fewer pairs."""
        if isinstance(index, slice):
            return replace(self, pairs=self.pairs[index])
        return self.pairs[index]

    def __len__(self) -> int:
        return len(self.pairs)

    def subset(self, indices: Iterable[int]) -> "Pairs":
        """The same data set with the pairs at `indices` only, in that order."""
        return replace(self, pairs=tuple(self.pairs[index] for index in indices))


def find_pairs(path: Path | str) -> Pairs:
    """Find the pairs of image and mask in a folder of any layout that Segue reads, with its dataset.toml.

    Raises MissingInputError if there is no such folder, DatasetError if it holds no pair or its description
    is wrong.
    """
    root = Path(path)
    if not root.exists():
        raise MissingInputError(f"{root}: there is no such folder")
    if not root.is_dir():
        raise DatasetError(f"{root}: it is a file; give the folder that holds images/ and masks/")
    layout = find_layout(root)
    description = layout.description
    if (root / FILE_NAME).exists():
        told = read_description(root / FILE_NAME)
        description = description.model_copy(update=told.model_dump(exclude_unset=True))
        check_object_classes(description, source=root / FILE_NAME)
        if description.object_classes is not None:
            description = description.model_copy(update={"labels": "objects"})
    if not layout.pairs:
        first = f" ({layout.findings[0].file}: {layout.findings[0].reason})" if layout.findings else ""
        raise DatasetError(f"{root}: no image has a mask{first}; give image and mask the same name before the suffix")
    findings = list(layout.findings)
    pairs = _with_regions(layout.pairs, root, description, findings)
    pairs = _with_object_classes(pairs, root, description, findings)
    pairs = [replace(pair, group=_group_of(pair, description)) for pair in pairs]
    pairs = _with_pixel_sizes(pairs, root, description, findings)
    return Pairs(pairs=tuple(pairs), root=root, layout=layout.name, description=description, findings=tuple(findings))


def resolve_spec(pairs: Pairs, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Decision:
    """What the masks of a data set mean: as its description says, or decided from all of its masks.

    Raises LabelError if that is impossible, and what `read_mask` raises if a mask cannot be read.
    """
    if explicit_spec(pairs.description, source=pairs.root / FILE_NAME) is not None:
        return spec_from(pairs, [])
    masks = [pair.mask for pair in pairs if pair.mask is not None]
    if pairs.description.labels == "objects":  # only their coding is still open, and a few masks tell it
        masks = masks[:: max(1, len(masks) // _CODING_SAMPLE)]
    return spec_from(pairs, [summarise(read_mask(mask, max_pixels=max_pixels)) for mask in masks])


def spec_from(pairs: Pairs, summaries: Sequence[MaskSummary]) -> Decision:
    """As `resolve_spec`, for masks that somebody has already read and summarised."""
    source = pairs.root / FILE_NAME
    spec = explicit_spec(pairs.description, source=source)
    if spec is not None:
        told = "dataset.json" if pairs.layout == "nnU-Net" else FILE_NAME
        return Decision(spec=spec, confidence="sure", sentence=f"The masks hold {spec.kind}, as {told} says.")
    try:
        return decide(
            summaries,
            kind=pairs.description.labels,
            classes=pairs.description.classes,
            ignore=ignored_values(pairs.description, source=source),
        )
    except LabelError as error:
        raise LabelError(f"{pairs.root}: {error}") from error


def read_pair(pair: Pair, spec: LabelSpec, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[Image, Labels]:
    """Read an image, (C, [Z,] Y, X), and its labels, ([Z,] Y, X), of the same shape.

    Several files are the channels of one image. Pixels outside of the region are `IGNORE`. The pixel size is
    that of the data set's description, else that of the image. Objects of several classes come with their classes.
    Raises ImageError or LabelError, naming the file.
    """
    image = _read_channels(pair, max_pixels=max_pixels)
    return image, read_labels(pair, spec, image=image, max_pixels=max_pixels)


def read_labels(pair: Pair, spec: LabelSpec, *, image: Image, max_pixels: int = DEFAULT_MAX_PIXELS) -> Labels:
    """Read the labels of a pair whose image is already there. Raises LabelError, naming the file."""
    if pair.mask is None:
        raise LabelError(f"{pair.images[0]}: the image has no mask")
    labels = apply_spec(read_mask(pair.mask, max_pixels=max_pixels), spec)
    _check_shape(labels.shape, image, pair.mask)
    ids = labels.ids
    if labels.kind == "objects" and pair.object_classes is not None:
        told = read_object_classes(pair.object_classes, ids, classes=labels.classes, max_pixels=max_pixels)
        labels = replace(labels, object_classes=told)
    elif labels.kind == "objects" and len(labels.classes) > 2:
        raise LabelError(
            f"{pair.mask}: its objects should be {' or '.join(labels.classes[1:])}, but nothing says which object is "
            f"which; name a folder of masks of classes or of tables as object_classes in its {FILE_NAME}"
        )
    if pair.region is not None:
        region = read_mask(pair.region, max_pixels=max_pixels)
        _check_shape(region.values.shape, image, pair.region)
        outside = region.values <= (127 if region.lossy else 0)
        ids = np.where(outside, np.int32(IGNORE), ids)
    return replace(labels, ids=ids, space=image.space)


def _read_channels(pair: Pair, *, max_pixels: int) -> Image:
    parts = [read_image(path, max_pixels=max_pixels) for path in pair.images]
    first = parts[0]
    for part in parts[1:]:
        if part.shape != first.shape:
            raise ImageError(
                f"{part.name}: its shape is {_by(part.shape)}, but the first channel {first.name} is "
                f"{_by(first.shape)}; all channels of an image must have one shape"
            )
    space = first.space
    if pair.pixel_size is not None:
        if len(pair.pixel_size) != first.spatial_axes:
            raise ImageError(
                f"{first.name}: it has {first.spatial_axes} axes in space, but pixel_size in {FILE_NAME} has "
                f"{len(pair.pixel_size)} numbers; write one for each axis"
            )
        space = replace(space, pixel_size=pair.pixel_size, unit="micrometer")
    if len(parts) == 1:
        return replace(first, space=space)
    return Image(pixels=np.concatenate([part.pixels for part in parts]), space=space, name=first.name)


def _check_shape(shape: tuple[int, ...], image: Image, path: Path) -> None:
    if shape == image.shape:
        return
    turned = "; they look turned against each other" if shape == image.shape[::-1] else ""
    raise LabelError(
        f"{path}: its shape is {_by(shape)}, but that of its image {image.name} is "
        f"{_by(image.shape)}{turned}; export the mask at the size of the image"
    )


def _by(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(str(length) for length in shape)} ({' '.join('zyx'[-len(shape) :])})"


def _group_of(pair: Pair, description: Description) -> str:
    if description.group is None:
        return pair.group
    found = re.search(description.group, pair.name)
    return found[1] if found and found[1] is not None else pair.name


def _with_pixel_sizes(
    pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]
) -> list[Pair]:
    for pattern in description.pixel_sizes or {}:
        if not any(fnmatchcase(pair.name, pattern) for pair in pairs):
            findings.append(
                Finding(
                    severity="warning",
                    file=str(root / FILE_NAME),
                    reason=f"pixel_sizes speaks of {pattern!r}, but no image has such a name",
                    remedy=f'write names without their suffix, * for any letters, such as "{pairs[0].name[:3]}*"',
                )
            )
    return [replace(pair, pixel_size=pixel_size_of(pair.name, description)) for pair in pairs]


def described_pixel_size(path: Path) -> tuple[float, ...] | None:
    """What the dataset.toml of the data set that an image file lies in says of its pixels, in micrometres, (z) y x.

    It is the one beside the image, or beside its folder if that is called images. Raises DatasetError if it is wrong.
    """
    folders = [path.parent.parent, path.parent] if path.parent.name == "images" else [path.parent]
    description = next((read_description(one / FILE_NAME) for one in folders if (one / FILE_NAME).is_file()), None)
    return pixel_size_of(stem_of(path), description) if description else None


def _with_regions(pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]) -> list[Pair]:
    if description.region is None:
        return list(pairs)
    by_stem = _folder_beside(root, "region", description.region)
    for pair in pairs:
        if pair.name not in by_stem:
            findings.append(
                Finding(
                    severity="error",
                    file=str(pair.images[0]),
                    reason=f"{description.region}/ has no region with the stem {pair.name!r}",
                    remedy="add it, or remove region from dataset.toml; without it the whole image counts",
                )
            )
    return [replace(pair, region=by_stem.get(pair.name)) for pair in pairs]


def _with_object_classes(
    pairs: Sequence[Pair], root: Path, description: Description, findings: list[Finding]
) -> list[Pair]:
    if description.object_classes is None:
        return list(pairs)
    by_stem = _folder_beside(root, "object_classes", description.object_classes, tables=True)
    values, coding = object_values(description, source=root / FILE_NAME)
    found = []
    for pair in pairs:
        file = by_stem.get(pair.name)
        if file is not None:
            found.append(replace(pair, object_classes=ClassSource(file=file, values=values, coding=coding)))
            continue
        findings.append(
            Finding(
                severity="error",
                file=str(pair.images[0]),
                reason=f"{description.object_classes}/ has no file with the stem {pair.name!r}",
                remedy="add a mask of classes or a table (.csv) with the columns id and class for it, or move the "
                "image away",
            )
        )
        found.append(pair)
    return found


def _folder_beside(root: Path, key: str, name: str, *, tables: bool = False) -> dict[str, Path]:
    """The image files, and tables if wanted, of the folder that a key of dataset.toml names, by their stems.

    Raises DatasetError if there is no such folder in `root`, or two files for one image.
    """
    folder = root / name
    if not folder.resolve().is_relative_to(root.resolve()) or not folder.is_dir():
        raise DatasetError(f"{root / FILE_NAME}: {key} = {name!r}, but there is no such folder in {root}")
    by_stem = {stem_of(path): path for path in image_files(folder)}
    if not tables:
        return by_stem
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == TABLE_SUFFIX and path.is_file() and not path.name.startswith("."):
            other = by_stem.setdefault(path.stem, path)
            if other != path:
                raise DatasetError(f"{folder}: {other.name} and {path.name} are both for one image; keep one of them")
    return by_stem
