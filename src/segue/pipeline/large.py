"""Images larger than memory: image, answer and objects lie in temporary files and are worked on in blocks.

What is written is what the way through memory writes, value for value. In memory at a time are a tile and its
features, a block of the decoding, some rows of the image, and a few numbers for each object.

The temporary files lie in the folder of the answer and are gone at the end, however it comes. For each pixel they take
4 bytes for each channel of the image, and for each of the network where colours become gray or gray becomes colours; 4
for each output of the network; 13 for the decoding. Where the image is resampled, channels and outputs of the network
lie there once more on the grid it works on, and once (of volumes twice) on a grid between both. The values of a
compressed TIFF stand beside its channels as they are stored, 1 to 8 bytes each, until all are converted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from segue.arrays import Image
from segue.channels import with_channels
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.files import make_folder, whole_file
from segue.io.scratch import Block, Scratch, ScratchArray, View
from segue.io.staging import StagedImage, bands, claimed_shape, stage_image
from segue.io.tiff import encode_tiff_in_blocks
from segue.normalize import measure_values, rescale
from segue.objects.decode import DecodeConfig
from segue.objects.tiled import decode_in_blocks
from segue.pipeline.exporting import ImageObjects
from segue.predict.infer import PredictConfig, Progress
from segue.resample import grid_at, resample_in_blocks
from segue.trained import Model, at_magnification, magnification

_SHARE = 2
"""An image is large if its arrays would take more than this part of the memory that the features of a tile may take."""
_DECODING = 25
"""Bytes that the decoding of a whole image takes for a pixel, beside the maps."""


@dataclass(frozen=True, kw_only=True)
class LargeWishes:
    """What is to be made of a large image."""

    kind: Literal["classes", "probabilities", "objects"]
    decoding: DecodeConfig | None = None
    """How objects are made; None for the model's own settings."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Larger images are refused."""
    prepare: Callable[[Image], Image] = field(default=lambda image: image)
    """Given the image as it was read, returns it with the pixel size that is to be believed; may raise DataErrors."""
    export: Callable[[ImageObjects], None] | None = None
    """Writes what stands beside the objects."""


@dataclass(frozen=True, kw_only=True)
class LargeOutcome:
    """What became of a large image."""

    objects: int | None
    """Number of objects, where objects were asked for."""
    pixel_size: tuple[float, ...] | None
    """Micrometres of the image's pixels along (z) y x; None if nobody said it."""
    resampled: bool
    """Whether the network worked at another pixel size."""


def is_large(model: Model, channels: int, shape: Sequence[int], *, kind: str, config: PredictConfig | None) -> bool:
    """Whether the arrays for an image would take more than half of the memory that is meant for a tile.

    `shape` holds the lengths of the spatial axes, of the image or of the grid the network works on.
    """
    network = model.header.network
    values = channels + network.channels + network.outputs
    bytes_a_pixel = 4 * values + (_DECODING if kind == "objects" else 0)
    return prod(shape) * bytes_a_pixel > (config or model.prediction()).memory // _SHARE


def predict_large(
    model: Model,
    source: Path,
    target: Path,
    *,
    wishes: LargeWishes,
    config: PredictConfig | None = None,
    progress: Progress | None = None,
) -> LargeOutcome:
    """Answer the image `source` with the TIFF `target`, whole or not at all, in memory that does not grow with it.

    Raises ImageError and other DataErrors if the image cannot be used, CannotCreateError or StorageError if something
    cannot be written.
    """
    shape = claimed_shape(source, max_pixels=wishes.max_pixels)
    if shape is not None:  # now, not when all of it is in a file
        model.check_axes(shape[1:], str(source))
    make_folder(target.parent)
    with Scratch(target.parent) as scratch:
        work = _Work(model, stage_image(source, scratch=scratch, max_pixels=wishes.max_pixels), scratch, wishes)
        answer = work.answer(config, progress)
        number = _write(target, work, answer)
        return LargeOutcome(
            objects=number,
            pixel_size=work.image.space.micrometres,
            resampled=work.grid != work.image.shape,
        )


class _Work:
    """One large image on its way."""

    def __init__(self, model: Model, staged: StagedImage, scratch: Scratch, wishes: LargeWishes) -> None:
        self.model, self.scratch, self.wishes = model, scratch, wishes
        self._staged = staged.pixels
        self.image = wishes.prepare(staged.image())
        """As it was read; pixels take memory only while they are looked at."""
        self.grid, _ = grid_at(
            self.image.shape,
            self.image.space,
            model.working,
            channels=model.header.network.channels,
            name=self.image.name,
            limit=wishes.max_pixels,
        )
        """Lengths of the axes of the grid that the network works on."""

    def answer(self, config: PredictConfig | None, progress: Progress | None) -> ScratchArray:
        """What the network says of the image, (outputs, [Z,] Y, X), as `Model.answer` has it."""
        network = self.model.header.network
        pixels, is_rgb = self._with_channels()
        seen = cast("ScratchArray", resample_in_blocks(pixels, self.grid, new_array=self.scratch.array))
        scaling = measure_values(
            seen.row(),
            channels=network.channels,
            is_rgb=is_rgb,
            config=self.model.header.normalization,
            name=self.image.name,
        )
        said = self.scratch.array((network.outputs, *self.grid), np.float32)
        self.model.apply(
            View(seen.shape, lambda block: rescale(seen[block], scaling)),
            name=self.image.name,
            config=config,
            progress=progress,
            out=cast("NDArray[np.float32]", said),  # written to in boxes, like an array
        )
        return cast("ScratchArray", resample_in_blocks(said, self.image.shape, new_array=self.scratch.array))

    def decoded(self, answer: ScratchArray) -> tuple[ScratchArray, int]:
        """The objects in an answer, as `objects_of` has them, and how many there are."""
        shape, auxiliary = self.image.shape, self.model.header.auxiliary
        factor = magnification(shape, self.grid)
        distance = len(self.model.classes) + auxiliary.index("distance") if "distance" in auxiliary else None
        ids = self.scratch.array(shape, np.uint32)
        number = decode_in_blocks(
            View(shape, lambda block: np.float32(1) - _channel(answer, 0, block)),
            None if distance is None else View(shape, lambda block: _channel(answer, distance, block)),
            config=at_magnification(self.wishes.decoding or self.model.decoding, factor, axes=len(shape)),
            out=ids,
            new_array=self.scratch.array,
        )
        return ids, number

    def objects(self, ids: ScratchArray, answer: ScratchArray) -> ImageObjects:
        """The decoded objects, and what is to be told of them."""
        probabilities = self.probabilities(answer)
        return ImageObjects(ids=ids, image=self.image, pixels=self._staged, probabilities=probabilities)

    def probabilities(self, answer: ScratchArray) -> View:
        """Those of the classes, which an answer begins with."""
        return View((len(self.model.classes), *self.image.shape), lambda block: answer[block])

    def _with_channels(self) -> tuple[ScratchArray, bool]:
        """The pixels with the channels of the network, and whether they are colours."""
        header, stored = self.model.header, self._staged

        def converted(part: Block) -> tuple[Image, bool]:
            own = replace(self.image, pixels=stored[(slice(0, stored.shape[0]), *part)])
            image = with_channels(own, channels=header.network.channels, rgb=header.rgb)
            return image, image.pixels is own.pixels

        first, same = converted(tuple(slice(0, 1) for _ in self.image.shape))
        if same:
            return stored, first.is_rgb
        pixels = self.scratch.array((header.network.channels, *self.image.shape), np.float32)
        for part in bands(self.image.shape):
            pixels[(slice(0, header.network.channels), *part)] = converted(part)[0].pixels
        return pixels, first.is_rgb


def _channel(answer: ScratchArray, number: int, block: Block) -> NDArray[Any]:
    values: NDArray[Any] = answer[(slice(number, number + 1), *block)][0]
    return values


def _write(target: Path, work: _Work, answer: ScratchArray) -> int | None:
    """Write what was wished for; returns the number of objects."""
    space, shape = work.image.space, work.image.shape
    classes = work.model.classes
    every = slice(0, len(classes))
    if work.wishes.kind == "probabilities":
        with whole_file(target) as temporary:
            values = work.probabilities(answer)
            encode_tiff_in_blocks(temporary, values, dtype=np.dtype(np.float32), space=space, channels=classes)
        return None
    if work.wishes.kind == "classes":
        most_probable = View(shape, lambda block: answer[(every, *block)].argmax(axis=0))
        with whole_file(target) as temporary:
            encode_tiff_in_blocks(temporary, most_probable, dtype=np.min_scalar_type(len(classes) - 1), space=space)
        return None
    ids, number = work.decoded(answer)
    with whole_file(target) as temporary:
        encode_tiff_in_blocks(temporary, ids, dtype=np.dtype(np.uint16 if number < 1 << 16 else np.uint32), space=space)
    if work.wishes.export is not None:
        work.wishes.export(work.objects(ids, answer))
    return number
