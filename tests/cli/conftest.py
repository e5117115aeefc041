"""One small data set and one small model for all tests of the commands, and how to run a command."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from segue.cli import run
from segue.io.images import write_image, write_labels
from segue.simulate import simulate_cells

PLAN = """
precision = "fp32"
mirror = true
validation_fraction = 0.3
[network]
width = 4
widest = 8
outputs = 3
factors = [[2, 2], [2, 2]]
kernels = [[3, 3], [3, 3], [3, 3]]
padding = "same"
normalization = "batch"
[normalization]
[targets]
w0 = 5.0
distance = true
[batches]
patch = [32, 32]
batch = 2
[augment]
[loss]
dice = 0.5
[train]
validations = 2
save_every = 0.02
"""
"""A network of some thousand weights for objects, with the distance map beside."""


@dataclass(frozen=True)
class Answer:
    """What a command left behind in the terminal."""

    code: int
    out: str
    err: str


@pytest.fixture
def segue(capfd):
    """Run a command in this process, with one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(*arguments):
        capfd.readouterr()
        code = run([str(one) for one in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Answer(code, out, err)

    yield call
    torch.set_num_threads(threads)


def start_process(*arguments, before="", **options):
    """Run a command in a process of its own, whose first line of Python is `before`."""
    program = f"{before}\nfrom segue.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def start():
    """`start_process`; what still runs at the end of the test is killed."""
    started = []

    def call(*arguments, **options):
        started.append(start_process(*arguments, **options))
        return started[-1]

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def wait_for():
    """Wait until something is so, while a process runs."""

    def call(condition, process, *, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.005)

    return call


def make_data_set(root, *, images=8, shape=(64, 64), seed=0):
    for number in range(images):
        image, labels = simulate_cells(shape, seed=seed + number)
        write_image(root / "images" / f"c{number}.tif", image)
        write_labels(root / "masks" / f"c{number}.tif", labels.ids, space=labels.space, kind="objects")
    (root / "dataset.toml").write_text('labels = "objects"\nclasses = ["background", "cell"]\n')


@dataclass(frozen=True)
class World:
    """What all tests share; nobody writes into it."""

    data: Path
    plan: Path
    model: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    import torch

    root = tmp_path_factory.mktemp("world")
    make_data_set(root / "data")
    (root / "plan.toml").write_text(PLAN)
    found = World(data=root / "data", plan=root / "plan.toml", model=root / "cells.segue")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    words = ["train", found.data, "--out", found.model, "--steps", "20", "--config", found.plan, "--quiet"]
    assert run([str(word) for word in words]) == 0
    torch.set_num_threads(threads)
    return found
