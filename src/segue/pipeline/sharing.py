"""What the processes of one training tell each other around the training itself."""

from collections.abc import Callable
from dataclasses import replace

import torch

from segue.errors import DatasetError
from segue.model.file import ModelHeader
from segue.model.unet import UNet
from segue.train.loop import Observer
from segue.train.world import World
from segue.trained import Model


def same_for_all(ours: dict[str, str], world: World) -> None:
    """Raise DatasetError if what this process has, by its name, is not the same as that of the first one."""
    first = world.from_first(lambda: ours)
    unlike = [key for key in ours if ours[key] != first[key]]
    if unlike:
        raise DatasetError(
            f"process {world.rank} of {world.size} does not have the same {' and '.join(unlike)} as process 0; give "
            "the processes on all machines the same files"
        )


def stopping_together(observer: Observer, world: World) -> Observer:
    """An observer that lets all processes stop when one is asked to; only the first one tells of its steps."""
    if world.size == 1:
        return observer

    def should_stop() -> bool:
        return world.any(observer.should_stop())

    return replace(observer, should_stop=should_stop) if world.is_first else Observer(should_stop=should_stop)


def model_of_first(make: Callable[[], Model], world: World) -> Model:
    """The model that `make` gives in the first process, for every process."""
    if world.size == 1:
        return make()
    made = make() if world.is_first else None
    header = ModelHeader.model_validate(world.from_first(lambda: made.header.model_dump(mode="json") if made else {}))
    if made is None:
        with torch.random.fork_rng(devices=[]):
            made = Model(header, UNet(header.network).to(world.device).eval())
    world.share(made.weights().values())
    return made
