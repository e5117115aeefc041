"""How large a network and its patches may be: by the size of the images, of their pixels, and by the time there is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress
from math import ceil, prod

from segue.fingerprint import Fingerprint
from segue.model.unet import UNetConfig
from segue.train.settings import BatchConfig

PATCH_PIXELS = {2: 256**2, 3: 64**3}
"""Pixels of a patch at most: enough context for the receptive field, few enough for a quick step."""
BATCH_PIXELS = {2: 4 * 256**2, 3: 2 * 64**3}
"""Pixels of a batch at most."""
MOST_PATCHES = 64
"""Patches of a batch at most: each has to be augmented, however small it is."""
FEWEST_STEPS = 6000
"""A network is only wider than usual if that leaves it so many steps in its time: up to 3,000 of them a width of 32 was
no better than one of 16 in 2D, in twice the time (docs/decisions/0019-steps-before-width.md)."""
WIDTHS = {2: (16, 24, 32, 48, 64), 3: (16, 24, 32)}
"""Candidates for the width of the first level, the usual one first."""
SHALLOWEST_SIDE = 4
"""No axis is pooled to fewer pixels than this."""

StepSeconds = Callable[[UNetConfig, BatchConfig], float]
"""How long one training step takes on this machine: a measurement."""


def relative_spacing(pixel_size: Sequence[float] | None) -> tuple[float, ...] | None:
    """Pixel sizes as multiples of that of the finest axis; None if the files do not say."""
    # Rounded, because files give sizes with the noise of their last digit, and equal axes should count as equal.
    return tuple(round(length / min(pixel_size), 3) for length in pixel_size) if pixel_size else None


def patch_and_levels(
    fingerprint: Fingerprint,
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Patch, pooling factors and kernels. A coarse axis is not pooled nor convolved until the others are as coarse.

    The patch is as large as the median image if it may be; else its longest axes are cut, to equal lengths in space.
    """
    axes = fingerprint.spatial_axes
    spacing = relative_spacing(fingerprint.pixel_size) or (1.0,) * axes
    shape = fingerprint.working_shape or fingerprint.median_shape
    wanted = [float(length) for length in shape]
    longest = max(length * size for length, size in zip(shape, spacing, strict=True))
    while prod(wanted) > PATCH_PIXELS[axes]:
        longest *= 0.95
        wanted = [min(float(length), longest / size) for length, size in zip(shape, spacing, strict=True)]
    deepest = 4 if axes == 2 else 3
    factors: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    current, left = list(spacing), list(wanted)
    for _ in range(deepest):
        # An axis that is too short to be pooled keeps no other from being pooled.
        poolable = [length >= 2 * SHALLOWEST_SIDE for length in left]
        finest = min(compress(current, poolable), default=min(current))
        kernels.append(tuple(3 if size < 2 * finest else 1 for size in current))
        factor = tuple(2 if can and size < 2 * finest else 1 for size, can in zip(current, poolable, strict=True))
        if max(factor) == 1:
            kernels.pop()
            break
        factors.append(factor)
        current = [size * step for size, step in zip(current, factor, strict=True)]
        left = [length / step for length, step in zip(left, factor, strict=True)]
    kernels.append((3,) * axes)
    strides = [prod(factor[axis] for factor in factors) for axis in range(axes)]
    patch = tuple(max(1, ceil(length / stride)) * stride for length, stride in zip(wanted, strides, strict=True))
    if prod(patch) > 1.5 * PATCH_PIXELS[axes]:
        patch = tuple(max(1, round(length / stride)) * stride for length, stride in zip(wanted, strides, strict=True))
    return patch, tuple(factors), tuple(kernels)


def as_wide_as_time_allows(
    network: UNetConfig, batches: BatchConfig, budget: float | None, step_seconds: StepSeconds | None
) -> tuple[UNetConfig, str]:
    """The widest of WIDTHS that leaves FEWEST_STEPS within `budget` seconds, and why; without one the usual width."""
    if budget is None or step_seconds is None:
        return network, f"width {network.width}, the usual one"
    seconds = step_seconds(network, batches)
    why_no_wider = ""
    for width in WIDTHS[network.spatial_axes][1:]:
        # The time grows at least as the width does: what cannot fit is not measured, which takes time and memory.
        longer = seconds * width / network.width
        wider = replace(network, width=width)
        if longer * FEWEST_STEPS <= budget:
            longer = step_seconds(wider, batches)
        if longer * FEWEST_STEPS > budget:
            why_no_wider = f"; {width} would leave fewer than {FEWEST_STEPS:,}"
            break
        network, seconds = wider, longer
    # At most, because batches, validations and the end of the training take some of the time.
    steps = int(budget / seconds)
    why = f"width {network.width}: a step takes {seconds:.2f} s here, so at most {steps:,} fit into the time"
    return network, why + why_no_wider
