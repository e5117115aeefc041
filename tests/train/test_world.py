"""Two processes that train together are one process: this file starts itself twice and looks at what both did."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from segue.augment.compose import AugmentConfig
from segue.augment.sampling import Sources
from segue.errors import TrainingError, UsageError
from segue.loss import LossConfig, total_loss
from segue.model.unet import UNet, initialize, isotropic_config, memory_format
from segue.train.batches import PatchBatches
from segue.train.examples import Example
from segue.train.fusing import PLAIN
from segue.train.loop import Observer, train
from segue.train.schedule import StepPace, TimePace
from segue.train.settings import BatchConfig, TrainConfig
from segue.train.timing import quicker_layers
from segue.train.together import give_training_layers
from segue.train.world import World

AXES = {"2D": 2, "3D": 3}
BATCH = {"2D": 4, "3D": 3}
"""Three samples are not shared evenly."""
STEPS = {"2D": 20, "3D": 4}
LOSS = LossConfig(dice=1.0)
ALONE = World()


def problem(kind, world):
    """A network with batch normalisation and dropout, and batches with unknown pixels, weights and a map."""
    axes, batch = AXES[kind], BATCH[kind]
    config = isotropic_config(
        spatial_axes=axes, depth=2, width=4, widest=8, outputs=3, padding="same", normalization="batch", dropout=0.5
    )
    with torch.random.fork_rng(devices=[]):
        network = UNet(config)
    initialize(network, generator=torch.Generator().manual_seed(0))
    network.to(memory_format=memory_format(axes))  # type: ignore[call-overload]
    give_training_layers(network, world, batch=batch)
    rng = np.random.default_rng(1)
    shape = (24,) * axes
    labels = (rng.random(shape) < 0.4).astype(np.int16)
    image = (labels + rng.normal(0, 0.3, shape)).astype(np.float32)[np.newaxis]
    labels[:6] = -1
    weights = np.where(labels < 0, 0, rng.uniform(1, 4, shape)).astype(np.float32)
    sources = Sources(
        image=image, labels=labels, nearest=(weights,), linear=((labels == 1).astype(np.float32) * np.float32(0.7),)
    )
    batches = PatchBatches(
        [Example(sources, places=(np.argwhere(labels == 1).astype(np.int32),), known=None)],
        BatchConfig(patch=(16,) * axes, batch=batch),
        # Mirrored pixels are equal: which of two maxima a pooling takes would hang on the last bit.
        augment=AugmentConfig(strength=0),
        seed=5,
        margin=(0,) * axes,
        dtype=torch.float32,
        samples=world.share_of(batch),
    )
    return network, batches


def trained(kind, world, *, state_path=None, observer=None, steps=None):
    network, batches = problem(kind, world)
    return train(
        network,
        batches,
        pace=StepPace(STEPS[kind]) if steps is None else StepPace(steps),
        config=TrainConfig(validations=2),
        loss=LOSS,
        validate=lambda network: world.from_first(lambda: {"score": float(next(network.parameters()).detach().sum())}),
        state_path=state_path,
        observer=observer,
        world=world,
    )


def first_gradient(kind, world):
    """Of the untrained network for the first batch: the optimiser would not see a wrong factor, this does."""
    network, batches = problem(kind, world)
    batch = batches.batch(0)
    torch.manual_seed(3)
    loss = total_loss(network.train()(batch.image), batch.target, batch.weights, batch.maps, LOSS, total=world.total)
    loss.backward()
    world.sum_gradients(network.parameters())
    return {"loss": loss.detach()} | {name: one.grad for name, one in network.named_parameters()}


def save(path, tensors):
    np.savez(path, **{name: tensor.detach().numpy() for name, tensor in tensors.items()})


# ---- what each of the two processes does ---------------------------------------------------------------------------


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    world = World(rank=rank, size=2)
    for kind in AXES:
        save(folder / f"{kind}-gradient-{rank}.npz", first_gradient(kind, world))
        state, _ = trained(kind, world)
        save(folder / f"{kind}-network-{rank}.npz", state.network.state_dict())
        save(folder / f"{kind}-average-{rank}.npz", state.average)
    told = what_is_said(world) | what_is_decided(world) | stopped_and_resumed(world, folder)
    told |= {"layers": [which_layers(world, broken_in=rank) for rank in (0, 1)]}
    torch.manual_seed(rank)
    shared = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    world.share([shared])
    told["shared"] = shared.tolist()
    if rank == 0:
        told["gone"] = what_happens_when_the_other_is_gone(world)
    (folder / f"told-{rank}.json").write_text(json.dumps(told))
    os._exit(0)  # as if killed: the other one is waiting


def what_is_said(world):
    other = torch.arange(3) + 10 * world.rank
    return {
        "sum": world.sum(other).tolist(),
        "own": other.tolist(),
        "any": [world.any(world.rank == 1), world.any(False)],
        "from first": world.from_first(lambda: {"rank": world.rank, "text": "µ", "nothing": None, "third": 1 / 3}),
        "number": world.number_of_first(world.rank + 1 / 3),
    }


def what_is_decided(world):
    """The clock of the second process runs thrice as fast."""
    now = [0.0]

    def clock():
        now[0] += 1.0 + 2 * world.rank
        return now[0]

    pace = TimePace(end=60.0, reserve=5.0, clock=clock, agree=world.number_of_first)
    decided = []
    while not pace.is_over(0):
        decided.append([pace.progress(0), pace.may_validate()])
    return {"decided": decided}


def stopped_and_resumed(world, folder):
    """The first process alone has a place for the state; the second one is asked to stop after three steps."""
    path = folder / "state.safetensors" if world.is_first else None
    asked = []

    def should_stop():
        asked.append(1)
        return world.any(len(asked) == 3 and world.rank == 1)

    stopped, complete = trained("2D", world, state_path=path, observer=Observer(should_stop=should_stop))
    world.wait()
    resumed, _ = trained("2D", world, state_path=path)
    save(folder / f"resumed-network-{world.rank}.npz", resumed.network.state_dict())
    save(folder / f"resumed-average-{world.rank}.npz", resumed.average)
    return {"stopped": [stopped.step, complete], "history": len(resumed.history), "best": resumed.best_score}


def which_layers(world, *, broken_in):
    """The compiler of one of the processes gives up."""

    def rectify(*arguments):
        if world.rank == broken_in:
            raise RuntimeError("this compiler gives up")
        return PLAIN.rectify(*arguments)

    network = isotropic_config(spatial_axes=2, depth=1, width=2, padding="same", normalization="batch")
    kernels = replace(PLAIN, rectify=rectify)
    quicker = quicker_layers(network, BatchConfig(patch=(8, 8), batch=3), world=world, kernels=kernels)
    return "theirs" if quicker is None else "ours"


def what_happens_when_the_other_is_gone(world):
    try:
        world.wait()
    except TrainingError as error:
        return str(error)
    return ""


# ---- what is true of it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    messages = [process.communicate(timeout=120)[1] for process in processes]
    assert all((folder / f"told-{rank}.json").exists() for rank in range(2)), "\n".join(messages)
    return folder


@pytest.fixture(scope="module")
def told(done):
    return [json.loads((done / f"told-{rank}.json").read_text()) for rank in range(2)]


def read(path):
    with np.load(path) as file:
        return dict(file)


def largest_difference(arrays, tensors):
    assert set(arrays) == set(tensors)
    return max(float(np.abs(arrays[name] - tensor.detach().numpy()).max()) for name, tensor in tensors.items())


@pytest.mark.parametrize("kind", AXES)
def test_the_gradients_of_two_shares_are_the_gradient_of_the_whole_batch(kind, done):
    whole = first_gradient(kind, ALONE)
    size = max(float(one.abs().max()) for one in whole.values())
    for rank in range(2):
        assert largest_difference(read(done / f"{kind}-gradient-{rank}.npz"), whole) < 1e-5 * size


@pytest.mark.parametrize("kind", AXES)
def test_two_processes_train_the_weights_of_one_with_the_same_batches(kind, done):
    state, _ = trained(kind, ALONE)
    untrained, _ = problem(kind, ALONE)
    weights = {name: one for name, one in state.network.state_dict().items() if "num_batches" not in name}
    moved = max(float((one - untrained.state_dict()[name]).abs().max()) for name, one in weights.items())
    network, average = (read(done / f"{kind}-{what}-0.npz") for what in ("network", "average"))
    assert largest_difference(network, state.network.state_dict()) < 1e-3 * moved
    assert largest_difference(average, state.average) < 1e-3 * moved


@pytest.mark.parametrize("what", ["2D-network", "2D-average", "3D-network", "3D-gradient", "resumed-network"])
def test_both_processes_hold_the_same_bits(what, done):
    first, second = (read(done / f"{what}-{rank}.npz") for rank in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.mark.parametrize("what", ["network", "average"])
def test_stopped_by_one_and_resumed_by_both_is_the_same_to_the_bit(what, done, told):
    assert [one["stopped"] for one in told] == [[3, False]] * 2
    whole, resumed = read(done / f"2D-{what}-0.npz"), read(done / f"resumed-{what}-0.npz")
    assert all(whole[name].tobytes() == resumed[name].tobytes() for name in whole)


def test_both_processes_know_the_history_and_the_best_score(told):
    assert [one["history"] for one in told] == [2, 2]
    assert told[0]["best"] == told[1]["best"]


def test_sums_are_over_both_and_leave_the_own_numbers_alone(told):
    assert [one["sum"] for one in told] == [[10, 12, 14]] * 2
    assert [one["own"] for one in told] == [[0, 1, 2], [10, 11, 12]]


def test_something_is_true_if_it_is_true_in_one_process(told):
    assert [one["any"] for one in told] == [[True, False]] * 2


def test_what_the_first_one_says_arrives_unchanged(told):
    assert [one["from first"] for one in told] == [{"rank": 0, "text": "µ", "nothing": None, "third": 1 / 3}] * 2
    assert [one["number"] for one in told] == [1 / 3] * 2
    assert told[0]["shared"] == told[1]["shared"]


def test_the_clock_of_the_first_one_decides_for_both(told):
    assert told[0]["decided"] == told[1]["decided"]
    assert len(told[0]["decided"]) > 3


def test_where_the_kernels_of_one_process_fail_both_do_without(told):
    assert [one["layers"] for one in told] == [["theirs", "theirs"]] * 2


def test_a_process_that_is_gone_is_noticed_and_the_way_out_is_said(told):
    assert "another process of this training is gone" in told[0]["gone"]
    assert "with --resume" in told[0]["gone"]


@pytest.mark.parametrize(("size", "batch"), [(1, 3), (2, 4), (2, 5), (4, 4)])
def test_every_sample_of_a_batch_is_of_exactly_one_process(size, batch):
    shares = [list(World(rank=rank, size=size).share_of(batch)) for rank in range(size)]
    assert sorted(sample for share in shares for sample in share) == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_patches_are_refused_with_the_way_out():
    with pytest.raises(UsageError, match=r"a batch of 4 patches cannot be shared by 6 processes; start at most 4, or"):
        World(rank=5, size=6).share_of(4)


def test_a_process_alone_sends_nothing_and_copies_nothing():
    tensor = torch.ones(3, requires_grad=True)
    assert ALONE.sum(tensor) is tensor
    assert ALONE.total(tensor) is tensor
    assert ALONE.from_first(lambda: tensor) is tensor
    assert [ALONE.any(True), ALONE.any(False), ALONE.number_of_first(2.5)] == [True, False, 2.5]
    assert not distributed.is_initialized()


def test_a_device_that_is_named_changes_nothing_but_the_place():
    plain, _ = trained("2D", ALONE, steps=2)
    named, _ = trained("2D", replace(ALONE, device=torch.device("cpu")), steps=2)
    for one, other in zip(plain.network.parameters(), named.network.parameters(), strict=True):
        assert torch.equal(one, other)


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
