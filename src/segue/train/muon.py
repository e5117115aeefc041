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

    The matrices are multiplied in the type that a group of parameters names as "dtype", fp32 if it names none.
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
                    self._step_filters(parameter, group["lr"], group["weight_decay"], group.get("dtype", torch.float32))
                    parameter.grad = None  # nothing is left for AdamW
        super().step()

    def _step_filters(self, filters: Tensor, rate: float, decay: float, dtype: torch.dtype) -> None:
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
        parts = rows.to(dtype).tensor_split(math.ceil(len(rows) / MOST_ROWS))
        step = torch.cat([orthogonal(part) for part in parts]).to(filters.dtype)
        step = step.view(ahead.movedim(1, -1).shape).movedim(-1, 1)
        filters.mul_(1 - rate * decay).add_(step, alpha=-rate * LENGTH)


def orthogonal(matrix: Tensor) -> Tensor:
    """(N, M) of rank min(N, M) to about U V^T, where U S V^T is its singular value decomposition.

    By the iteration of Newton and Schulz, of odd polynomials: p(U S V^T) = U p(S) V^T.
    """
    linear, cubic, quintic = COEFFICIENTS
    x = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)  # no singular value above 1, from where the iteration converges; zeros stay zeros
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=cubic, alpha=quintic), x, beta=linear)
    return x if len(matrix) <= matrix.shape[1] else x.T
