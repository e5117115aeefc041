"""The U-Net as anybody would write it in PyTorch: fp32, eager, contiguous. Also counts floating-point operations.

Layer for layer the network that Segue has with padding and batch normalisation; the script compares the numbers of
parameters where Segue is installed. With "axes": 3 in the specification it is for volumes, one pooling shallower.
"""

import torch
from protocol import main
from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = {2: 4, 3: 3}
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTIONS = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMALIZATIONS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLINGS = {2: F.max_pool2d, 3: F.max_pool3d}
AVERAGES = {2: F.avg_pool2d, 3: F.avg_pool3d}


def conv_block(channels_in: int, channels_out: int, axes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels_in, channels_out):
        convolution = CONVOLUTIONS[axes](before, channels_out, 3, padding=1, bias=False)
        layers += [convolution, NORMALIZATIONS[axes](channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


class PlainUNet(nn.Module):
    def __init__(self, width: int, *, axes: int = 2, channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTHS[axes] + 1)]
        self.pool = POOLINGS[axes]
        self.down = nn.ModuleList(conv_block(a, b, axes) for a, b in zip([channels, *widths], widths, strict=False))
        self.rise = nn.ModuleList(TRANSPOSED_CONVOLUTIONS[axes](2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(conv_block(2 * w, w, axes) for w in reversed(widths[:-1]))
        self.head = CONVOLUTIONS[axes](width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = self.pool(x, 2)
        x = self.down[-1](x)
        for rise, block in zip(self.rise, self.up, strict=True):
            x = block(torch.cat([skips.pop(), rise(x)], dim=1))
        return self.head(x)


def axes_of(spec: dict) -> int:
    """2 for images, 3 for volumes."""
    return spec.get("axes", 2)


def batch_of(spec: dict) -> tuple[Tensor, Tensor]:
    """Noise, and a truth of two classes."""
    axes = axes_of(spec)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(spec["batch"], 1, *(spec["side"],) * axes, generator=generator)
    return image, (AVERAGES[axes](image, 9, stride=1, padding=4)[:, 0] > 0).long()


def count_flops(spec: dict) -> dict[str, float]:
    """Floating-point operations of a forward pass and of a training step (a multiplication and an addition are two)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = PlainUNet(spec["width"], axes=axes_of(spec))
        lengths = (spec["side"],) * axes_of(spec)
        image = torch.empty(spec["batch"], 1, *lengths)
        target = torch.empty(spec["batch"], *lengths, dtype=torch.int64)
    with FlopCounterMode(display=False) as forward:
        logits = network(image)
    with FlopCounterMode(display=False) as backward:
        F.cross_entropy(logits, target).backward()
    parameters = sum(p.numel() for p in network.parameters())
    total = forward.get_total_flops() + backward.get_total_flops()
    return {"forward": forward.get_total_flops(), "step": total, "parameters": parameters}


def step(spec: dict):
    torch.manual_seed(0)
    network = PlainUNet(spec["width"], axes=axes_of(spec))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    image, target = batch_of(spec)

    def work() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(image), target).backward()
        optimizer.step()

    return work


def predict(spec: dict):
    torch.manual_seed(0)
    network = PlainUNet(spec["width"], axes=axes_of(spec)).eval()
    image = torch.randn(1, 1, *(spec["side"],) * axes_of(spec))

    def work() -> Tensor:
        with torch.inference_mode():
            return network(image).softmax(dim=1)

    return work


if __name__ == "__main__":
    main(step=step, predict=predict)
