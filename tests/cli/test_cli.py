import errno
import os
import re
import signal
import subprocess
import sys

import pytest

import segue.cli
from segue.cli import Stopped
from segue.errors import BusyError, TileError

COMMANDS = ("demo", "check", "train", "predict", "evaluate", "info")


def test_help_lists_all_commands(segue):
    answer = segue("--help")
    assert answer.code == 0
    listed = [line.split()[0] for line in answer.out.split("Commands:")[1].splitlines() if line.strip()]
    assert set(COMMANDS) <= set(listed)
    assert answer.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_all_its_options(command, segue):
    answer = segue(command, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: segue {command}")
    assert "--help" in answer.out


def test_without_a_command_the_help_is_shown_and_the_code_is_that_of_wrong_usage(segue):
    answer = segue()
    assert answer.code == 2
    assert "Commands:" in answer.out + answer.err


def test_the_version_is_one_line(segue):
    from importlib.metadata import version

    assert segue("--version").out == f"segue {version('segue')}\n"


def test_help_answers_without_the_heavy_libraries():
    program = (
        "import sys; from segue.cli import run; code = run(['--help']); "
        "heavy = {'torch', 'skimage', 'scipy', 'matplotlib', 'tifffile', 'nibabel', 'PIL'} & set(sys.modules); "
        "sys.exit(code or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Stopped(signal.SIGINT), 130, "segue: interrupted"),
        (Stopped(signal.SIGTERM), 143, "segue: terminated"),
        (BusyError("a: busy"), 75, "segue: a: busy"),
        (TileError("a tile"), 2, "segue: a tile"),
        (MemoryError(), 1, "segue: there is not enough memory.*--tile.*"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            1,
            "segue: there is not enough memory.*",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "a.tif"), 74, "segue: a.tif: No space left on device"),
        (OSError(errno.EIO, "Input/output error"), 74, "segue: the disk: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "a.tif"), 74, "segue: a.tif: Permission denied"),
    ],
)
def test_whatever_stops_a_command_has_its_code_and_one_line(error, code, message, segue, monkeypatch):
    def stop(**_):
        raise error

    monkeypatch.setattr("segue.cli.app", stop)
    answer = segue("info", "m.segue")
    assert answer.code == code
    assert answer.out == ""
    assert re.fullmatch(message, answer.err.strip())


@pytest.mark.parametrize("mistake", [ZeroDivisionError, RuntimeError])
def test_a_mistake_of_ours_is_not_hidden(mistake, segue, monkeypatch):
    def stop(**_):
        raise mistake

    monkeypatch.setattr("segue.cli.app", stop)
    with pytest.raises(mistake):
        segue("info", "m.segue")


def test_a_reader_that_has_gone_is_no_error(world, start):
    reading, writing = os.pipe()
    os.close(reading)
    process = start("check", world.data, "--json", stdout=writing)
    os.close(writing)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGTERM, 143, "segue: terminated"), (signal.SIGINT, 130, "segue: interrupted")],
)
def test_a_signal_ends_a_command_with_its_code_and_one_line(number, code, message, world, start, wait_for, tmp_path):
    ready = tmp_path / "ready"
    # Short sleeps, not one long: a signal that arrives just before a sleep begins is heard once it is over.
    slow = f"lambda _: (open({str(ready)!r}, 'w').close(), [time.sleep(0.01) for _ in range(6000)])"
    before = f"import sys, time, segue.cli; sys.modules['segue.cli.check'].find_pairs = {slow}"
    process = start("check", world.data, before=before)
    wait_for(ready.exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err.strip()) == (code, "", message)


def test_the_signals_are_as_before_once_a_command_is_over(segue):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    segue("--version")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_entry_point_leaves_with_the_code(monkeypatch):
    monkeypatch.setattr("segue.cli.run", lambda arguments: 73)
    with pytest.raises(SystemExit) as stop:
        segue.cli.main(["info"])
    assert stop.value.code == 73
