import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.arrays import Labels
from segue.augment.compose import default_augmentation
from segue.errors import DataError
from segue.loss import LossConfig
from segue.model.unet import UNet, initialize, isotropic_config
from segue.targets.prepare import TargetConfig
from segue.train.ahead import Ahead
from segue.train.batches import Batch, Batches, PatchBatches
from segue.train.examples import make_example
from segue.train.loop import train
from segue.train.schedule import StepPace
from segue.train.settings import BatchConfig, TrainConfig


class Counted:
    """Batches that say which step they are for, and remember who made them."""

    def __init__(self, *, until: int = 10**9) -> None:
        self.made: dict[int, int] = {}
        self._until = until

    def batch(self, step: int) -> Batch:
        if step >= self._until:
            raise DataError("no more")
        self.made[step] = threading.get_ident()
        target = torch.full((1, 2, 2), step)
        weights = torch.ones(1, 2, 2)
        return Batch(image=weights[None], target=target, weights=weights, maps=None, dtype=torch.float32)


@pytest.mark.parametrize("steps", [range(5), range(7, 10), [3, 3, 9, 2]], ids=["all", "resumed", "any"])
def test_each_step_gets_its_own_batch_whatever_was_made_ahead(steps):
    with Ahead(Counted()) as ahead:
        assert [int(ahead.batch(step).target.max()) for step in steps] == list(steps)


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_batches_as_workers_are_made_ahead_and_each_is_made_ready(workers):
    def ready(batch: Batch) -> Batch:
        return replace(batch, weights=batch.weights * 2)

    batches = Counted()
    with Ahead(batches, workers=workers, ready=ready) as ahead:
        assert float(ahead.batch(0).weights.max()) == 2
    assert set(range(workers + 1)) >= set(batches.made) >= {0}
    with Ahead(Counted(), workers=workers) as ahead:
        for step in (0, 1):
            ahead.batch(step)
        assert sorted(ahead._begun) == list(range(2, 2 + workers))


def test_the_next_batch_is_made_by_another_thread_while_one_is_in_use():
    batches = Counted()
    with Ahead(batches) as ahead:
        ahead.batch(0)
        ahead.batch(1)
    assert set(batches.made) >= {0, 1}
    assert threading.get_ident() not in batches.made.values()


def test_an_error_is_raised_at_the_step_that_it_belongs_to():
    with Ahead(Counted(until=2)) as ahead:
        ahead.batch(0)
        ahead.batch(1)
        with pytest.raises(DataError, match="no more"):
            ahead.batch(2)


def test_the_number_of_threads_of_others_stays_as_it_was():
    before = torch.get_num_threads()
    found: list[int] = []
    with Ahead(Counted()) as ahead:
        ahead.batch(0)
        other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert [torch.get_num_threads(), *found] == [before, before]


def test_no_thread_is_left():
    before = threading.active_count()
    with Ahead(Counted()) as ahead:
        ahead.batch(0)
    assert threading.active_count() == before


def test_a_training_ends_in_the_same_weights_to_the_bit():
    y, x = np.mgrid[:48, :48]
    labels = Labels(ids=((y - 20) ** 2 + (x - 25) ** 2 < 150).astype(np.int32), kind="classes")
    example = make_example(labels.ids[None].astype(np.float32), labels, TargetConfig(w0=0.0), seed=0)
    augment = default_augmentation((32, 32))
    batches = PatchBatches(
        [example], BatchConfig(patch=(32, 32), batch=2), augment=augment, seed=0, margin=(0, 0), dtype=torch.float32
    )
    config = isotropic_config(
        spatial_axes=2, depth=1, width=4, outputs=2, padding="same", normalization="batch", dropout=0.2
    )

    def trained(source: Batches) -> dict[str, torch.Tensor]:
        network = UNet(config)
        initialize(network, generator=torch.Generator().manual_seed(0))
        train(network, source, pace=StepPace(5), config=TrainConfig(), loss=LossConfig(), validate=lambda _: {})
        return network.state_dict()

    with Ahead(batches, workers=3) as ahead:
        beside = trained(ahead)
    assert all(torch.equal(tensor, beside[name]) for name, tensor in trained(batches).items())
