"""A training that was killed and resumed ends as if it had never been: the same weights to the bit."""

import hashlib
import json
import random
import signal
import time

import pytest

from segue.io.tensors import read_tensors

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
patch = [32, 32]
batch = 2
[augment]
[loss]
dice = 1.0
[train]
validations = 4
save_every = 0.02
"""
"""A small network that saves its state several times a second."""
STEPS = 120


def weights_of(model):
    tensors, header = read_tensors(model)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    history = [
        {key: value for key, value in record.items() if key != "seconds"}
        for record in header["model"]["training"]["history"]
    ]
    return digest.hexdigest(), history


def kill_after_saves(process, state, wait_for, *, saves, rng):
    """SIGKILL once the state was written `saves` times more, and a random part of a step later."""
    seen = {stamp(state)}

    def enough():
        seen.add(stamp(state))
        return len(seen) > saves

    wait_for(enough, process)
    time.sleep(rng.uniform(0, 0.05))
    process.kill()
    process.communicate()


def stamp(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_killed_three_times_and_resumed_ends_in_the_same_weights(world, tmp_path, start, wait_for):
    rng = random.Random(0)
    (tmp_path / "plan.toml").write_text(PLAN)
    command = ["train", world.data, "--steps", STEPS, "--config", tmp_path / "plan.toml", "--quiet", "--out"]
    whole = start(*command, tmp_path / "whole.segue")
    _, err = whole.communicate()
    assert whole.returncode == 0, err
    model, state = tmp_path / "killed.segue", tmp_path / "killed.training" / "state.safetensors"
    for attempt in range(3):
        process = start(*command, model, *(["--resume"] if attempt else []))
        kill_after_saves(process, state, wait_for, saves=4, rng=rng)
        assert process.returncode == -signal.SIGKILL
        assert not model.exists()
    process = start(*command, model, "--resume")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(f"{model}: {STEPS} steps")
    assert weights_of(model) == weights_of(tmp_path / "whole.segue")
    assert sorted(path.name for path in state.parent.iterdir()) == ["history.jsonl", "last.segue", "plan.toml"]
    lines = (state.parent / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [30, 60, 90, 120]
