import time
from dataclasses import replace

import pytest
import torch

from segue.model.geometry import axis_geometries
from segue.model.unet import isotropic_config
from segue.train import timing
from segue.train.fusing import PLAIN
from segue.train.settings import BatchConfig
from segue.train.timing import quicker_layers, step_seconds
from segue.train.world import World

SMALL = isotropic_config(spatial_axes=2, depth=1, width=2, padding="same", normalization="batch")
PATCHES = BatchConfig(patch=(8, 8), batch=2)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_step_of_any_kind_of_network_takes_some_time(axes, padding):
    network = isotropic_config(spatial_axes=axes, depth=1, width=2, padding=padding)
    size = axis_geometries(network)[0].legal_size(20)
    seconds = step_seconds(network, BatchConfig(patch=(size,) * axes, batch=1))
    assert 0 < seconds < 60


def test_measuring_leaves_the_random_numbers_of_its_caller_alone():
    before = torch.get_rng_state()
    step_seconds(isotropic_config(spatial_axes=2, depth=1, width=2, padding="same"), BatchConfig(patch=(8, 8), batch=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_kernels_that_make_a_step_slower_are_not_used():
    def slow(*arguments):
        time.sleep(0.02)
        return PLAIN.rectify(*arguments)

    assert quicker_layers(SMALL, PATCHES, world=World(), kernels=replace(PLAIN, rectify=slow)) is None


def test_kernels_that_make_a_step_quicker_are_used(monkeypatch):
    monkeypatch.setattr(timing, "step_seconds", lambda *_, kernels=None, **__: 1.0 if kernels else 2.0)
    assert quicker_layers(SMALL, PATCHES, world=World(), kernels=PLAIN) is PLAIN


def test_kernels_that_fail_are_not_used():
    def broken(*_):
        raise RuntimeError("this compiler gives up")

    assert quicker_layers(SMALL, PATCHES, world=World(), kernels=replace(PLAIN, rectify=broken)) is None
