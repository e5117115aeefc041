"""How a benchmark and the scripts in this folder talk. Runs in every environment: standard library alone.

A script is started in one of three ways:

    SCRIPT TASK ANSWER      files of JSON: do the task once, write the answer (trainings)
    SCRIPT step SPEC        make training steps in rounds, for measurements in turns with other programs
    SCRIPT predict SPEC     predict one image once, and tell the time and the peak of the memory
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

Work = Callable[[], object]


class Rounds:
    """Steps on demand: each line of stdin is a number of steps, each answer a line of JSON with their seconds."""

    def __init__(self) -> None:
        self._answers = _own_stdout()
        self._left = 0
        self._seconds: list[float] = []
        self._started = 0.0

    def begin(self) -> bool:
        """Wait for the next round; False if there is none."""
        line = sys.stdin.readline()
        if not line.strip():
            return False
        self._left, self._seconds = int(line), []
        self._started = time.perf_counter()
        return True

    def tick(self) -> bool:
        """Note that a step is done; at the end of a round answer and wait for the next. False if there is none."""
        self._seconds.append(time.perf_counter() - self._started)
        self._left -= 1
        if self._left == 0:
            print(json.dumps(self._seconds), file=self._answers, flush=True)
            return self.begin()
        self._started = time.perf_counter()
        return True


def main(*, step: Callable[[dict[str, Any]], Work], predict: Callable[[dict[str, Any]], Work]) -> None:
    """Serve a script whose functions make, from a specification, the work to measure."""
    mode, spec = sys.argv[1], json.loads(sys.argv[2])
    if mode == "step":
        rounds = Rounds()
        work, going = step(spec), rounds.begin()
        while going:
            work()
            going = rounds.tick()
    else:
        measure_once(predict(spec))


def measure_once(work: Work) -> None:
    """Do it and print its seconds and the peak memory of this process meanwhile; it held "mb_before" already."""
    answers = _own_stdout()
    _forget_peak()
    before = peak_megabytes()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "mb_before": before, "peak_mb": peak_megabytes()}), file=answers, flush=True)


def peak_megabytes() -> float:
    """The most memory that this process had, in MB.

    From Linux's own account where there is one: getrusage counts what the parent had before the process began.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forget_peak() -> None:
    """What it took to get ready does not count (Linux, proc(5): 5 in clear_refs resets the peak)."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def task() -> dict[str, Any]:
    """What to do."""
    return json.loads(Path(sys.argv[1]).read_text())


def answer(result: dict[str, Any]) -> None:
    """What came of it."""
    Path(sys.argv[2]).write_text(json.dumps(result))


def _own_stdout() -> TextIO:
    """The real stdout, for answers alone; whatever libraries print goes to stderr from now on."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own
