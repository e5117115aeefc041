"""Muon: gradient descent with momentum whose steps go equally far in all directions.

Jordan et al. (2024, https://kellerjordan.github.io/posts/muon/): the gradient of a layer's weights, as a matrix, has a
few large singular values and many small ones, so that momentum alone learns little in most directions. Here the
momentum U S V^T becomes U V^T, and layers of all sizes change alike in proportion: filters drawn as by He et al. have
singular values of about 1 to 2, in narrow layers as in wide ones. Matrices of many rows move in parts, each for itself.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Jordan et al.: singular values above a 500th of the matrix's norm end between 0.68 and 1.21. More exact ones would
cost more products and learn no better."""
MOST_ROWS = 128
"""Of a part of a matrix. The work grows with the square of the rows, so that wide networks would wait for it. Khaled et
al. (2025, arXiv 2510.16981) move parts too, but whole matrices now and then; here they never come (decision 21)."""
LENGTH = 10.0
"""Of a step in each direction, in learning rates: 0.02, as Jordan et al. have it, where AdamW's rate is 0.002."""


class Muon(torch.optim.AdamW):
    """AdamW, but for the `filters` among the parameters: (N, M, ...) each, a matrix of N rows.

    Rows are the outputs of a convolution, the inputs of a transposed one: U V^T of a matrix is that of its transpose.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        filters: Collection[Tensor],
        lr: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, fused=True)
        self._filters = frozenset(filters)
        self._momentum = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change the parameters by their gradients. Those of the filters are gone afterwards."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in self._filters and parameter.grad is not None:
                    self._step_filters(parameter, group["lr"], group["weight_decay"])
                    parameter.grad = None  # nothing is left for AdamW
        super().step()

    def _step_filters(self, filters: Tensor, rate: float, decay: float) -> None:
        assert filters.grad is not None
        state = self.state[filters]
        if not state:
            state["step"] = torch.zeros((), device=filters.device)  # AdamW asks for it when a state is loaded
            state["momentum_buffer"] = torch.zeros_like(filters)
        momentum: Tensor = state["momentum_buffer"]
        state["step"] += 1
        momentum.lerp_(filters.grad, 1 - self._momentum)
        ahead = filters.grad.lerp(momentum, self._momentum)  # Nesterov's
        rows = ahead.movedim(1, -1).flatten(1)  # as they lie in memory
        parts = rows.tensor_split(math.ceil(len(rows) / MOST_ROWS))
        step = torch.cat([orthogonal(part) for part in parts])
        step = step.view(ahead.movedim(1, -1).shape).movedim(-1, 1)
        filters.mul_(1 - rate * decay).add_(step, alpha=-rate * LENGTH)


def orthogonal(matrix: Tensor) -> Tensor:
    """(N, M) of rank min(N, M) to about U V^T, where U S V^T is its singular value decomposition.

    By the iteration of Newton and Schulz, of odd polynomials: p(U S V^T) = U p(S) V^T. Each is the matrix X times a
    polynomial of X X^T, and such polynomials commute: all are multiplied before they meet X, which is much longer.
    """
    x = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)  # no singular value above 1, from where the iteration converges; zeros stay zeros
    square = x @ x.T
    product = factor = _factor(square)
    for _ in range(ITERATIONS - 1):
        square = factor @ square @ factor
        factor = _factor(square)
        product = factor @ product
    steps: Tensor = product @ x
    return steps if len(matrix) <= matrix.shape[1] else steps.T


def _factor(square: Tensor) -> Tensor:
    """What an iteration multiplies X with, if `square` is X X^T."""
    linear, cubic, quintic = COEFFICIENTS
    factor: Tensor = torch.addmm(square, square, square, beta=cubic, alpha=quintic)
    factor.diagonal().add_(linear)
    return factor
