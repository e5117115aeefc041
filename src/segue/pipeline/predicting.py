"""Files to files: every input is answered with one output, and one that fails does not stop the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from segue.arrays import Image, Probabilities
from segue.errors import DataError, ImageError, MissingInputError, SegueError, UsageError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.files import folder_if_used, remove_leftovers
from segue.io.images import answer_name, list_images, write_labels, write_probabilities
from segue.io.inputs import Input, described_pixel_size, find_inputs, read_input
from segue.io.natural import stem_of
from segue.io.staging import claimed_shape
from segue.memory import is_out_of_memory
from segue.objects.coco import Entry, coco, write_coco
from segue.objects.decode import DecodeConfig
from segue.pipeline.exporting import COCO_NAME, Exports, ImageObjects, check_exports, write_exports
from segue.pipeline.large import LargeWishes, is_large, predict_large
from segue.predict.infer import PredictConfig, Progress
from segue.resample import needed_shape
from segue.trained import Answer, Model, most_probable, objects_of

OutputKind = Literal["classes", "probabilities", "objects"]


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written for each input."""

    kind: OutputKind = "classes"
    """Class ids, object ids, or the probability of every class."""
    decoding: DecodeConfig | None = None
    """How objects are made; None for the model's own settings."""
    exports: Exports = field(default_factory=Exports)
    """What is written beside the objects."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Larger images are refused."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres of the images' pixels, one number for all axes or one for each, (z) y x; overrides what files say."""

    def __post_init__(self) -> None:
        if self.kind not in ("classes", "probabilities", "objects"):
            raise UsageError(f'an output is "classes", "probabilities" or "objects", not "{self.kind}"')
        if (self.exports or self.decoding) and self.kind != "objects":
            raise UsageError(
                f"tables, outlines, overlays and settings of the decoding are of objects; ask for objects instead of "
                f"{self.kind} (--as objects)"
            )


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    source: Path
    """Its file; the first of them if each holds a channel."""
    target: Path
    error: SegueError | None = None
    """None if all went well."""
    objects: int | None = None
    """Number of objects, where objects were asked for."""
    pixel_size: tuple[float, ...] | None = None
    """Micrometres of the image's pixels along (z) y x; None if nobody said it."""
    resampled: bool = False
    """Whether the network worked at another pixel size; the answer lies on the image's pixels all the same."""


@dataclass(frozen=True, kw_only=True)
class PredictObserver:
    """What the outside world may do while files are predicted."""

    on_tile: Callable[[float, int], None] = field(default=lambda done, total: None)
    """Called after each tile with the number of images done, a share of the present one, and of all images."""
    on_image: Callable[[Outcome, int, int], None] = field(default=lambda outcome, done, total: None)
    """Called after each image with its outcome, the number of images done and of all images."""


def predict_files(
    model: Model,
    inputs: Sequence[Path | str],
    out: Path | str,
    *,
    output: OutputConfig | None = None,
    config: PredictConfig | None = None,
    observer: PredictObserver | None = None,
) -> list[Outcome]:
    """Predict every image that `inputs` (files, folders, globs) name, and write each answer into the folder `out`.

    Answers are called like the pairs of a data set (`segue.io.inputs`): in the layout of nnU-Net the channel files of a
    case are one image. Outlines for COCO are one file for all images, written at the end.

    Raises MissingInputError if an input names nothing, DatasetError if the dataset.json of one is wrong, UsageError if
    two inputs would be answered with one file (or with exports of one name), a tile is too small or a library for an
    export is missing, CannotCreateError or StorageError if an answer cannot be written. What is wrong with a single
    image is in its `Outcome`. Nothing is left of `out` if it was not there before and nothing was written to it.
    """
    output, observer = output or OutputConfig(), observer or PredictObserver()
    sources = find_inputs(path for name in inputs for path in list_images(Path(name)))
    targets = _targets(sources, Path(out), output.exports)
    check_exports(output.exports)
    outcomes: list[Outcome] = []
    entries: list[Entry] = []
    with folder_if_used(Path(out)):
        remove_leftovers(Path(out))
        for source, target in zip(sources, targets, strict=True):
            try:
                shape = _shape_in_parts(source, max_pixels=output.max_pixels)
                large = shape and is_large(model, shape[0], shape[1:], kind=output.kind, config=config)
                answer = _answer_large if large else _answer_whole
                on_tile = partial(_tell_tile, observer, len(outcomes), len(sources))
                outcome, found = answer(model, source, target, output, config, on_tile)
                entries += found
            except (DataError, MissingInputError) as error:
                outcome = Outcome(source.file, target, error=error)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                outcome = Outcome(source.file, target, error=_too_large(source.file))
            outcomes.append(outcome)
            observer.on_image(outcome, len(outcomes), len(sources))
        if "coco" in output.exports.outlines and not all(outcome.error for outcome in outcomes):
            write_coco(Path(out) / COCO_NAME, coco(entries, classes=model.classes[1:]))
    return outcomes


def _tell_tile(observer: PredictObserver, images: int, all_images: int, tiles: int, all_tiles: int) -> None:
    observer.on_tile(images + tiles / all_tiles, all_images)


def _answer_whole(
    model: Model,
    source: Input,
    target: Path,
    output: OutputConfig,
    config: PredictConfig | None,
    on_tile: Progress,
) -> tuple[Outcome, list[Entry]]:
    """Answer one image that fits into memory: what became of it, and what a COCO data set says of it."""
    image = _with_known_size(read_input(source, max_pixels=output.max_pixels), source, output.pixel_size)
    check_exports(output.exports, image)
    grid = needed_shape(image.shape, image.space, model.working)
    larger = grid != image.shape and is_large(model, image.channels, grid, kind=output.kind, config=config)
    if larger and _shape_in_parts(source, max_pixels=output.max_pixels):
        # The file is small, but not at the pixel size the network works at.
        del image
        return _answer_large(model, source, target, output, config, on_tile)
    answer = model.answer(image, config=config, progress=on_tile, max_pixels=output.max_pixels)
    number, found = _write(target, model, image, answer, output)
    resampled = answer.worked_on is not None
    size = image.space.micrometres
    return Outcome(source.file, target, objects=number, pixel_size=size, resampled=resampled), found


def _answer_large(
    model: Model,
    source: Input,
    target: Path,
    output: OutputConfig,
    config: PredictConfig | None,
    on_tile: Progress,
) -> tuple[Outcome, list[Entry]]:
    """The same for an image that does not."""
    found: list[Entry] = []

    def prepare(image: Image) -> Image:
        image = _with_known_size(image, source, output.pixel_size)
        check_exports(output.exports, image)
        return image

    def export(objects: ImageObjects) -> None:
        found.extend(write_exports(target, objects, classes=model.classes, exports=output.exports))

    wishes = LargeWishes(
        kind=output.kind,
        decoding=output.decoding,
        max_pixels=output.max_pixels,
        prepare=prepare,
        export=export if output.exports else None,
    )
    done = predict_large(model, source.file, target, wishes=wishes, config=config, progress=on_tile)
    size = done.pixel_size
    return Outcome(source.file, target, objects=done.objects, pixel_size=size, resampled=done.resampled), found


def _shape_in_parts(source: Input, *, max_pixels: int) -> tuple[int, ...] | None:
    """Channels and lengths of the axes of an image that can be read in parts; None for all others.

    Those are NIfTI, TIFF with a palette, images of several files, and what cannot be read at all.
    """
    return claimed_shape(source.file, max_pixels=max_pixels) if len(source.files) == 1 else None


def _with_known_size(image: Image, source: Input, given: tuple[float, ...] | None) -> Image:
    """`image` with the pixel size that the user gives, else that of the data set it lies in, else its own."""
    size = given or described_pixel_size(source)
    if size is None:
        return image
    if len(size) not in (1, image.spatial_axes):
        raise ImageError(
            f"{image.name}: it has {image.spatial_axes} spatial axes, but {len(size)} pixel sizes are given; give one "
            "number for all axes, or one for each"
        )
    sizes = size * image.spatial_axes if len(size) == 1 else size
    return replace(image, space=image.space.with_micrometres(sizes))


def _too_large(source: Path) -> ImageError:
    return ImageError(
        f"{source}: there is not enough memory to predict it; close other programs, allow less for a tile "
        "(--max-memory 200MB), or cut the image into parts"
    )


def _targets(sources: Sequence[Input], out: Path, exports: Exports) -> list[Path]:
    targets = [out / answer_name(source.file, stem=source.name) for source in sources]
    first: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        beside = target.with_name(f"{stem_of(target)}.*")
        for name in (target, beside) if exports else (target,):
            other = first.setdefault(name, source.file)
            if other != source.file:
                raise UsageError(
                    f"{other} and {source.file} would both be answered with {name}; predict them into two folders"
                )
        if target.exists() and target.resolve() in [path.resolve() for path in source.files]:
            raise UsageError(f"{target} would be overwritten by its own answer; give another folder with --out")
    return targets


def _write(
    target: Path, model: Model, image: Image, answer: Answer, output: OutputConfig
) -> tuple[int | None, list[Entry]]:
    """Write the answer and what stands beside it: the number of objects, and what a COCO data set says of them."""
    if output.kind == "probabilities":
        write_probabilities(
            target, Probabilities(values=answer.probabilities, classes=model.classes, space=answer.space)
        )
        return None, []
    if output.kind == "classes":
        write_labels(target, most_probable(answer), space=answer.space)
        return None, []
    objects = objects_of(answer, output.decoding or model.decoding)
    write_labels(target, objects, space=answer.space, kind="objects")
    of_image = ImageObjects(ids=objects, image=image, pixels=image.pixels, probabilities=answer.probabilities)
    entries = write_exports(target, of_image, classes=model.classes, exports=output.exports)
    return int(np.max(objects, initial=0)), entries
