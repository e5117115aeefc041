"""The processes that train one network together, as one of them sees them. Whatever is sent is sent from here.

A process that trains alone sends nothing and pays nothing. Decisions that depend on a clock, a file or a user are
made by the first process and told to the others, so that all take the same steps.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from segue.errors import TrainingError, UsageError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class World:
    """All processes of a training; `torch.distributed` must be ready if there is more than one.

    Every process calls the same methods in the same order. Methods that send raise TrainingError if another process
    is gone.
    """

    rank: int = 0
    """Place of this process among all, from 0. The first one decides, writes and speaks."""
    size: int = 1
    """Number of processes."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where this process keeps its network and its batches."""

    @property
    def is_first(self) -> bool:
        """Whether this process decides, writes and speaks."""
        return self.rank == 0

    def share_of(self, batch: int) -> range:
        """Which samples of a batch of that size are for this process. Raises UsageError if one would have none."""
        if batch < self.size:
            raise UsageError(
                f"a batch of {batch} patches cannot be shared by {self.size} processes; start at most {batch}, or "
                "give a plan with a larger batches.batch (--config)"
            )
        return range(self.rank, batch, self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each; for a process alone the tensor itself. No gradient."""
        if self.size == 1:
            return tensor
        return self._summed(tensor.detach().clone(memory_format=torch.contiguous_format))

    def total(self, tensor: Tensor) -> Tensor:
        """`sum` as a step of a loss that every process computes alike from it: the gradient passes unchanged.

        With it each process has the derivative of the one loss by its own share, and the sum of all derivatives
        (`sum_gradients`) is that of the whole batch.
        """
        return tensor if self.size == 1 else _Total.apply(tensor, self)  # type: ignore[no-untyped-call]

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        # All in one message: a network has a hundred small ones.
        whole = self._summed(torch.cat([gradient.flatten() for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(whole[start : start + gradient.numel()].view(gradient.shape))
            start += gradient.numel()

    def any(self, flag: bool) -> bool:
        """Whether it is true in some process."""
        return flag if self.size == 1 else bool(self._summed(torch.tensor([float(flag)])) > 0)

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.any(False)

    def number_of_first(self, number: float) -> float:
        """The number that the first process gives."""
        return number if self.size == 1 else float(self._of_first(torch.tensor([number], dtype=torch.float64)))

    def from_first(self, decide: Callable[[], T]) -> T:
        """What `decide` answers in the first process, plain data as in JSON; the others do not call it."""
        if self.size == 1:
            return decide()
        text = json.dumps(decide()).encode() if self.is_first else b""
        length = self._of_first(torch.tensor([len(text)]))
        content = torch.empty(int(length), dtype=torch.uint8)
        if self.is_first:
            content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        told: T = json.loads(self._of_first(content).numpy().tobytes())
        return told

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give the tensors of all processes the values that they have in the first one; shapes and types are alike."""
        if self.size > 1:
            for tensor in tensors:
                tensor.copy_(self._of_first(tensor.detach().clone(memory_format=torch.contiguous_format)))

    def _summed(self, tensor: Tensor) -> Tensor:
        with _among_others():
            distributed.all_reduce(tensor)
        return tensor

    def _of_first(self, tensor: Tensor) -> Tensor:
        with _among_others():
            distributed.broadcast(tensor, src=0)
        return tensor


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, tensor: Tensor, world: World) -> Tensor:
        return world.sum(tensor)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


@contextmanager
def _among_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "another process of this training is gone, torchrun says how; the last saved state is kept: start all "
            f"processes again with --resume ({str(error).strip().partition(chr(10))[0][:200]})"
        ) from error
