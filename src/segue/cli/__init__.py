"""The command line: parse, call the pipeline, print. One file a command.

The commands import the pipeline inside their functions: it brings torch, and `segue --help` must answer at once. It
is the one place where our own modules are imported late.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import Exit, TyperException

from segue.cli.check import check
from segue.cli.console import fail
from segue.cli.demo import demo
from segue.cli.evaluate import evaluate
from segue.cli.info import info
from segue.cli.predict import PredictCommand, predict
from segue.cli.train import train
from segue.errors import SegueError, StorageError
from segue.memory import is_out_of_memory

app = typer.Typer(
    help="Train a U-Net on a handful of annotated images, and segment images of any size with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
)
for command in (demo, check, train, predict, evaluate, info):
    app.command(cls=PredictCommand if command is predict else None)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"segue {version('segue')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version and stop."),
    ] = False,
) -> None:
    """Options of segue itself."""


SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Stopped(BaseException):
    """SIGINT or SIGTERM: unwinds the stack so that temporary files are removed."""

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with the exit code that says how it went."""
    # Read by PyTorch at its first tensor: with large pages a training step takes about 6 % less time.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `segue.errors` and docs/reference/command-line.md)."""
    try:
        with _stopped_by_signals():
            code = app(args=arguments, prog_name="segue", standalone_mode=False)
    except Exit as stop:
        return stop.exit_code
    except TyperException as error:
        # Only usage errors can show themselves, with the hint to --help.
        show = getattr(error, "show", None)
        if show is None:
            return fail(error.format_message(), error.exit_code)
        show()
        return error.exit_code
    except SegueError as error:
        return fail(str(error), error.exit_code)
    except Stopped as stop:
        return fail(SIGNALS[stop.number], 128 + stop.number)
    except SystemExit as stop:
        # Typer leaves like this if whoever read our output has gone, and keeps Python quiet when it flushes at its end.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        return 0
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        ways = (
            "predict in smaller tiles (--tile, --max-memory), train with smaller patches or a narrower network (a plan)"
        )
        return fail(f"there is not enough memory; {ways}", 1)
    except OSError as error:
        # Files that vanish, change or fail while they are read; whoever writes has said it better before.
        return fail(f"{error.filename or 'the disk'}: {error.strerror or error}", StorageError.exit_code)
    # Typer gives back the code of an Exit that a command raised, else what the command returned: None.
    return code if isinstance(code, int) else 0
