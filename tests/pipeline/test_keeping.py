from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from segue.fingerprint import examine
from segue.io.datasets import find_pairs
from segue.model.file import read_model
from segue.model.unet import UNet
from segue.normalize import Normalization
from segue.pipeline.keeping import finished_model, write_finished
from segue.pipeline.wishes import FitConfig, FitObserver, Job
from segue.train.state import TrainState
from segue.train.world import World

COPIED = ("network", "rgb", "normalization", "pixel_size", "unit", "context", "mirror", "precision")


def job_of(config, folder=None):
    return Job(config=config, observer=FitObserver(), folder=folder, world=World(), started=0.0)


def finished(plan, folder, job):
    """What is made of a training whose weights are all 1 at its best and all 2 at its end."""
    network = UNet(plan.network)
    best, last = ({name: torch.full_like(one, value) for name, one in network.state_dict().items()} for value in (1, 2))
    state = TrainState(network, last, torch.optim.SGD(network.parameters()), best=best)
    judge: Any = SimpleNamespace(final=lambda network, seconds_left: ({"images": 1}, {"smallest_object": 7}))
    fingerprint = examine(find_pairs(folder)).fingerprint
    assert fingerprint is not None
    return state, finished_model(state, judge, plan, fingerprint, job, precision="fp32")


def test_a_model_is_applied_as_its_plan_says_with_the_decoding_that_was_tuned(cells, tiny_plan):
    plan = tiny_plan(cells)
    odd = replace(
        plan,
        network=replace(plan.network, channels=3),
        rgb=True,
        normalization=Normalization(kind="percentile"),
        pixel_size=(0.3, 0.3),
        unit="millimeter",
        context=5,
        mirror=True,
        precision="bf16",
    )
    assert all(getattr(odd, name) != getattr(plan, name) for name in COPIED)
    _, model = finished(odd, cells, job_of(FitConfig(steps=1)))
    assert all(getattr(model.header, name) == getattr(odd, name) for name in COPIED)
    assert model.decoding.smallest_object == 7


def test_the_model_holds_the_best_weights_and_the_file_beside_it_the_last(cells, tiny_plan, tmp_path):
    job = job_of(FitConfig(steps=1, out=tmp_path / "m.segue"), folder=tmp_path)
    state, model = finished(tiny_plan(cells), cells, job)
    write_finished(model, state, job)
    for path, value in (("m.segue", 1), ("last.segue", 2)):
        assert all((one == value).all() for one in read_model(tmp_path / path).network.state_dict().values())
    # The scores are those of the best weights alone.
    assert read_model(tmp_path / "m.segue").header.training["validation"] == {"images": 1}
    assert read_model(tmp_path / "last.segue").header.training["validation"] == {}
