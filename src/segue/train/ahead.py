"""Batches made beside the steps: while a graphics card learns from one, a thread of the processor makes the next.

Not where the processor itself learns: its cores are busy, and a thread beside those of a step makes the step wait
(docs/log.md).
"""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch

from segue.train.batches import Batch, Batches


class Ahead:
    """The batches of another, each made while the one before is in use. Nothing depends on when one is made."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
        self._pool.submit(torch.get_num_threads).result()
        torch.set_num_threads(threads)  # for threads to come, which take the number that was set last
        self._next: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of `step`; that of the next step is begun."""
        wanted = self._next[1] if self._next and self._next[0] == step else self._begun(step)
        self._next = None
        batch = wanted.result()
        self._next = step + 1, self._begun(step + 1)
        return batch

    def _begun(self, step: int) -> Future[Batch]:
        return self._pool.submit(self._batches.batch, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
