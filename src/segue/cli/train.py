"""segue train: from annotated images to a model."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.check import describe
from segue.cli.console import answer, answer_json, columns, fail, judged_on, say, scores_of
from segue.cli.processes import joined
from segue.errors import MissingInputError, UsageError
from segue.train.settings import DEFAULT_BUDGET
from segue.units import format_duration, parse_duration

if TYPE_CHECKING:
    from rich.progress import TaskID

    from segue.fingerprint import Examination
    from segue.pipeline.wishes import FitConfig
    from segue.plan import Plan
    from segue.train.world import World
    from segue.trained import Model

SECONDS_BETWEEN_LINES = 20.0
HEADLINES = ("dice", "pixel_error", "average_precision", "average_precision_50_95", "count_error")
"""Scores that are worth a place in a line."""


def train(
    data: Annotated[Path, typer.Argument(help="A data set: a folder with images/ and masks/, or another layout.")],
    out: Annotated[Path, typer.Option(help="The model file to write, such as cells.segue.")],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for everything, such as 20m or 1h30m.  [default: that of the plan or of the training to go on "
            f"with, else {DEFAULT_BUDGET / 60:g}m]"
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Number of training steps instead of a time: repeatable to the bit.")
    ] = None,
    preset: Annotated[str, typer.Option(help='"auto", or "paper" for the network of 2015.')] = "auto",
    val: Annotated[Path | None, typer.Option(help="A data set to judge with; else some images are held out.")] = None,
    no_validation: Annotated[bool, typer.Option("--no-validation", help="Train on all images, judge on none.")] = False,
    seed: Annotated[int | None, typer.Option(help="Where all randomness comes from; 0 if it is not said.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training of this model.")] = False,
    config: Annotated[Path | None, typer.Option(help="A plan (TOML) to follow instead of making one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on the way.")] = False,
) -> None:
    """Train a U-Net on annotated images within a time budget, and judge it on images it has not seen."""
    with joined() as world:
        if budget is not None and steps is not None:
            raise UsageError("give --budget or --steps, not both")
        if config is not None and preset != "auto":
            raise UsageError(f"give --preset or --config, not both: the plan {config} decides everything")
        if val is not None and no_validation:
            raise UsageError(f"give --val or --no-validation, not both: {val} would not be looked at")
        seconds = parse_duration(budget) if budget is not None else None
        if out.suffix != ".segue":
            better = out.with_suffix(".segue") if out.name not in ("", "..") else out / "model.segue"
            raise UsageError(f"the model {out} should be called something.segue; give --out {better}")
        if not data.exists():
            raise MissingInputError(f"{data}: there is no such folder")
        from segue.config import plan_from_toml
        from segue.io.datasets import find_pairs
        from segue.pipeline.wishes import FitConfig

        plan = plan_from_toml(_text(config), source=str(config)) if config else None
        fit_config = FitConfig(
            budget=seconds,
            steps=steps,
            preset=preset,  # type: ignore[arg-type]
            seed=seed,
            validate=not no_validation,
            plan=plan,
            out=out,
            resume=resume,
        )
        _run(find_pairs(data), find_pairs(val) if val else None, fit_config, world, json=json, quiet=quiet)


def _run(pairs: Any, validation: Any, config: "FitConfig", world: "World | None", *, json: bool, quiet: bool) -> None:
    from segue.errors import TrainingInterruptedError
    from segue.pipeline.fitting import fit
    from segue.pipeline.wishes import FitObserver
    from segue.train.loop import Observer

    speaks = world is None or world.is_first
    report = Report(quiet=quiet or not speaks)
    with _stopping() as (stopped, give_back):
        observer = FitObserver(
            on_examined=report.examined,
            on_plan=report.plan,
            on_trained=give_back,
            loop=Observer(
                on_step=report.step,
                on_validation=report.validation,
                should_stop=lambda: stopped() is not None,
            ),
        )
        try:
            model = fit(pairs, validation=validation, config=config, observer=observer, world=world)
        except TrainingInterruptedError:
            assert config.out is not None
            code = 128 + (stopped() or signal.SIGINT)
            if not speaks:
                raise typer.Exit(code) from None
            hint = "its state is kept, go on with --resume"
            raise typer.Exit(fail(f"the training of {config.out} was stopped; {hint}", code)) from None
        finally:
            report.close()
    if not speaks:
        return
    if json:
        answer_json({"model": str(config.out), **model.header.training})
    else:
        answer(_result(model, config))


class Report:
    """Tells on stderr how the training goes: a live bar on a terminal, a line now and then elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = None if quiet or not sys.stderr.isatty() else LiveBar()
        self._told = time.monotonic()
        self._loss: float | None = None

    def examined(self, examination: "Examination") -> None:
        """Show the findings of the label doctor; errors are shown by whoever stops for them."""
        if not self._quiet and not examination.errors:
            say(describe(examination))

    def plan(self, plan: "Plan", train: int, validation: int) -> None:
        """Show the plan with its reasons; of one that was given, which has none, what it says."""
        if self._quiet:
            return
        rows = list((plan.reasons if "network" in plan.reasons else _settings(plan) | plan.reasons).items())
        rows.append(("length", _length(plan)))
        say(columns([*rows, ("images", f"{train} to learn from, {validation} held out to judge with")]))

    def step(self, record: dict[str, float], seconds_left: float | None) -> None:
        """Note a step; tell of it if it is time."""
        loss = record["loss"]
        self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        left = f", {format_duration(seconds_left)} left" if seconds_left is not None else ""
        line = f"step {record['step']:.0f}, loss {self._loss:.4f}{left}"
        if self._bar:
            self._bar.update(record["progress"], line)
        elif not self._quiet and time.monotonic() - self._told > SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            say(f"{100 * record['progress']:3.0f} %, {line}")

    def validation(self, record: dict[str, float]) -> None:
        """Tell what a validation measured."""
        scores = ", ".join(f"{name} {record[name]:.4f}" for name in HEADLINES if name in record)
        line = f"step {record['step']:.0f}, on held-out images: {scores or 'nothing is held out'}"
        if self._bar:
            self._bar.print(line)
        elif not self._quiet:
            say(f"{100 * record['progress']:3.0f} %, {line}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.close()


class LiveBar:
    """A bar with the share of the training that is done, and a line of figures beside it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            BarColumn(), TextColumn("{task.percentage:3.0f} %  {task.description}"), console=Console(stderr=True)
        )
        self._task: TaskID | None = None

    def update(self, share: float, line: str) -> None:
        """Show how far the training is."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(line, total=1.0)
        self._progress.update(self._task, completed=share, description=line)

    def print(self, line: str) -> None:
        """Leave a line above the bar."""
        self._progress.console.print(line, highlight=False)

    def close(self) -> None:
        """Stop drawing."""
        self._progress.stop()


@contextmanager
def _stopping() -> Iterator[tuple[Callable[[], int | None], Callable[[], None]]]:
    """Say whether SIGINT or SIGTERM came, so that the training can save its state; a second one ends it at once.

    The first question is asked after the first step. Until then there is nothing to save and a signal ends it at once,
    and so it does again once the second function, which gives the signals back, was called.
    """
    caught: list[int] = []
    before: dict[int, Any] = {}

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        give_back()

    def stopped() -> int | None:
        if not before:
            before.update({number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)})
        return caught[0] if caught else None

    try:
        yield stopped, give_back
    finally:
        give_back()


def _length(plan: "Plan") -> str:
    if plan.train.steps is not None:
        return f"{plan.train.steps:,} step{'s' if plan.train.steps > 1 else ''}"
    return f"{format_duration(plan.train.budget or 0)} in all"


def _settings(plan: "Plan") -> dict[str, str]:
    """What a plan says, in a line for each of its parts."""
    from segue.config import plan_to_dict

    def told(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{name} {told(one)}" for name, one in value.items() if one is not None)
        if isinstance(value, list):
            return f"[{' '.join(told(one) for one in value)}]"
        return f"{value:g}" if isinstance(value, float) else str(value)

    parts = {name: value for name, value in plan_to_dict(plan).items() if name != "reasons" and value is not None}
    return {name: told(value) for name, value in parts.items()}


def _result(model: "Model", config: "FitConfig") -> str:
    training = model.header.training
    lines = [f"{config.out}: {training['steps']:,} steps in {format_duration(training['seconds'])}"]
    summary = training["validation"]
    if summary:
        wanted = [name for name in HEADLINES if name in summary["metrics"]]
        wanted += [name for name in summary["metrics"] if name.startswith("dice/")]
        lines.append(judged_on(summary))
        lines.append(columns(scores_of(summary, wanted)))
    return "\n".join(lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such plan") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: this cannot be read as a plan ({error})") from error
