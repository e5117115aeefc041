"""The U-Net of Ronneberger, Fischer & Brox (2015, https://arxiv.org/abs/1505.04597), in 2D and 3D.

The 3D network follows Cicek et al. (2016, https://arxiv.org/abs/1606.06650) where the axes are pooled unequally.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from segue.errors import UsageError
from segue.model.blocks import CONVOLUTION, ConvBlock, DecoderBlock, EncoderBlock


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The sizes of a U-Net: everything that decides its parameters."""

    spatial_axes: int = 2
    """2 for images, 3 for volumes."""
    channels: int = 1
    """Channels of the input."""
    outputs: int = 2
    """Channels of the output: the classes, and auxiliary maps if there are any."""
    width: int = 64
    """Channels of the first level; every level doubles them."""
    widest: int = 1024
    """No level has more channels than this."""
    factors: tuple[tuple[int, ...], ...] = ((2, 2),) * 4
    """How much each pooling shrinks each spatial axis; their number is the depth."""
    kernels: tuple[tuple[int, ...], ...] = ((3, 3),) * 5
    """Size of the convolutions at each level, one more than `factors` for the bottom."""
    padding: Literal["valid", "same"] = "valid"
    """"valid" as in the paper (the output is smaller), or "same" (output as large as the input)."""
    normalization: Literal["batch", "none"] = "none"
    """Batch normalisation after every convolution, or none as in the paper."""
    dropout: float = 0.5
    """Share of the features dropped at the end of the contracting path, in training only."""

    def __post_init__(self) -> None:
        if self.spatial_axes not in (2, 3):
            raise UsageError(f"a U-Net has 2 or 3 spatial axes, not {self.spatial_axes}")
        if min(self.channels, self.outputs, self.width) < 1 or self.widest < self.width:
            raise UsageError(
                f"channels ({self.channels}), outputs ({self.outputs}) and width ({self.width}) of a U-Net are at "
                f"least 1, and widest ({self.widest}) is at least the width"
            )
        if len(self.kernels) != len(self.factors) + 1:
            raise UsageError(
                f"a U-Net with {len(self.factors)} poolings has {len(self.factors) + 1} levels of "
                f"kernels, not {len(self.kernels)}"
            )
        wrong = [t for t in self.factors + self.kernels if len(t) != self.spatial_axes or min(t) < 1]
        if wrong or any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise UsageError(
                f"factors {self.factors} and kernels {self.kernels} need one number for each of the "
                f"{self.spatial_axes} axes; factors are at least 1, kernels odd"
            )
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is a share from 0 to below 1, not {self.dropout}")

    @property
    def depth(self) -> int:
        """Number of poolings."""
        return len(self.factors)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every level, the bottom last."""
        return tuple(min(self.width * 2**level, self.widest) for level in range(self.depth + 1))


def paper_config(*, channels: int = 1, classes: int = 2, spatial_axes: int = 2) -> UNetConfig:
    """The network of 2015 to the parameter: 31,030,658 for 1 channel and 2 classes in 2D; one pooling less in 3D."""
    depth = 4 if spatial_axes == 2 else 3
    return isotropic_config(spatial_axes=spatial_axes, depth=depth, channels=channels, outputs=classes)


def isotropic_config(*, spatial_axes: int, depth: int = 4, **sizes: object) -> UNetConfig:
    """A U-Net that treats all spatial axes alike: factors of 2 and kernels of 3 everywhere."""
    return UNetConfig(
        spatial_axes=spatial_axes,
        factors=((2,) * spatial_axes,) * depth,
        kernels=((3,) * spatial_axes,) * (depth + 1),
        **sizes,  # type: ignore[arg-type]
    )


class UNet(nn.Module):
    """The network of the paper's figure 1, from the image to one logit for each class and pixel."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        same, normalize = config.padding == "same", config.normalization == "batch"
        widths = config.widths
        above = (config.channels, *widths)
        self.encoders = nn.ModuleList(
            EncoderBlock(above[level], widths[level], kernel=kernel, factor=factor, same=same, normalize=normalize)
            for level, (kernel, factor) in enumerate(zip(config.kernels[:-1], config.factors, strict=True))
        )
        self.bottom = ConvBlock(above[-2], widths[-1], kernel=config.kernels[-1], same=same, normalize=normalize)
        self.dropout = nn.Dropout(config.dropout)
        self.decoders = nn.ModuleList(
            DecoderBlock(
                widths[level + 1],
                widths[level],
                kernel=config.kernels[level],
                factor=config.factors[level],
                same=same,
                normalize=normalize,
            )
            for level in reversed(range(config.depth))
        )
        self.head = CONVOLUTION[config.spatial_axes](widths[0], config.outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Intensities (B, C, [Z,] Y, X) to logits (B, K, ...); sizes as in `segue.model.geometry`."""
        skips = []
        x = image
        for encoder in self.encoders:
            skip, x = encoder(x)  # (B, width * 2**level, ...), half as large
            skips.append(skip)
        x = self.dropout(self.bottom(x))
        for decoder in self.decoders:
            x = decoder(x, skips.pop())  # (B, width * 2**level, ...), twice as large
        return self.head(x)  # type: ignore[no-any-return]


def network_from(config: UNetConfig, weights: Mapping[str, Tensor]) -> UNet:
    """A network that holds a copy of `weights`, laid out for quick prediction. No random number is drawn for it.

    Raises RuntimeError, as `load_state_dict` does, if the weights are not those of such a network.
    """
    with torch.device("meta"):
        network = UNet(config)
    network.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
    return network.to(memory_format=memory_format(config.spatial_axes)).eval()  # type: ignore[call-overload, no-any-return]


def memory_format(spatial_axes: int) -> torch.memory_format:
    """Channels last: the layout in which convolutions on processors (and tensor cores) are fast."""
    return torch.channels_last if spatial_axes == 2 else torch.channels_last_3d


def initialize(network: UNet, *, generator: torch.Generator) -> None:
    """He initialisation as in the paper, section 3: normal with variance 2 / (inputs of a node); biases 0.

    A node of a convolution has kernel x channels inputs; a node of a transposed convolution whose stride is its
    kernel has only the channels.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            inputs = module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
            inputs = module.weight.shape[0]
        else:
            continue
        nn.init.normal_(module.weight, std=(2 / inputs) ** 0.5, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
