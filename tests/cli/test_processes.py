"""`torchrun -m segue train`: two processes do the work of one, and end together whatever happens to one of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.config import plan_from_toml
from segue.io.images import write_image, write_labels
from segue.io.tensors import read_tensors
from segue.model.unet import UNet, initialize
from segue.simulate import simulate_cells

PLAN = """
precision = "fp32"
mirror = false
validation_fraction = 0.3
[network]
width = 8
widest = 16
factors = [[2, 2], [2, 2]]
kernels = [[3, 3], [3, 3], [3, 3]]
padding = "same"
normalization = "batch"
dropout = 0.2
[normalization]
[targets]
w0 = 5.0
[batches]
patch = [48, 48]
batch = 4
[augment]
strength = 0
[loss]
dice = 1.0
[train]
validations = 3
save_every = 0.02
"""
"""A small network that saves its state several times a second."""
STEPS = 12
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
SEGUE = ["-m", "segue"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *SEGUE]


def write_cells(root, seeds):
    for seed in seeds:
        image, labels = simulate_cells((64, 64), seed=seed)
        # No two pixels are equal: which of two maxima a pooling takes would hang on the last bit.
        noise = np.random.default_rng(seed).normal(0, 5, image.pixels.shape).astype(np.float32)
        write_image(root / "images" / f"{seed}.tif", replace(image, pixels=image.pixels + noise))
        write_labels(root / "masks" / f"{seed}.tif", labels.ids, space=labels.space, kind="objects")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("processes") / "data"
    write_cells(root, range(6))
    (root / "plan.toml").write_text(PLAN)
    return root


def start(program, data, model, *options):
    command = ["train", data, "--out", model, "--steps", STEPS, "--config", data / "plan.toml", "--json"]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, command), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def finished(process):
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.terminate()  # torchrun ends what it started
        process.wait()
    return process.returncode, out, err


def said(err):
    """What Segue says of a failure; torchrun adds a table of its own."""
    return [line for line in err.splitlines() if line.startswith("segue: ")]


def weights_of(model):
    return read_tensors(model)[0]


def first_weights(plan):
    """What a training with that plan begins with."""
    plan = plan_from_toml(plan.read_text(), source=str(plan))
    network = UNet(plan.network)
    initialize(network, generator=torch.Generator().manual_seed(plan.train.seed))
    return {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}


def workers_of(torchrun):
    """Process ids by rank."""
    by_rank = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) != torchrun.pid:
                continue
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        for variable in variables:
            name, _, value = variable.partition(b"=")
            if name == b"RANK":
                by_rank[int(value)] = int(folder.name)
    return by_rank


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes in /proc")
def test_two_processes_give_what_one_gives_and_go_on_after_one_was_killed(data, tmp_path):
    code, _, err = finished(start(SEGUE, data, tmp_path / "one.segue"))
    assert code == 0, err

    model, state = tmp_path / "two.segue", tmp_path / "two.training" / "state.safetensors"
    torchrun = start(TORCHRUN, data, model)
    end = time.monotonic() + 60
    while not state.exists():
        assert torchrun.poll() is None, torchrun.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(workers_of(torchrun)[1], signal.SIGKILL)
    code, out, err = finished(torchrun)
    assert code == 1
    assert out == ""
    assert len(said(err)) == 1
    assert "another process of this training is gone" in said(err)[0]
    assert not model.exists()

    code, out, err = finished(start(TORCHRUN, data, model, "--resume"))
    assert code == 0, err
    assert json.loads(out)["steps"] == STEPS  # one answer, of the first process
    assert err.count("held out to judge with") == 1
    one, two = (weights_of(tmp_path / f"{name}.training" / "last.segue") for name in ("one", "two"))
    assert one.keys() == two.keys()
    first = first_weights(tmp_path / "one.training" / "plan.toml")
    for name, tensor in one.items():
        # Rounding grows from step to step. Against the way that the weights have gone it stays small.
        assert np.linalg.norm(two[name] - tensor) <= 0.15 * np.linalg.norm(tensor - first[name]), name
    assert sorted(path.name for path in state.parent.iterdir()) == ["history.jsonl", "last.segue", "plan.toml"]


@pytest.mark.slow
def test_a_data_set_of_its_own_judges_in_the_first_of_two_processes(data, tmp_path):
    write_cells(tmp_path / "val", range(6, 9))
    code, out, err = finished(start(TORCHRUN, data, tmp_path / "m.segue", "--val", str(tmp_path / "val")))
    assert code == 0, err
    assert json.loads(out)["validation"]["images"] == 3
    assert err.count("6 to learn from, 3 held out") == 1
    assert err.count("another data set judges; no image of it was found to look like") == 1


@pytest.mark.slow
def test_a_mistake_is_told_once_however_many_processes_see_it(data, tmp_path):
    code, _, err = finished(start(TORCHRUN, tmp_path / "nowhere", tmp_path / "model.segue"))
    assert code == 1
    assert said(err) == [f"segue: {tmp_path / 'nowhere'}: there is no such folder"]


def test_python_dash_m_segue_is_segue():
    process = subprocess.run([sys.executable, "-m", "segue", "--version"], capture_output=True, text=True, check=True)
    assert process.stdout.startswith("segue ")


def test_a_world_that_is_only_half_told_is_a_usage_error():
    done = subprocess.run(
        [sys.executable, *SEGUE, "train", "data", "--out", "m.segue"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"WORLD_SIZE": "2"},
    )
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert (
        "one of several processes, but without RANK, MASTER_ADDR, MASTER_PORT they cannot meet; start with torchrun"
        in line
    )


def test_processes_that_cannot_meet_say_where_they_tried():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        done = subprocess.run(
            [sys.executable, *SEGUE, "train", "data", "--out", "m.segue"],
            capture_output=True,
            text=True,
            env=ENVIRONMENT | {"WORLD_SIZE": "2", "RANK": "0"} | where,
        )
    assert done.returncode == 2
    (line,) = said(done.stderr)
    assert f"could not meet (WORLD_SIZE = 2, RANK = 0, MASTER_ADDR = 127.0.0.1, MASTER_PORT = {port})" in line
    assert "Traceback" not in done.stderr


LEAVE = """
import os
from segue.cli.processes import joined
with joined() as world:
    world.wait()
    import torch._dynamo  # as an optimiser does
print(sorted((open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task"))))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the threads in /proc")
def test_no_thread_of_the_processes_connection_is_left_when_they_have_parted(tmp_path):
    # A thread that runs on while Python ends aborts the process now and then.
    program = tmp_path / "leave.py"
    program.write_text(LEAVE)
    out = subprocess.run(
        [sys.executable, *TORCHRUN[: -len(SEGUE)], program],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=100,
        check=True,
    ).stdout
    assert out.count("[") == 2
    assert "gloo" not in out
