"""One image to probabilities: mirror, cut, run the network, put together."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.errors import UsageError
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, UNetConfig, memory_format
from segue.predict.tiles import Tile, mirrored, plan_tiles

Precision = Literal["auto", "fp32", "bf16"]
Progress = Callable[[int, int], None]

DEFAULT_MEMORY = 1 << 30
"""Bytes that the features of one tile may take when the user does not say."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How a network is applied to an image; none of it changes the answer, but for `mirror` and `precision`."""

    tile: int | None = None
    """Length of a tile along every axis, context included; None chooses it by `memory`."""
    memory: int = DEFAULT_MEMORY
    """Bytes that the features of one tile may take."""
    precision: Precision = "auto"
    """"fp32", "bf16", or "auto": bf16 where the processor has matrix units for it."""
    mirror: bool = False
    """Whether to average over the mirror images of every tile (and its transposes, in square 2D networks)."""
    context: int = 16
    """How far a "same" network sees the mirrored image beyond the edge, at most half an image; a "valid" one sees its
    margin."""

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < 1:
            raise UsageError(f"a tile has at least 1 px, not {self.tile}")
        if self.memory < 10**6:
            raise UsageError(f"the memory for a tile is at least 1 MB, not {self.memory:,} bytes")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise UsageError(f'precision is "auto", "fp32" or "bf16", not "{self.precision}"')
        if self.context < 0:
            raise UsageError(f"the context is 0 px or more, not {self.context}")


def predict(
    network: UNet,
    pixels: NDArray[np.float32],
    *,
    classes: int,
    config: PredictConfig,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The network's answer for every pixel of a normalised image.

    `pixels` is (C, [Z,] Y, X) float32; the answer is (classes + auxiliary maps, [Z,] Y, X) float32: softmax over the
    first `classes` channels, sigmoid of each further one. Raises TileError for a tile that keeps nothing.
    """
    shape = pixels.shape[1:]
    tiles = plan_tiles(
        shape,
        geometries=axis_geometries(network.config),
        tile=_tile_lengths(network.config, shape, config),
        # No more mirrored pixels than half an image: a volume of few slices is not worth many mirrored ones.
        context=[min(config.context, length // 2) for length in shape],
    )
    answer = np.empty((network.config.outputs, *shape), np.float32)
    with _evaluating(network), torch.inference_mode():
        for done, tile in enumerate(tiles):
            window = cut(pixels, tile)
            kept = (slice(None), *(span.kept for span in tile))
            written = (slice(None), *(slice(*span.write) for span in tile))
            answer[written] = _answer(network, window, classes, config)[kept].numpy()
            if progress:
                progress(done + 1, len(tiles))
    return answer


def cut(pixels: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
    """What the network sees for `tile`: (C, ...) float32, mirrored where the tile reaches beyond the image."""
    window = pixels
    for axis, span in enumerate(tile, start=1):
        low, high = span.read
        if low >= 0 and high <= pixels.shape[axis]:
            window = window[(slice(None),) * axis + (slice(low, high),)]
        else:
            window = window.take(mirrored(low, high, length=pixels.shape[axis]), axis=axis)
    return np.ascontiguousarray(window)


@cache
def has_matrix_units() -> bool:
    """Whether this processor multiplies bf16 matrices much faster than fp32 ones, as AMX does by a factor of about 8.

    Measured, in some milliseconds: flags tell what a processor has, not what the libraries were allowed to use. The
    best of a few runs, because whatever else the machine does can only make one slower.
    """

    def best_seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(768, 768, dtype=dtype)
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            matrix @ matrix
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    return best_seconds(torch.bfloat16) * 2 < best_seconds(torch.float32)


def autocast_dtype(precision: Precision) -> torch.dtype:
    """The type of the convolutions for a wanted precision on this machine."""
    wants_bf16 = precision == "bf16" or (precision == "auto" and has_matrix_units())
    return torch.bfloat16 if wants_bf16 else torch.float32


def _answer(network: UNet, window: NDArray[np.float32], classes: int, config: PredictConfig) -> Tensor:
    """The mean answer over the mirror images of one window, (outputs, ...) float32."""
    device = next(network.parameters()).device
    image = torch.from_numpy(window).unsqueeze(0).to(device)
    dtype = autocast_dtype(config.precision)
    views = list(_mirror_views(network.config)) if config.mirror else [((), False)]
    total: Tensor | None = None
    for flips, transpose in views:
        view = image.flip(flips) if flips else image
        view = view.transpose(-1, -2) if transpose else view
        view = view.contiguous(memory_format=memory_format(network.config.spatial_axes))
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = network(view)
        answer = _activate(logits.float(), classes)
        answer = answer.transpose(-1, -2) if transpose else answer
        answer = answer.flip(flips) if flips else answer
        total = answer if total is None else total.add_(answer)
    assert total is not None
    return (total[0] / len(views)).cpu()


def _activate(logits: Tensor, classes: int) -> Tensor:
    return torch.cat([logits[:, :classes].softmax(dim=1), logits[:, classes:].sigmoid()], dim=1)


def _mirror_views(config: UNetConfig) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Axes to flip, and whether to exchange Y and X: 8 views in 3D, 8 in 2D (4 if Y and X are pooled unlike)."""
    axes = range(-config.spatial_axes, 0)
    alike = all(f[-1] == f[-2] for f in config.factors) and all(k[-1] == k[-2] for k in config.kernels)
    transposes = (False, True) if alike and config.spatial_axes == 2 else (False,)
    for choice in product((False, True), repeat=config.spatial_axes):
        for transpose in transposes:
            yield tuple(axis for axis, chosen in zip(axes, choice, strict=True) if chosen), transpose


def _tile_lengths(config: UNetConfig, shape: Sequence[int], wanted: PredictConfig) -> list[int | None]:
    """Length of a tile along each axis: what the user says, or what the memory holds."""
    if wanted.tile is not None:
        return [wanted.tile] * len(shape)
    budget = wanted.memory / bytes_per_pixel(config, autocast_dtype(wanted.precision))
    geometries = axis_geometries(config)
    lengths: list[int | None] = [
        geometry.legal_size(length + 2 * max(wanted.context, geometry.margin) + geometry.stride)
        for geometry, length in zip(geometries, shape, strict=True)
    ]
    smallest = [geometry.legal_size(2 * geometry.halo + geometry.stride) for geometry in geometries]
    while _product(lengths) > budget:
        axis = max(range(len(lengths)), key=lambda a: (lengths[a] or 0) - smallest[a])
        shorter = geometries[axis].legal_size_below((lengths[axis] or 0) - geometries[axis].stride)
        if shorter is None or shorter < smallest[axis]:
            break
        lengths[axis] = shorter
    return lengths


def _product(lengths: Sequence[int | None]) -> float:
    total = 1.0
    for length in lengths:
        total *= length or 1
    return total


def bytes_per_pixel(config: UNetConfig, dtype: torch.dtype) -> float:
    """About how many bytes of features a tile takes at its peak, for each pixel of its input.

    At the last decoder the network holds its skip, the risen features, both concatenated, and the output and
    workspace of a convolution: about 6 maps of `width` channels; the convolution's workspace is in fp32.
    """
    return config.width * (6 * dtype.itemsize + 4)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Batch normalisation uses the statistics of the training, dropout drops nothing; afterwards all is as before."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
