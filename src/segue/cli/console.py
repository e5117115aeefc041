"""What a terminal shows: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer


def say(text: str = "") -> None:
    """A message for people, on stderr."""
    typer.echo(text, err=True)


def fail(reason: str, code: int) -> int:
    """One error message on stderr; gives back the exit code."""
    typer.echo(f"segue: {reason}", err=True)
    return code


def answer(text: str) -> None:
    """A result, on stdout."""
    typer.echo(text)


def answer_json(plain: Mapping[str, Any]) -> None:
    """A result for programs: one JSON object on stdout."""
    typer.echo(json.dumps(plain, indent=2, allow_nan=False))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as aligned columns."""
    if not rows:
        return ""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def judged_on(summary: Mapping[str, Any]) -> str:
    """What stands above the scores of a model: how many images they are of, and what there was no time for."""
    line = f"on {summary['images']} held-out images, with 95 % intervals over images:"
    words = {"left_out": "left out", "in_part": "seen in part", "without_mirror": "seen without mirror images"}
    short = [
        f"{summary[name]} {said}" for name, said in words.items() if summary.get(name)
    ]  # 0.1.0 has the first alone
    return f"time was short, 'segue evaluate' judges better: {', '.join(short)}\n{line}" if short else line


def scores_of(summary: Mapping[str, Any], metrics: Sequence[str]) -> list[tuple[str, str, str]]:
    """Rows of (metric, mean, interval) as text."""
    rows = []
    for name in metrics:
        entry = summary["metrics"][name]
        mean = "-" if entry["mean"] is None else f"{entry['mean']:.4f}"
        interval = "-" if entry["low"] is None else f"{entry['low']:.4f} to {entry['high']:.4f}"
        rows.append((name, mean, interval))
    return rows


@contextmanager
def counting(what: str) -> Iterator[Callable[[float, int], None]]:
    """A progress bar on stderr for (done, total), also parts of one; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
