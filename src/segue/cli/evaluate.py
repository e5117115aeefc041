"""segue evaluate: predicted masks against the truth."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import answer, columns, counting, say, scores_of


def evaluate(
    truth: Annotated[Path, typer.Argument(help="A data set, a folder of masks, or one mask.")],
    predicted: Annotated[Path, typer.Argument(help="The folder (or file) that 'segue predict' wrote.")],
    kind: Annotated[
        str | None, typer.Option("--as", help="classes, objects or membranes.  [default: what the truth is]")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write all scores to this JSON file; - writes them to stdout alone.")
    ] = None,
) -> None:
    """Score predictions, with 95 % intervals over images, the worst images named."""
    from segue.evaluate.summary import worst_first
    from segue.io.files import write_whole
    from segue.pipeline.scoring import evaluate_files

    with counting("scoring") as progress:
        summary = evaluate_files(truth, predicted, kind=kind, on_image=progress)  # type: ignore[arg-type]
    text = json_module.dumps(summary, indent=2, allow_nan=False)
    if json is not None and str(json) == "-":
        answer(text)
    else:
        if json is not None:
            write_whole(json, (text + "\n").encode())
        answer(f"{summary['kind']} of {summary['images']} images: mean, and 95 % interval over images")
        answer(columns(scores_of(summary, list(summary["metrics"]))))
        first = next(iter(summary["metrics"]))
        known = [row for row in summary["per_image"] if row["metrics"].get(first) is not None]
        worst = [f"{row['name']} ({row['metrics'][first]:.4f})" for row in worst_first(known, first)[:3]]
        answer(f"worst by {first}: {', '.join(worst)}")
    for finding in summary["findings"]:
        say(f"segue: {finding}")
    if summary["numbered"]:
        shown = ", ".join(f"{value} is class {number}" for value, number in summary["numbered"].items())
        say(f"segue: nobody says what the values of the masks mean; taken in order, {shown} (values in dataset.toml)")
    if summary["missing"]:
        shown = ", ".join(summary["missing"][:5])
        say(f"segue: {len(summary['missing'])} images have no prediction and were not scored: {shown}")
    if summary["without_classes"]:
        say(
            f"segue: {len(summary['without_classes'])} predictions have no table of the classes of objects beside "
            "them, so these were not scored; predict with --table"
        )
