"""segue demo: the whole job on simulated images."""

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import answer, say
from segue.units import format_duration, parse_duration


def demo(
    out: Annotated[Path, typer.Option(help="The folder for everything the demo makes.")] = Path("segue-demo"),
    budget: Annotated[str, typer.Option(help="Time for the trainings, both together.")] = "3m",
    seed: Annotated[int, typer.Option(help="Where all randomness comes from.")] = 0,
) -> None:
    """Simulate images with known truth, train, predict unseen ones, score them, and draw a picture of it."""
    from segue.pipeline.demonstration import demonstrate

    seconds = parse_duration(budget)
    say(f"simulating, training for {format_duration(seconds)} and judging; everything goes to {out}")
    for result in demonstrate(out, seconds=seconds, seed=seed, say=say):
        name, images = result.subject.headline, result.summary["images"]
        score = result.summary["metrics"][name]["mean"]
        answer(f"{result.subject.name}: {name} {score:.3f} on {images} unseen images; look at {result.picture}")
