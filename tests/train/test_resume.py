"""A training that was stopped or killed ends as if it had never been: the same weights to the bit."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from segue.augment.compose import AugmentConfig
from segue.augment.sampling import Sources
from segue.errors import UsageError
from segue.loss import LossConfig
from segue.model.unet import UNet, initialize, isotropic_config
from segue.train.batches import PatchBatches
from segue.train.examples import Example
from segue.train.loop import Observer, train
from segue.train.schedule import StepPace
from segue.train.settings import BatchConfig, TrainConfig
from segue.train.state import TrainState, load_state, save_state

STEPS = 7


def tiny_network(axes, **sizes):
    network = UNet(
        isotropic_config(
            spatial_axes=axes, depth=2, width=4, widest=8, padding="same", normalization="batch", dropout=0.5, **sizes
        )
    )
    initialize(network, generator=torch.Generator().manual_seed(0))
    return network


def tiny_batches(axes, dtype):
    rng = np.random.default_rng(1)
    shape = (20,) * axes
    labels = (rng.random(shape) < 0.4).astype(np.int16)
    image = (labels + rng.normal(0, 0.3, shape)).astype(np.float32)[np.newaxis]
    sources = Sources(image=image, labels=labels, nearest=(np.ones(shape, np.float32),), linear=())
    example = Example(sources, places=(np.argwhere(labels == 1).astype(np.int32),), known=None)
    return PatchBatches(
        [example],
        BatchConfig(patch=(16,) * axes, batch=2),
        augment=AugmentConfig(),
        seed=5,
        margin=(0,) * axes,
        dtype=dtype,
    )


def by_weights(network):
    """A validation whose score goes up and down with the weights, so that the best is not simply the last."""
    return {"score": float(torch.sin(1e4 * network.head.weight.detach().sum()))}


def run(axes, *, dtype=torch.float32, optimizer="muon", state_path=None, stop_after=None):
    """Train for `STEPS` steps, or stop once `stop_after` steps of this run are done."""
    done = []

    def should_stop():
        done.append(1)
        return len(done) == stop_after

    return train(
        tiny_network(axes),
        tiny_batches(axes, dtype),
        pace=StepPace(STEPS),
        config=TrainConfig(validations=3, optimizer=optimizer),
        loss=LossConfig(dice=1.0),
        validate=by_weights,
        state_path=state_path,
        identity={"training": "this"},
        observer=Observer(should_stop=should_stop),
    )


def everything(state):
    """All that a training makes, but for the times."""
    history = [{key: value for key, value in record.items() if key != "seconds"} for record in state.history]
    tensors = {f"network/{name}": tensor for name, tensor in state.network.state_dict().items()}
    tensors |= {f"average/{name}": tensor for name, tensor in state.average.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (state.best or {}).items()}
    for number, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"{number}/{slot}": tensor for slot, tensor in slots.items()}
    return (
        {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()},
        history,
        state.best_score,
        state.step,
        state.validations,
    )


@pytest.mark.parametrize(("axes", "optimizer"), [(2, "muon"), (3, "muon"), (2, "adamw"), (2, "sgd")])
@pytest.mark.parametrize("stop_after", range(1, STEPS + 1))
def test_stopped_after_any_step_and_continued_is_the_same_to_the_bit(axes, optimizer, stop_after, tmp_path):
    whole, complete = run(axes, optimizer=optimizer)
    assert complete
    path = tmp_path / "state.safetensors"
    stopped, complete = run(axes, optimizer=optimizer, state_path=path, stop_after=stop_after)
    assert (stopped.step, complete) == (stop_after, False)
    resumed, complete = run(axes, optimizer=optimizer, state_path=path)
    assert complete
    assert everything(resumed) == everything(whole)


def test_stopped_after_every_single_step_is_the_same_to_the_bit(tmp_path):
    whole, _ = run(2)
    path = tmp_path / "state.safetensors"
    for step in range(1, STEPS + 1):
        state, complete = run(2, state_path=path, stop_after=1)
        assert (state.step, complete) == (step, False)
    state, complete = run(2, state_path=path)
    assert complete
    assert everything(state) == everything(whole)


def test_in_bf16_it_is_the_same_to_the_bit_too(tmp_path):
    whole, _ = run(2, dtype=torch.bfloat16)
    path = tmp_path / "state.safetensors"
    run(2, dtype=torch.bfloat16, state_path=path, stop_after=3)
    resumed, _ = run(2, dtype=torch.bfloat16, state_path=path)
    assert everything(resumed) == everything(whole)
    assert everything(resumed) != everything(run(2)[0])


def test_the_weights_lie_channels_last_before_and_after_a_resume(tmp_path):
    path = tmp_path / "state.safetensors"
    run(2, state_path=path, stop_after=2)
    state, _ = run(2, state_path=path)
    weight = state.network.encoders[0].state_dict()
    assert any(one.is_contiguous(memory_format=torch.channels_last) for one in weight.values() if one.ndim == 4)
    slots = state.optimizer.state_dict()["state"]
    for number, parameter in enumerate(state.network.parameters()):
        alike = [slot for slot in slots[number].values() if slot.shape == parameter.shape]
        assert alike
        assert all(slot.stride() == parameter.stride() for slot in alike)


def fresh_state():
    network = tiny_network(2)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    return TrainState(network=network, average=dict(network.state_dict()), optimizer=optimizer)


def test_a_state_of_another_training_is_refused_by_what_differs(tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(fresh_state(), path, identity={"steps": 10, "images": "a"})
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"started with steps = 10, now it is 20; resume with the same settings"):
        load_state(fresh_state(), path, identity={"steps": 20, "images": "a"})
    with pytest.raises(UsageError, match="started with images = a, now it is b"):
        load_state(fresh_state(), path, identity={"steps": 10, "images": "b"})
    assert path.read_bytes() == before


def test_where_nothing_was_saved_nothing_is_loaded(tmp_path):
    assert not load_state(fresh_state(), tmp_path / "state.safetensors", identity={})
    assert not load_state(fresh_state(), tmp_path / "nowhere" / "state.safetensors", identity={})


def test_a_damaged_state_falls_back_to_the_one_before_it(tmp_path):
    path = tmp_path / "state.safetensors"
    first, second = fresh_state(), fresh_state()
    first.step, second.step = 1, 2
    save_state(first, path, identity={})
    save_state(second, path, identity={})
    path.write_bytes(path.read_bytes()[:-1])
    loaded = fresh_state()
    assert load_state(loaded, path, identity={})
    assert loaded.step == 1


# ---- processes that are killed -------------------------------------------------------------------------------------

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


SAVING = """
import sys
from pathlib import Path
import torch
from segue.model.unet import UNet, isotropic_config
from segue.train.state import TrainState, save_state

network = UNet(isotropic_config(spatial_axes=2, depth=2, width=16, widest=64))
optimizer = torch.optim.AdamW(network.parameters())
state = TrainState(network=network, average=dict(network.state_dict()), optimizer=optimizer)
while True:
    state.step += 1
    save_state(state, Path(sys.argv[1]), identity={})
    print(state.step, flush=True)
"""


@pytest.mark.slow
def test_killed_while_saving_leaves_a_state_that_loads_and_is_one_of_the_last_two(tmp_path):
    rng = random.Random(1)
    path = tmp_path / "state.safetensors"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        written = [3, *map(int, process.communicate()[0].split())]
        network = UNet(isotropic_config(spatial_axes=2, depth=2, width=16, widest=64))
        state = TrainState(network=network, average={}, optimizer=torch.optim.AdamW(network.parameters()))
        assert load_state(state, path, identity={})
        # The last that was told of, the one that was being written, or the one before.
        assert written[-1] - 1 <= state.step <= written[-1] + 1
        assert [one for one in tmp_path.iterdir() if "partial" in one.name] == []
