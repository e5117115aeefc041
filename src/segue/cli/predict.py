"""segue predict: from a model and images to masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from segue.arrays import Space
from segue.cli.console import answer, answer_json, counting, fail, say
from segue.errors import SomeInputsFailedError, UsageError
from segue.units import parse_pixel_size, parse_size

if TYPE_CHECKING:
    from segue.pipeline.predicting import Outcome
    from segue.trained import Model


def predict(
    model: Annotated[Path, typer.Argument(help="A model that 'segue train' wrote.")],
    inputs: Annotated[list[str], typer.Argument(help="Images, folders of images, or patterns such as 'plate/*.tif'.")],
    out: Annotated[Path, typer.Option(help="The folder for the answers.")],
    kind: Annotated[
        str | None,
        typer.Option("--as", help="classes, objects or probabilities.  [default: what the model was trained on]"),
    ] = None,
    tile: Annotated[int | None, typer.Option(help="Side of a tile in pixels; never changes the answer.")] = None,
    max_memory: Annotated[str | None, typer.Option(help="Memory for the features of a tile, such as 2GB.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or auto.")] = None,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Average over mirror images; without either the model decides."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="[FORMATS]", help="Write a table of measurements beside the objects: csv, parquet."),
    ] = None,
    outlines: Annotated[
        str | None,
        typer.Option(metavar="[FORMATS]", help="Write outlines beside the objects: geojson, imagej, coco."),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Write a PNG of the image with the outlines of the objects.")
    ] = False,
    decode: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="How objects are made, such as smallest_object=30; may be repeated."),
    ] = None,
    pixel_size: Annotated[
        str | None,
        typer.Option(help="Micrometres of the images' pixels, such as 0.1 or 2,0.5,0.5 (z, y, x), if the files err."),
    ] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Refuse larger images.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")] = False,
) -> None:
    """Segment images of any size. Each input is answered with one file of the same name in --out."""
    memory = parse_size(max_memory) if max_memory is not None else None
    size = parse_pixel_size(pixel_size) if pixel_size is not None else None
    if max_pixels is not None and max_pixels < 1:
        raise UsageError(f"--max-pixels is at least 1, not {max_pixels}")
    from segue.io.decoded import DEFAULT_MAX_PIXELS
    from segue.memory import keep_freed_memory
    from segue.objects.settings import with_settings
    from segue.pipeline.exporting import Exports
    from segue.pipeline.predicting import OutputConfig, PredictObserver, predict_files
    from segue.trained import Model, with_user_wishes

    keep_freed_memory()  # here, not in the library: it is for the whole process, and for good
    trained = Model.load(model)
    output = OutputConfig(
        kind=kind or trained.header.kind,  # type: ignore[arg-type]
        decoding=with_settings(trained.decoding, decode) if decode else None,
        exports=Exports(table=_listed(table), outlines=_listed(outlines), overlay=overlay),  # type: ignore[arg-type]
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
        pixel_size=size,
    )
    config = with_user_wishes(trained.prediction(), tile=tile, memory=memory, precision=precision, mirror=mirror)
    with counting("predicting") as progress:
        outcomes = predict_files(
            trained,
            inputs,
            out,
            output=output,
            config=config,
            observer=PredictObserver(on_tile=progress, on_image=lambda outcome, done, total: progress(done, total)),
        )
    failed = [outcome for outcome in outcomes if outcome.error]
    for line in about_pixel_sizes(trained, outcomes):
        say(line)
    if json:
        answer_json({"outputs": [_plain(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            if not outcome.error:
                answer(str(outcome.target))
    if len(failed) == len(outcomes) == 1 and failed[0].error:
        raise failed[0].error
    for outcome in failed:
        say(f"segue: {outcome.error}")
    if len(failed) == len(outcomes) and failed[0].error:
        raise typer.Exit(fail(f"none of the {len(outcomes)} images could be predicted", failed[0].error.exit_code))
    if failed:
        raise SomeInputsFailedError(f"{len(failed)} of {len(outcomes)} images failed; the others are in {out}")


FORMATS = {"--table": ("csv", "parquet"), "--outlines": ("geojson", "imagej", "coco")}
"""Options that may stand alone, which means the first of their formats."""


class PredictCommand(TyperCommand):
    """A command whose --table and --outlines may stand alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line, with the formats that were left out."""
        return super().parse_args(ctx, with_formats(args))


def with_formats(words: Sequence[str]) -> list[str]:
    """The words of a command line, where each option of `FORMATS` has a value: what follows it, if that names a format.

    Words after "--" are inputs, whatever they look like.
    """
    complete: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        complete.append(word)
        formats = FORMATS.get(word, ())
        if formats and "--" not in complete and not set(following.split(",")) & set(formats):
            complete.append(formats[0])
    return complete


def _listed(formats: str | None) -> tuple[str, ...]:
    return () if formats is None else tuple(dict.fromkeys(one.strip() for one in formats.split(",")))


def about_pixel_sizes(model: "Model", outcomes: "Sequence[Outcome]") -> list[str]:
    """What people should know of images whose pixels are not of the network's size, or that do not say theirs."""
    from segue.resample import shown

    if model.header.pixel_size is None:
        return []
    works_at = shown(model.working)
    lines = []
    if other := [outcome for outcome in outcomes if outcome.resampled]:
        was = "was" if len(other) == 1 else "were"
        own = shown(Space(pixel_size=other[0].pixel_size, unit="micrometer"))
        lines.append(
            f"the network works at a pixel size of {works_at}; {counted(other)} {was} resampled to it and back "
            f"(such as {other[0].source.name}, {own})"
        )
    silent = [outcome for outcome in outcomes if outcome.pixel_size is None and not outcome.error]
    say_no = "does not say its pixel size" if len(silent) == 1 else "do not say their pixel size"
    if silent and model.header.training.get("fingerprint", {}).get("pixel_size_differs"):
        lines.append(
            f"{counted(silent)} {say_no} (such as {silent[0].source.name}), taken to be that of the network, "
            f"{works_at}; --pixel-size says another one"
        )
    return lines


def counted(outcomes: "Sequence[Outcome]") -> str:
    """How many images: "1 image", "12 images"."""
    return f"{len(outcomes)} image{'s' if len(outcomes) > 1 else ''}"


def _plain(outcome: "Outcome") -> dict[str, str | int | bool | list[float] | None]:
    return {
        "input": str(outcome.source),
        "output": None if outcome.error else str(outcome.target),
        "objects": outcome.objects,
        "pixel_size": list(outcome.pixel_size) if outcome.pixel_size else None,
        "resampled": outcome.resampled,
        "error": str(outcome.error) if outcome.error else None,
    }
