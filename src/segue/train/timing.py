"""How long a training step takes on this machine: measured, because no formula knows every processor."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch

from segue.loss import LossConfig
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, UNetConfig
from segue.predict.infer import autocast_dtype
from segue.train.batches import Batch
from segue.train.fusing import Kernels
from segue.train.loop import Observer, train
from segue.train.schedule import StepPace
from segue.train.settings import BatchConfig, TrainConfig
from segue.train.together import give_training_layers
from segue.train.world import World

STEPS = 5
"""Steps that are measured, at most."""
FEWEST_STEPS, ENOUGH_SECONDS = 3, 1.0
"""A measurement ends after so long, but not before so many steps: it takes of the time for training. The first steps
of a process are slow, very slow in some virtual machines, which get each page of memory when they first touch it."""
PATIENCE_SECONDS = 5.0
"""After so long any one step is enough."""


class _NoData:
    """The same batch of zeros for every step."""

    def __init__(self, network: UNetConfig, batches: BatchConfig, device: torch.device) -> None:
        sizes = [
            geometry.output_size(size) for geometry, size in zip(axis_geometries(network), batches.patch, strict=True)
        ]
        self._batch = Batch(
            image=torch.zeros(batches.batch, network.channels, *batches.patch),
            target=torch.zeros(batches.batch, *sizes, dtype=torch.int64),
            weights=torch.ones(batches.batch, *sizes),
            maps=None,
            dtype=autocast_dtype("auto", device),
        )

    def batch(self, step: int) -> Batch:  # noqa: ARG002 - all steps cost the same
        return self._batch


def step_seconds(
    network: UNetConfig, batches: BatchConfig, *, world: World | None = None, kernels: Kernels | None = None
) -> float:
    """Seconds of one training step of all processes: the quickest of at most STEPS, after one to warm up.

    The quickest, because whatever else the machine does can only make a step slower. With `kernels`, the normalisation
    is theirs.
    """
    world = world or World()
    moments: list[float] = []

    def enough() -> bool:  # asked after each step
        moments.append(time.monotonic())
        steps, seconds = len(moments) - 1, moments[-1] - moments[0]
        enough = steps >= FEWEST_STEPS and seconds > ENOUGH_SECONDS
        return world.any(enough or (steps > 0 and seconds > PATIENCE_SECONDS))

    _take_steps(network, batches, world, kernels, steps=STEPS + 1, should_stop=enough)
    return world.from_first(lambda: min(after - before for before, after in pairwise(moments)))


def quicker_layers(network: UNetConfig, batches: BatchConfig, *, world: World, kernels: Kernels) -> Kernels | None:
    """`kernels` if a step with them is quicker here than one with PyTorch's own layers, else None.

    For machines that nobody measured: the kernels were written for processors, and graphics cards have their own.
    """
    if world.any(not _can_step(network, batches, world, kernels)):
        return None
    theirs = step_seconds(network, batches, world=world)
    ours = step_seconds(network, batches, world=world, kernels=kernels)
    return kernels if world.from_first(lambda: ours < theirs) else None


def _can_step(network: UNetConfig, batches: BatchConfig, world: World, kernels: Kernels) -> bool:
    """Whether this process can take a step with `kernels`. It tries alone: others would wait for one that fails."""
    share = replace(batches, batch=len(world.share_of(batches.batch)))
    try:
        _take_steps(network, share, World(device=world.device), kernels, steps=1)
    except RuntimeError:  # a compiler that gives up at this size
        return False
    return True


def _take_steps(
    network: UNetConfig,
    batches: BatchConfig,
    world: World,
    kernels: Kernels | None,
    *,
    steps: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train an untrained network on nothing."""
    share = replace(batches, batch=len(world.share_of(batches.batch)))
    with torch.random.fork_rng(devices=[]):
        untrained = UNet(network)
    give_training_layers(untrained, world, batch=batches.batch, kernels=kernels)
    train(
        untrained,
        _NoData(network, share, world.device),
        pace=StepPace(steps),
        config=TrainConfig(validations=1),
        loss=LossConfig(),
        validate=lambda _: {},
        observer=Observer(should_stop=should_stop),
        world=world,
    )
