"""The U-Net as anybody would write it in PyTorch: fp32, eager, contiguous. Also counts floating-point operations.

Layer for layer the network that Segue has with padding and batch normalisation; the script compares the numbers of
parameters where Segue is installed.
"""

import torch
from protocol import main
from torch import Tensor, nn
from torch.nn import functional as F

DEPTH = 4


def conv_block(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels_in, channels_out):
        layers += [nn.Conv2d(before, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    def __init__(self, width: int, *, channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(conv_block(a, b) for a, b in zip([channels, *widths], widths, strict=False))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(conv_block(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for rise, block in zip(self.rise, self.up, strict=True):
            x = block(torch.cat([skips.pop(), rise(x)], dim=1))
        return self.head(x)


def batch_of(spec: dict) -> tuple[Tensor, Tensor]:
    """Noise, and a truth of two classes."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(spec["batch"], 1, spec["side"], spec["side"], generator=generator)
    return image, (F.avg_pool2d(image, 9, stride=1, padding=4)[:, 0] > 0).long()


def count_flops(spec: dict) -> dict[str, float]:
    """Floating-point operations of a forward pass and of a training step (a multiplication and an addition are two)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = PlainUNet(spec["width"])
        image = torch.empty(spec["batch"], 1, spec["side"], spec["side"])
        target = torch.empty(spec["batch"], spec["side"], spec["side"], dtype=torch.int64)
    with FlopCounterMode(display=False) as forward:
        logits = network(image)
    with FlopCounterMode(display=False) as backward:
        F.cross_entropy(logits, target).backward()
    parameters = sum(p.numel() for p in network.parameters())
    total = forward.get_total_flops() + backward.get_total_flops()
    return {"forward": forward.get_total_flops(), "step": total, "parameters": parameters}


def step(spec: dict):
    torch.manual_seed(0)
    network = PlainUNet(spec["width"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    image, target = batch_of(spec)

    def work() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(image), target).backward()
        optimizer.step()

    return work


def predict(spec: dict):
    torch.manual_seed(0)
    network = PlainUNet(spec["width"]).eval()
    image = torch.randn(1, 1, spec["side"], spec["side"])

    def work() -> Tensor:
        with torch.inference_mode():
            return network(image).softmax(dim=1)

    return work


if __name__ == "__main__":
    main(step=step, predict=predict)
