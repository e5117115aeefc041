"""Threads that work on pieces of their own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from segue.predict.levels import Box


@dataclass(frozen=True)
class Crew:
    """Some workers."""

    workers: int
    work: Callable[[Callable[[Box], None], Sequence[Box]], None]
    """Does some work for each of some boxes, in any order, and ends when all is done."""


@contextmanager
def crew(device: torch.device) -> Iterator[Crew]:
    """As many threads as torch uses, each computing alone; graphics cards need only one.

    Two threads that share one operation wait for each other at its end, dozens of times for a piece, and any other
    program on the machine makes them wait longer. A piece that is all there is to do gets all threads.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1:
        yield ALONE
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Crew(threads, lambda work, boxes: _together(pool, work, boxes))
    finally:
        torch.set_num_threads(threads)  # for threads to come, which take the number that was set last


def _one_by_one(work: Callable[[Box], None], boxes: Sequence[Box]) -> None:
    for box in boxes:
        work(box)


ALONE = Crew(1, _one_by_one)
"""The thread that asks does all the work, one box after another."""


def _together(pool: ThreadPoolExecutor, work: Callable[[Box], None], boxes: Sequence[Box]) -> None:
    if len(boxes) == 1:
        work(boxes[0])
        return
    for _ in pool.map(torch.inference_mode()(work), boxes):
        pass
