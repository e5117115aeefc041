"""Batch normalisation and ReLU with one look at memory where PyTorch takes several, for training on processors.

Between two convolutions nothing is computed that the matrix units could help with: the time goes into reading and
writing the features. PyTorch does so five times forwards and eight times backwards; here it is three and five times.
The kernels are plain functions below, which `torch.compile` makes machine code of where there is a C++ compiler. As
they stand they serve several processes that normalise as one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segue.model.blocks import ConvBlock

VALUES_AT_ONCE = 1 << 14
"""About as many are summed in one go: they stay in the nearest cache while all channels pass by."""
OPTIONS: dict[str, Any] = {"compile_threads": 1, "realize_reads_threshold": 32, "realize_opcount_threshold": 200}
"""Compile here, in no processes of its own; and never write down what is cheaper to compute twice."""
MOST_VERSIONS = 64
"""Of a kernel: it is compiled anew for 2D and 3D, for bf16 and float32, and for a length of 1 of any kind."""
WIDEST_VECTOR = 64
"""Rows of fewer values are worked on several at a time: with 16 channels the loops over them take three times as long
for each value as with 32."""
Sum = Callable[[Tensor], Tensor]
"""The sum of a tensor over all processes, without a gradient; for a process alone the tensor itself."""


@dataclass(frozen=True)
class Kernels:
    """What is done to all pixels: rows of features (N, C) in bf16 or float32, vectors (C,) in float32."""

    sums: Callable[..., tuple[Tensor, Tensor]]
    rectify: Callable[..., Tensor]
    slope_sums: Callable[..., tuple[Tensor, Tensor]]
    slope: Callable[..., Tensor]


def _sums(x: Tensor, middle: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Sums of x - middle and of its square over every `rows` pixels, (N / rows, C) each."""
    distance = x.view(-1, rows, x.shape[1]).float() - middle
    return distance.sum(1), (distance * distance).sum(1)


def _rectify(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.relu(x.float() * scale + shift).to(x.dtype)


def _slope_sums(slope: Tensor, x: Tensor, scale: Tensor, shift: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Sums of what the ReLU lets through of `slope`, and of that times x, over every `rows` pixels."""
    value = x.view(-1, rows, x.shape[1]).float()
    passed = torch.where(value * scale + shift > 0, slope.view(-1, rows, x.shape[1]).float(), 0.0)
    return passed.sum(1), (passed * value).sum(1)


def _slope(slope: Tensor, x: Tensor, scale: Tensor, shift: Tensor, by_x: Tensor, constant: Tensor) -> Tensor:
    value = x.float()
    passed = torch.where(value * scale + shift > 0, slope.float(), 0.0)
    return (passed * scale + (value * by_x + constant)).to(x.dtype)


PLAIN = Kernels(_sums, _rectify, _slope_sums, _slope)
"""The kernels as they stand here: right everywhere, and quick nowhere."""


@cache
def compiled_kernels(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    """The kernels as machine code, made within some ten seconds (fewer the next time); None where that is impossible.

    `dtype` is that of the features, bf16 or float32. Impossible it is where there is no C++ compiler (on a graphics
    card: no Triton), or one that PyTorch cannot use, and where the answers are not those of PLAIN.
    """
    try:
        return _compiled(device, dtype)
    except (RuntimeError, ImportError, OSError):  # whatever keeps a compiler from working, the training goes on without
        return None


def _compiled(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    def quick(kernel: Callable[..., Any]) -> Any:
        return torch.compile(kernel, dynamic=True, fullgraph=True, options=OPTIONS)

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_VERSIONS)
    kernels = Kernels(quick(_sums), quick(_rectify), quick(_slope_sums), quick(_slope))
    right = all(torch.allclose(*pair, rtol=0.02, atol=0.02) for pair in _tried(kernels, device, dtype))
    return kernels if right else None


def _tried(kernels: Kernels, device: torch.device, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Answers and gradients of a small batch by PLAIN and by `kernels`, called as in a training."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((2, 24, 20, 16), generator=generator).to(device, dtype)
    with torch.random.fork_rng(devices=[]):
        norm = nn.BatchNorm2d(24).to(device)
    results = []
    for one in (PLAIN, kernels):
        x = image.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.enable_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            y = NormalizationAndReLU(norm, one)(x)
        (slope,) = torch.autograd.grad((y.float() ** 2).sum(), x)
        results.append((y.detach(), slope))
    return list(zip(*results, strict=True))


def fuse(network: nn.Module, kernels: Kernels, sum_of_all: Sum = lambda tensor: tensor) -> None:
    """Let `kernels` do every batch normalisation that a ReLU follows. Names and values in the state stay the same.

    Where several processes see a share of the batch each, `sum_of_all` sums over them.
    """
    for block in network.modules():
        if isinstance(block, ConvBlock):
            for place in range(len(block) - 1):
                norm = block[place]
                if isinstance(norm, _BatchNorm) and isinstance(block[place + 1], nn.ReLU):
                    block[place] = NormalizationAndReLU(norm, kernels, sum_of_all)
                    block[place + 1] = nn.Identity()


class NormalizationAndReLU(nn.Module):
    """Batch normalisation in training, with the statistics of the whole batch, and the ReLU after it."""

    def __init__(self, norm: _BatchNorm, kernels: Kernels, sum_of_all: Sum = lambda tensor: tensor) -> None:
        """`norm` gives its parameters and its running statistics."""
        super().__init__()
        self._kernels, self._sum_of_all = kernels, sum_of_all
        self._epsilon, self._momentum = norm.eps, norm.momentum or 0.1
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, ...), the share of this process, to the same shape, channels last."""
        assert self.training, "networks are judged without the layers for training"
        running = dict(self.named_buffers())
        y, mean, variance, count = _NormalizationAndReLU.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, running["running_mean"], self._epsilon, self._kernels, self._sum_of_all
        )
        running["running_mean"].lerp_(mean, self._momentum)
        running["running_var"].lerp_(variance * (count / (count - 1).clamp(min=1)), self._momentum)
        running["num_batches_tracked"] += 1
        return y  # type: ignore[no-any-return]


class _NormalizationAndReLU(torch.autograd.Function):
    """y = max(0, x scale + shift), where scale and shift give x the mean `bias` and the deviation `weight`."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        middle: Tensor,
        epsilon: float,
        kernels: Kernels,
        sum_of_all: Sum,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows, times = _as_rows(x)
        # Around the mean of the batches before: squares of small numbers, whose difference keeps its digits.
        parts = kernels.sums(rows, middle.repeat(times), _rows_at_once(rows))
        own = [_of_channels(part.double(), times) for part in parts]
        sums = sum_of_all(torch.cat([*own, own[0].new_tensor([len(rows) * times])]))
        first, second = (sums[:-1] / sums[-1]).chunk(2)
        mean, variance = (middle + first).float(), (second - first**2).float()
        count = sums[-1].float()
        deviation = (variance + epsilon).rsqrt()
        scale = weight.detach() * deviation
        shift = bias.detach() - mean * scale
        y = kernels.rectify(rows, scale.repeat(times), shift.repeat(times))
        context.save_for_backward(rows, mean, deviation, scale, shift, count)
        context.kernels, context.sum_of_all = kernels, sum_of_all
        context.mark_non_differentiable(mean, variance, count)
        return _like(y, x), mean, variance, count

    @staticmethod
    def backward(context: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        rows, mean, deviation, scale, shift, count = context.saved_tensors
        slopes, times = _as_rows(slope)
        line = scale.repeat(times), shift.repeat(times)
        parts = context.kernels.slope_sums(slopes, rows, *line, _rows_at_once(rows))
        of_bias, by_value = (_of_channels(part, times) for part in parts)
        of_weight = (by_value - mean * of_bias) * deviation
        # Of the parameters each process keeps its own part: all gradients are summed after the step.
        by_shift, by_scale = (context.sum_of_all(torch.cat([of_bias, of_weight])) / count).chunk(2)
        # d/dx of x scale + shift, both of which depend on x through mean and variance.
        by_x = -scale * deviation * by_scale
        constant = -scale * by_shift - by_x * mean
        of_x = context.kernels.slope(slopes, rows, *line, by_x.repeat(times), constant.repeat(times))
        return _like(of_x, slope), of_weight, of_bias, None, None, None, None


def _as_rows(x: Tensor) -> tuple[Tensor, int]:
    """(B, C, ...) as rows of the channels of one pixel, or of several where they are few, and of how many.

    Without a copy where channels come last.
    """
    channels = x.shape[1]
    times = gcd(x.numel() // channels, _power_of_two(WIDEST_VECTOR // channels))
    return x.movedim(1, -1).reshape(-1, times * channels), times


def _of_channels(parts: Tensor, times: int) -> Tensor:
    """(C,): the sums of all `parts` (n, times C)."""
    return parts.sum(0).view(times, -1).sum(0)


def _like(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)


def _rows_at_once(rows: Tensor) -> int:
    """How many rows to sum in one go: a power of two, which divides the numbers of pixels of most patches."""
    return gcd(len(rows), _power_of_two(VALUES_AT_ONCE // rows.shape[1]))


def _power_of_two(most: int) -> int:
    """The largest that is not above `most`, or 1."""
    return 1 << (max(1, most).bit_length() - 1)
