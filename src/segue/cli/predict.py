"""segue predict: from a model and images to masks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.console import answer, answer_json, counting, fail, say
from segue.errors import SomeInputsFailedError, UsageError
from segue.units import parse_size

if TYPE_CHECKING:
    from segue.pipeline.predicting import Outcome


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
        typer.Option("--mirror/--no-mirror", help="Average over mirror images: slower and better."),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Write a table of measurements beside the objects.")] = False,
    outlines: Annotated[bool, typer.Option("--outlines", help="Write outlines (GeoJSON) beside the objects.")] = False,
    max_pixels: Annotated[int | None, typer.Option(help="Refuse larger images.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")] = False,
) -> None:
    """Segment images of any size. Each input is answered with one file of the same name in --out."""
    memory = parse_size(max_memory) if max_memory is not None else None
    if max_pixels is not None and max_pixels < 1:
        raise UsageError(f"--max-pixels is at least 1, not {max_pixels}")
    from segue.io.decoded import DEFAULT_MAX_PIXELS
    from segue.pipeline.predicting import OutputConfig, PredictObserver, predict_files
    from segue.trained import Model, with_user_wishes

    trained = Model.load(model)
    output = OutputConfig(
        kind=kind or trained.header.kind,  # type: ignore[arg-type]
        table=table,
        outlines=outlines,
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
    )
    config = with_user_wishes(trained.prediction(), tile=tile, memory=memory, precision=precision, mirror=mirror)
    with counting("predicting") as progress:
        outcomes = predict_files(
            trained,
            inputs,
            out,
            output=output,
            config=config,
            observer=PredictObserver(on_image=lambda outcome, done, total: progress(done, total)),
        )
    failed = [outcome for outcome in outcomes if outcome.error]
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


def _plain(outcome: "Outcome") -> dict[str, str | int | None]:
    return {
        "input": str(outcome.source),
        "output": None if outcome.error else str(outcome.target),
        "objects": outcome.objects,
        "error": str(outcome.error) if outcome.error else None,
    }
