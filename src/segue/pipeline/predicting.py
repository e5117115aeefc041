"""Files to files: every input is answered with one output, and one that fails does not stop the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from segue.arrays import Image, Probabilities
from segue.errors import DataError, MissingInputError, SegueError, UsageError
from segue.io.decoded import DEFAULT_MAX_PIXELS
from segue.io.files import folder_if_used
from segue.io.images import (
    answer_name,
    list_images,
    read_image,
    write_labels,
    write_probabilities,
)
from segue.objects.decode import DecodeConfig
from segue.objects.measure import measure_objects, write_table
from segue.objects.outlines import geojson, write_geojson
from segue.predict.infer import PredictConfig, Progress
from segue.trained import Answer, Model, most_probable, objects_of

OutputKind = Literal["classes", "probabilities", "objects"]


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written for each input."""

    kind: OutputKind = "classes"
    """Class ids, object ids, or the probability of every class."""
    decoding: DecodeConfig | None = None
    """How objects are made; None for the model's own settings."""
    table: bool = False
    """Whether a table of measurements is written beside the objects."""
    outlines: bool = False
    """Whether the outlines of the objects are written as GeoJSON beside them."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Larger images are refused."""

    def __post_init__(self) -> None:
        if self.kind not in ("classes", "probabilities", "objects"):
            raise UsageError(f'an output is "classes", "probabilities" or "objects", not "{self.kind}"')
        if (self.table or self.outlines) and self.kind != "objects":
            raise UsageError(f"a table and outlines are of objects; ask for objects instead of {self.kind}")


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    source: Path
    target: Path
    error: SegueError | None = None
    """None if all went well."""
    objects: int | None = None
    """Number of objects, where objects were asked for."""


@dataclass(frozen=True, kw_only=True)
class PredictObserver:
    """What the outside world may do while files are predicted."""

    on_tile: Progress | None = None
    """Called with the number of tiles done and of all tiles of the present image."""
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

    Raises MissingInputError if an input names nothing, UsageError if two inputs would be answered with one file or a
    tile is too small, CannotCreateError or StorageError if an answer cannot be written. What is wrong with a single
    image is in its `Outcome`. Nothing is left of `out` if it was not there before and nothing was written to it.
    """
    output, observer = output or OutputConfig(), observer or PredictObserver()
    sources = [path for name in inputs for path in list_images(Path(name))]
    targets = _targets(sources, Path(out))
    outcomes: list[Outcome] = []
    with folder_if_used(Path(out)):
        for source, target in zip(sources, targets, strict=True):
            try:
                image = read_image(source, max_pixels=output.max_pixels)
                answer = model.answer(image, config=config, progress=observer.on_tile)
                outcome = Outcome(source, target, objects=_write(target, model, image, answer, output))
            except (DataError, MissingInputError) as error:
                outcome = Outcome(source, target, error=error)
            outcomes.append(outcome)
            observer.on_image(outcome, len(outcomes), len(sources))
    return outcomes


def _targets(sources: Sequence[Path], out: Path) -> list[Path]:
    targets = [out / answer_name(source) for source in sources]
    first: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        other = first.setdefault(target, source)
        if other != source:
            raise UsageError(
                f"{other} and {source} would both be answered with {target}; predict them into two folders"
            )
        if target.exists() and target.resolve() == source.resolve():
            raise UsageError(f"{source} would be overwritten by its own answer; give another folder with --out")
    return targets


def _write(target: Path, model: Model, image: Image, answer: Answer, output: OutputConfig) -> int | None:
    if output.kind == "probabilities":
        write_probabilities(
            target, Probabilities(values=answer.probabilities, classes=model.classes, space=answer.space)
        )
        return None
    if output.kind == "classes":
        write_labels(target, most_probable(answer), space=answer.space)
        return None
    objects = objects_of(answer, output.decoding or model.decoding)
    write_labels(target, objects, space=answer.space, kind="objects")
    stem = target.name.removesuffix(".gz").rsplit(".", 1)[0]
    if output.table:
        table = measure_objects(objects, image, foreground=answer.foreground)
        write_table(target.with_name(f"{stem}.csv"), table)
    if output.outlines:
        write_geojson(target.with_name(f"{stem}.geojson"), geojson(objects, class_name=model.classes[-1]))
    return int(np.max(objects, initial=0))
