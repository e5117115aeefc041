"""From a folder to pairs of image and mask, and from a pair to arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from segue.arrays import IGNORE, Image, Labels
from segue.errors import DatasetError, ImageError, LabelError, MissingInputError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.described import describe_pairs
from segue.io.description import (
    FILE_NAME,
    Description,
    check_object_classes,
    explicit_spec,
    ignored_values,
    read_description,
)
from segue.io.findings import Finding
from segue.io.images import read_image
from segue.io.label_decision import Decision, decide
from segue.io.label_evidence import MaskSummary, summarise
from segue.io.labels import LabelSpec, RawMask, apply_spec, read_mask
from segue.io.layouts import find_layout
from segue.io.object_classes import read_object_classes
from segue.io.pairs import Pair
from segue.io.same_space import how_apart

__all__ = [
    "Pair",
    "Pairs",
    "find_pairs",
    "read_labels",
    "read_pair",
    "resolve_spec",
    "spec_from",
]


_CODING_SAMPLE = 8
"""About so many masks are read to tell the coding and the background of masks of objects."""


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
    named = [str(root / name) for name in (description.region, description.object_classes) if name is not None]
    findings = [one for one in layout.findings if one.file not in named]  # the layout calls such a folder ignored
    pairs = describe_pairs(layout.pairs, root, description, findings)
    return Pairs(pairs=tuple(pairs), root=root, layout=layout.name, description=description, findings=tuple(findings))


def resolve_spec(pairs: Pairs, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Decision:
    """What the masks of a data set mean: as its description says, or decided from all of its masks.

    Raises LabelError if that is impossible, and what `read_mask` raises if a mask cannot be read.
    """
    return spec_from(pairs, [summarise(read_mask(mask, max_pixels=max_pixels)) for mask in telling_masks(pairs)])


def telling_masks(pairs: Pairs) -> list[Path]:
    """The masks that have to be read to know what the values of all mean: none if the description says it in full.

    If it says that they hold objects, a few will do: only their coding and their background are left to find out.
    """
    if explicit_spec(pairs.description, source=pairs.root / FILE_NAME) is not None:
        return []
    masks = [pair.mask for pair in pairs if pair.mask is not None and pair.has_values]
    if pairs.description.labels == "objects":
        return masks[:: max(1, len(masks) // _CODING_SAMPLE)]
    return masks


def spec_from(pairs: Pairs, summaries: Sequence[MaskSummary]) -> Decision:
    """As `resolve_spec`, from the evidence of its `telling_masks`."""
    source = pairs.root / FILE_NAME
    spec = explicit_spec(pairs.description, source=source)
    if spec is not None:
        told = "dataset.json" if pairs.layout == "nnU-Net" else FILE_NAME
        return Decision(spec=spec, confidence="sure", sentence=f"The masks hold {spec.kind}, as {told} says.")
    ignore, ignore_coding = ignored_values(pairs.description, source=source)
    try:
        return decide(
            summaries,
            kind=pairs.description.labels,
            classes=pairs.description.classes,
            ignore=ignore,
            ignore_coding=ignore_coding,
        )
    except LabelError as error:
        raise LabelError(f"{pairs.root}: {error}") from error


def read_pair(pair: Pair, spec: LabelSpec, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[Image, Labels]:
    """Read an image, (C, [Z,] Y, X), and its labels, ([Z,] Y, X), of the same shape.

    Several files are the channels of one image. Pixels outside of the region are `IGNORE`. The pixel size is
    that of the data set's description, else that of the image. Objects of several classes come with their classes.
    Raises ImageError or LabelError, naming the file.
    """
    image = read_pair_image(pair, max_pixels=max_pixels)
    return image, read_labels(pair, spec, image=image, max_pixels=max_pixels)


def read_pair_image(pair: Pair, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """The image of a pair, (C, [Z,] Y, X), from one file or from one for each channel. Raises ImageError, naming it."""
    parts = [read_image(path, max_pixels=max_pixels) for path in pair.images]
    first = parts[0]
    for part in parts[1:]:
        if part.shape != first.shape:
            raise ImageError(
                f"{part.name}: its shape is {_by(part.shape)}, but the first channel {first.name} is "
                f"{_by(first.shape)}; all channels of an image must have one shape"
            )
        if apart := how_apart(part.space, first.space, first.shape):
            raise ImageError(f"{part.name}: this channel and the first, {first.name}, {apart}")
    space = first.space
    if pair.pixel_size is not None:
        if len(pair.pixel_size) != first.spatial_axes:
            raise ImageError(
                f"{first.name}: it has {first.spatial_axes} axes in space, but its data set says "
                f"{len(pair.pixel_size)} pixel sizes; write one for each axis (pixel_size in {FILE_NAME}, or spacing "
                "in CASE.json of nnU-Net)"
            )
        space = space.with_micrometres(pair.pixel_size)
    if len(parts) == 1:
        return replace(first, space=space)
    return Image(pixels=np.concatenate([part.pixels for part in parts]), space=space, name=first.name)


def read_labels(pair: Pair, spec: LabelSpec, *, image: Image, max_pixels: int = DEFAULT_MAX_PIXELS) -> Labels:
    """Read the labels of a pair whose image is already there. Raises LabelError, naming the file."""
    if pair.mask is None:
        raise LabelError(f"{pair.images[0]}: the image has no mask")
    if pair.without_objects:
        raw = RawMask(values=np.zeros(image.shape, np.int64), name=str(pair.mask))
    else:
        raw = read_mask(pair.mask, max_pixels=max_pixels)
    labels = apply_spec(raw, spec)
    _check_place(raw, image, pair.mask)
    ids = labels.ids
    if labels.kind == "objects" and pair.object_classes is not None:
        told = read_object_classes(
            pair.object_classes, ids, classes=labels.classes, space=image.space, max_pixels=max_pixels
        )
        labels = replace(labels, object_classes=told)
    elif labels.kind == "objects" and len(labels.classes) > 2:
        raise LabelError(
            f"{pair.mask}: its objects should be {' or '.join(labels.classes[1:])}, but nothing says which object is "
            f"which; name a folder of masks of classes or of tables as object_classes in its {FILE_NAME}"
        )
    if pair.region is not None:
        region = read_mask(pair.region, max_pixels=max_pixels)
        _check_place(region, image, pair.region)
        outside = region.values <= (127 if region.lossy else 0)
        ids = np.where(outside, np.int32(IGNORE), ids)
    return replace(labels, ids=ids, space=image.space)


def _check_place(mask: RawMask, image: Image, path: Path) -> None:
    """Raise LabelError if the mask in `path` has another shape than its image, or says that it lies elsewhere."""
    shape = mask.values.shape
    if shape == image.shape:
        if apart := how_apart(mask.space, image.space, shape):
            raise LabelError(f"{path}: mask and image ({image.name}) {apart}")
        return
    turned = "; they look turned against each other" if shape == image.shape[::-1] else ""
    raise LabelError(
        f"{path}: its shape is {_by(shape)}, but that of its image {image.name} is "
        f"{_by(image.shape)}{turned}; export the mask at the size of the image"
    )


def _by(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(str(length) for length in shape)} ({' '.join('zyx'[-len(shape) :])})"
