"""Layers that look at the whole batch, for processes that see a share of it each: batch normalisation and dropout."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from segue.model.unet import memory_format
from segue.train.world import World

Sum = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes, in a new tensor, without a gradient."""


def see_whole_batch(network: nn.Module, world: World, *, batch: int) -> None:
    """Make the layers of a network behave in each process as if the network saw all `batch` samples.

    Parameters and the names in the state stay the same. For a process alone nothing changes.
    """
    if world.size == 1:
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm):
                parent.register_module(name, SharedBatchNormalization(child, world.sum))
            elif isinstance(child, nn.Dropout):
                parent.register_module(name, SharedDropout(child.p, batch=batch, samples=world.share_of(batch)))


class SharedDropout(nn.Module):
    """Dropout that drops what `nn.Dropout` would drop in the same samples of the whole batch.

    All processes draw for the whole batch from the same seed and keep their own samples: dropout is at the bottom of
    the network, where a batch is small.
    """

    def __init__(self, share: float, *, batch: int, samples: range) -> None:
        super().__init__()
        self._share = share
        self._batch = batch
        self._samples = slice(samples.start, None, samples.step)

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, ...), the share of this process, to the same shape."""
        if not self.training or self._share == 0:
            return x
        whole = torch.ones((self._batch, *x.shape[1:]), dtype=x.dtype, device=x.device)
        # Numbers are drawn in the order of the memory. A batch lies channels last; a share of one sample may not.
        whole = whole.contiguous(memory_format=memory_format(x.ndim - 2))
        return x * F.dropout(whole, self._share)[self._samples]


class SharedBatchNormalization(nn.Module):
    """Batch normalisation with the statistics of the shares of all processes."""

    def __init__(self, alone: _BatchNorm, sum_of_all: Sum) -> None:
        """`alone` gives its parameters and its running statistics."""
        super().__init__()
        self._sum_of_all = sum_of_all
        self._epsilon, self._momentum = alone.eps, alone.momentum or 0.1
        self.weight, self.bias = alone.weight, alone.bias
        for name, buffer in alone.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, ...), the share of this process, to the same shape."""
        assert self.training, "networks are judged without the layers for several processes"
        y, mean, variance, count = _Normalization.apply(x, self.weight, self.bias, self._epsilon, self._sum_of_all)  # type: ignore[no-untyped-call]
        running = dict(self.named_buffers())
        running["running_mean"].lerp_(mean, self._momentum)
        running["running_var"].lerp_(variance * (count / (count - 1)), self._momentum)
        running["num_batches_tracked"] += 1
        return y  # type: ignore[no-any-return]


class _Normalization(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + epsilon) weight + bias, with mean and variance of what all processes see."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, sum_of_all: Sum
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [0, *range(2, x.ndim)]
        own = x.numel() // x.shape[1]
        variance, mean = (one.double() for one in torch.var_mean(x.float(), dim=axes, correction=0))
        # In float64 the mean square less the squared mean is as good as a second pass over the pixels.
        sums = sum_of_all(torch.cat([own * mean, own * (variance + mean**2), mean.new_tensor([own])]))
        count = sums[-1]
        mean, square = (sums[:-1] / count).chunk(2)
        variance = square - mean**2
        deviation = (variance + epsilon).rsqrt()
        mean32, deviation32 = _along(mean, x), _along(deviation, x)
        y = (x.float() - mean32) * deviation32 * _along(weight, x) + _along(bias, x)
        context.save_for_backward(x, weight, mean32, deviation32)
        context.sum_of_all, context.count = sum_of_all, float(count)
        statistics = (mean.float(), variance.float(), count)
        context.mark_non_differentiable(*statistics)
        return y.to(x.dtype), *statistics

    @staticmethod
    def backward(context: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, deviation = context.saved_tensors
        axes = [0, *range(2, x.ndim)]
        normal = (x.float() - mean) * deviation
        steep = slope.float()
        # Of the parameters each process keeps its own part: all gradients are summed after the step.
        of_bias, of_weight = steep.sum(axes), (steep * normal).sum(axes)
        everywhere = context.sum_of_all(torch.cat([of_bias, of_weight])) / context.count
        by_bias, by_weight = (_along(one, x) for one in everywhere.chunk(2))
        of_x = _along(weight, x) * deviation * (steep - by_bias - normal * by_weight)
        return of_x.to(x.dtype), of_weight, of_bias, None, None


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """(C,) as float32 that broadcasts against (B, C, ...)."""
    return channels.float().view(1, -1, *[1] * (x.ndim - 2))
