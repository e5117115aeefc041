"""Batches made beside the steps: while a graphics card learns from one, threads of the processor make the next ones.

Not where the processor itself learns: its cores are busy, and a thread beside those of a step makes the step wait
(docs/log.md).
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from types import TracebackType
from typing import Self

import torch

from segue.train.batches import Batch, Batches

MOST_WORKERS = 8
"""Threads that make batches, at most; each makes one of its own."""


class Ahead:
    """The batches of another, made while earlier ones are in use. Nothing depends on when one is made, or by whom."""

    def __init__(
        self, batches: Batches, *, workers: int | None = None, ready: Callable[[Batch], Batch] = lambda batch: batch
    ) -> None:
        """So many `workers` make batches and what `ready` makes of them; by default one for each thread but one."""
        self._batches = batches
        self._ready = ready
        threads = torch.get_num_threads()
        self._workers = workers or min(max(1, threads - 1), MOST_WORKERS)
        self._pool = ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(1,))
        together = Barrier(self._workers)
        for started in [self._pool.submit(together.wait) for _ in range(self._workers)]:
            started.result()
        torch.set_num_threads(threads)  # for threads to come, which take the number that was set last
        self._begun: dict[int, Future[Batch]] = {}

    def batch(self, step: int) -> Batch:
        """The batch of `step`; those of the next steps are begun."""
        wanted = range(step, step + 1 + self._workers)
        for other in self._begun.keys() - set(wanted):
            self._begun.pop(other).cancel()
        for number in wanted:
            if number not in self._begun:
                self._begun[number] = self._pool.submit(self._made, number)
        return self._begun.pop(step).result()

    def _made(self, step: int) -> Batch:
        return self._ready(self._batches.batch(step))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
