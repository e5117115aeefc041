from typing import Any

import pytest

from segue.errors import DatasetError
from segue.pipeline.sharing import model_of_first, same_for_all, stopping_together
from segue.train.loop import Observer
from segue.train.world import World


class Told(World):
    """The second of two processes, where the first one is known to say `first`."""

    first: object = None

    def from_first(self, decide):
        return self.first

    def any(self, flag):
        return flag


def second(first=None):
    world = Told(rank=1, size=2)
    object.__setattr__(world, "first", first)
    return world


OURS = {"plan": "p", "images": "i", "masks": "m"}


def test_processes_with_the_same_plan_and_files_go_on():
    same_for_all(OURS, World())
    same_for_all(OURS, second(dict(OURS)))


def test_a_process_with_other_files_is_refused_by_what_differs():
    told = {"plan": "p", "images": "other", "masks": "other"}
    with pytest.raises(
        DatasetError, match=r"process 1 of 2 does not have the same images and masks as process 0; give"
    ):
        same_for_all(OURS, second(told))


def test_a_process_alone_keeps_its_observer_and_its_model():
    observer = Observer()
    assert stopping_together(observer, World()) is observer
    model: Any = object()
    assert model_of_first(lambda: model, World()) is model


def test_only_the_first_process_tells_of_its_steps_but_each_may_stop():
    told = []
    observer = Observer(on_step=lambda record, left: told.append(record), should_stop=lambda: True)
    shared = stopping_together(observer, second())
    shared.on_step({}, None)
    assert told == []
    assert shared.should_stop()
