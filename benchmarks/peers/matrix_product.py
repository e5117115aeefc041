"""How fast this machine multiplies matrices: the rate that a network can hope for at best. Each "step" is a product."""

import torch
from protocol import main

SIDE = 4096


def step(spec: dict):
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[spec["dtype"]]
    a, b = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)
    return lambda: torch.mm(a, b)


if __name__ == "__main__":
    main(step=step, predict=step)
