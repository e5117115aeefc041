"""One image to probabilities: mirror, cut, run the network, put together."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.errors import UsageError
from segue.io.scratch import Readable
from segue.model.geometry import axis_geometries
from segue.model.unet import UNet, UNetConfig
from segue.predict.crew import crew
from segue.predict.layers import has_onednn
from segue.predict.levels import Box
from segue.predict.quick import DEFAULT_MEMORY, QuickUNet, Runner
from segue.predict.tile_choice import choose_tile
from segue.predict.tiles import Tile, mirrored, plan_tiles

WORTH_ROUNDING = 1.25
"""bf16 has to be so much quicker than fp32 for "auto" to choose it: its answers are rounded, if harmlessly."""

Precision = Literal["auto", "fp32", "bf16"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How a network is applied to an image; none of it changes the answer, but for `mirror` and `precision`."""

    tile: int | None = None
    """Length of a tile along every axis, context included; None chooses it by `memory`."""
    memory: int = DEFAULT_MEMORY
    """Bytes that the features of one tile may take."""
    precision: Precision = "auto"
    """"fp32", "bf16", or "auto": bf16 where the processor is quicker with it."""
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
    network: UNet | QuickUNet,
    pixels: Readable,
    *,
    classes: int,
    config: PredictConfig,
    progress: Progress | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The network's answer for every pixel of a normalised image.

    `pixels` is (C, [Z,] Y, X) float32, an array or what is read in blocks; the answer is (classes + auxiliary maps,
    [Z,] Y, X) float32: softmax over the first `classes` channels, sigmoid of each further one. It is written to `out`,
    tile by tile, if that is given (an array or a file mapped into memory), and `out` returned. For many images give
    what `prepare` makes of the network: then the precision is the one that it was prepared for.

    Raises TileError for a tile that keeps nothing, UsageError for an `out` of another shape.
    """
    shape = pixels.shape[1:]
    answer = np.empty((network.config.outputs, *shape), np.float32) if out is None else out
    if answer.shape != (network.config.outputs, *shape):
        raise UsageError(
            f"out has the shape {answer.shape}, but the answer for this image has the shape "
            f"{(network.config.outputs, *shape)}"
        )
    quick = network if isinstance(network, QuickUNet) else prepare(network, config)
    tiles = _tiles(quick, shape, config)
    with crew(quick.device) as threads, torch.inference_mode(), _exact(quick.device):
        runner = Runner(quick, crew=threads, memory=config.memory)
        for done, tile in enumerate(tiles):
            written = (slice(None), *(slice(*span.write) for span in tile))
            answer[written] = _answer(runner, _seen(pixels, tile, quick), tile, classes=classes, mirror=config.mirror)
            if progress:
                progress(done + 1, len(tiles))
    return answer


def prepare(network: UNet, config: PredictConfig) -> QuickUNet:
    """What `predict` applies: worth keeping where a network is applied to many images. The network stays as it is."""
    return QuickUNet(network, dtype=autocast_dtype(config.precision, next(network.parameters()).device))


def cut(pixels: Readable, tile: Tile) -> NDArray[np.float32]:
    """What the network sees for `tile`: (C, ...) float32, mirrored where the tile reaches beyond the image."""
    places = [mirrored(*span.read, length=length) for span, length in zip(tile, pixels.shape[1:], strict=True)]
    box = tuple(slice(min(one), max(one) + 1) for one in places)
    window: NDArray[np.float32] = pixels[(slice(0, pixels.shape[0]), *box)]
    for axis, (one, read) in enumerate(zip(places, box, strict=True), start=1):
        if one != list(range(read.start, read.stop)):
            window = window.take(np.array(one) - read.start, axis=axis)
    return np.ascontiguousarray(window)


@cache
def bf16_is_quicker() -> bool:
    """Whether this processor computes in bf16 clearly quicker than in fp32, WORTH_ROUNDING times.

    With matrix units (AMX) it does so up to 8 times as fast, with instructions for bf16 alone (AVX512_BF16, such as
    AMD's from Zen 4 on) twice, and without either several times more slowly. Measured, in some milliseconds: flags tell
    what a processor has, not what the libraries were allowed to use. The types in turns and the best of a few runs,
    because whatever else the machine does can only make one slower; and on one thread, because several make small
    products wait for each other, which hides what the units do.
    """
    if not has_onednn(torch.device("cpu"), torch.bfloat16):  # then convolutions are not what the products promise
        return False
    matrices = {dtype: torch.ones(512, 512, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    seconds = dict.fromkeys(matrices, float("inf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(6):
            for dtype, matrix in matrices.items():
                started = time.perf_counter()
                matrix @ matrix
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return seconds[torch.bfloat16] * WORTH_ROUNDING < seconds[torch.float32]


def autocast_dtype(precision: Precision, device: torch.device | None = None) -> torch.dtype:
    """The type of the convolutions for a wanted precision on this machine, or on a `device` of it."""
    if precision == "auto" and device is not None and device.type == "cuda":
        wants_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        wants_bf16 = precision == "bf16" or (precision == "auto" and bf16_is_quicker())
    return torch.bfloat16 if wants_bf16 else torch.float32


def _exact(device: torch.device) -> AbstractContextManager[None]:
    """On a graphics card, fp32 without rounding to TF32, and by algorithms that are not chosen anew for each shape.

    By default cuDNN rounds, and then a pixel depends on where the image was cut.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _seen(pixels: Readable, tile: Tile, network: QuickUNet) -> Tensor:
    """What the network sees for a tile: (1, C, ...), of its type and on its device."""
    return torch.from_numpy(cut(pixels, tile)).unsqueeze(0).to(device=network.device, dtype=network.dtype)


def _answer(runner: Runner, image: Tensor, tile: Tile, *, classes: int, mirror: bool) -> NDArray[np.float32]:
    """The mean answer over the mirror images of a tile, (outputs, ...) float32, where the tile is kept.

    In memory are the sum and the answer to one mirror image, and none of them twice.
    """
    first, *others = _mirror_views(runner.network.config) if mirror else [((), False)]
    total = _answer_to(runner, image, tile, *first, classes=classes)
    for view in others:
        total += _answer_to(runner, image, tile, *view, classes=classes)
    if others:
        total /= 1 + len(others)
    return total


def _answer_to(
    runner: Runner, image: Tensor, tile: Tile, flips: tuple[int, ...], transpose: bool, *, classes: int
) -> NDArray[np.float32]:
    """The answer to one mirror image of a tile, turned back."""
    view = image.flip(flips) if flips else image
    view = view.transpose(-1, -2) if transpose else view
    activated = _activated(runner.logits(view, kept=_kept(tile, flips, transpose)), classes)
    answer: NDArray[np.float32] = activated[0].cpu().numpy()  # in numpy, turning is looking in another order
    answer = answer.swapaxes(-1, -2) if transpose else answer
    return np.flip(answer, flips) if flips else answer


def _kept(tile: Tile, flips: Sequence[int], transpose: bool) -> Box:
    """Where the kept part of a tile's output lies in the output for a mirror image of the tile."""
    box = [
        (span.output_length - span.kept.stop, span.output_length - span.kept.start)
        if axis in flips
        else (span.kept.start, span.kept.stop)
        for axis, span in zip(range(-len(tile), 0), tile, strict=True)
    ]
    return tuple(box[:-2] + box[:-3:-1] if transpose else box)


def _activated(logits: Tensor, classes: int) -> Tensor:
    """Probabilities of the classes and further maps, in the place of the logits (1, outputs, ...) if they lie together.

    They do but for images of odd lengths.
    """
    logits[:, classes:].sigmoid_()
    answer = logits.contiguous()
    values = answer[:, :classes]
    torch.softmax(values, dim=1, out=values)  # reads each number before it writes one in its place
    return answer


def _mirror_views(config: UNetConfig) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Axes to flip, and whether to exchange Y and X: 8 views in 3D, 8 in 2D (4 if Y and X are pooled unlike)."""
    axes = range(-config.spatial_axes, 0)
    transposes = (False, True) if _may_transpose(config) else (False,)
    for choice in product((False, True), repeat=config.spatial_axes):
        for transpose in transposes:
            yield tuple(axis for axis, chosen in zip(axes, choice, strict=True) if chosen), transpose


def _may_transpose(config: UNetConfig) -> bool:
    """Whether the network treats Y and X alike; 2D alone."""
    alike = all(f[-1] == f[-2] for f in config.factors) and all(k[-1] == k[-2] for k in config.kernels)
    return alike and config.spatial_axes == 2


def _tiles(network: QuickUNet, shape: Sequence[int], wanted: PredictConfig) -> list[Tile]:
    """The tiles of an image: as long as the user says, or those that take the least work within the memory."""
    geometries = axis_geometries(network.config)
    # No more mirrored pixels than half an image: a volume of few slices is not worth many mirrored ones.
    context = [min(wanted.context, length // 2) for length in shape]
    tile: Sequence[int] = [wanted.tile or 0] * len(shape)
    if wanted.tile is None:
        tile = choose_tile(
            shape,
            config=network.config,
            context=context,
            memory=wanted.memory,
            itemsize=network.dtype.itemsize,
            transposed=wanted.mirror and _may_transpose(network.config),
        )
    return plan_tiles(shape, geometries=geometries, tile=tile, context=context)
